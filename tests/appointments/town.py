"""A small town of doctors: what the tests of finding a doctor search in."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from clinic.directory.models import (
    Doctor,
    DoctorLanguage,
    Hospital,
    OpeningHours,
    Service,
    Specialty,
    Visit,
    ZipCode,
    add_doctor,
)
from clinic.directory.slugs import free_slug

NOW = datetime(2026, 11, 3, 15, 0, tzinfo=UTC)  # a Tuesday, 10 am in New York
EASTERN, CENTRAL = "America/New_York", "America/Chicago"

PORTLAND = (43.66, -70.26)
WESTBROOK = (43.68, -70.36)  # 5.2 miles from Portland
BANGOR = (44.80, -68.77)  # 108 miles from Portland


def specialty(name: str, everyday_words: str = "") -> Specialty:
    found, _made = Specialty.objects.get_or_create(
        name=name,
        defaults={"slug": free_slug(Specialty, name), "everyday_words": everyday_words},
    )
    return found


def hospital(
    name: str = "Casco Bay Clinic",
    *,
    city: str = "Portland",
    state: str = "ME",
    zip_code: str = "04101",
    at: tuple[float, float] | None = PORTLAND,
    zone: str = EASTERN,
    **facts: Any,
) -> Hospital:
    fields: dict[str, Any] = {
        "name": name,
        "slug": free_slug(Hospital, name),
        "address": "12 Wharf Street",
        "city": city,
        "state": state,
        "zip_code": zip_code,
        "phone": "207-555-0100",
        "latitude": at[0] if at else None,
        "longitude": at[1] if at else None,
        "time_zone": zone,
        "keeps_public_holidays": False,
    }
    return Hospital.objects.create(**(fields | facts))


def doctor(
    name: str = "Amara Okafor",
    *,
    where: Hospital | None = None,
    specialties: tuple[Specialty, ...] = (),
    languages: tuple[str, ...] = ("en",),
    visit: str = Visit.IN_PERSON,
    open_days: range = range(7),
    opens: time = time(9),
    closes: time = time(17),
    **facts: Any,
) -> Doctor:
    """A public doctor with one service; with ``where``, open there from 9 to 5 every day."""
    fields: dict[str, Any] = {
        "name": name,
        "slug": free_slug(Doctor, name),
        "credentials": "MD",
        "verified_at": NOW - timedelta(days=1),
        "verified_what": "License with the state board",
    }
    made = add_doctor(**(fields | facts))
    made.specialties.set(specialties)
    for code in languages:
        DoctorLanguage.objects.create(doctor=made, code=code)
    if where is not None:
        service(made, where, visit=visit)
        works(made, where, open_days=open_days, opens=opens, closes=closes)
    return made


def service(who: Doctor, where: Hospital, **facts: Any) -> Service:
    fields: dict[str, Any] = {"name": "First visit", "minutes": 30, "price_cents": 12_000}
    return Service.objects.create(doctor=who, hospital=where, **(fields | facts))


def works(
    who: Doctor,
    where: Hospital,
    *,
    open_days: range = range(7),
    opens: time = time(9),
    closes: time = time(17),
) -> None:
    OpeningHours.objects.bulk_create(
        OpeningHours(
            doctor=who,
            hospital=where,
            weekday=weekday,
            opens=opens,
            closes=closes,
            valid_from=date(2026, 1, 1),
        )
        for weekday in open_days
    )


def zip_code(code: str, at: tuple[float, float]) -> ZipCode:
    return ZipCode.objects.create(code=code, latitude=at[0], longitude=at[1])
