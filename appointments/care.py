"""Who is in whose care: the rows that decide which patients a doctor may know about."""

from __future__ import annotations

from datetime import datetime, timedelta

from appointments.models import Appointment, CareRelation

# A visit lets its doctor read the record from the booking to a year after the visit.
AFTER_VISIT = timedelta(days=365)


def start_for_visit(appointment: Appointment, *, now: datetime) -> None:
    CareRelation.objects.create(
        doctor_id=appointment.doctor_id,
        patient_id=appointment.patient_id,
        why=CareRelation.Why.VISIT,
        appointment=appointment,
        since=now,
        until=appointment.ends_at + AFTER_VISIT,
    )


def move_for_visit(appointment: Appointment) -> None:
    CareRelation.objects.filter(appointment=appointment).update(
        until=appointment.ends_at + AFTER_VISIT
    )


def end_for_visit(appointment: Appointment, *, now: datetime) -> None:
    """A visit that will not happen is no reason to know anything from now on."""
    CareRelation.objects.filter(appointment=appointment).update(until=now)


def is_patient_of(patient_id: int, doctor_id: int) -> bool:
    """Whether the patient has been in this doctor's care, now or before: not a *new* patient."""
    return CareRelation.objects.filter(patient=patient_id, doctor=doctor_id).exists()
