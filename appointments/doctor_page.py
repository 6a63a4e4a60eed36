"""A doctor's own page: where and what can be booked, and a month of free times."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.languages import SPOKEN_LANGUAGES
from appointments.find_words import zone_names
from appointments.forms_find import parse_date
from appointments.free_times import bookable_span, free_times, next_free
from appointments.zones import local, zone_words
from clinic.directory.models import Doctor, Hospital, Service
from clinic.directory.structured import json_ld
from clinic.links import absolute

NOON, EVENING = 12, 17  # hours at which a day's list of times is divided

_MONTH = re.compile(r"\A(\d{4})-(\d{2})\Z", re.ASCII)


@dataclass
class Cell:
    """A day in the month's table."""

    day: date
    in_month: bool
    count: int
    href: str
    chosen: bool


@dataclass
class Group:
    """A hospital where the doctor sees people, with what can be booked there."""

    hospital: Hospital
    services: list[Service]
    zone: str  # in words, as of now; empty when all hospitals have the same


def doctor_page(
    doctor: Doctor, *, code: str, month: str, day: str, now: datetime
) -> dict[str, Any]:
    """What the page shows. Unknown or outdated choices give way to the first that makes sense."""
    services = list(
        Service.objects.filter(doctor=doctor, is_active=True)
        .select_related("hospital")
        .order_by("position", "pk")
    )
    for service in services:
        service.doctor = doctor
    chosen = next((service for service in services if service.code == code), None)
    context: dict[str, Any] = {
        "doctor": doctor,
        "groups": _groups(services, now),
        "languages": _languages(doctor),
        "specialties": [specialty.name for specialty in doctor.specialties.all()],
        "service": chosen or (services[0] if services else None),
        "service_is_gone": bool(code and chosen is None),
        "structured": json_ld(_structured(doctor, services)),
        "canonical": absolute(reverse("doctor", args=[doctor.slug])),
    }
    if context["service"] is not None:
        service = context["service"]
        context |= month_of_times(
            service, month=month, day=day, now=now, address=partial(_address, service)
        )
    return context


def _groups(services: Sequence[Service], now: datetime) -> list[Group]:
    by_hospital: dict[int, Group] = {}
    for service in services:
        group = by_hospital.setdefault(
            service.hospital_id,
            Group(service.hospital, [], zone_words(now, service.hospital.time_zone)),
        )
        group.services.append(service)
    groups = list(by_hospital.values())
    if len({group.hospital.time_zone for group in groups}) == 1:
        for group in groups:
            group.zone = ""  # the month says it
    return groups


def _languages(doctor: Doctor) -> list[str]:
    spoken = {row.code for row in doctor.languages.all()}
    return [str(name) for code, name in SPOKEN_LANGUAGES if code in spoken]


def month_of_times(
    service: Service,
    *,
    month: str,
    day: str,
    now: datetime,
    address: Callable[..., str],
) -> dict[str, Any]:
    """The month's table, the times of one of its days, and the months beside it.

    ``address`` makes the links to another ``month=`` or ``date=`` of the page that shows it.
    """
    zone = service.hospital.time_zone
    today = local(now, zone).date()
    last = local(bookable_span(service, now)[1] - timedelta(seconds=1), zone).date()
    asked_day = parse_date(day)
    first = _month_asked(month) or (asked_day.replace(day=1) if asked_day else None)
    is_asked = first is not None and today.replace(day=1) <= first <= last
    first = first if first is not None and is_asked else today.replace(day=1)
    times = _times_of_month(service, first, today, now)
    if not times and not is_asked:
        upcoming = next_free([service], first=today, now=now)[service.pk]
        if upcoming:
            first = local(upcoming[0], zone).date().replace(day=1)
            times = _times_of_month(service, first, today, now)
    following = _month_after(first)
    start = max(first, today)
    by_day = {
        which: list(moments)
        for which, moments in groupby(times, key=lambda moment: local(moment, zone).date())
    }
    chosen = asked_day if asked_day in by_day else next(iter(by_day), None)
    next_time = None
    if not by_day and following <= last:
        later = next_free([service], first=following, now=now)[service.pk]
        next_time = later[0] if later else None
    return {
        "month": first,
        "weeks": [
            [_cell(address, which, first, by_day, chosen) for which in week]
            for week in calendar.Calendar(firstweekday=6).monthdatescalendar(
                first.year, first.month
            )
            if week[-1] >= start  # weeks that are over only take room on a phone
        ],
        "day": chosen,
        "day_is_another": bool(asked_day and asked_day != chosen),
        "parts": _parts(by_day[chosen], zone) if chosen else [],
        "previous_month": address(month=(first - timedelta(days=1)).strftime("%Y-%m"))
        if first > today
        else "",
        "next_month": address(month=following.strftime("%Y-%m")) if following <= last else "",
        "next_time": next_time,
        "next_time_href": address(date=local(next_time, zone).date().isoformat())
        if next_time
        else "",
        "zone": zone_names(by_day[chosen] if chosen else [now], zone),
    }


def _month_after(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def _times_of_month(service: Service, first: date, today: date, now: datetime) -> list[datetime]:
    start = max(first, today)
    days = (_month_after(first) - start).days
    return free_times([service], first=start, days=days, now=now)[service.pk]


def _month_asked(month: str) -> date | None:
    found = _MONTH.match(month)
    return parse_date(f"{found[1]}-{found[2]}-01") if found else None


def _cell(
    address: Callable[..., str],
    which: date,
    first: date,
    by_day: dict[date, list[datetime]],
    chosen: date | None,
) -> Cell:
    in_month = which.month == first.month
    return Cell(
        which,
        in_month,
        len(by_day.get(which, ())) if in_month else 0,
        address(date=which.isoformat()) + "#times",
        which == chosen,
    )


def _address(service: Service, **choice: str) -> str:
    path = reverse("doctor", args=[service.doctor.slug])
    return f"{path}?{urlencode({'service': service.code, **choice})}"


def _parts(times: Sequence[datetime], zone: str) -> list[tuple[str, list[datetime]]]:
    """A day's times as morning, afternoon and evening, those without times left out."""
    names = (_("Morning"), _("Afternoon"), _("Evening"))

    def part(moment: datetime) -> int:
        hour = local(moment, zone).hour
        return (hour >= NOON) + (hour >= EVENING)

    return [(names[index], list(moments)) for index, moments in groupby(times, key=part)]


def _structured(doctor: Doctor, services: Sequence[Service]) -> dict[str, Any]:
    """https://schema.org/Physician"""
    hospitals = list({service.hospital_id: service.hospital for service in services}.values())
    data: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "Physician",
        "name": doctor.display_name,
        "url": absolute(reverse("doctor", args=[doctor.slug])),
        "medicalSpecialty": [specialty.name for specialty in doctor.specialties.all()],
        "isAcceptingNewPatients": doctor.accepts_new,
        "hospitalAffiliation": [
            {
                "@type": "Hospital" if hospital.cms_id else "MedicalClinic",
                "name": hospital.name,
                "url": absolute(reverse("hospital", args=[hospital.slug])),
            }
            for hospital in hospitals
        ],
    }
    if hospitals:
        data["address"] = {
            "@type": "PostalAddress",
            "streetAddress": hospitals[0].address,
            "addressLocality": hospitals[0].city,
            "addressRegion": hospitals[0].state,
            "postalCode": hospitals[0].zip_code,
            "addressCountry": "US",
        }
        if hospitals[0].phone:
            data["telephone"] = hospitals[0].phone
    return data
