"""Free times of many doctors at once: a constant number of range queries, then pure computation.

What is computed is cached per service and local day range under the doctor's schedule version,
which every booking bumps in its own transaction. The version is read *before* the data, so a cache
entry can hold newer data than its version says, never older. Provisional holds end without a
bump, so an entry lives no longer than the first of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

from django.core.cache import cache
from django.db.models import Q

from appointments.models import Appointment, SlotHold, Status
from appointments.slots import (
    Period,
    free_starts,
    grain_at,
    grain_end,
    moment_of,
    pieces_of_day,
)
from appointments.zones import local
from clinic.directory.holidays import closed_days
from clinic.directory.models import OpeningHours, Schedule, Service, TimeOff

CACHE_SECONDS = 600
# Days that are computed and cached together, counted from a fixed day so that pages share them.
BLOCK_DAYS = 14
# A visit never occupies more than this (480 minutes and a pause of 240, see Service): how far
# before a period a visit can have started that still runs in it.
LONGEST_OCCUPATION = timedelta(hours=12)


class Hours(NamedTuple):
    """One row of opening hours: wall-clock minutes, on ``weekday`` while valid."""

    weekday: int
    opens: int
    closes: int
    valid_from: date
    valid_until: date | None

    def on(self, day: date) -> bool:
        return (
            day.weekday() == self.weekday
            and self.valid_from <= day
            and (self.valid_until is None or day < self.valid_until)
        )


def minutes_of(clock: time) -> int:
    return clock.hour * 60 + clock.minute


class Facts:
    """What decides about the free times of some doctors in a span of days, read at one moment.

    ``with_busy=False`` leaves out visits and holds: what is *offered*, taken or not.
    """

    def __init__(
        self,
        services: Iterable[Service],
        *,
        first: date,
        until: date,
        now: datetime,
        with_busy: bool = True,
    ) -> None:
        services = list(services)
        doctors = {service.doctor_id for service in services}
        # A day more on both sides covers every zone's local days.
        start = datetime.combine(first, time(), tzinfo=now.tzinfo) - timedelta(days=1)
        end = datetime.combine(until, time(), tzinfo=now.tzinfo) + timedelta(days=1)
        self.earliest_hold_end: dict[int, datetime] = {}
        self._hours: dict[tuple[int, int], list[Hours]] = defaultdict(list)
        self._busy: dict[int, list[Period]] = defaultdict(list)
        self._away: dict[int, list[Period]] = defaultdict(list)

        lines = OpeningHours.objects.filter(
            Q(valid_until=None) | Q(valid_until__gt=first),
            doctor__in=doctors,
            valid_from__lt=until,
        ).values_list(
            "doctor_id", "hospital_id", "weekday", "opens", "closes", "valid_from", "valid_until"
        )
        for doctor, hospital, weekday, opens, closes, valid_from, valid_until in lines:
            hours = Hours(
                weekday, minutes_of(opens), minutes_of(closes) or 24 * 60, valid_from, valid_until
            )
            self._hours[doctor, hospital].append(hours)
        for doctor, starts_at, ends_at in TimeOff.objects.filter(
            doctor__in=doctors, ends_at__gt=start, starts_at__lt=end
        ).values_list("doctor_id", "starts_at", "ends_at"):
            self._away[doctor].append((grain_at(starts_at), grain_end(ends_at)))
        if with_busy:
            self._read_busy(doctors, start, end, now)
        hospitals = {service.hospital_id: service.hospital for service in services}
        self._closed = closed_days(hospitals.values(), first=first, until=until)

    def _read_busy(self, doctors: set[int], start: datetime, end: datetime, now: datetime) -> None:
        span = {
            "doctor__in": doctors,
            "starts_at__gt": start - LONGEST_OCCUPATION,
            "starts_at__lt": end,
        }
        for doctor, starts_at, occupied_until in (
            Appointment.objects.filter(**span)
            .exclude(status=Status.CANCELLED)
            .values_list("doctor_id", "starts_at", "occupied_until")
        ):
            self._busy[doctor].append((grain_at(starts_at), grain_end(occupied_until)))
        for doctor, starts_at, occupied_until, held_until in SlotHold.objects.filter(
            **span, held_until__gt=now
        ).values_list("doctor_id", "starts_at", "occupied_until", "held_until"):
            self._busy[doctor].append((grain_at(starts_at), grain_end(occupied_until)))
            earliest = self.earliest_hold_end.get(doctor, held_until)
            self.earliest_hold_end[doctor] = min(earliest, held_until)

    def hours_on(self, service: Service, day: date) -> list[tuple[int, int]]:
        if not service.hospital.time_zone or day in self._closed.get(service.hospital_id, ()):
            return []  # without a zone no wall clock means anything
        rows = self._hours.get((service.doctor_id, service.hospital_id), ())
        return [(row.opens, row.closes) for row in rows if row.on(day)]

    def away(self, service: Service) -> list[Period]:
        return self._away.get(service.doctor_id, [])

    def starts(self, service: Service, first: date, until: date) -> list[int]:
        """Grains at which ``service`` may start, whatever its lead time and horizon."""
        busy = self._busy.get(service.doctor_id, []) + self.away(service)
        found: list[int] = []
        day = first
        while day < until:
            hours = self.hours_on(service, day)
            if hours:
                found += free_starts(
                    zone=service.hospital.time_zone,
                    day=day,
                    hours=hours,
                    busy=busy,
                    minutes=service.minutes,
                    buffer_minutes=service.buffer_minutes,
                    step=service.doctor.grid_minutes,
                )
            day += timedelta(days=1)
        return found


def bookable_span(service: Service, now: datetime) -> tuple[datetime, datetime]:
    """``(from, before)``: the doctor's lead time and horizon, the latter to the end of its day."""
    doctor = service.doctor
    zone = service.hospital.time_zone
    last_day = local(now, zone).date() + timedelta(days=doctor.horizon_days + 1)
    end = datetime.combine(last_day, time(), tzinfo=local(now, zone).tzinfo)
    return now + timedelta(minutes=doctor.lead_minutes), end


def free_times(
    services: Sequence[Service], *, first: date, days: int, now: datetime
) -> dict[int, list[datetime]]:
    """Free starts of each service (by primary key) on ``days`` local days from ``first``.

    The services' doctor and hospital must be loaded (`select_related`). The number of queries does
    not depend on how many services or doctors there are.
    """
    found = _free_grains(services, first=first, days=days, now=now)
    return {pk: [moment_of(grain) for grain in grains] for pk, grains in found.items()}


def _free_grains(
    services: Sequence[Service], *, first: date, days: int, now: datetime
) -> dict[int, list[int]]:
    """`free_times` as grains, ascending."""
    versions = dict(
        Schedule.objects.filter(doctor__in={s.doctor_id for s in services}).values_list(
            "doctor_id", "version"
        )
    )
    until = first + timedelta(days=days)
    block = first.toordinal() // BLOCK_DAYS * BLOCK_DAYS
    blocks = range(block, until.toordinal(), BLOCK_DAYS)
    keys = {
        (service.pk, start): _key(service, versions.get(service.doctor_id, 0), start)
        for service in services
        for start in blocks
    }
    cached: dict[str, list[int]] = cache.get_many(list(keys.values())) if keys else {}
    missing = [place for place, key in keys.items() if key not in cached]
    if missing:
        cached |= _compute(services, missing, keys, now)
    found: dict[int, list[int]] = {}
    for service in services:
        grains = [grain for start in blocks for grain in cached[keys[service.pk, start]]]
        earliest, before = bookable_span(service, now)
        zone = service.hospital.time_zone
        # Only the first and the last block can hold days that were not asked for.
        low = max(grain_end(earliest), pieces_of_day(zone, first)[0].start)
        high = min(grain_at(before), pieces_of_day(zone, until)[0].start)
        found[service.pk] = grains[bisect_left(grains, low) : bisect_left(grains, high)]
    return found


def _key(service: Service, version: int, start: int) -> str:
    shape = f"{service.minutes}.{service.buffer_minutes}.{service.doctor.grid_minutes}"
    return f"free:{service.pk}:{version}:{shape}:{start}"


def _compute(
    services: Sequence[Service],
    missing: list[tuple[int, int]],
    keys: dict[tuple[int, int], str],
    now: datetime,
) -> dict[str, list[int]]:
    """Computes and caches what is ``missing``: pairs of service and first day of a block."""
    by_pk = {service.pk: service for service in services}
    low = min(start for _, start in missing)
    high = max(start for _, start in missing) + BLOCK_DAYS
    facts = Facts(
        (by_pk[pk] for pk in {pk for pk, _ in missing}),
        first=date.fromordinal(low),
        until=date.fromordinal(high),
        now=now,
    )
    computed: dict[str, list[int]] = {}
    by_lifetime: dict[int, dict[str, Any]] = defaultdict(dict)
    for pk, start in missing:
        service = by_pk[pk]
        key = keys[pk, start]
        computed[key] = facts.starts(
            service, date.fromordinal(start), date.fromordinal(start + BLOCK_DAYS)
        )
        hold_end = facts.earliest_hold_end.get(service.doctor_id)
        lifetime = CACHE_SECONDS
        if hold_end is not None:
            lifetime = min(lifetime, max(1, int((hold_end - now).total_seconds())))
        by_lifetime[lifetime][key] = computed[key]
    for lifetime, entries in by_lifetime.items():
        cache.set_many(entries, lifetime)
    return computed


def next_free(
    services: Sequence[Service], *, first: date, now: datetime, days_shown: int = 4
) -> dict[int, list[datetime]]:
    """For each service its free times from the first day with one, over ``days_shown`` days.

    Looks as far as each doctor's horizon, in steps that double: most doctors are settled by the
    first, and the number of queries does not grow with the number of doctors.
    """
    found: dict[int, list[datetime]] = {service.pk: [] for service in services}
    open_ones = list(services)
    start, span = first, BLOCK_DAYS
    while open_ones:
        grains = _free_grains(open_ones, first=start, days=span + days_shown - 1, now=now)
        for service in open_ones:
            found[service.pk] = _first_days(grains[service.pk], service, days_shown)
        following = start + timedelta(days=span)
        open_ones = [
            service
            for service in open_ones
            if not found[service.pk]
            and following
            <= local(bookable_span(service, now)[1], service.hospital.time_zone).date()
        ]
        start, span = following, span * 4
    return found


def _first_days(grains: list[int], service: Service, days_shown: int) -> list[datetime]:
    if not grains:
        return []
    zone = service.hospital.time_zone
    day = local(moment_of(grains[0]), zone).date() + timedelta(days=days_shown)
    end = bisect_left(grains, pieces_of_day(zone, day)[0].start)
    return [moment_of(grain) for grain in grains[:end]]


def nearest_free(
    service: Service, *, around: datetime, now: datetime, count: int = 3
) -> list[datetime]:
    """The ``count`` free starts nearest to ``around``, in time order."""
    earliest, before = bookable_span(service, now)
    around = min(max(around, earliest), before)
    day = local(around, service.hospital.time_zone).date()
    for reach in (3, 14, 120):
        times = free_times([service], first=day - timedelta(reach), days=2 * reach + 1, now=now)
        near = sorted(times[service.pk], key=lambda moment: abs(moment - around))[:count]
        if len(near) == count:
            break
    return sorted(near)
