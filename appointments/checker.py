"""An independent look at the bookings: nothing here trusts that the unique keys did their work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet

from appointments.models import Appointment, DoctorHold, PatientHold
from appointments.slots import grain_at, grain_end, moment_of
from appointments.upkeep import KEEP_HOLDS

PAGE = 20_000  # rows read at once


@dataclass(frozen=True)
class Fault:
    """Something that must never be: ``what`` in words, with the references it concerns."""

    kind: str  # overlap | missing_hold | orphan_hold
    what: str


def find_faults(now: datetime) -> Iterator[Fault]:
    """Overlapping visits of one doctor or patient, visits without holds, holds without a visit.

    Bookings go on meanwhile, and the tables are read one after the other, so what looks wrong is
    looked at a second time: a fault stays, a change that came in between does not.
    """
    first = set(_look(now))
    if first:
        yield from (fault for fault in _look(now) if fault in first)


def _look(now: datetime) -> Iterator[Fault]:
    yield from _overlaps("doctor_id", "occupied_until")
    yield from _overlaps("patient_id", "ends_at")
    yield from _hold_faults(now)


def _overlaps(whose: str, end: str) -> Iterator[Fault]:
    visits = Appointment.objects.active()
    counts = visits.order_by(whose).values_list(whose).annotate(Count("pk"))
    columns = (whose, "starts_at", end, "reference")
    rows = (
        row
        for first, last in _spans(counts)
        for row in visits.filter(**{f"{whose}__gte": first, f"{whose}__lte": last})
        .order_by(whose, "starts_at", "pk")
        .values_list(*columns)
    )
    owner, latest, latest_reference = None, None, ""
    for row_owner, starts_at, ends_at, reference in rows:
        if row_owner == owner and latest is not None and starts_at < latest:
            yield Fault(
                "overlap",
                f"{reference} begins before {latest_reference} of the same "
                f"{whose.removesuffix('_id')} is over",
            )
        if row_owner != owner or latest is None or ends_at > latest:
            owner, latest, latest_reference = row_owner, ends_at, reference


def _hold_faults(now: datetime) -> Iterator[Fault]:
    # Older holds may have been pruned; grains of that edge itself are left out on both sides.
    oldest = grain_at(now - KEEP_HOLDS) + 1
    doctor_grains = _grains(
        DoctorHold.objects.filter(appointment__isnull=False), "doctor_id", oldest
    )
    patient_grains = _grains(PatientHold.objects.all(), "patient_id", oldest)
    visits = Appointment.objects.active().filter(starts_at__gte=moment_of(oldest))
    columns = ("doctor_id", "patient_id", "starts_at", "ends_at", "occupied_until", "reference")
    for pk, doctor, patient, starts_at, ends_at, occupied_until, reference in _paged(
        visits, *columns
    ):
        start = grain_at(starts_at)
        for grains, owner, end, whose in (
            (doctor_grains, doctor, occupied_until, "doctor"),
            (patient_grains, patient, ends_at, "patient"),
        ):
            needed = {_key(owner, grain) for grain in range(start, grain_end(end))}
            if grains.pop(pk, set()) != needed:
                yield Fault("missing_hold", f"{reference} does not hold just its {whose}'s time")
    # What is left belongs to no active visit, or to one that began before the edge.
    left = set(doctor_grains) | set(patient_grains)
    begun_before = set(
        Appointment.objects.active()
        .filter(pk__in=left, starts_at__lt=moment_of(oldest))
        .values_list("pk", flat=True)
    )
    references = dict(Appointment.objects.filter(pk__in=left).values_list("pk", "reference"))
    for pk in sorted(left - begun_before):
        yield Fault("orphan_hold", f"{references.get(pk, pk)} holds time without an active visit")


def _paged(rows: QuerySet[Any], *columns: str) -> Iterator[tuple[Any, ...]]:
    """Key and ``columns`` of all rows, a page at a time: MySQL's driver reads a result as a whole,
    and all visits of all years take more memory than a worker has."""
    ordered = rows.order_by("pk").values_list("pk", *columns)
    page = list(ordered[:PAGE])
    while page:
        yield from page
        page = list(ordered.filter(pk__gt=page[-1][0])[:PAGE])


def _spans(counts: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """First and last of as many owners as have a page of visits together."""
    first = last = None
    visits = 0
    for owner, count in counts:
        if first is not None and last is not None and visits + count > PAGE:
            yield first, last
            first, visits = None, 0
        first, last, visits = first or owner, owner, visits + count
    if first is not None and last is not None:
        yield first, last


def _key(owner: int, grain: int) -> int:
    """A hold row's key as one number, which takes a third of a tuple's memory."""
    return owner << 32 | grain


def _grains(rows: QuerySet[Any], owner: str, oldest: int) -> dict[int, set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    columns = ("appointment_id", owner, "grain")
    for _pk, appointment, whose, grain in _paged(rows.filter(grain__gte=oldest), *columns):
        found[appointment].add(_key(whose, grain))
    return found
