"""The checks that run by themselves, whether or not somebody thinks of them."""

from __future__ import annotations

import io
import json
import urllib.request
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from clinic.jobs.checks_log import note

# Chains with newer rows are checked each night; all of them by `check_audit` without --since.
AUDIT_LOOKS_BACK = timedelta(days=2)


def check_bookings(now: datetime | None = None) -> bool:
    """Looks for doubled times and stray holds (`manage.py check_bookings`)."""
    return _run("bookings", "check_bookings", [], now or timezone.now())


def check_audit(now: datetime | None = None) -> bool:
    """Looks for edited or missing audit rows of the last days (`manage.py check_audit`)."""
    now = now or timezone.now()
    since = (now - AUDIT_LOOKS_BACK).date().isoformat()
    return _run("audit", "check_audit", ["--since", since], now)


def note_backup(now: datetime | None = None) -> bool:
    """Asks the backup service until when everything is kept, for the status page and the alerts.

    The time of the row is that of the newest kept log, so that a backup that stops is seen by its
    age also when nobody notices an error.
    """
    if not settings.BACKUP_STATUS_URL:
        return True
    try:
        with urllib.request.urlopen(settings.BACKUP_STATUS_URL, timeout=5) as answer:  # noqa: S310
            state = json.load(answer)
    except (OSError, ValueError):
        return False  # the row grows old, which is what the alert looks at
    kept = float(state.get("last_log") or 0)
    faults = [*state.get("faults", []), *filter(None, [state.get("last_error")])]
    if not kept:
        return False
    at = datetime.fromtimestamp(kept, UTC)
    full = datetime.fromtimestamp(float(state.get("last_full") or 0), UTC)
    detail = faults[0] if faults else f"full backup of {full:%Y-%m-%d %H:%M} UTC, logs since"
    note("backup", is_ok=not faults and bool(state.get("last_full")), detail=str(detail), now=at)
    return not faults


def _run(name: str, command: str, options: list[str], now: datetime) -> bool:
    said = io.StringIO()
    try:
        call_command(command, *options, stdout=said, stderr=io.StringIO())
    except CommandError as error:
        note(name, is_ok=False, detail=str(error), now=now)
        return False
    lines = said.getvalue().strip().splitlines()
    note(name, is_ok=True, detail=lines[-1] if lines else "", now=now)
    return True
