"""When the checks that keep a clinic's data safe last ran, and how they ended.

Each run of `check_bookings`, `check_audit`, a backup, and a restore drill leaves its row here; the
operator's status page and the monitoring read them. A check that did not run is seen by its date.
"""

from __future__ import annotations

from datetime import datetime

from clinic.jobs.models import Check


def note(name: str, *, is_ok: bool, detail: str = "", now: datetime) -> Check:
    """Stores how a run of ``name`` ended. ``detail`` is one line without personal data."""
    facts = {"at": now, "is_ok": is_ok, "detail": detail[:200]}
    if is_ok:
        facts["passed_at"] = now
    row, _made = Check.objects.update_or_create(name=name, defaults=facts)
    return row
