"""Limits that staff may set aside for one booking, with a reason that is kept with the visit.

That a time is given once is no limit: nobody sets it aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from appointments.slots import grain_at, moment_of


class Limit(models.TextChoices):
    LEAD = "lead", _("Booked at short notice")
    HORIZON = "horizon", _("Booked further ahead than usual")
    GRID = "grid", _("Begins between the usual times")
    HOURS = "hours", _("Outside the opening hours")
    OPEN_BOOKINGS = "open_bookings", _("More open bookings than usual")
    NEW_PATIENTS = "new_patients", _("The doctor takes no new patients")


@dataclass(frozen=True)
class Override:
    """Which limits are set aside, and why (typed by staff)."""

    limits: frozenset[str] = frozenset()
    why: str = ""

    def __contains__(self, limit: str) -> bool:
        return limit in self.limits

    def text(self) -> str:
        """What the visit keeps, at most 200 characters; "" when nothing was set aside."""
        return f"{', '.join(sorted(self.limits))}: {self.why}"[:200] if self.limits else ""


NOTHING = Override()


def begins_now(now: datetime) -> datetime:
    """The start of a visit of somebody who just walked in: the 5 minutes that run."""
    return moment_of(grain_at(now))
