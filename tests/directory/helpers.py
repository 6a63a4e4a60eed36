"""Hospitals and doctors for the tests of the directory."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

from clinic.directory.models import (
    Doctor,
    Hospital,
    Service,
    Specialty,
    add_doctor,
    hospital_search_text,
)

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
_numbers = count(1)


def make_hospital(**fields: Any) -> Hospital:
    number = next(_numbers)
    facts = {
        "name": f"Lantern Clinic {number}",
        "slug": f"lantern-clinic-{number}",
        "address": "14 Lantern Street",
        "city": "Portland",
        "state": "ME",
        "zip_code": "04101",
        "phone": "(207) 555-0142",
        "time_zone": "America/New_York",
        "time_zone_confirmed": True,
    }
    hospital = Hospital(**(facts | fields))
    hospital.search_text = hospital_search_text(hospital)
    hospital.save()
    return hospital


def make_doctor(
    name: str = "Amara Okafor", *, hospital: Hospital | None = None, approved: bool = True, **f: Any
) -> Doctor:
    """A doctor with one service; public unless ``approved`` is False."""
    doctor = add_doctor(
        name=name,
        slug=f"doctor-{next(_numbers)}",
        credentials="MD",
        verified_at=NOW if approved else None,
        **f,
    )
    specialty, _made = Specialty.objects.get_or_create(name="Cardiology", slug="cardiology")
    doctor.specialties.add(specialty)
    if hospital is not None:
        make_service(doctor, hospital)
    return doctor


def make_service(doctor: Doctor, hospital: Hospital, **fields: Any) -> Service:
    facts = {"name": "New patient visit", "minutes": 45, "buffer_minutes": 5, "price_cents": 24_000}
    return Service.objects.create(doctor=doctor, hospital=hospital, **(facts | fields))
