"""Books, holds, moves and cancels at random against a plain model that knows no database.

The model is a few dictionaries of minutes. It decides by its own means what each act must come to
(a visit, or which refusal), and which times are free: minute by minute, asking the zone what the
clock on the wall shows. Every act and, after every act, the free times of all services must agree.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache as cached
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.cache import cache
from django.db import transaction
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.audit import verify_chain
from accounts.models import User
from appointments.booking import book, cancel, reschedule
from appointments.checker import find_faults
from appointments.free_times import free_times
from appointments.holding import hold, release
from appointments.models import Appointment
from appointments.refusals import Refusal
from clinic.directory.hours import add_time_off
from clinic.directory.models import OpeningHours, Service
from clinic.jobs.models import OutgoingMail
from tests.appointments.visits import make_doctor, make_hospital
from tests.cast import make_patient_user

# Thursday noon in New York; the clocks change in the night to Sunday, which is within the days.
BEGIN = datetime(2026, 10, 29, 16, 0, tzinfo=UTC)
FIRST_DAY = date(2026, 10, 28)
DAYS = 14
MINUTE = timedelta(minutes=1)
LIMIT = 3  # open bookings per patient
PATIENTS = 2
SESSIONS = 2
HOLD_MINUTES = 10
EXTENSIONS = 2
HOW = ["free", "free", "free", "beside", "beside", "beside", "edge", "any"]  # see _choose


def minute_of(moment: datetime) -> int:
    """The model's time: minutes since ``BEGIN``."""
    return round((moment - BEGIN).total_seconds()) // 60


def moment_of(minute: int) -> datetime:
    return BEGIN + minute * MINUTE


# --- What there is, known to both sides -----------------------------------------------------
@dataclass(frozen=True)
class Offer:
    """A service: whose, where, how long, and when the doctor is there (wall-clock hours)."""

    doctor: int
    zone: str
    minutes: int
    pause: int
    hours: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Rules:
    grid: int
    lead: int
    horizon: int


# The first doctor works at night too, through the hour that comes twice, and in a second town.
RULES = [Rules(grid=30, lead=600, horizon=6), Rules(grid=20, lead=0, horizon=4)]
NEW_YORK, CHICAGO = "America/New_York", "America/Chicago"
OFFERS = [
    Offer(0, NEW_YORK, 30, 0, ((1, 4), (9, 11))),
    Offer(0, NEW_YORK, 45, 15, ((1, 4), (9, 11))),
    Offer(0, CHICAGO, 60, 5, ((12, 15),)),
    Offer(1, NEW_YORK, 20, 10, ((9, 12),)),
]


@cached
def open_minutes(offer: Offer) -> dict[int, tuple[date, int]]:
    """The minutes at which the doctor is there: each with its local day and minute of that day."""
    found = {}
    zone = ZoneInfo(offer.zone)
    start = minute_of(datetime.combine(FIRST_DAY, time(), tzinfo=UTC))
    for minute in range(start, start + (DAYS + 2) * 1440):
        wall = moment_of(minute).astimezone(zone)
        of_day = wall.hour * 60 + wall.minute
        if any(opens * 60 <= of_day < closes * 60 for opens, closes in offer.hours):
            found[minute] = (wall.date(), of_day)
    return found


@cached
def possible_starts(offer: Offer) -> list[int]:
    """Starts on the grid whose whole length lies in the hours of one day."""
    there = open_minutes(offer)
    return [
        minute
        for minute, (day, of_day) in there.items()
        if of_day % RULES[offer.doctor].grid == 0
        and all(there.get(minute + more, (None, 0))[0] == day for more in range(offer.minutes))
    ]


# --- The model ------------------------------------------------------------------------------
@dataclass(eq=False)  # two visits of one patient at one time, the first cancelled, are two
class Visit:
    offer: Offer
    patient: int
    start: int
    cancelled: bool = False

    @property
    def end(self) -> int:
        return self.start + self.offer.minutes

    @property
    def occupied(self) -> range:
        return range(self.start, self.end + self.offer.pause)


@dataclass
class Kept:
    offer: Offer
    start: int
    until: int
    extensions: int = 0

    @property
    def occupied(self) -> range:
        return range(self.start, self.start + self.offer.minutes + self.offer.pause)


@dataclass
class Model:
    now: int = 0
    visits: list[Visit] = field(default_factory=list)
    kept: dict[int, Kept] = field(default_factory=dict)  # by session
    away: list[tuple[int, int, int]] = field(default_factory=list)  # doctor, from, until
    keys: dict[str, int] = field(default_factory=dict)

    def is_away(self, doctor: int, minutes: range) -> bool:
        return any(
            who == doctor and minutes.start < until and start < minutes.stop
            for who, start, until in self.away
        )

    def busy(self, doctor: int, *, but: list[Visit], session: int | None) -> set[int]:
        """The minutes in which the doctor has a visit, or somebody keeps the time."""
        found: set[int] = set()
        for visit in self.visits:
            if visit.offer.doctor == doctor and not visit.cancelled and visit not in but:
                found |= set(visit.occupied)
        for whose, kept in self.kept.items():
            if kept.offer.doctor == doctor and kept.until > self.now and whose != session:
                found |= set(kept.occupied)
        return found

    def span(self, offer: Offer) -> tuple[int, int]:
        zone = ZoneInfo(offer.zone)
        rules = RULES[offer.doctor]
        last = moment_of(self.now).astimezone(zone).date() + timedelta(days=rules.horizon + 1)
        return self.now + rules.lead, minute_of(datetime.combine(last, time(), tzinfo=zone))

    def free(self, offer: Offer) -> list[int]:
        busy = self.busy(offer.doctor, but=[], session=None)
        earliest, before = self.span(offer)
        return [
            start
            for start in possible_starts(offer)
            if earliest <= start < before
            and not any(start + more in busy for more in range(offer.minutes + offer.pause))
            and not self.is_away(offer.doctor, range(start, start + offer.minutes + offer.pause))
        ]

    def not_offered(self, offer: Offer, start: int) -> str:
        rules = RULES[offer.doctor]
        earliest, before = self.span(offer)
        wall = moment_of(start).astimezone(ZoneInfo(offer.zone))
        if start <= self.now:
            return "past"
        if start < earliest:
            return "too_soon"
        if start >= before:
            return "too_far"
        if start % 5 or (wall.hour * 60 + wall.minute) % rules.grid:
            return "off_grid"
        if self.is_away(offer.doctor, range(start, start + offer.minutes + offer.pause)):
            return "time_off"
        return "" if start in possible_starts(offer) else "closed"

    def starts_of_others(self) -> list[int]:
        """Where something is that a new visit may run into."""
        visits = [one.start for one in self.visits if not one.cancelled and one.end > self.now]
        kept = [one.start for one in self.kept.values() if one.until > self.now]
        return sorted(
            {*visits, *kept, *(start for _, start, until in self.away if until > self.now)}
        )

    def open_visits(self, patient: int) -> list[Visit]:
        return [
            visit
            for visit in self.visits
            if visit.patient == patient and not visit.cancelled and visit.end > self.now
        ]

    def taken(self, offer: Offer, start: int, *, but: list[Visit], session: int | None) -> bool:
        busy = self.busy(offer.doctor, but=but, session=session)
        return any(start + more in busy for more in range(offer.minutes + offer.pause))

    def book(
        self, offer: Offer, patient: int, start: int, key: str, clash: str, session: int | None
    ) -> str | Visit:
        if key in self.keys:
            return self.visits[self.keys[key]]
        if code := self.not_offered(offer, start):
            return code
        mine = self.open_visits(patient)
        end = start + offer.minutes
        replaced = [visit for visit in mine if visit.start < end and start < visit.end]
        if replaced and clash != "replace":
            return "patient_busy"
        if not replaced and clash != "both":
            week = [
                visit
                for visit in mine
                if visit.offer.doctor == offer.doctor
                and visit.start > self.now
                and abs(visit.start - start) < 6 * 1440
            ]
            if week and not clash:
                return "second_visit"
            replaced = sorted(week, key=lambda visit: abs(visit.start - start))[:1]
        if len(mine) - len(replaced) >= LIMIT:
            return "too_many_open"
        if any(visit.start <= self.now for visit in replaced):
            return "not_movable"
        if self.taken(offer, start, but=replaced, session=session):
            return "taken"
        for visit in replaced:
            visit.cancelled = True
        if session is not None:
            self.kept.pop(session, None)
        self.keys[key] = len(self.visits)
        self.visits.append(Visit(offer, patient, start))
        return self.visits[-1]

    def move(self, visit: Visit, start: int, key: str) -> str | Visit:
        if key in self.keys:
            return self.visits[self.keys[key]]
        if visit.cancelled or visit.start <= self.now:
            return "not_movable"
        if visit.start == start:
            return visit
        if code := self.not_offered(visit.offer, start):
            return code
        end = start + visit.offer.minutes
        for other in self.open_visits(visit.patient):
            if other is not visit and other.start < end and start < other.end:
                return "patient_busy"
        if self.taken(visit.offer, start, but=[visit], session=None):
            return "taken"
        visit.start = start
        self.keys[key] = self.visits.index(visit)
        return visit

    def cancel(self, visit: Visit) -> str | Visit:
        if not visit.cancelled and visit.start <= self.now:
            return "not_movable"
        visit.cancelled = True
        return visit

    def hold(self, session: int, offer: Offer, start: int) -> str:
        if code := self.not_offered(offer, start):
            return code
        before = self.kept.get(session)
        same = before is not None and before.offer == offer and before.start == start
        extensions = 0
        if before is not None and same:
            if before.until > self.now and before.extensions == EXTENSIONS:
                return "hold_used_up"
            extensions = before.extensions + (before.until > self.now)
        if self.taken(offer, start, but=[], session=session):
            return "taken"
        self.kept[session] = Kept(offer, start, self.now + HOLD_MINUTES, extensions)
        return "kept"


# --- The machine ----------------------------------------------------------------------------
class Clinic(RuleBasedStateMachine):
    """Both sides, and the acts. Each run is undone, so the next begins with an empty clinic."""

    def __init__(self) -> None:
        super().__init__()
        self._undone = transaction.atomic()
        # As Django's own TestCase marks its transactions: durable ones may run inside.
        self._undone._from_testcase = True  # type: ignore[attr-defined]
        self._undone.__enter__()

    def teardown(self) -> None:
        try:
            self._judge()
        finally:
            transaction.set_rollback(True)
            self._undone.__exit__(None, None, None)

    def _judge(self) -> None:
        assert list(find_faults(moment_of(self.model.now))) == []
        for user in self.users:
            assert verify_chain(user.chart) == []
        booked = OutgoingMail.objects.filter(key__startswith="visit-booked:").count()
        gone = OutgoingMail.objects.filter(key__startswith="visit-cancelled:").count()
        assert booked == len(self.model.visits) == Appointment.objects.count()
        assert gone == sum(visit.cancelled for visit in self.model.visits)

    @initialize()
    def open(self) -> None:
        cache.clear()
        self.model = Model()
        self.made: list[Appointment] = []  # beside model.visits
        self.tokens: dict[int, str] = {}
        self.counter = 0
        self.users: list[User] = [
            make_patient_user(f"p{number}@example.org") for number in range(PATIENTS)
        ]
        hospitals = {
            zone: make_hospital(time_zone=zone, keeps_public_holidays=False)
            for zone in (NEW_YORK, CHICAGO)
        }
        doctors = [
            make_doctor(
                verified_at=BEGIN - timedelta(days=9),
                grid_minutes=rules.grid,
                lead_minutes=rules.lead,
                horizon_days=rules.horizon,
            )
            for rules in RULES
        ]
        OpeningHours.objects.bulk_create(
            OpeningHours(
                doctor=doctors[doctor],
                hospital=hospitals[zone],
                weekday=weekday,
                opens=time(opens),
                closes=time(closes),
                valid_from=date(2026, 1, 1),
            )
            for doctor, zone, hours in {(one.doctor, one.zone, one.hours) for one in OFFERS}
            for opens, closes in hours
            for weekday in range(7)
        )
        self.services = [
            Service.objects.create(
                doctor=doctors[offer.doctor],
                hospital=hospitals[offer.zone],
                name=f"Service {number}",
                minutes=offer.minutes,
                buffer_minutes=offer.pause,
            )
            for number, offer in enumerate(OFFERS)
        ]
        self.doctors = doctors

    @property
    def now(self) -> datetime:
        return moment_of(self.model.now)

    def _choose(self, data: st.DataObject, offer: Offer) -> int:
        """A start: free, or beside something, or at an edge, or any: acts shall clash."""
        model, starts = self.model, possible_starts(offer)
        free = model.free(offer)
        how = data.draw(st.sampled_from(HOW), label="how")
        if how == "free" and free:
            return data.draw(st.sampled_from(free[:8]), label="free start")
        if how == "beside" and (others := model.starts_of_others()):
            other = data.draw(st.sampled_from(others), label="beside")
            place = bisect_left(starts, other) + data.draw(st.integers(-1, 1), label="steps")
            return starts[min(max(place, 0), len(starts) - 1)]
        if how == "edge":
            earliest, before = model.span(offer)
            edge = data.draw(st.sampled_from([model.now, earliest, before]), label="edge")
            place = bisect_left(starts, edge) + data.draw(st.integers(-1, 0), label="side")
            return starts[min(max(place, 0), len(starts) - 1)]
        return model.now + 5 * data.draw(st.integers(-100, 1500), label="any start")

    def _key(self) -> str:
        self.counter += 1
        return f"key-{self.counter}"

    def _agree(self, expected: Visit | str, act: Any) -> None:
        """Runs the real act and compares what came of it with what the model says."""
        cache.clear()  # the injected clock does not make entries of the cache expire
        got: Appointment | str
        nearest: list[datetime] = []
        try:
            got = act()
        except Refusal as refusal:
            got, nearest = refusal.code, refusal.nearest
        free = {moment_of(at) for offer in OFFERS for at in self.model.free(offer)}
        assert set(nearest) <= free, "a nearest time is not free"
        assert nearest == sorted(nearest)
        event(got if isinstance(got, str) else "visit")
        if isinstance(expected, str) or isinstance(got, str):
            assert got == expected
            return
        if len(self.made) < len(self.model.visits):
            self.made.append(got)
        assert self.made[self.model.visits.index(expected)].pk == got.pk
        row = Appointment.objects.get(pk=got.pk)
        assert (row.starts_at, row.is_cancelled) == (moment_of(expected.start), expected.cancelled)

    def _book(
        self,
        data: st.DataObject,
        key: str,
        which: int,
        patient: int,
        clash: str,
        session: int | None,
    ) -> None:
        offer = OFFERS[which]
        kept = self.model.kept.get(session) if session is not None else None
        if kept is not None and data.draw(st.booleans(), label="at the kept time"):
            offer, start = kept.offer, kept.start
        else:
            start = self._choose(data, offer)
        token = self.tokens.get(session, "") if session is not None else ""
        expected = self.model.book(offer, patient, start, key, clash, session)
        self._agree(
            expected,
            lambda: book(
                service=self.services[OFFERS.index(offer)],
                patient=self.users[patient].chart,
                starts_at=moment_of(start),
                by=self.users[0],  # the keys of one account
                key=key,
                now=self.now,
                clash=clash,  # type: ignore[arg-type]
                hold_token=token,
            ),
        )

    @rule(
        data=st.data(),
        which=st.integers(0, len(OFFERS) - 1),
        patient=st.integers(0, PATIENTS - 1),
        clash=st.sampled_from(["", "both", "both", "replace"]),
        session=st.sampled_from([None, None, *range(SESSIONS)]),
    )
    def books(
        self, data: st.DataObject, which: int, patient: int, clash: str, session: int | None
    ) -> None:
        self._book(data, self._key(), which, patient, clash, session)

    @precondition(lambda self: self.model.keys)
    @rule(data=st.data(), which=st.integers(0, len(OFFERS) - 1))
    def sends_a_form_again(self, data: st.DataObject, which: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.keys)), label="key")
        self._book(data, key, which, 0, "", None)

    @rule(
        data=st.data(),
        session=st.integers(0, SESSIONS - 1),
        which=st.integers(0, len(OFFERS) - 1),
    )
    def keeps_a_time(self, data: st.DataObject, session: int, which: int) -> None:
        offer, kept = OFFERS[which], self.model.kept.get(session)
        if kept is not None and data.draw(st.booleans(), label="the same again"):
            offer, start = kept.offer, kept.start
        else:
            start = self._choose(data, offer)
        expected = self.model.hold(session, offer, start)

        def act() -> str:
            found = hold(
                service=self.services[OFFERS.index(offer)],
                starts_at=moment_of(start),
                token=self.tokens.get(session, ""),
                now=self.now,
            )
            self.tokens[session] = found.token
            assert found.extensions == self.model.kept[session].extensions
            assert minute_of(found.held_until) == self.model.kept[session].until
            return "kept"

        self._agree(expected, act)

    @precondition(lambda self: self.model.kept)
    @rule(data=st.data())
    def gives_a_time_back(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(sorted(self.model.kept)), label="session")
        del self.model.kept[session]
        release(self.tokens[session])

    @precondition(lambda self: self.model.visits)
    @rule(data=st.data())
    def moves(self, data: st.DataObject) -> None:
        visit = data.draw(st.sampled_from(self.model.visits), label="visit")
        number = self.model.visits.index(visit)
        start, key = self._choose(data, visit.offer), self._key()
        expected = self.model.move(visit, start, key)
        appointment = Appointment.objects.with_parts().get(pk=self.made[number].pk)
        self._agree(
            expected,
            lambda: reschedule(
                appointment=appointment,
                starts_at=moment_of(start),
                by=self.users[0],
                key=key,
                now=self.now,
            ),
        )

    @precondition(lambda self: self.model.visits)
    @rule(data=st.data())
    def cancels(self, data: st.DataObject) -> None:
        visit = data.draw(st.sampled_from(self.model.visits), label="visit")
        number = self.model.visits.index(visit)
        expected = self.model.cancel(visit)
        appointment = Appointment.objects.with_parts().get(pk=self.made[number].pk)
        self._agree(
            expected, lambda: cancel(appointment=appointment, by=self.users[0], now=self.now)
        )

    @precondition(lambda self: self.model.now < 6 * 1440)
    @rule(minutes=st.sampled_from([1, 4, 9, 10, 11, 60, 240, 1440]))
    def time_passes(self, minutes: int) -> None:
        self.model.now += minutes

    @rule(
        data=st.data(), which=st.integers(0, len(OFFERS) - 1), length=st.sampled_from([5, 60, 300])
    )
    def goes_away(self, data: st.DataObject, which: int, length: int) -> None:
        """Visits that are booked stay; from now on nobody is given that time."""
        doctor, start = OFFERS[which].doctor, self._choose(data, OFFERS[which])
        self.model.away.append((doctor, start, start + length))
        add_time_off(
            doctor=self.doctors[doctor],
            starts_at=moment_of(start),
            ends_at=moment_of(start + length),
            by=self.users[0],
            now=self.now,
        )

    @invariant()
    def free_times_agree(self) -> None:
        if not hasattr(self, "services"):
            return
        cache.clear()
        found = free_times(self.services, first=FIRST_DAY, days=DAYS, now=self.now)
        for service, offer in zip(self.services, OFFERS, strict=True):
            got = [minute_of(moment) for moment in found[service.pk]]
            assert got == self.model.free(offer), service.name


@pytest.mark.slow
@pytest.mark.django_db
def test_every_act_comes_to_what_the_plain_model_says(settings: Any) -> None:
    settings.OPEN_BOOKINGS_PER_PATIENT = LIMIT
    settings.HOLD_EXTENSIONS = EXTENSIONS
    run_state_machine_as_test(Clinic, settings=_bounded())


def _bounded() -> settings:
    """The profile's, without the complaint that a database is slow."""
    return settings(suppress_health_check=list(HealthCheck))
