"""What is shown of a doctor in a list: facts, the fitting service, and the next free times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby

from django.db.models import CharField, Exists, Func, OuterRef, Q, Subquery

from accounts.languages import SPOKEN_LANGUAGES
from appointments.free_times import next_free
from appointments.zones import local
from clinic.directory.models import Doctor, DoctorLanguage, OpeningHours, Service

DAYS_SHOWN = 4
# Hospitals' columns that no card says; a page reads some eighty services with theirs.
_NOT_SHOWN = (
    *("cms_id", "kind", "ownership", "address", "zip_code", "county", "emergency_care"),
    *("rating", "time_zone_confirmed", "is_listed", "is_sample", "search_text"),
)
TIMES_PER_DAY = 3


@dataclass
class Found:
    """A doctor of a list: the service whose free times are shown, and where it is."""

    doctor: Doctor
    # The first that fits what was asked; None when the doctor offers nothing that can be booked.
    service: Service | None = None
    miles: float | None = None
    specialties: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    visits: set[str] = field(default_factory=set)  # types of all the doctor's services
    other_hospitals: int = 0
    times: list[datetime] = field(default_factory=list)  # of `DAYS_SHOWN` days from the first free


@dataclass(frozen=True)
class Day:
    """A day of a grid with some of its free times."""

    date: date
    times: tuple[datetime, ...]
    count: int  # all free times of the day


class GroupConcat(Func):
    """All values with commas between: the same function in SQLite and in MySQL.

    Only for a subquery that selects nothing else, so that no GROUP BY is needed.
    """

    function = "GROUP_CONCAT"
    template = "%(function)s(%(expressions)s)"


def load(
    ids: Sequence[int],
    *,
    fits: Callable[[Service], bool],
    miles_to: Callable[[Service], float | None],
    specialty_names: Mapping[int, str],
    first: date | None,
    now: datetime,
) -> list[Found]:
    """The doctors with these primary keys, in this order, with times from day ``first``.

    Two queries besides those of `next_free`, however many doctors.
    """
    doctors = {doctor.pk: doctor for doctor in _doctors(ids)}
    services: dict[int, list[Service]] = defaultdict(list)
    for service in _services(ids, now):
        if service.doctor_id in doctors:
            service.doctor = doctors[service.doctor_id]
            services[service.doctor_id].append(service)
    found = [
        _found(doctors[pk], services[pk], fits, miles_to, specialty_names)
        for pk in ids
        if pk in doctors  # else withdrawn since the page was put together
    ]
    bookable = [
        item.service for item in found if item.service and getattr(item.service, "has_hours", False)
    ]
    if bookable:
        today = min(local(now, service.hospital.time_zone).date() for service in bookable)
        start = max(first, today) if first else today
        times = next_free(bookable, first=start, now=now, days_shown=DAYS_SHOWN)
        for item in found:
            if item.service is not None:
                item.times = times.get(item.service.pk, [])
    return found


def _doctors(ids: Sequence[int]) -> list[Doctor]:
    languages = DoctorLanguage.objects.filter(doctor=OuterRef("pk")).order_by()
    specialties = Doctor.specialties.through.objects.filter(doctor=OuterRef("pk")).order_by()
    text = CharField()
    return list(
        Doctor.objects.public()
        .filter(pk__in=ids)
        .annotate(
            language_codes=Subquery(languages.values(codes=GroupConcat("code", output_field=text))),
            specialty_ids=Subquery(
                specialties.values(ids=GroupConcat("specialty_id", output_field=text))
            ),
        )
    )


def _services(ids: Sequence[int], now: datetime) -> list[Service]:
    hours = OpeningHours.objects.filter(
        Q(valid_until=None) | Q(valid_until__gte=now.date()),
        doctor=OuterRef("doctor"),
        hospital=OuterRef("hospital"),
    )
    return list(
        Service.objects.filter(doctor__in=ids, is_active=True)
        .select_related("hospital")
        .defer("bring", "price_cents", *(f"hospital__{name}" for name in _NOT_SHOWN))
        .annotate(has_hours=Exists(hours))
        .order_by("position", "pk")
    )


def _found(
    doctor: Doctor,
    services: Sequence[Service],
    fits: Callable[[Service], bool],
    miles_to: Callable[[Service], float | None],
    specialty_names: Mapping[int, str],
) -> Found:
    codes = set((getattr(doctor, "language_codes", None) or "").split(","))
    pks = (getattr(doctor, "specialty_ids", None) or "").split(",")
    item = Found(
        doctor,
        specialties=sorted(
            specialty_names[int(pk)] for pk in pks if pk and int(pk) in specialty_names
        ),
        languages=[str(name) for code, name in SPOKEN_LANGUAGES if code in codes],
        visits={service.visit for service in services},
    )
    fitting = [service for service in services if fits(service)] or list(services)
    if fitting:
        # Position keeps the order staff gave; a hospital without hours has no times to show.
        item.service = min(
            fitting,
            key=lambda service: (
                not getattr(service, "has_hours", False),
                miles_to(service) or 0.0,
                service.position,
                service.pk,
            ),
        )
        item.miles = miles_to(item.service)
        elsewhere = {service.hospital_id for service in services} - {item.service.hospital_id}
        item.other_hospitals = len(elsewhere)
    return item


def grid(times: Sequence[datetime], zone: str, *, days: int = DAYS_SHOWN) -> list[Day]:
    """``times`` by local day: ``days`` days from the first, empty ones too, a few times of each.

    The first time of a day is always shown, the others spread over the day: three times in the
    first hour would help nobody who is free in the afternoon.
    """
    if not times:
        return []
    by_day = {
        day: tuple(moments)
        for day, moments in groupby(times, key=lambda moment: local(moment, zone).date())
    }
    first = min(by_day)
    shown = []
    for offset in range(days):
        day = first + timedelta(days=offset)
        moments = by_day.get(day, ())
        shown.append(Day(day, _spread(moments), len(moments)))
    return shown


def _spread(moments: tuple[datetime, ...]) -> tuple[datetime, ...]:
    if len(moments) <= TIMES_PER_DAY:
        return moments
    step = (len(moments) - 1) / (TIMES_PER_DAY - 1)
    return tuple(moments[round(index * step)] for index in range(TIMES_PER_DAY))
