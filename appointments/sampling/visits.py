"""When sample visits are: within opening hours, never overlapping, past and to come.

Each doctor has a bit mask of 5-minute grains per local day. A patient has at most one visit a day,
so that no two of them can overlap in any zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from appointments.sampling.plan import DoctorPlan, HospitalPlan

GRAIN = 5
TRIES = 30
COMING_DAYS = 60
FULLEST_COMING_DAY = 0.6  # share of the opening hours; free times must be left
FULLEST_PAST_DAY = 0.95
OPEN_VISITS_PER_PATIENT = 6  # below the limit of open bookings, so that people can book more
MANY = 50_000  # from here on fewer visits are to come: each takes some 13 hold rows
REASONS = (
    "", "", "Check-up", "Follow-up of the last visit", "Back pain for two weeks", "Skin rash",
    "Headaches in the evening", "Test results", "New medicine, some questions", "Knee pain",
    "Cough that does not go away", "Trouble sleeping", "Second opinion",
)  # fmt: skip


class NoRoomError(Exception):
    """More visits were asked for than fit into the doctors' hours."""


@dataclass(slots=True)
class VisitPlan:
    doctor: int
    service: int  # position in the doctor's services
    patient: int
    starts_at: datetime
    status: str
    created_at: datetime
    cancelled_at: datetime | None
    reason: str


class Diary:
    """Places visits one by one; remembers what is taken."""

    def __init__(
        self,
        *,
        doctors: Sequence[DoctorPlan],
        hospitals: Sequence[HospitalPlan],
        patients: int,
        today: date,
        since: date,
        is_closed: Callable[[int, date], bool],
        rng: Random,
    ) -> None:
        self._doctors, self._rng, self._today, self._since = doctors, rng, today, since
        self._zones = [ZoneInfo(hospital.town.zone) for hospital in hospitals]
        self._is_closed = is_closed
        self._patients = patients
        self._days = (today - since).days + COMING_DAYS + 1
        self._patient_days = bytearray(patients * self._days // 8 + 1)
        self._open = [0] * patients
        self._taken: list[dict[int, int]] = [{} for _ in doctors]
        self._noons: dict[tuple[int, int], float] = {}
        self._midnight = datetime.combine(today, time(), UTC)

    def visit(
        self, doctor: int, *, coming: bool, patient: int | None = None, day: date | None = None
    ) -> VisitPlan | None:
        """A visit at a random free time; None when none was found in a few tries."""
        for _ in range(TRIES):
            on = day or self._random_day(coming, self._doctors[doctor].horizon_days)
            who = self._rng.randrange(self._patients) if patient is None else patient
            if coming and self._open[who] >= OPEN_VISITS_PER_PATIENT:
                continue
            made = self._try(doctor, who, on, coming, fixed=patient is not None)
            if made is not None:
                return made
        return None

    def horizon(self, doctor: int) -> int:
        return self._doctors[doctor].horizon_days

    def _random_day(self, coming: bool, horizon: int) -> date:
        if not coming:
            past = (self._today - self._since).days
            return self._today - timedelta(days=1 + self._rng.randrange(past))
        # Most visits are booked for the next weeks.
        last = min(horizon, COMING_DAYS) - 1
        return self._today + timedelta(days=min(int(self._rng.expovariate(1 / 14)), last))

    def _try(
        self, number: int, patient: int, day: date, coming: bool, *, fixed: bool
    ) -> VisitPlan | None:
        doctor = self._doctors[number]
        at = doctor.spans(day)
        if at is None or self._is_closed(at[0], day):
            return None
        hospital, spans = at
        index = (day - self._since).days
        cell = patient * self._days + index
        if self._patient_days[cell >> 3] & 1 << (cell & 7):
            return None
        rng = self._rng
        choices = [
            position
            for position, service in enumerate(doctor.services)
            if service.hospital == hospital
        ]
        service = rng.choice(choices)
        offer = doctor.services[service].offer
        opens, closes = rng.choice(spans)
        first = -(-opens // doctor.grid)
        last = (closes - offer.minutes) // doctor.grid
        if last < first:
            return None
        minute = rng.randint(first, last) * doctor.grid
        length = (offer.minutes + offer.buffer) // GRAIN
        bits = ((1 << length) - 1) << (minute // GRAIN)
        taken = self._taken[number].get(index, 0)
        if taken & bits:
            return None
        open_grains = sum(end - start for start, end in spans) // GRAIN
        fullest = FULLEST_COMING_DAY if coming else FULLEST_PAST_DAY
        if (taken | bits).bit_count() > open_grains * fullest:
            return None
        self._taken[number][index] = taken | bits
        self._patient_days[cell >> 3] |= 1 << (cell & 7)
        starts_at = datetime.fromtimestamp(self._midnight_at(hospital, index) + minute * 60, UTC)
        return self._booked(number, service, patient, starts_at, coming, fixed=fixed)

    def _midnight_at(self, hospital: int, index: int) -> float:
        """Seconds since 1970 at the local midnight, by the clock of the local noon.

        The clocks change at night and sample hours begin at 8, so the noon's offset holds.
        """
        known = self._noons.get((hospital, index))
        if known is None:
            day = self._since + timedelta(days=index)
            noon = datetime(day.year, day.month, day.day, 12, tzinfo=self._zones[hospital])
            known = self._noons[hospital, index] = noon.timestamp() - 12 * 3600
        return known

    def _booked(
        self,
        doctor: int,
        service: int,
        patient: int,
        starts_at: datetime,
        coming: bool,
        *,
        fixed: bool,
    ) -> VisitPlan:
        rng = self._rng
        chance = rng.random()
        lead = timedelta(minutes=rng.randrange(1_500, 40 * 1_440))
        created_at = min(starts_at, self._midnight) - lead
        cancelled_at = None
        if fixed or chance < 0.9:
            status = "booked" if coming else "done"
        elif chance < 0.94 and not coming:
            status = "no_show"
        else:
            status = "cancelled"
            cancelled_at = created_at + lead * rng.random()
        if status == "booked":
            self._open[patient] += 1
        return VisitPlan(
            doctor=doctor,
            service=service,
            patient=patient,
            starts_at=starts_at,
            status=status,
            created_at=created_at,
            cancelled_at=cancelled_at,
            reason=rng.choice(REASONS),
        )


def plan_visits(
    diary: Diary, *, count: int, doctors: int, accounts: int, today: date
) -> Iterator[VisitPlan]:
    """Exactly ``count`` visits. Patient N has one past and one coming visit with doctor N.

    Raises `NoRoomError` when so many do not fit.
    """
    made = 0
    pairs = min(doctors, accounts)
    for number in range(pairs):
        for coming in (True, False):
            if made < count:
                visit = _next_possible(diary, number, coming, today)
                made += 1
                yield visit
    # Doctors met first have something to do today.
    for number in range(min(doctors, 10)):
        for _ in range(3):
            today_visit = diary.visit(number, coming=True, day=today) if made < count else None
            if today_visit is not None:
                made += 1
                yield today_visit
    share = 0.3 if count < MANY else 0.1
    while made < count:
        before = made
        quota = -(-(count - made) // doctors)
        for number in range(doctors):
            for turn in range(quota):
                if made >= count:
                    break
                coming = turn < quota * share
                visit_or_none = diary.visit(number, coming=coming) or diary.visit(
                    number, coming=False
                )
                if visit_or_none is not None:
                    made += 1
                    yield visit_or_none
        if made == before:
            raise NoRoomError(made)


def _next_possible(diary: Diary, number: int, coming: bool, today: date) -> VisitPlan:
    """The pair's visit: a few days from today, so that it is among the first on every page."""
    for distance in range(2, min(COMING_DAYS, diary.horizon(number))):
        day = today + timedelta(days=distance if coming else -distance * 3)
        for _ in range(3):
            visit = diary.visit(number, coming=coming, patient=number, day=day)
            if visit is not None:
                return visit
    raise NoRoomError(0)
