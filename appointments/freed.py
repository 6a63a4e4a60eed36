"""What became free is noted in the transaction that freed it; a job offers it to those who wait.

One row and no question: whoever cancels or moves does not wait for a look at the waiting list.
A provisional hold that ended is no such event: its time had been offered until minutes before.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from appointments.models import Appointment, FreedTime


def time_freed(visit: Appointment, *, now: datetime) -> None:
    """The time of ``visit``, which is cancelled or about to be moved, can be had again."""
    FreedTime(
        doctor_id=visit.doctor_id,
        starts_at=visit.starts_at,
        ends_at=visit.occupied_until,
        given_up_by_id=visit.patient_id,
        created_at=now,
        due_at=now,
    ).save(force_insert=True)


def hours_freed(
    doctors: Iterable[int], *, starts_at: datetime, ends_at: datetime, now: datetime
) -> None:
    """Doctors may see people in a period in which they did not: more hours, less time off."""
    starts_at = max(starts_at, now)
    if starts_at < ends_at:
        FreedTime.objects.bulk_create(
            FreedTime(
                doctor_id=doctor,
                starts_at=starts_at,
                ends_at=ends_at,
                created_at=now,
                due_at=now,
            )
            for doctor in sorted(set(doctors))
        )
