"""Whether an empty database is a new one, or stands where one was lost.

After the loss of its node MySQL starts elsewhere on an empty volume. Brought to the release, it
would take sign-ups and be backed up, and no restore would go into it any more.
"""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime

from django.conf import settings
from django.db import connection

ANSWER_SECONDS = 5


def newest_dump() -> float:
    """When the newest dump was begun, in seconds (UTC), as the backup service says; 0 when there
    is none, or nobody answers."""
    if not settings.BACKUP_STATUS_URL:
        return 0.0
    try:
        with urllib.request.urlopen(  # noqa: S310  (an address of the operator's)
            settings.BACKUP_STATUS_URL, timeout=ANSWER_SECONDS
        ) as answer:
            return float(json.load(answer).get("last_full") or 0)
    except (OSError, ValueError, AttributeError, TypeError):
        return 0.0


def why_not_to_migrate() -> str:
    """A sentence when the database is empty and there are backups of one; otherwise nothing."""
    if connection.introspection.table_names():
        return ""
    dump = newest_dump()
    if not dump:
        return ""
    taken = datetime.fromtimestamp(dump, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"The database is empty, and there is a backup of {taken}: it was lost. Nothing was "
        "changed. Restore it (“A node is lost” in docs/operations.md), or begin anew with "
        "--new-database."
    )
