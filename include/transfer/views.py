"""Views in the way of a column's new type: the switch drops them and makes them again, with what hangs on them."""

from __future__ import annotations

import psycopg
from psycopg import sql

from include.postgres import Connection, query, safe_message
from include.transfer.model import TableName, TransferRefusedError

# All views above a table, directly or through other views, the nearest first: a view depends on a table through its
# rewrite rule.
_VIEWS = """
with recursive above(oid, depth) as (
    select %s::regclass::oid, 0
    union
    select r.ev_class, a.depth + 1 from above a
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = a.oid
        and d.classid = 'pg_rewrite'::regclass
    join pg_rewrite r on r.oid = d.objid and r.ev_class <> a.oid
)
select c.oid::bigint, n.nspname, c.relname, c.relkind::text, pg_get_viewdef(c.oid), c.reloptions, o.rolname,
    obj_description(c.oid, 'pg_class'), exists (select from pg_trigger where tgrelid = c.oid)
from above a join pg_class c on c.oid = a.oid join pg_namespace n on n.oid = c.relnamespace
join pg_roles o on o.oid = c.relowner
where a.depth > 0 group by 1, 2, 3, 4, 5, 6, 7, 8, c.oid order by max(a.depth)
"""

# Grants on the view, then grants on single columns. A grantee that is no role is PUBLIC.
_GRANTS = """
select null, x.privilege_type, x.is_grantable, r.rolname from pg_class c, aclexplode(c.relacl) x
left join pg_roles r on r.oid = x.grantee where c.oid = %(oid)s and x.grantee <> c.relowner
union all
select a.attname, x.privilege_type, x.is_grantable, r.rolname from pg_attribute a, aclexplode(a.attacl) x
left join pg_roles r on r.oid = x.grantee where a.attrelid = %(oid)s and a.attnum > 0
"""

_COMMENTS = """
select attname, col_description(attrelid, attnum) from pg_attribute
where attrelid = %s and attnum > 0 and col_description(attrelid, attnum) is not null
"""


def drop_dependent_views(target: Connection, name: TableName) -> list[sql.Composed]:
    """Drop the views on a table; return the statements that make them again, for `execute_view_statements`.

    Views come back with definition, options, owner, grants and comments. Raises TransferRefusedError where something
    else than a plain view is in the way, or a view of another owner.
    """
    recreate: list[sql.Composed] = []
    drops: list[sql.Composed] = []
    for oid, schema, view, kind, definition, options, owner, comment, has_triggers in query(
        target, _VIEWS, name.identifier.as_string(target)
    ):
        view_name = TableName(schema, view)
        if kind != "v" or has_triggers:
            raise TransferRefusedError(
                f"{name}: {view_name} depends on a column whose type changes: drop it, run again, create it again"
            )
        drops.insert(0, sql.SQL("drop view {}").format(view_name.identifier))  # the farthest first
        recreate.append(
            sql.SQL("create view {}{} as {}").format(view_name.identifier, _options(options or []), sql.SQL(definition))
        )
        recreate += _grants(target, oid, view_name)
        if comment is not None:
            recreate.append(sql.SQL("comment on view {} is {}").format(view_name.identifier, sql.Literal(comment)))
        for column, text in query(target, _COMMENTS, oid):
            column_name = sql.Identifier(*view_name, column)
            recreate.append(sql.SQL("comment on column {} is {}").format(column_name, sql.Literal(text)))
        # last: once the view is another owner's, this user may no longer grant on it
        if owner != target.info.user:
            recreate.append(sql.SQL("alter view {} owner to {}").format(view_name.identifier, sql.Identifier(owner)))
    execute_view_statements(target, name, drops)
    return recreate


def execute_view_statements(target: Connection, name: TableName, statements: list[sql.Composed]) -> None:
    """Run statements that drop a table's views or make them again. Raises TransferRefusedError where they may not."""
    try:
        for statement in statements:
            target.execute(statement)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.DependentObjectsStillExist) as error:
        raise TransferRefusedError(
            f"{name}: views on it are in the way of a column's new type ({safe_message(error)}): drop them,"
            " run again, create them again"
        ) from None


def _options(options: list[str]) -> sql.Composable:
    """Return a view's options ("security_barrier=true") as CREATE VIEW wants them."""
    pairs = [option.partition("=") for option in options]
    settings = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, _, value in pairs]
    return sql.SQL(" with ({})").format(sql.SQL(", ").join(settings)) if settings else sql.SQL("")


def _grants(target: Connection, oid: int, view: TableName) -> list[sql.Composed]:
    """Return the GRANT statements that give others the rights that they have on a view."""
    return [
        sql.SQL("grant {}{} on {} to {}{}").format(
            sql.SQL(privilege),  # a keyword such as SELECT
            sql.SQL(" ({})").format(sql.Identifier(column)) if column else sql.SQL(""),
            view.identifier,
            sql.Identifier(grantee) if grantee else sql.SQL("public"),
            sql.SQL(" with grant option" if grantable else ""),
        )
        for column, privilege, grantable, grantee in target.execute(_GRANTS, {"oid": oid}).fetchall()
    ]
