"""Regular clearing of rows that no longer decide anything. Each function is safe to run twice."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from appointments.holding import KEEP_ANSWERS
from appointments.models import BookingRequest, DoctorHold, PatientHold, SlotHold
from appointments.slots import grain_at

# Holds stay a while after the visit, so that `check_bookings` can look at yesterday too.
KEEP_HOLDS = timedelta(days=7)
KEEP_BOOKING_KEYS = timedelta(days=30)


def prune_holds(now: datetime | None = None) -> int:
    """Deletes holds of visits long past, forgotten answers and old keys; returns how many rows."""
    now = now or timezone.now()
    before = grain_at(now - KEEP_HOLDS)
    deleted = 0
    # No lock is needed: expired grains are free to everybody already, and past ones to nobody.
    for rows in (
        DoctorHold.objects.filter(held_until__lte=now),
        DoctorHold.objects.filter(grain__lt=before),
        PatientHold.objects.filter(grain__lt=before),
        SlotHold.objects.filter(held_until__lte=now - KEEP_ANSWERS),
        BookingRequest.objects.filter(created_at__lte=now - KEEP_BOOKING_KEYS),
    ):
        deleted += rows.delete()[0]
    return deleted
