"""Views in the way of a column's new type: taken down and put up again inside the switch, with what hangs on them."""

from __future__ import annotations

import psycopg
from psycopg import sql

from include.postgres import Connection, query
from include.transfer.model import TableName, TransferRefusedError

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


def take_down(target: Connection, name: TableName) -> list[sql.Composed]:
    """Drop the views on a table; return what makes them again: definition, options, owner, grants, comments.

    TransferRefusedError where something that isn't a plain view, or is somebody else's, is in the way.
    """
    again: list[sql.Composed] = []
    drops: list[sql.Composed] = []
    for oid, schema, view, kind, definition, options, owner, comment, triggers in query(
        target, _VIEWS, name.identifier.as_string(target)
    ):
        it = TableName(schema, view)
        if kind != "v" or triggers:
            raise TransferRefusedError(
                f"{name}: {it} depends on a column whose type changes: drop it, run again, make it anew"
            )
        drops.insert(0, sql.SQL("drop view {}").format(it.identifier))
        settings = sql.SQL(f" with ({', '.join(options)})" if options else "")
        again.append(sql.SQL("create view {}{} as {}").format(it.identifier, settings, sql.SQL(definition)))
        for column, privilege, grantable, grantee in target.execute(_GRANTS, {"oid": oid}).fetchall():
            again.append(
                sql.SQL("grant {}{} on {} to {}{}").format(
                    sql.SQL(privilege),
                    sql.SQL(" ({})").format(sql.Identifier(column)) if column else sql.SQL(""),
                    it.identifier,
                    sql.Identifier(grantee) if grantee else sql.SQL("public"),
                    sql.SQL(" with grant option" if grantable else ""),
                )
            )
        if comment is not None:
            again.append(sql.SQL("comment on view {} is {}").format(it.identifier, sql.Literal(comment)))
        for column, words in query(target, _COMMENTS, oid):
            again.append(sql.SQL("comment on column {} is {}").format(sql.Identifier(*it, column), sql.Literal(words)))
        if owner != target.info.user:
            again.append(sql.SQL("alter view {} owner to {}").format(it.identifier, sql.Identifier(owner)))
    run_all(target, name, drops)
    return again


def run_all(target: Connection, name: TableName, statements: list[sql.Composed]) -> None:
    """Run what takes a table's views down or makes them again. TransferRefusedError where this user may not."""
    try:
        for statement in statements:
            target.execute(statement)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.DependentObjectsStillExist) as error:
        raise TransferRefusedError(
            f"{name}: views on it are in the way of a column's new type ({error.diag.message_primary}): drop them,"
            " run again, make them anew"
        ) from None
