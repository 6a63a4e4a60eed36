"""Booking, moving and cancelling visits: a time is never given twice.

The guarantee is kept three times over. Changes of one doctor's time run one after the other, since
each begins by locking the doctor's schedule row; each visit takes one row per 5 minutes in
`DoctorHold` and `PatientHold`, whose keys are unique; and a repeated request is recognized by its
idempotency key, so that a lost answer, a double click or a retry gives the same visit. Everything
one change writes (visit, holds, care relation, audit row, mail) is in one transaction.

Callers pass a service and a patient that they were allowed to load; access is part of that lookup.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.audit import record, record_refusal
from accounts.models import Patient
from appointments import care, mails, signals
from appointments.free_times import nearest_free
from appointments.models import (
    Appointment,
    BookingRequest,
    DoctorHold,
    PatientHold,
    SlotHold,
    Status,
)
from appointments.offers import refuse_unoffered_clock, refuse_unoffered_day, service_of
from appointments.refusals import (
    NotMovable,
    NotNewPatients,
    PatientBusy,
    Refusal,
    SecondVisit,
    SlotTaken,
    TooManyOpen,
)
from appointments.slots import GRAIN_MINUTES, grain_at, grain_end
from appointments.transactions import in_one_transaction, lock_patient, lock_schedules
from clinic.directory.models import Service, bump_schedules

Clash = Literal["", "replace", "both"]

# Two visits to one doctor this close are more often a mistake than a wish, so the patient is asked.
SECOND_VISIT_DAYS = 6


def book(
    *,
    service: Service,
    patient: Patient,
    starts_at: datetime,
    by: Any,
    key: str,
    now: datetime,
    reason: str = "",
    clash: Clash = "",
    hold_token: str = "",
) -> Appointment:
    """Books ``service`` for ``patient`` at ``starts_at`` (UTC) and returns the visit.

    ``key`` is the request's idempotency key: the same key of the same account returns the visit
    that it booked, changed or not since. ``clash`` answers the question of an earlier `PatientBusy`
    or `SecondVisit`. ``hold_token`` names the caller's own provisional hold, which is used up.
    Raises a `Refusal`; `SlotTaken` and `NotOffered` carry the three nearest free times.
    """
    # Looked at before the transaction: a plain read in front of the lock would fix the snapshot.
    replaceable = _doctors_of_clashes(patient, service, starts_at, now) if clash else set()
    work = partial(
        _book,
        service=service,
        patient=patient,
        starts_at=starts_at,
        by=by,
        key=key,
        now=now,
        reason=reason,
        clash=clash,
        hold_token=hold_token,
        locked=replaceable | {service.doctor_id},
    )
    try:
        return _explained(
            work,
            by=by,
            key=key,
            patient=patient,
            service=service,
            at=starts_at,
            now=now,
            own_hold=hold_token,
        )
    except Refusal as refusal:
        raise _refused("visit.book", refusal, by, patient, service, starts_at, now) from None


def _book(
    *,
    service: Service,
    patient: Patient,
    starts_at: datetime,
    by: Any,
    key: str,
    now: datetime,
    reason: str,
    clash: Clash,
    hold_token: str,
    locked: set[int],
) -> Appointment:
    lock_schedules(locked)
    lock_patient(patient.pk)
    known = _booked_before(by, key)
    if known is not None:
        return known
    refuse_unoffered_clock(service, starts_at, now)
    refuse_unoffered_day(service, starts_at, now)
    if not service.doctor.accepts_new and not care.is_patient_of(patient.pk, service.doctor_id):
        raise NotNewPatients

    ends_at = starts_at + timedelta(minutes=service.minutes)
    open_visits = list(Appointment.objects.filter(patient=patient).upcoming(now))
    replaced = _clashes(open_visits, service, starts_at, ends_at, clash, now)
    limit = settings.OPEN_BOOKINGS_PER_PATIENT
    if len(open_visits) - len(replaced) >= limit:
        raise TooManyOpen(limit)
    for visit in replaced:
        _refuse_unmovable(visit, now)
        _cancel_locked(visit, by=by, now=now, reason=_("Replaced by another visit."))

    appointment = Appointment.objects.create(
        doctor=service.doctor,
        hospital=service.hospital,
        patient=patient,
        booked_by=by,
        service=service,
        service_name=service.name,
        minutes=service.minutes,
        buffer_minutes=service.buffer_minutes,
        price_cents=service.price_cents,
        visit=service.visit,
        bring=service.bring,
        starts_at=starts_at,
        ends_at=ends_at,
        occupied_until=ends_at + timedelta(minutes=service.buffer_minutes),
        reason=reason,
        created_at=now,
    )
    changed = {service.doctor_id} | _use_up_hold(hold_token)
    _take_grains(appointment, now)
    BookingRequest.objects.create(user=by, key=key, appointment=appointment, created_at=now)
    care.start_for_visit(appointment, now=now)
    record("visit.book", actor=by, patient=patient, subject=appointment, now=now)
    bump_schedules(changed)
    mails.booked(appointment, now=now)
    _announce(signals.visit_booked, appointment=appointment)
    return appointment


def reschedule(
    *, appointment: Appointment, starts_at: datetime, by: Any, key: str, now: datetime
) -> Appointment:
    """Moves a visit to ``starts_at`` in one step; the old time stays until the new one is taken.

    Length, price and identity of the visit stay. Raises a `Refusal` as `book` does, and
    `NotMovable` when the visit was cancelled or has begun.
    """
    work = partial(
        _reschedule, appointment=appointment, starts_at=starts_at, by=by, key=key, now=now
    )
    service, patient = service_of(appointment), appointment.patient
    try:
        return _explained(
            work,
            by=by,
            key=key,
            patient=patient,
            service=service,
            at=starts_at,
            now=now,
            own_visit=appointment.pk,
        )
    except Refusal as refusal:
        raise _refused("visit.move", refusal, by, patient, service, starts_at, now) from None


def _reschedule(
    *, appointment: Appointment, starts_at: datetime, by: Any, key: str, now: datetime
) -> Appointment:
    lock_schedules({appointment.doctor_id})
    lock_patient(appointment.patient_id)
    known = _booked_before(by, key)
    if known is not None:
        return known
    visit = Appointment.objects.with_parts().get(pk=appointment.pk)
    _refuse_unmovable(visit, now)
    if visit.starts_at == starts_at:
        return visit
    service = service_of(visit)
    refuse_unoffered_clock(service, starts_at, now)
    refuse_unoffered_day(service, starts_at, now)
    ends_at = starts_at + timedelta(minutes=visit.minutes)
    overlapping = (
        Appointment.objects.filter(patient=visit.patient_id)
        .upcoming(now)
        .filter(starts_at__lt=ends_at, ends_at__gt=starts_at)
        .exclude(pk=visit.pk)
        .first()
    )
    if overlapping is not None:
        raise PatientBusy(overlapping)

    previous = visit.starts_at
    _free_grains(visit)
    visit.starts_at, visit.ends_at = starts_at, ends_at
    visit.occupied_until = ends_at + timedelta(minutes=visit.buffer_minutes)
    visit.calendar_sequence += 1
    visit.save(update_fields=["starts_at", "ends_at", "occupied_until", "calendar_sequence"])
    _take_grains(visit, now)
    BookingRequest.objects.create(user=by, key=key, appointment=visit, created_at=now)
    care.move_for_visit(visit)
    record("visit.move", actor=by, patient=visit.patient, subject=visit, now=now)
    bump_schedules([visit.doctor_id])
    mails.moved(visit, now=now, previous=previous)
    _announce(signals.visit_moved, appointment=visit, previous=previous)
    return visit


def cancel(*, appointment: Appointment, by: Any, now: datetime, reason: str = "") -> Appointment:
    """Cancels a visit, so that its time can be booked at once; cancelling again changes nothing.

    Past the doctor's deadline the visit is marked as cancelled late. Raises `NotMovable` when the
    visit has begun.
    """

    def work() -> Appointment:
        lock_schedules({appointment.doctor_id})
        lock_patient(appointment.patient_id)
        visit = Appointment.objects.with_parts().get(pk=appointment.pk)
        if visit.is_cancelled:
            return visit
        _refuse_unmovable(visit, now)
        _cancel_locked(visit, by=by, now=now, reason=reason)
        return visit

    try:
        return in_one_transaction(work)
    except Refusal as refusal:
        record_refusal(
            "visit.cancel",
            actor=by,
            patient=appointment.patient,
            subject=appointment,
            reason=refusal.code,
        )
        raise


def cancel_deadline(appointment: Appointment) -> datetime:
    """Until when cancelling is free: the doctor's hours before the visit."""
    return appointment.starts_at - timedelta(hours=appointment.doctor.cancel_hours)


def _cancel_locked(visit: Appointment, *, by: Any, now: datetime, reason: str) -> None:
    visit.status = Status.CANCELLED
    visit.cancelled_at, visit.cancelled_by = now, by
    visit.cancelled_late = now > cancel_deadline(visit)
    visit.cancel_reason = reason
    visit.calendar_sequence += 1
    visit.save(
        update_fields=[
            "status",
            "cancelled_at",
            "cancelled_by",
            "cancelled_late",
            "cancel_reason",
            "calendar_sequence",
        ]
    )
    _free_grains(visit)
    care.end_for_visit(visit, now=now)
    record("visit.cancel", actor=by, patient=visit.patient, subject=visit, now=now)
    bump_schedules([visit.doctor_id])
    mails.cancelled(visit, now=now)
    _announce(signals.visit_cancelled, appointment=visit)


def _refuse_unmovable(visit: Appointment, now: datetime) -> None:
    if visit.is_cancelled:
        raise NotMovable(_("This visit was cancelled. Book a new one instead."))
    if visit.status != Status.BOOKED or visit.starts_at <= now:
        raise NotMovable(
            _("This visit has begun or is over, so it cannot be changed here. Call the clinic.")
        )


def _booked_before(by: Any, key: str) -> Appointment | None:
    known = BookingRequest.objects.filter(user=by, key=key).values_list("appointment", flat=True)
    found = known.first()
    return Appointment.objects.with_parts().get(pk=found) if found else None


def _clashes(
    open_visits: Iterable[Appointment],
    service: Service,
    starts_at: datetime,
    ends_at: datetime,
    clash: Clash,
    now: datetime,
) -> list[Appointment]:
    """The patient's visits that the new one replaces; asks when the caller has not answered."""
    overlapping = [v for v in open_visits if v.starts_at < ends_at and starts_at < v.ends_at]
    if overlapping and clash != "replace":
        raise PatientBusy(overlapping[0])
    if overlapping:
        return overlapping
    near = [
        visit
        for visit in open_visits
        if visit.doctor_id == service.doctor_id
        and visit.starts_at > now  # the next visit is often booked during this one
        and abs(visit.starts_at - starts_at) < timedelta(days=SECOND_VISIT_DAYS)
    ]
    if not near or clash == "both":
        return []
    nearest = min(near, key=lambda visit: abs(visit.starts_at - starts_at))
    if not clash:
        raise SecondVisit(nearest)
    return [nearest]


def _doctors_of_clashes(
    patient: Patient, service: Service, starts_at: datetime, now: datetime
) -> set[int]:
    """Doctors whose visits this booking may replace: their locks are taken with the first ones."""
    ends_at = starts_at + timedelta(minutes=service.minutes)
    return set(
        Appointment.objects.filter(patient=patient, starts_at__lt=ends_at, ends_at__gt=starts_at)
        .upcoming(now)
        .values_list("doctor_id", flat=True)
    )


def _use_up_hold(token: str) -> set[int]:
    """Gives up what the caller kept, at whichever doctor; returns whose times that changed."""
    hold = SlotHold.objects.filter(token=token).first() if token else None
    if hold is None:
        return set()
    hold.doctor_holds.all().delete()
    hold.delete()
    return {hold.doctor_id}


def _take_grains(visit: Appointment, now: datetime) -> None:
    """Inserts the hold rows; a grain that is taken makes the database refuse (IntegrityError)."""
    start, end = grain_at(visit.starts_at), grain_end(visit.ends_at)
    occupied = grain_end(visit.occupied_until)
    DoctorHold.objects.filter(
        doctor=visit.doctor_id, grain__gte=start, grain__lt=occupied, held_until__lte=now
    ).delete()
    DoctorHold.objects.bulk_create(
        DoctorHold(doctor_id=visit.doctor_id, grain=grain, appointment=visit)
        for grain in range(start, occupied)
    )
    PatientHold.objects.bulk_create(
        PatientHold(patient_id=visit.patient_id, grain=grain, appointment=visit)
        for grain in range(start, end)
    )


def _free_grains(visit: Appointment) -> None:
    # By key range first: the clustered key finds the rows without the index of the foreign key.
    span = {"grain__gte": grain_at(visit.starts_at), "grain__lt": grain_end(visit.occupied_until)}
    DoctorHold.objects.filter(doctor=visit.doctor_id, appointment=visit, **span).delete()
    PatientHold.objects.filter(patient=visit.patient_id, appointment=visit, **span).delete()


def _announce(signal: Any, **what: Any) -> None:
    transaction.on_commit(lambda: signal.send_robust(sender=Appointment, **what))


def _explained(
    work: partial[Appointment],
    *,
    by: Any,
    key: str,
    patient: Patient,
    service: Service,
    at: datetime,
    now: datetime,
    own_visit: int | None = None,
    own_hold: str = "",
) -> Appointment:
    """Runs ``work`` and says in the field's words which unique key refused it.

    When the row that stood in the way is gone by the time we look, the work is tried again.
    """
    start = grain_at(at)
    end = grain_end(at + timedelta(minutes=service.minutes))
    occupied = end + service.buffer_minutes // GRAIN_MINUTES
    counting = Q(held_until=None) | Q(held_until__gt=now)
    taken = DoctorHold.objects.filter(
        counting, doctor=service.doctor_id, grain__gte=start, grain__lt=occupied
    ).exclude(slot_hold__token=own_hold)
    busy = PatientHold.objects.filter(patient=patient, grain__gte=start, grain__lt=end)
    if own_visit is not None:
        taken, busy = taken.exclude(appointment=own_visit), busy.exclude(appointment=own_visit)
    for last_try in (False, False, True):
        try:
            return in_one_transaction(work)
        except IntegrityError:
            known = _booked_before(by, key)
            if known is not None:  # the same request was committed on another connection
                return known
            if taken.exists():
                raise SlotTaken from None
            clashing = busy.select_related("appointment__doctor").first()
            if clashing is not None:
                raise PatientBusy(clashing.appointment) from None
            if last_try:
                raise
    raise AssertionError("unreachable")


def _refused(
    action: str,
    refusal: Refusal,
    by: Any,
    patient: Patient,
    service: Service,
    starts_at: datetime,
    now: datetime,
) -> Refusal:
    """The refusal with the nearest free times, after it was written to the audit trail."""
    record_refusal(action, actor=by, patient=patient, subject=service.doctor, reason=refusal.code)
    if not isinstance(refusal, (NotMovable, TooManyOpen, NotNewPatients)):
        refusal.nearest = nearest_free(service, around=starts_at, now=now)
    return refusal
