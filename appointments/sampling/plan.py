"""Which invented clinics, doctors and patients there are; no database, no clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from appointments.sampling import names
from appointments.sampling.names import CHICAGO, TOWNS, Town
from appointments.sampling.offers import WEEKS, Offer, Week, offers_of, split_week
from clinic.directory.reference import SpecialtyFacts

# The doctors that demonstrations begin with take new patients, are here for the next weeks, and
# have ordinary rules.
EXEMPLARY = len(names.FIRST_DOCTORS)
CHICAGO_DOCTOR = 6  # works in a second time zone on one day of the week
LANGUAGES = ["fr", "fr", "fr", "es", "es", "so", "ar", "pt", "de", "ase", "zh", "vi", "km", "sw"]


@dataclass
class HospitalPlan:
    name: str
    kind: str
    town: Town
    address: str
    phone: str
    emergency_care: bool


@dataclass
class ServicePlan:
    hospital: int
    offer: Offer


@dataclass
class HoursPlan:
    """Opening hours at one hospital for ``valid_from <= day < valid_until``."""

    hospital: int
    week: Week
    valid_from: date
    valid_until: date | None = None


@dataclass
class DoctorPlan:
    name: str
    specialty: str
    credentials: str
    languages: tuple[str, ...]
    hours: list[HoursPlan]
    services: list[ServicePlan]
    practicing_since: int
    grid: int = 15
    lead_minutes: int = 60
    horizon_days: int = 90
    cancel_hours: int = 24
    accepts_new: bool = True
    time_off: list[tuple[date, date]] = field(default_factory=list)  # half-open, whole days
    is_approved: bool = True

    def spans(self, day: date) -> tuple[int, list[tuple[int, int]]] | None:
        """Hospital and hours (minutes of the day) on ``day``; None when away or closed."""
        if any(first <= day < until for first, until in self.time_off):
            return None
        for hours in self.hours:
            if hours.valid_from <= day and (hours.valid_until is None or day < hours.valid_until):
                spans = hours.week.get(day.weekday())
                if spans:
                    return hours.hospital, spans
        return None


@dataclass
class PatientPlan:
    name: str
    birth_date: date
    sex: str
    phone: str
    language: str = "en"
    carer: int | None = None  # the account that cares for this chart; None: own account
    relation: str = ""


def phone(rng: Random, area: str = "207") -> str:
    """A number of the range that is reserved for fiction."""
    return f"({area}) 555-01{rng.randrange(100):02d}"


def hospital_plans(doctors: int, rng: Random) -> list[HospitalPlan]:
    """The clinics; the last one, in Chicago, has a single doctor on one weekday."""
    count = min(6 + doctors // 8, doctors)
    weights = [town.weight for town in TOWNS]
    titles = [f"{place} {land}" for place in names.PLACES for land in names.LANDS]
    rng.shuffle(titles)
    plans = []
    for index in range(count):
        town = TOWNS[index] if index < len(TOWNS) else rng.choices(TOWNS, weights)[0]
        kind_name, kind = names.KINDS[index % len(names.KINDS)]
        name = f"{titles[index % len(titles)]} {kind_name}"
        if index < 3:
            name, kind = f"Harbour Health {town.name}", "Clinic"
        plans.append(_hospital(name, kind, town, rng))
    plans.append(_hospital("Lakeshore Lantern Clinic", "Clinic", CHICAGO, rng))
    return plans


def _hospital(name: str, kind: str, town: Town, rng: Random) -> HospitalPlan:
    street = f"{rng.choice(names.STREETS)} {rng.choice(names.STREET_KINDS)}"
    area = "207" if town.state == "ME" else "312"
    return HospitalPlan(
        name=name,
        kind=kind,
        town=town,
        address=f"{rng.randrange(1, 400)} {street}",
        phone=phone(rng, area),
        emergency_care=kind == "Hospital",
    )


def specialty_mix(facts: Sequence[SpecialtyFacts], count: int) -> list[str]:
    """``count`` names of specialties in the proportions of the real ones (largest remainder)."""
    bookable = [fact for fact in facts if fact.credentials]
    total = sum(fact.clinicians for fact in bookable)
    shares = {fact.name: count * fact.clinicians / total for fact in bookable}
    mix = Counter({name: math.floor(share) for name, share in shares.items()})
    by_remainder = sorted(shares, key=lambda name: mix[name] - shares[name])
    for name in by_remainder[: count - mix.total()]:
        mix[name] += 1
    return list(mix.elements())


def person_names(count: int, rng: Random) -> list[str]:
    """Names that repeat only when there are more people than names."""
    firsts = names.FIRST_FEMALE + names.FIRST_MALE
    distinct = len(firsts) * len(names.LAST_NAMES)
    picked = rng.sample(range(distinct), min(count, distinct))
    picked += [rng.randrange(distinct) for _ in range(count - len(picked))]
    size = len(names.LAST_NAMES)
    return [f"{firsts[pick // size]} {names.LAST_NAMES[pick % size]}" for pick in picked]


def doctor_plans(
    count: int,
    hospitals: Sequence[HospitalPlan],
    facts: Sequence[SpecialtyFacts],
    *,
    today: date,
    since: date,
    rng: Random,
) -> list[DoctorPlan]:
    """``count`` approved doctors, and two whose sign-up waits for an approval at the end."""
    degrees = {fact.name: fact.credentials for fact in facts}
    given = names.FIRST_DOCTORS[:count]
    mix = specialty_mix(facts, count - len(given))
    rng.shuffle(mix)
    taken = {name for name, *_ in given}
    fresh = iter(name for name in person_names(count + 2 + len(given), rng) if name not in taken)
    people = list(given) + [
        (next(fresh), specialty, rng.choice(degrees[specialty]), _languages(rng))
        for specialty in [*mix, "Family Medicine", "Dermatology"]
    ]
    home = len(hospitals) - 1  # how many are not the one in Chicago
    plans = []
    for index, (name, specialty, credentials, languages) in enumerate(people):
        place = index if index < home else rng.randrange(home)
        plan = DoctorPlan(
            name=name,
            specialty=specialty,
            credentials=credentials,
            languages=languages,
            hours=[],
            services=[],
            practicing_since=rng.randrange(1986, today.year - 4),
            is_approved=index < count,
        )
        _add_week(plan, index, place, home, since=since, rng=rng)
        offers = offers_of(specialty, rng)
        plan.services = [
            ServicePlan(hospital, offer)
            for hospital in dict.fromkeys(hours.hospital for hours in plan.hours)
            for offer in offers
        ]
        if EXEMPLARY <= index < count:
            _vary(plan, index, today, rng)
        plans.append(plan)
    return plans


def _languages(rng: Random) -> tuple[str, ...]:
    more = rng.sample(LANGUAGES, rng.choice([0, 0, 1, 1, 2]))
    return tuple(dict.fromkeys(["en", *more]))


def _add_week(
    plan: DoctorPlan, index: int, place: int, home: int, *, since: date, rng: Random
) -> None:
    # The first ones work on all weekdays, so that a demonstration on any day has times.
    week = WEEKS[index % 2] if index < EXEMPLARY else rng.choice(WEEKS)
    second = None
    if index == CHICAGO_DOCTOR:
        second = home
    elif index >= EXEMPLARY and home > 1 and rng.random() < 0.15:
        second = rng.choice([other for other in range(home) if other != place])
    if second is None:
        plan.hours.append(HoursPlan(place, week, since))
    else:
        main, other = split_week(week)
        plan.hours += [HoursPlan(place, main, since), HoursPlan(second, other, since)]


def _vary(plan: DoctorPlan, index: int, today: date, rng: Random) -> None:
    plan.grid = rng.choice([10, 15, 15, 15, 20, 30])
    plan.lead_minutes = rng.choice([60, 60, 120, 240, 1440])
    plan.horizon_days = rng.choice([45, 60, 90, 90, 120])
    plan.cancel_hours = rng.choice([24, 24, 24, 48])
    plan.accepts_new = index % 8 != 5
    if rng.random() < 0.3:
        first = today + timedelta(days=rng.randrange(10, 60))
        plan.time_off.append((first, first + timedelta(days=rng.choice([1, 3, 7, 14]))))
    if index % 12 == 3:  # the next free time is some days away
        plan.time_off.append((today, today + timedelta(days=rng.randrange(2, 6))))
    if index % 9 == 2 and len(plan.hours) == 1:  # other hours from a coming month on
        change = today + timedelta(days=rng.randrange(30, 50))
        plan.hours[0].valid_until = change
        plan.hours.append(HoursPlan(plan.hours[0].hospital, rng.choice(WEEKS), change))


def patient_plans(count: int, *, today: date, rng: Random) -> list[PatientPlan]:
    """``count`` people with an account, then the charts of children and parents in their care."""
    people = list(names.FIRST_PATIENTS[:count])
    people += person_names(count - len(people), rng)
    plans = [_patient(name, rng.randrange(19, 88), today, rng) for name in people]
    for index in range(count):
        family = plans[index].name.partition(" ")[2]
        if index == 0 or index % 9 == 4:
            plans.append(_relative(family, rng.randrange(2, 15), index, "child", today, rng))
        if index == 0 or index % 17 == 7:
            plans.append(_relative(family, rng.randrange(67, 90), index, "parent", today, rng))
    return plans


def _patient(name: str, age: int, today: date, rng: Random) -> PatientPlan:
    first = name.partition(" ")[0]
    sex = "female" if first in names.FIRST_FEMALE or first == "Rosa" else "male"
    return PatientPlan(
        name=name,
        birth_date=today - timedelta(days=age * 365 + rng.randrange(365)),
        sex=sex,
        phone=phone(rng),
        language=rng.choice(["en"] * 8 + ["es", "fr", "so"]),
    )


def _relative(
    family: str, age: int, carer: int, relation: str, today: date, rng: Random
) -> PatientPlan:
    first = rng.choice(names.FIRST_FEMALE + names.FIRST_MALE)
    plan = _patient(f"{first} {family}", age, today, rng)
    plan.carer, plan.relation = carer, relation
    return plan
