"""The checks that run every day, whether or not somebody thinks of them; each leaves its result."""

from __future__ import annotations

import io
from datetime import datetime, timedelta

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
