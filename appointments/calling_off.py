"""Visits that the clinic cancels because its hours changed: a few at once, many by a worker.

Guarantee: whoever is in the list is told, even if every worker is killed meanwhile. The list is a
stored task, made in the transaction that stores the change; from then on nobody can book into that
time. What was moved or cancelled before its turn comes is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from appointments import booking
from appointments.models import Appointment, Status
from appointments.transactions import in_one_transaction, lock_patient, lock_schedules
from clinic.jobs.queue import task
from clinic.logs import type_name

log = structlog.get_logger("clinic.calling_off")

# A visit takes some 20 ms, while its doctor's schedule is locked: bookings wait that long.
AT_ONCE = 40
BATCH = 20
ATTEMPTS = 10
AGAIN_AFTER = timedelta(minutes=1)


def cancel_all(visits: Sequence[Appointment], *, by: Any, now: datetime) -> None:
    """Cancels visits whose doctors are locked by the caller, and tells the patients."""
    for patient in sorted({visit.patient_id for visit in visits}):
        lock_patient(patient)
    for visit in visits:
        booking.cancel_under_lock(
            visit, by=by, now=now, reason=_("Called off by the clinic."), others_may_have_it=False
        )


def cancel_soon(visits: Iterable[Appointment], *, by: Any) -> None:
    """Leaves the visits to a worker; belongs into the transaction of the change."""
    call_off.enqueue([[visit.pk, visit.calendar_sequence] for visit in visits], by.pk)


@task
def call_off(visits: list[list[int]], by: int, attempt: int = 1) -> int:
    """Task: cancels ``visits`` (key, and the number that changes when a visit is moved), each
    batch in a transaction of its own; returns how many batches have to be tried again."""
    user = User.objects.get(pk=by)
    left: list[list[int]] = []
    failed = 0
    for start in range(0, len(visits), BATCH):
        batch = visits[start : start + BATCH]
        try:
            _cancel_batch(batch, user)
        except Exception as error:  # the others are told all the same
            if attempt >= ATTEMPTS:
                raise
            log.warning("batch_not_called_off", attempt=attempt, error=type_name(error))
            left += batch
            failed += 1
    if left:
        call_off.using(run_after=timezone.now() + AGAIN_AFTER).enqueue(left, by, attempt + 1)
    return failed


def _cancel_batch(batch: list[list[int]], by: User) -> None:
    as_seen = {pair[0]: pair[1] for pair in batch}
    found = Appointment.objects.filter(pk__in=as_seen)
    doctors = set(found.values_list("doctor_id", flat=True))

    def work() -> None:
        now = timezone.now()
        lock_schedules(doctors)
        visits = [
            visit
            for visit in found.with_parts().filter(status=Status.BOOKED, starts_at__gt=now)
            if visit.calendar_sequence == as_seen[visit.pk]
        ]
        cancel_all(visits, by=by, now=now)

    in_one_transaction(work)
