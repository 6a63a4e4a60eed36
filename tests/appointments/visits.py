"""Visits made straight in the tables, for tests of what is said about them, not of booking."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from accounts.models import Patient, User
from appointments.models import Appointment, Status
from clinic.directory.models import Doctor, Hospital, Service, Specialty, Visit, add_doctor

REASON = "canary-reason-rash"
SERVICE = "canary-service-HIV-test"
SPECIALTY = "canary-specialty-oncology"


def make_hospital(**fields: Any) -> Hospital:
    facts: dict[str, Any] = {
        "name": "Harbour Clinic",
        "slug": f"harbour-clinic-{Hospital.objects.count()}",
        "address": "12 Wharf Street",
        "city": "Portland",
        "state": "ME",
        "zip_code": "04101",
        "phone": "207-555-0100",
        "time_zone": "America/New_York",
        "time_zone_confirmed": True,
    }
    return Hospital.objects.create(**(facts | fields))


def make_doctor(**fields: Any) -> Doctor:
    facts: dict[str, Any] = {
        "name": "Amara Okafor",
        "slug": f"amara-okafor-{Doctor.objects.count()}",
        "credentials": "MD",
    }
    doctor = add_doctor(**(facts | fields))
    specialty, _ = Specialty.objects.get_or_create(name=SPECIALTY, slug=SPECIALTY.lower())
    doctor.specialties.add(specialty)
    return doctor


def make_visit(
    patient: Patient,
    starts_at: datetime,
    *,
    by: User | None = None,
    hospital: Hospital | None = None,
    doctor: Doctor | None = None,
    minutes: int = 30,
    **fields: Any,
) -> Appointment:
    hospital, doctor = hospital or make_hospital(), doctor or make_doctor()
    service = Service.objects.create(
        doctor=doctor, hospital=hospital, name=SERVICE, minutes=minutes
    )
    ends_at = starts_at + timedelta(minutes=minutes)
    facts: dict[str, Any] = {
        "patient": patient,
        "doctor": doctor,
        "hospital": hospital,
        "booked_by": by or patient.account,
        "service": service,
        "service_name": service.name,
        "minutes": minutes,
        "visit": Visit.IN_PERSON,
        "bring": "Your insurance card",
        "starts_at": starts_at,
        "ends_at": ends_at,
        "occupied_until": ends_at,
        "reason": REASON,
        "created_at": starts_at - timedelta(days=10),
    }
    return Appointment.objects.create(**(facts | fields))


def cancel_row(visit: Appointment, *, by: User | None, at: datetime) -> None:
    """What cancelling leaves in the row."""
    visit.status, visit.cancelled_at, visit.cancelled_by = Status.CANCELLED, at, by
    visit.calendar_sequence += 1
    visit.save()
