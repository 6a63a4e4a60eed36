"""Booking, moving and cancelling visits: a time is never given twice.

The guarantee is kept three times over. Changes of one doctor's time run one after the other, since
each begins by locking the doctor's schedule row; each visit takes one row per 5 minutes in
`DoctorHold` and `PatientHold`, whose keys are unique; and a repeated request is recognized by its
idempotency key, so that a lost answer, a double click or a retry gives the same visit. Everything
one change writes (visit, holds, care relation, audit row, mail) is in one transaction.

Callers pass a service and a patient that they were allowed to load; access is part of that lookup.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.audit import record, record_refusal
from accounts.models import Patient
from appointments import care, grains, mails, reminders, signals
from appointments.clashes import Clash, doctors_of_overlapping, replaced_by
from appointments.free_times import nearest_free
from appointments.freed import time_freed
from appointments.models import (
    Appointment,
    BookingRequest,
    DoctorHold,
    PatientHold,
    Status,
)
from appointments.offers import refuse_unoffered_clock, refuse_unoffered_day, service_of
from appointments.overrides import NOTHING, Limit, Override
from appointments.refusals import (
    NotMovable,
    NotNewPatients,
    PatientBusy,
    Refusal,
    SlotTaken,
    TooManyOpen,
)
from appointments.slots import GRAIN_MINUTES, grain_at, grain_end
from appointments.transactions import in_one_transaction, lock_patient, lock_schedules
from clinic.directory.models import Service, bump_schedules


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
    override: Override = NOTHING,
    walk_in: bool = False,
) -> Appointment:
    """Books ``service`` for ``patient`` at ``starts_at`` (UTC) and returns the visit.

    ``key`` is the request's idempotency key: the same key of the same account returns the visit
    that it booked, changed or not since. ``clash`` answers the question of an earlier `PatientBusy`
    or `SecondVisit`. ``hold_token`` names the caller's own provisional hold, which is used up.
    ``override`` is for `desk`: limits that staff set aside; ``walk_in``: the patient is here.
    Raises a `Refusal`; `SlotTaken` and `NotOffered` carry the three nearest free times.
    """
    # Looked at before the transaction: a plain read in front of the lock would fix the snapshot.
    replaceable = doctors_of_overlapping(patient, service, starts_at, now) if clash else set()
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
        override=override,
        walk_in=walk_in,
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
    override: Override,
    walk_in: bool,
    locked: set[int],
) -> Appointment:
    lock_schedules(locked)
    lock_patient(patient.pk)
    known = _booked_before(by, key)
    if known is not None:
        return known
    refuse_unoffered_clock(service, starts_at, now, override)
    refuse_unoffered_day(service, starts_at, now, override)
    takes_new = service.doctor.accepts_new or Limit.NEW_PATIENTS in override
    if not takes_new and not care.is_patient_of(patient.pk, service.doctor_id):
        raise NotNewPatients

    ends_at = starts_at + timedelta(minutes=service.minutes)
    open_visits = list(Appointment.objects.filter(patient=patient).upcoming(now))
    replaced = replaced_by(open_visits, service, starts_at, ends_at, clash, now)
    limit = settings.OPEN_BOOKINGS_PER_PATIENT
    is_full = len(open_visits) - len(replaced) >= limit
    if is_full and Limit.OPEN_BOOKINGS not in override:
        raise TooManyOpen(limit)
    for visit in replaced:
        refuse_unmovable(visit, now)
        cancel_under_lock(visit, by=by, now=now, reason=_("Replaced by another visit."))

    appointment = Appointment(
        patient=patient,
        booked_by=by,
        starts_at=starts_at,
        ends_at=ends_at,
        occupied_until=ends_at + timedelta(minutes=service.buffer_minutes),
        reason=reason,
        created_at=now,
        status=Status.ARRIVED if walk_in else Status.BOOKED,
        arrived_at=now if walk_in else None,
        is_walk_in=walk_in,
        booked_despite=override.text(),
    )
    _take_snapshot(appointment, service)
    appointment.save(force_insert=True)
    changed = {service.doctor_id} | grains.use_up_hold(hold_token)
    grains.take(appointment, now)
    BookingRequest.objects.create(user=by, key=key, appointment=appointment, created_at=now)
    care.start_for_visit(appointment, now=now)
    despite = ", ".join(sorted(override.limits))  # which limits, never the typed reason
    record("visit.book", actor=by, patient=patient, subject=appointment, detail=despite, now=now)
    bump_schedules(changed)
    mails.booked(appointment, now=now)
    reminders.booked(appointment, now=now)
    _announce(signals.visit_booked, appointment=appointment)
    return appointment


def reschedule(
    *,
    appointment: Appointment,
    starts_at: datetime,
    by: Any,
    key: str,
    now: datetime,
    to: Service | None = None,
    override: Override = NOTHING,
) -> Appointment:
    """Moves a visit to ``starts_at`` in one step; the old time stays until the new one is taken.

    Length, price and identity of the visit stay. ``to`` and ``override`` are for `desk`: another
    service, of the same doctor or another one, whose length and price the visit then has. Raises
    a `Refusal` as `book` does, and `NotMovable` when the visit was cancelled or has begun.
    """
    service, patient = to or service_of(appointment), appointment.patient
    work = partial(
        _reschedule,
        appointment=appointment,
        to=to,
        starts_at=starts_at,
        by=by,
        key=key,
        now=now,
        override=override,
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
            own_visit=appointment.pk,
        )
    except Refusal as refusal:
        raise _refused("visit.move", refusal, by, patient, service, starts_at, now) from None


def _reschedule(
    *,
    appointment: Appointment,
    to: Service | None,
    starts_at: datetime,
    by: Any,
    key: str,
    now: datetime,
    override: Override,
) -> Appointment:
    doctors = {appointment.doctor_id} | ({to.doctor_id} if to else set())
    lock_schedules(doctors)
    lock_patient(appointment.patient_id)
    known = _booked_before(by, key)
    if known is not None:
        return known
    visit = Appointment.objects.with_parts().get(pk=appointment.pk)
    if visit.doctor_id not in doctors:  # moved to another doctor since the caller read it
        raise NotMovable(_("This visit was changed meanwhile. Open it again."))
    refuse_unmovable(visit, now)
    service = to or service_of(visit)
    if visit.starts_at == starts_at and to is None:
        return visit
    refuse_unoffered_clock(service, starts_at, now, override)
    refuse_unoffered_day(service, starts_at, now, override)
    ends_at = starts_at + timedelta(minutes=service.minutes)
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
    grains.free(visit)
    time_freed(visit, now=now)
    if to is not None:
        _take_snapshot(visit, to)
    visit.starts_at, visit.ends_at = starts_at, ends_at
    visit.occupied_until = ends_at + timedelta(minutes=visit.buffer_minutes)
    visit.calendar_sequence += 1
    visit.booked_despite = override.text() or visit.booked_despite
    visit.save(
        update_fields=[
            *("starts_at", "ends_at", "occupied_until", "calendar_sequence", "booked_despite"),
            *(SNAPSHOT if to is not None else ()),
        ]
    )
    grains.take(visit, now)
    BookingRequest.objects.create(user=by, key=key, appointment=visit, created_at=now)
    care.move_for_visit(visit, now=now)
    signals.visit_moving.send(sender=Appointment, appointment=visit)
    despite = ", ".join(sorted(override.limits))
    record("visit.move", actor=by, patient=visit.patient, subject=visit, detail=despite, now=now)
    bump_schedules(doctors)
    mails.moved(visit, now=now, previous=previous)
    reminders.moved(visit, now=now)
    _announce(signals.visit_moved, appointment=visit, previous=previous)
    return visit


SNAPSHOT = (
    "doctor", "hospital", "service", "service_name", "minutes", "buffer_minutes", "price_cents",
    "visit", "bring",
)  # fmt: skip


def _take_snapshot(visit: Appointment, service: Service) -> None:
    """Copies what was booked, so that a service changed later changes no visit."""
    visit.doctor, visit.hospital, visit.service = service.doctor, service.hospital, service
    visit.service_name, visit.visit, visit.bring = service.name, service.visit, service.bring
    visit.minutes, visit.buffer_minutes = service.minutes, service.buffer_minutes
    visit.price_cents = service.price_cents


def cancel(
    *, appointment: Appointment, by: Any, now: datetime, reason: str = "", at_desk: bool = False
) -> Appointment:
    """Cancels a visit, so that its time can be booked at once; cancelling again changes nothing.

    Past the doctor's deadline the visit is marked as cancelled late. Raises `NotMovable` when the
    visit has begun; `at_desk` a walk-in, which begins at its booking, can be taken back until it is
    over, since somebody else may have been picked for the one who stands there.
    """

    def work() -> Appointment:
        lock_schedules({appointment.doctor_id})
        lock_patient(appointment.patient_id)
        visit = Appointment.objects.with_parts().get(pk=appointment.pk)
        if visit.is_cancelled:
            return visit
        walked_in = at_desk and is_walk_in_here(visit)
        if not walked_in:
            refuse_unmovable(visit, now)
        cancel_under_lock(visit, by=by, now=now, reason=reason, others_may_have_it=not walked_in)
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


def is_walk_in_here(visit: Appointment) -> bool:
    """Somebody who walked in and whose visit is not over."""
    return visit.is_walk_in and visit.status == Status.ARRIVED


def cancel_deadline(appointment: Appointment) -> datetime:
    """Until when cancelling is free: the doctor's hours before the visit."""
    return appointment.starts_at - timedelta(hours=appointment.doctor.cancel_hours)


def cancel_under_lock(
    visit: Appointment, *, by: Any, now: datetime, reason: str, others_may_have_it: bool = True
) -> None:
    """What cancelling does, for callers that hold the doctor's and the patient's lock.

    Without ``others_may_have_it`` (the doctor is away then) the waiting list is not told.
    """
    visit.status = Status.CANCELLED
    visit.cancelled_at, visit.cancelled_by = now, by
    visit.cancelled_late = not visit.is_walk_in and now > cancel_deadline(visit)
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
    grains.free(visit)
    care.end_for_visit(visit, now=now)
    record("visit.cancel", actor=by, patient=visit.patient, subject=visit, now=now)
    bump_schedules([visit.doctor_id])
    mails.cancelled(visit, now=now)
    reminders.cancelled(visit, now=now)
    if others_may_have_it:
        time_freed(visit, now=now)
    _announce(signals.visit_cancelled, appointment=visit)


def refuse_unmovable(visit: Appointment, now: datetime) -> None:
    """Raises `NotMovable` for a visit that was cancelled, has begun or is over."""
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
