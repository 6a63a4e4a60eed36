"""SECURITY 37 on the database itself: the site's own user works, and cannot touch the trail.

The rights are those of `manage.py database_grants`, the requests are the site's own, and both run
against a real server as the user that production would use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings

from tests.servers import MariaDB, ServerFailed
from tests.site import Site

pytestmark = [pytest.mark.server, pytest.mark.slow]

DENIED = 1142
USER, PASSWORD, DATABASE = "site", "only-for-tests", "granted"

# A patient books and writes, the doctor reads and signs, and the day is anchored: all by requests
# and jobs of the site.
_WORK = """
import json
from datetime import timedelta
from uuid import uuid4
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string
from accounts.anchors import add_anchor
from accounts.audit import verify_chain
from accounts.models import AuditAnchor, AuditEvent, Role
from appointments.models import Appointment
from chat.models import Event
from records.models import Note
from tests.appointments.desk import iso, open_desk
from tests.cast import make_account, make_patient_user, signed_in

def sent(client, path, form, status=302):
    answer = client.post(path, form)
    assert answer.status_code == status, (path, answer.status_code, answer.content.decode()[:3000])
    return answer.headers.get("Location", "")

# MySQL demands a right to change rows for a locking read, MariaDB does not: here it must not be
# asked for at all.
locking = []
def note(execute, sql, params, many, context):
    if "FOR UPDATE" in sql and any(table in sql for table in settings.AUDIT_TABLES):
        locking.append(sql)
    return execute(sql, params, many, context)
connection.execute_wrappers.append(note)

now = timezone.now()
desk = open_desk()
desk.doctor.user = make_account("iris@example.org", name="Iris Vance", role=Role.DOCTOR,
                                is_staff=True)
desk.doctor.save()
alice = make_patient_user()
patient, doctor = signed_in(alice), signed_in(desk.doctor.user)
at = (now + timedelta(days=9)).replace(hour=16, minute=0, second=0, microsecond=0)
visit = sent(patient, desk.address, desk.form(at=iso(at)))
talk = sent(patient, "/messages/new/", {"doctor": desk.doctor.slug,
                                        "patient": str(alice.chart.public_id)})
sent(patient, talk, {"client_id": str(uuid4()), "body": "How do I take it?"})
sent(doctor, talk, {"client_id": str(uuid4()), "body": "With water."})
chart = f"/admin/charts/{alice.chart.public_id}/"
assert doctor.get(chart).status_code == 200
note = sent(doctor, f"{chart}notes/", {"appointment": Appointment.objects.get().public_id})
sent(doctor, note, {"action": "save", "body": "Well.", "version": "1"})
sent(doctor, f"{note}sign/", {"body": "Well.", "version": "2"})
sent(patient, f"{visit}move/", {"at": iso(at + timedelta(hours=1)), "key": "k"})
sent(patient, f"{visit}cancel/", {"reason": ""})
for name, path, *_when in settings.REGULAR_JOBS:
    import_string(path)(now=now)
add_anchor(now=now + timedelta(days=1))
assert verify_chain(alice.chart) == []
with connection.cursor() as cursor:
    cursor.execute("SELECT CURRENT_USER()")
    user = cursor.fetchone()[0]
print(json.dumps({
    "user": user,
    "signed": Note.objects.signed().count(),
    "visits": Appointment.objects.filter(status="cancelled").count(),
    "messages": Event.objects.filter(kind="message").count(),
    "actions": list(AuditEvent.objects.values_list("action", flat=True)),
    "anchors": AuditAnchor.objects.count(),
    "locking": locking,
}))
"""

# What is tried on each table; none of it may get past the server.
_TRY = """
import json
from django.db import Error, connection
found = {{}}
for table in {tables!r}:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {{table}}")
        before = cursor.fetchone()[0]
        cursor.execute(f"SELECT * FROM {{table}} LIMIT 1")
        columns = [column[0] for column in cursor.description]
        copied = ", ".join(f"`{{name}}`" for name in columns)
    codes = {{}}
    for statement in (
        f"UPDATE {{table}} SET id = id",
        f"UPDATE {{table}} SET id = id WHERE 1 = 0",
        f"DELETE FROM {{table}}",
        f"DELETE FROM {{table}} WHERE 1 = 0",
        f"DELETE t FROM {{table}} t JOIN django_session s",
        f"TRUNCATE TABLE {{table}}",
        f"DROP TABLE {{table}}",
        f"ALTER TABLE {{table}} ADD COLUMN x INT",
        f"RENAME TABLE {{table}} TO elsewhere",
        f"CREATE TRIGGER t BEFORE INSERT ON {{table}} FOR EACH ROW SET NEW.id = 1",
        f"REPLACE INTO {{table}} ({{copied}}) SELECT {{copied}} FROM {{table}}",
        f"INSERT INTO {{table}} ({{copied}}) SELECT {{copied}} FROM {{table}} x "
        f"ON DUPLICATE KEY UPDATE {{table}}.id = {{table}}.id",
    ):
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        except Error as error:
            codes[statement] = error.args[0]
        else:
            codes[statement] = 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {{table}}")
        codes["rows"] = [before, cursor.fetchone()[0]]
    found[table] = codes
print(json.dumps(found))
"""


def address(server: MariaDB, user: str, password: str) -> str:
    parts = urlsplit(server.url)
    place = f"{user}:{password}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=place, path=f"/{DATABASE}"))


def last_line(printed: str) -> str:
    return printed.splitlines()[-1]


@pytest.fixture(scope="module")
def owned(mariadb: MariaDB) -> Iterator[Site]:
    """A site with two database users: one that migrates, and its own."""
    mariadb.sql(
        f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;"
        f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';"
    )
    site = Site(
        database_url=address(mariadb, USER, PASSWORD),
        MIGRATE_DATABASE_URL=address(mariadb, mariadb.user, mariadb.password),
        DEBUG="1",  # no collected files, and a traceback instead of a page when something fails
        ALLOWED_HOSTS="testserver",
        PUBLIC_URL="http://testserver",
    )
    try:
        site.manage("migrate", "--no-input", "--verbosity", "0")
        yield site
    finally:
        site.stop()
        mariadb.sql(f"DROP USER {USER}@'127.0.0.1'; DROP DATABASE {DATABASE};")


def test_s37_a_user_with_rights_on_the_whole_database_is_found_out(
    mariadb: MariaDB, owned: Site
) -> None:
    mariadb.sql(f"GRANT ALL ON {DATABASE}.* TO {USER}@'127.0.0.1'")
    with pytest.raises(ServerFailed, match="may change or delete rows of"):
        owned.manage("database_grants")
    mariadb.sql(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {USER}@'127.0.0.1'")


def test_s37_the_sites_user_works_and_gets_error_1142_on_every_table_of_the_trail(
    owned: Site,
) -> None:
    for _twice in range(2):  # after each release again
        assert "only added to: " in owned.manage("database_grants")
    done = json.loads(last_line(owned.shell(_WORK)))
    assert done["user"] == f"{USER}@127.0.0.1"
    assert (done["signed"], done["visits"], done["messages"]) == (1, 1, 2)
    assert done["anchors"] >= 1
    assert done["locking"] == []
    expected = {"visit.book", "conversation.open", "record.viewed", "note.signed", "visit.move",
                "visit.cancel"}  # fmt: skip
    assert expected <= set(done["actions"])

    tried = json.loads(last_line(owned.shell(_TRY.format(tables=list(settings.AUDIT_TABLES)))))
    assert set(tried) == set(settings.AUDIT_TABLES)
    for table, codes in tried.items():
        before, after = codes.pop("rows")
        assert before == after > 0, table
        assert len(codes) == 12
        assert set(codes.values()) == {DENIED}, (table, codes)
    assert "no fault found" in owned.manage("check_audit")
