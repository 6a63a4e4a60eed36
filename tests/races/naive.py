"""Three ways to book that look right and are not: the controls of the races.

None of them writes hold rows, whose unique keys would save it. A race test in which these got
through without a double would prove nothing about the real one.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from accounts.models import Patient
from appointments.models import Appointment
from appointments.transactions import lock_schedules
from clinic.directory.models import Service


def check_then_insert(
    service: Service, patient: Patient, starts_at: datetime, now: datetime
) -> Appointment | None:
    """Looks whether the time is free and inserts, in one transaction, without a lock."""
    with transaction.atomic():
        return (
            None
            if _is_taken(service, patient, starts_at)
            else _insert(service, patient, starts_at, now)
        )


def lock_after_read(
    service: Service, patient: Patient, starts_at: datetime, now: datetime
) -> Appointment | None:
    """Locks as the real rule does, but only after a plain read has fixed the snapshot."""
    with transaction.atomic():
        Patient.objects.get(pk=patient.pk)
        lock_schedules({service.doctor_id})
        return (
            None
            if _is_taken(service, patient, starts_at)
            else _insert(service, patient, starts_at, now)
        )


def check_apart(
    service: Service, patient: Patient, starts_at: datetime, now: datetime
) -> Appointment | None:
    """Looks first and inserts in a transaction of its own: the way to fail on SQLite.

    The look is a plain read, which waits for nobody; inside BEGIN IMMEDIATE it could not fail.
    """
    if _is_taken(service, patient, starts_at):
        return None
    with transaction.atomic():
        return _insert(service, patient, starts_at, now)


def _ends(service: Service, starts_at: datetime) -> tuple[datetime, datetime]:
    ends_at = starts_at + timedelta(minutes=service.minutes)
    return ends_at, ends_at + timedelta(minutes=service.buffer_minutes)


def _is_taken(service: Service, patient: Patient, starts_at: datetime) -> bool:
    ends_at, occupied_until = _ends(service, starts_at)
    doctors = Q(doctor=service.doctor_id, starts_at__lt=occupied_until)
    patients = Q(patient=patient, starts_at__lt=ends_at, ends_at__gt=starts_at)
    return (
        Appointment.objects.active()
        .filter(doctors & Q(occupied_until__gt=starts_at) | patients)
        .exists()
    )


def _insert(service: Service, patient: Patient, starts_at: datetime, now: datetime) -> Appointment:
    ends_at, occupied_until = _ends(service, starts_at)
    return Appointment.objects.create(
        doctor=service.doctor,
        hospital=service.hospital,
        patient=patient,
        service=service,
        service_name=service.name,
        minutes=service.minutes,
        buffer_minutes=service.buffer_minutes,
        visit=service.visit,
        starts_at=starts_at,
        ends_at=ends_at,
        occupied_until=occupied_until,
        created_at=now,
    )
