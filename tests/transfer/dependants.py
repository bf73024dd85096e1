"""What users hang on a target table: views, grants, policies, comments, statistics, indexes."""

from __future__ import annotations

from tests.transfer.conftest import execute


def make_dependants(target_uri: str) -> None:
    execute(
        target_uri,
        "create view on_it as select id, name from item where id > 1",
        "create view on_that as select count(*) as n from on_it",
        "create materialized view frozen as select * from on_it",
        "do $$ begin create role transfer_reader; exception when duplicate_object then null; end $$",
        "grant select on item, on_it to transfer_reader",
        "alter table item enable row level security",
        "create policy visible on item for select to transfer_reader using (name <> 'a')",
        "comment on table item is 'ours'",
        "create statistics on id, name from item",
        "create index on item (name)",
    )


STATE_OF_DEPENDANTS = """
select (select count(*) from on_it), (select n from on_that), has_table_privilege('transfer_reader', 'item', 'select'),
    obj_description('item'::regclass), (select count(*) from pg_policies where tablename = 'item'),
    (select count(*) from pg_statistic_ext where stxrelid = 'item'::regclass), 'item'::regclass::oid,
    (select count(*) from pg_indexes where tablename = 'item')
"""
