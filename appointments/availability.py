"""Whether one time can be had right now, and if not, why: what a page says before it asks anything.

Only a statement about this moment: nothing is locked, so the rules of `appointments.booking` decide
again when somebody confirms.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from appointments.free_times import free_times, nearest_free
from appointments.models import DoctorHold
from appointments.offers import refuse_unoffered_clock, refuse_unoffered_day
from appointments.refusals import NotOffered, Refusal, SlotTaken
from appointments.slots import GRAIN_MINUTES, grain_at
from appointments.zones import local
from clinic.directory.models import Service


def why_not(
    service: Service,
    starts_at: datetime,
    *,
    now: datetime,
    ignore_hold: int | None = None,
    ignore_visit: int | None = None,
) -> Refusal | None:
    """The refusal that booking at ``starts_at`` would meet now, with the nearest free times.

    A time that only the provisional hold ``ignore_hold`` or the visit ``ignore_visit`` (primary
    keys) occupies counts as free. What depends on the patient is not looked at.
    """
    day = local(starts_at, service.hospital.time_zone).date()
    try:
        refuse_unoffered_clock(service, starts_at, now)
        # Free times are cached, and almost everybody who asks followed the link of a free one.
        if starts_at in free_times([service], first=day, days=1, now=now)[service.pk]:
            return None
        refuse_unoffered_day(service, starts_at, now)
    except NotOffered as refusal:
        refusal.nearest = nearest_free(service, around=starts_at, now=now)
        return refusal
    if not _is_taken(service, starts_at, now, ignore_hold, ignore_visit):
        return None
    return SlotTaken(nearest_free(service, around=starts_at, now=now))


def _is_taken(
    service: Service,
    starts_at: datetime,
    now: datetime,
    ignore_hold: int | None,
    ignore_visit: int | None,
) -> bool:
    start = grain_at(starts_at)
    length = (service.minutes + service.buffer_minutes) // GRAIN_MINUTES
    held = DoctorHold.objects.filter(
        Q(held_until=None) | Q(held_until__gt=now),
        doctor=service.doctor_id,
        grain__gte=start,
        grain__lt=start + length,
    ).values_list("appointment_id", "slot_hold_id")
    own = {(ignore_visit, None), (None, ignore_hold)}
    return any(holder not in own for holder in held)
