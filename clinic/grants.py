"""What the site's own database user may do: read and write rows, and only add to audit tables.

MySQL cannot take a table's privilege away from a user who has it for the whole database, so rights
are given table by table, anew after each migration, by the user who may migrate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

TABLE_ACCESS_DENIED = 1142
ROWS = "SELECT, INSERT, UPDATE, DELETE"
APPEND_ONLY = "SELECT, INSERT"
READ_ONLY = "SELECT"
MIGRATIONS = "django_migrations"


class GrantsFailed(CommandError):
    """The rights could not be set, or are wider than they may be; the text says what to do."""


def quoted_account(current_user: str) -> str:
    """``clinic@%``, as ``CURRENT_USER()`` prints it, as a statement takes it."""
    name, _, host = current_user.rpartition("@")
    return f"{_text(name)}@{_text(host)}"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def account_of(connection: BaseDatabaseWrapper) -> str:
    """Asked without a database: before its first rights a user may not enter any."""
    apart = connection.copy()
    apart.settings_dict["NAME"] = ""
    try:
        with apart.cursor() as cursor:
            cursor.execute("SELECT CURRENT_USER()")
            return quoted_account(str(cursor.fetchone()[0]))
    finally:
        apart.close()


def grant_tables(
    *, admin: BaseDatabaseWrapper, app: BaseDatabaseWrapper, append_only: Iterable[str]
) -> int:
    """Gives ``app``'s user what it needs on each table; returns how many tables there are.

    Raises ``GrantsFailed`` when an append-only table is missing, when ``admin`` may not grant, or
    when the user has other, wider rights that would undo these.
    """
    account = account_of(app)
    schema = admin.ops.quote_name(str(admin.settings_dict["NAME"]))
    append_only = set(append_only)
    with admin.cursor() as cursor:
        tables = admin.introspection.table_names(cursor)
        if missing := append_only - set(tables):
            raise GrantsFailed(
                f"AUDIT_TABLES names {', '.join(sorted(missing))}, which the database does not "
                "have. Run `manage.py migrate` first, or correct AUDIT_TABLES."
            )
        for table in tables:
            rights = (
                APPEND_ONLY if table in append_only else READ_ONLY if table == MIGRATIONS else ROWS
            )
            where = f"{schema}.{admin.ops.quote_name(table)}"
            try:
                if rights != ROWS:
                    _revoke(cursor, f"REVOKE UPDATE, DELETE ON {where} FROM {account}")
                cursor.execute(f"GRANT {rights} ON {where} TO {account}")
            except DatabaseError as error:
                raise GrantsFailed(
                    f"The user of MIGRATE_DATABASE_URL may not grant rights on {table} (error "
                    f"{error.args[0]}). Give it `GRANT ALL ON {schema}.* … WITH GRANT OPTION`."
                ) from error
    verify(app=app, append_only=append_only)
    return len(tables)


def _revoke(cursor: Any, statement: str) -> None:
    """Takes back what an earlier release may have given; that there is nothing is fine."""
    try:
        cursor.execute(statement)
    except DatabaseError as error:
        if error.args[0] not in {1141, 1147, 1403}:  # no such grant, in three wordings
            raise


def verify(*, app: BaseDatabaseWrapper, append_only: Iterable[str]) -> None:
    """Tries what must not be possible, as the site's own user. Nothing is changed by it."""
    for table in append_only:
        name = app.ops.quote_name(table)
        for statement in (
            f"UPDATE {name} SET id = id WHERE 1 = 0",  # noqa: S608  (names from the settings)
            f"DELETE FROM {name} WHERE 1 = 0",  # noqa: S608
        ):
            if not _is_denied(app, statement):
                raise GrantsFailed(
                    f"The user of DATABASE_URL may change or delete rows of {table}. It has rights "
                    "on the whole database: take them back with `REVOKE ALL PRIVILEGES, GRANT "
                    "OPTION FROM …` and run this command again."
                )


def _is_denied(app: BaseDatabaseWrapper, statement: str) -> bool:
    with app.cursor() as cursor:
        try:
            cursor.execute(statement)
        except DatabaseError as error:
            return bool(error.args[0] == TABLE_ACCESS_DENIED)
    return False
