"""A day's visits in the order of time, with the free gaps between them, for a page to show.

Everything of a day is read in a fixed number of queries, whatever the number of visits and doctors.
What a row says about a visit follows from the visit and the clock alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from appointments.attendance import can_undo, steps_of, undo_until
from appointments.models import Appointment, Status
from appointments.slots import Period, grain_at, grain_end, mask, moment_of, open_periods
from appointments.templatetags.times import duration
from appointments.zones import local, time_words, zone_info
from clinic.directory.holidays import closed_days
from clinic.directory.hours import closing_minute, minute_of_day
from clinic.directory.models import Doctor, Hospital, OpeningHours, TimeOff

LATE_AFTER = timedelta(minutes=5)  # somebody who is not here then is called late
SHORTEST_GAP = timedelta(minutes=15)  # what is shorter is a pause, not a free time


@dataclass(frozen=True)
class Gap:
    """A time in which a doctor is there and nobody is booked."""

    starts_at: datetime
    ends_at: datetime
    time: str
    until: str
    words: str


@dataclass(frozen=True)
class VisitRow:
    """A visit as the day's list shows it; ``steps`` are its buttons: (status, words)."""

    visit: Appointment
    time: str
    state: str
    age: str
    is_now: bool = False
    is_late: bool = False
    is_over: bool = False
    steps: list[tuple[str, str]] = field(default_factory=list)
    undo_until: str = ""
    undo_seconds: int = 0


def day_bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """The moments at which the local ``day`` begins and ends, in UTC."""
    tz = zone_info(zone)
    start = datetime.combine(day, time(), tz)
    end = datetime.combine(day + timedelta(days=1), time(), tz)
    return start.astimezone(UTC), end.astimezone(UTC)


def row_of(visit: Appointment, now: datetime) -> VisitRow:
    zone = visit.hospital.time_zone
    until = undo_until(visit) if can_undo(visit, now) else None
    waiting = visit.status in {Status.BOOKED, Status.ARRIVED}
    is_late = visit.status == Status.BOOKED and visit.starts_at + LATE_AFTER <= now
    return VisitRow(
        visit=visit,
        time=time_words(visit.starts_at, zone),
        state=_state(visit, now, is_late=is_late),
        age=_age(visit, local(now, zone).date()),
        is_now=waiting and visit.starts_at <= now < visit.ends_at,
        is_late=is_late,
        is_over=not waiting,
        steps=[(step, str(Status(step).label)) for step in steps_of(visit, now)],
        undo_until=_seconds_words(until, zone) if until else "",
        undo_seconds=max(0, int((until - now).total_seconds())) if until else 0,
    )


def _state(visit: Appointment, now: datetime, *, is_late: bool) -> str:
    zone = visit.hospital.time_zone
    if visit.status == Status.ARRIVED and visit.arrived_at:
        words = _("Arrived %(time)s") % {"time": time_words(visit.arrived_at, zone)}
        waited = now - max(visit.arrived_at, visit.starts_at)
        if waited >= timedelta(minutes=1) and now < visit.ends_at:
            words += ", " + _("waiting %(time)s") % {"time": how_long(waited)}
        return words
    if visit.status == Status.BOOKED and is_late:
        if now >= visit.ends_at:
            return _("Not marked: done, or did not come?")
        return _("Late: not here %(time)s after the start") % {
            "time": how_long(now - visit.starts_at)
        }
    if visit.status in {Status.DONE, Status.NO_SHOW} and visit.status_at:
        return f"{visit.get_status_display()}, {time_words(visit.status_at, zone)}"
    return str(visit.get_status_display())


def _age(visit: Appointment, today: date) -> str:
    years = visit.patient.age(today)
    return "" if years is None else str(years)


def _seconds_words(moment: datetime, zone: str) -> str:
    """``"9:02:10 am"``."""
    clock = local(moment, zone).strftime("%I:%M:%S %p").lstrip("0")
    return clock.lower()


def how_long(span: timedelta) -> str:
    """``"3 minutes"``, ``"2 hours"``, ``"4 days"``: rounded down to the largest whole unit."""
    minutes = max(0, int(span.total_seconds()) // 60)
    if minutes < 60:
        return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}
    if minutes < 48 * 60:
        hours = minutes // 60
        return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}
    days = minutes // (24 * 60)
    return ngettext("%(count)d day", "%(count)d days", days) % {"count": days}


def with_gaps(
    rows: Sequence[VisitRow], gaps: Iterable[Gap], *, from_now: datetime | None = None
) -> list[VisitRow | Gap]:
    """Visits and gaps in the order of time. ``from_now`` leaves out the gaps that are over."""
    wanted = [gap for gap in gaps if from_now is None or gap.ends_at > from_now]

    def start(item: VisitRow | Gap) -> datetime:
        return item.starts_at if isinstance(item, Gap) else item.visit.starts_at

    return sorted([*rows, *wanted], key=start)


class FreeGaps:
    """The free gaps of doctors on one day, in four queries for all of them.

    Of one ``doctor`` at every hospital, or of every approved doctor of one ``hospital``. Visits
    elsewhere count too: nobody is in two places.
    """

    def __init__(
        self, day: date, *, doctor: Doctor | None = None, hospital: Hospital | None = None
    ) -> None:
        lines = OpeningHours.objects.filter(
            Q(valid_until=None) | Q(valid_until__gt=day), valid_from__lte=day, weekday=day.weekday()
        ).select_related("hospital", "doctor")
        if doctor is not None:
            lines = lines.filter(doctor=doctor)
        if hospital is not None:
            lines = lines.filter(hospital=hospital, doctor__in=Doctor.objects.public())
        self._day = day
        self._lines: dict[int, list[OpeningHours]] = defaultdict(list)
        self.doctors: dict[int, Doctor] = {}
        for line in lines:
            self._lines[line.doctor_id].append(line)
            self.doctors[line.doctor_id] = line.doctor
        here = {line.hospital_id: line.hospital for line in lines}
        self._closed = closed_days(here.values(), day, day + timedelta(days=1))
        self._busy: dict[int, list[Period]] = defaultdict(list)
        # A day more on both sides covers every zone's local day.
        midnight = datetime.combine(day, time(), UTC)
        first, last = midnight - timedelta(days=1), midnight + timedelta(days=2)
        visits = Appointment.objects.active().filter(
            doctor__in=list(self.doctors), starts_at__gt=first, starts_at__lt=last
        )
        away = TimeOff.objects.filter(
            doctor__in=list(self.doctors), ends_at__gt=first, starts_at__lt=last
        )
        for each in (
            visits.values_list("doctor_id", "starts_at", "occupied_until"),
            away.values_list("doctor_id", "starts_at", "ends_at"),
        ):
            for key, starts_at, ends_at in each:
                self._busy[key].append((grain_at(starts_at), grain_end(ends_at)))

    def at_work(self, doctor: int) -> bool:
        """Whether the doctor has opening hours on this day that nothing closes."""
        return bool(self._open(doctor))

    def _open(self, doctor: int) -> list[tuple[Period, str]]:
        found: list[tuple[Period, str]] = []
        for line in self._lines.get(doctor, ()):
            if self._day in self._closed.get(line.hospital_id, ()):
                continue
            zone = line.hospital.time_zone or "UTC"
            for period in open_periods(
                zone, self._day, minute_of_day(line.opens), closing_minute(line.closes)
            ):
                found.append((period, zone))
        return sorted(found)

    def of(self, doctor: int) -> list[Gap]:
        """The doctor's gaps of this day, in the order of time."""
        gaps: list[Gap] = []
        for (start, end), zone in self._open(doctor):
            length = end - start
            free = mask([(start, end)], start, length) & ~mask(
                self._busy.get(doctor, ()), start, length
            )
            for first, last in _runs(free, length):
                begins, ends = moment_of(start + first), moment_of(start + last)
                if ends - begins >= SHORTEST_GAP:
                    gaps.append(_gap(begins, ends, zone))
        return gaps


def _runs(bits: int, length: int) -> list[Period]:
    found: list[Period] = []
    start = None
    for position in range(length + 1):
        is_set = position < length and bits >> position & 1
        if is_set and start is None:
            start = position
        elif not is_set and start is not None:
            found.append((start, position))
            start = None
    return found


def _gap(starts_at: datetime, ends_at: datetime, zone: str) -> Gap:
    minutes = int((ends_at - starts_at).total_seconds()) // 60
    until = time_words(ends_at, zone)
    return Gap(
        starts_at=starts_at,
        ends_at=ends_at,
        time=time_words(starts_at, zone),
        until=until,
        words=_("Free until %(time)s (%(length)s)") % {"time": until, "length": duration(minutes)},
    )


def next_gap(gaps: Iterable[Gap], now: datetime) -> Gap | None:
    return next((gap for gap in gaps if gap.ends_at > now + SHORTEST_GAP), None)
