"""Piped to ``python -`` in the container of web: what the database holds, as JSON."""

from __future__ import annotations

import json
import sys

import django

django.setup()

from django.db import Error, connection  # noqa: E402
from django.db.migrations.recorder import MigrationRecorder  # noqa: E402

from accounts.models import AuditEvent  # noqa: E402
from clinic.directory.models import Doctor  # noqa: E402
from clinic.jobs.models import Check, OutgoingMail, RegularJob  # noqa: E402


def refusal(statement: str) -> int:
    """The number of MySQL's error when the site's own user tries something; 0 when it may."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except Error as error:
        return int(error.args[0])
    return 0


def cipher() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_version'")
        return str(cursor.fetchone()[1])


def main() -> dict[str, object]:
    return {
        "doctors": Doctor.objects.count(),
        "migrations": MigrationRecorder.Migration.objects.count(),
        "audit_rows": AuditEvent.objects.count(),
        "deletes_audit": refusal("DELETE FROM accounts_auditevent"),
        "changes_tables": refusal("ALTER TABLE accounts_auditevent ADD COLUMN nothing INT"),
        "sent": OutgoingMail.objects.exclude(sent_at=None).count(),
        "unsent": OutgoingMail.objects.open().count(),
        "jobs_failed": list(
            RegularJob.objects.exclude(last_error="").values_list("name", flat=True)
        ),
        "checks": {row.name: [row.is_ok, row.detail] for row in Check.objects.all()},
        "tls": cipher(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()))
