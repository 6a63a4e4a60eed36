"""Who came: arrived, done, did not come, each set by staff at the desk and undone within seconds.

Guarantee: a visit takes one step at a time, from the state it is in when its doctor's schedule is
locked, so two people at two desks never both take it; each step and its audit row are stored
together. A step changes nothing about time: the holds of a visit that is over or was missed stay,
since its time has passed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from accounts.audit import record, record_refusal
from accounts.models import User
from appointments.desk import NotAtYourDesk
from appointments.models import Appointment, Status
from appointments.refusals import Refusal
from appointments.transactions import in_one_transaction, lock_patient, lock_schedules
from appointments.zones import date_words, local, time_words

UNDO_FOR = timedelta(seconds=10)

# From which states a step leads on. Somebody marked as missed who comes after all has arrived.
STEPS: dict[str, frozenset[str]] = {
    Status.ARRIVED: frozenset({Status.BOOKED, Status.NO_SHOW}),
    Status.DONE: frozenset({Status.BOOKED, Status.ARRIVED}),
    Status.NO_SHOW: frozenset({Status.BOOKED}),
}


class WrongStep(Refusal):
    """The visit is in another state than the one the button was made for."""

    code = "wrong_step"
    status = 409

    def __init__(self, visit: Appointment) -> None:
        super().__init__(
            _("This visit is already marked “%(status)s”, so this step does not follow.")
            % {"status": visit.get_status_display()}
        )


class TooEarly(Refusal):
    code = "too_early"
    status = 409


class TooLateToUndo(Refusal):
    code = "too_late_to_undo"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            _("A step can be undone for %(seconds)d seconds. This visit stays as it is marked.")
            % {"seconds": UNDO_FOR.seconds}
        )


def mark(*, appointment: Appointment, status: str, by: User, now: datetime) -> Appointment:
    """Marks a visit as arrived, done or missed; marking it so again changes nothing.

    Raises `NotAtYourDesk`, `WrongStep`, and `TooEarly` for a visit of another day and for one that
    is said to be over or missed before it begins.
    """
    if status not in STEPS:
        raise ValueError(f"{status} is no step at the desk")

    def step(visit: Appointment) -> str:
        if visit.status == status:
            return ""
        if visit.status not in STEPS[status]:
            raise WrongStep(visit)
        _refuse_too_early(visit, status, now)
        visit.status_before, visit.status, visit.status_at = visit.status, status, now
        if status == Status.ARRIVED:
            visit.arrived_at = now
        return f"visit.{status}"

    return _under_lock(step, appointment=appointment, by=by, now=now)


def undo(*, appointment: Appointment, by: User, now: datetime) -> Appointment:
    """Takes the last step of a visit back; with none to take back nothing changes.

    Raises `NotAtYourDesk`, and `TooLateToUndo` when more than `UNDO_FOR` has passed since.
    """

    def step(visit: Appointment) -> str:
        if not visit.status_before or visit.is_cancelled:
            return ""
        if not can_undo(visit, now):
            raise TooLateToUndo
        if visit.status == Status.ARRIVED:
            visit.arrived_at = None
        visit.status, visit.status_before, visit.status_at = visit.status_before, "", None
        return "visit.undo"

    return _under_lock(step, appointment=appointment, by=by, now=now)


def can_undo(visit: Appointment, now: datetime) -> bool:
    until = undo_until(visit)
    return until is not None and now <= until


def undo_until(visit: Appointment) -> datetime | None:
    """The last moment at which the visit's last step is taken back; None without such a step."""
    if not visit.status_before or visit.status_at is None or visit.is_cancelled:
        return None
    return visit.status_at + UNDO_FOR


def steps_of(visit: Appointment, now: datetime) -> list[str]:
    """The steps that `mark` would take now, for the buttons of a page."""
    found = []
    for status, before in STEPS.items():
        if visit.status not in before:
            continue
        try:
            _refuse_too_early(visit, status, now)
        except TooEarly:
            continue
        found.append(str(status))
    return found


def _refuse_too_early(visit: Appointment, status: str, now: datetime) -> None:
    zone = visit.hospital.time_zone
    if local(now, zone).date() < local(visit.starts_at, zone).date():
        raise TooEarly(
            _("This visit is on %(day)s. If the patient is here today, move the visit first.")
            % {"day": date_words(visit.starts_at, zone)}
        )
    if status != Status.ARRIVED and now < visit.starts_at:
        raise TooEarly(
            _("This visit begins at %(time)s. Mark it after that.")
            % {"time": time_words(visit.starts_at, zone)}
        )


def _under_lock(
    step: Callable[[Appointment], str], *, appointment: Appointment, by: User, now: datetime
) -> Appointment:
    """Runs ``step`` on the visit as it is under the lock; it says which action was taken, or ""."""

    def work() -> Appointment:
        lock_schedules({appointment.doctor_id})
        lock_patient(appointment.patient_id)
        here = Appointment.objects.handled_by(by).select_related("hospital", "doctor", "patient")
        visit = here.filter(pk=appointment.pk, doctor=appointment.doctor_id).first()
        if visit is None:
            raise NotAtYourDesk
        action = step(visit)
        if action:
            visit.save(update_fields=["status", "status_before", "status_at", "arrived_at"])
            record(action, actor=by, patient=visit.patient, subject=visit, now=now)
        return visit

    try:
        return in_one_transaction(work)
    except Refusal as refusal:
        record_refusal(
            "visit.mark",
            actor=by,
            patient=appointment.patient,
            subject=appointment,
            reason=refusal.code,
            now=now,
        )
        raise
