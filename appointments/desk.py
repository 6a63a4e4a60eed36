"""What reception and doctors do with visits: book for somebody, move to a colleague, call off.

Built on the rules of `booking`, so a time is never given twice here either. Staff may set limits
aside (`overrides`), with a reason that stays with the visit and in the audit trail. They handle the
visits of their own hospital (a doctor: the own ones), for patients that they know there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.audit import record_refusal
from accounts.models import Patient, Role, User
from appointments import booking
from appointments.care import known_to_reception, patients_of
from appointments.clashes import Clash
from appointments.models import Appointment
from appointments.overrides import NOTHING, Limit, Override, begins_now
from appointments.refusals import Refusal
from clinic.directory.models import Doctor, Hospital, Service
from clinic.directory.staff import hospitals_of, hospitals_where, works_at

WHY_AT_LEAST = 5  # characters: "ok" and "." are no reasons


class NotAtYourDesk(Refusal):
    """Somebody else's visit, patient or doctor: an edge answers 404."""

    code = "not_at_your_desk"
    status = 404

    def __init__(self) -> None:
        super().__init__(_("This is handled by another reception."))


class NoReason(Refusal):
    code = "no_reason"

    def __init__(self) -> None:
        super().__init__(_("Type why the limit is set aside. The reason is kept with the visit."))


def patients_at_desk(user: Any, now: datetime) -> Any:
    """Charts for which ``user`` may book as staff."""
    if getattr(user, "role", "") == Role.DOCTOR:
        # Emergency access books nothing: a visit would let its doctor read on for a year.
        mine = patients_of(user, now, in_emergency=False)
        return Patient.objects.current().filter(pk__in=mine)
    return known_to_reception(user)


def services_at_desk(user: Any) -> Any:
    """Services into which ``user`` may book as staff: with doctor and hospital, bookable ones."""
    services = Service.objects.filter(
        is_active=True, doctor__verified_at__isnull=False, doctor__withdrawn_at=None
    ).select_related("doctor", "hospital")
    if not (user.is_authenticated and user.is_active and user.is_staff):
        return services.none()
    if user.role == Role.DOCTOR:
        return services.filter(doctor__user=user)
    return services.filter(hospital__in=hospitals_of(user))


def book_at_desk(
    *,
    service: Service,
    patient: Patient,
    starts_at: datetime,
    by: User,
    key: str,
    now: datetime,
    reason: str = "",
    clash: Clash = "",
    override: Override = NOTHING,
) -> Appointment:
    """Books for a patient as `booking.book` does, with the limits of ``override`` set aside.

    Raises a `Refusal`, also `NotAtYourDesk` and `NoReason`.
    """
    _check(service, patient, by, now, override, "visit.book")
    return booking.book(
        service=service,
        patient=patient,
        starts_at=starts_at,
        by=by,
        key=key,
        now=now,
        reason=reason,
        clash=clash,
        override=override,
    )


def walk_in(
    *, service: Service, patient: Patient, by: User, key: str, now: datetime, reason: str = ""
) -> Appointment:
    """Books a patient who is here, from the 5 minutes that run, and marks the arrival.

    Lead time, grid and hours do not count for somebody at the desk. `SlotTaken` carries the
    nearest free times.
    """
    override = Override(
        frozenset({Limit.LEAD, Limit.GRID, Limit.HOURS, Limit.NEW_PATIENTS}), _("Walked in")
    )
    _check(service, patient, by, now, override, "visit.book")
    return booking.book(
        service=service,
        patient=patient,
        starts_at=begins_now(now),
        by=by,
        key=key,
        now=now,
        reason=reason,
        clash="both",
        override=override,
        walk_in=True,
    )


def move_at_desk(
    *,
    appointment: Appointment,
    starts_at: datetime,
    by: User,
    key: str,
    now: datetime,
    to: Service | None = None,
    override: Override = NOTHING,
) -> Appointment:
    """Moves a visit, also ``to`` a service of another doctor; the visit keeps its identity.

    The patient is told by mail. Raises a `Refusal`, also `NotAtYourDesk` and `NoReason`.
    """
    _check_visit(appointment, by, now, "visit.move")
    if to is not None:
        _check(to, None, by, now, override, "visit.move")
    elif override.limits:
        _check_reason(override)
    return booking.reschedule(
        appointment=appointment,
        starts_at=starts_at,
        by=by,
        key=key,
        now=now,
        to=to,
        override=override,
    )


def cancel_at_desk(
    *, appointment: Appointment, by: User, now: datetime, reason: str = ""
) -> Appointment:
    """Cancels a visit for the clinic or for a patient on the phone, or a walk-in booked for the
    wrong person. Raises a `Refusal`."""
    _check_visit(appointment, by, now, "visit.cancel")
    return booking.cancel(appointment=appointment, by=by, now=now, reason=reason, at_desk=True)


def works_for(user: Any, doctor: Doctor) -> bool:
    """Whether ``user`` handles this doctor's time: the doctor, or reception where they work."""
    if not (user.is_authenticated and user.is_active and user.is_staff):
        return False
    if user.role == Role.DOCTOR:
        return doctor.user_id == user.pk
    return Doctor.objects.filter(works_at(hospitals_of(user)), pk=doctor.pk).exists()


def clocks_for(user: Any, doctor: Doctor) -> list[Hospital]:
    """Hospitals whose clock counts when ``user`` says when ``doctor`` is away: where the doctor
    works, for reception its own ones among them."""
    there = hospitals_where(doctor).filter(time_zone_confirmed=True)
    if user.role == Role.RECEPTION:
        there = there.filter(pk__in=hospitals_of(user))
    return list(there.order_by("name", "pk"))


def handled(user: Any, visits: Sequence[Appointment]) -> set[int]:
    """Keys of those ``visits`` whose patients ``user`` may know, as `handled_by` has it."""
    asked = [visit.pk for visit in visits]
    mine = Appointment.objects.handled_by(user).filter(pk__in=asked)
    return set(mine.values_list("pk", flat=True))


def may_call_off(user: Any, visits: Sequence[Appointment]) -> set[int]:
    """Keys of those ``visits`` that ``user`` may cancel along with a change of hours.

    Reception cancels the visits of its own hospitals; the doctor and the directory, which sees
    references only, cancel at every hospital.
    """
    if user.role in {Role.DIRECTORY, Role.ADMINISTRATOR}:
        return {visit.pk for visit in visits}
    return handled(user, visits)


def _check(
    service: Service,
    patient: Patient | None,
    by: User,
    now: datetime,
    override: Override,
    action: str,
) -> None:
    try:
        if not services_at_desk(by).filter(pk=service.pk).exists():
            raise NotAtYourDesk
        if patient is not None and not patients_at_desk(by, now).filter(pk=patient.pk).exists():
            raise NotAtYourDesk
        _check_reason(override)
    except Refusal as refusal:
        record_refusal(
            action, actor=by, patient=patient, subject=service.doctor, reason=refusal.code, now=now
        )
        raise


def _check_reason(override: Override) -> None:
    if override.limits and len(override.why.strip()) < WHY_AT_LEAST:
        raise NoReason


def _check_visit(appointment: Appointment, by: User, now: datetime, action: str) -> None:
    if not Appointment.objects.handled_by(by).filter(pk=appointment.pk).exists():
        record_refusal(
            action,
            actor=by,
            patient=appointment.patient,
            subject=appointment,
            reason=NotAtYourDesk.code,
            now=now,
        )
        raise NotAtYourDesk
