"""Whether one time can be had right now, and if not, why: what a page says before it asks anything.

Only a statement about this moment: nothing is locked, so the rules of `appointments.booking` decide
again when somebody confirms.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from appointments.free_times import Facts, free_times, nearest_free
from appointments.offers import refuse_unoffered_clock, refuse_unoffered_day
from appointments.refusals import NotOffered, Refusal, SlotTaken
from appointments.slots import grain_at
from appointments.zones import local
from clinic.directory.models import Service


def why_not(
    service: Service,
    starts_at: datetime,
    *,
    now: datetime,
    ignore_hold: str = "",
    ignore_visit: int | None = None,
) -> Refusal | None:
    """The refusal that booking at ``starts_at`` would meet now, with the nearest free times.

    A time that only the hold with the token ``ignore_hold`` or the visit ``ignore_visit`` occupies
    counts as free. What depends on the patient is not looked at.
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
    if ignore_hold or ignore_visit is not None:
        facts = Facts(
            [service],
            first=day,
            until=day + timedelta(days=1),
            now=now,
            ignore_hold=ignore_hold,
            ignore_visit=ignore_visit,
        )
        if grain_at(starts_at) in facts.starts(service, day, day + timedelta(days=1)):
            return None
    return SlotTaken(nearest_free(service, around=starts_at, now=now))
