"""Finding doctors: criteria in, one page of doctors with their next free times out.

Only public doctors are found. The number of queries does not depend on how many there are.

Order: doctors whose name has every typed word come first, then doctors of the specialties that the
words stand for; within each by distance when a place was given, else by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from math import inf
from typing import Any

from django.db.models import Case, Exists, IntegerField, OuterRef, Q, QuerySet, Value, When

from appointments.cards import Found, load
from appointments.places import Place, find_place
from appointments.words import (
    Reading,
    Spellings,
    Subject,
    as_typed,
    read_query,
    respell,
    words_of,
    words_of_names,
)
from clinic.directory.finding import public_services
from clinic.directory.models import (
    Doctor,
    DoctorLanguage,
    Hospital,
    Service,
    Specialty,
    Visit,
)
from clinic.directory.text import fold

PER_PAGE = 20
DISTANCES = (10, 25, 50, 100)  # miles to choose from
NEARBY = 25
MOST_WAYS_ON = 4
FILTERS = ("language", "new", "visit", "hospital", "specialty")  # given up in this order
# Nobody travels to a video visit; it stays near because licenses to practice are a state's.
NEARBY_VIDEO = 100


@dataclass(frozen=True)
class Criteria:
    """What is looked for; empty fields do not narrow. ``date`` is a day at the doctor's clinic."""

    q: str = ""
    place: str = ""
    specialty: str = ""
    hospital: str = ""
    language: str = ""
    visit: str = ""
    new: bool = False
    date: date | None = None
    within: int = 0  # miles; 0: the usual distance
    page: int = 1

    @property
    def miles(self) -> int:
        return self.within or (NEARBY_VIDEO if self.visit == Visit.VIDEO else NEARBY)


@dataclass
class WayOn:
    """Criteria that would find somebody when these found nobody."""

    what: str  # the criterion that is given up
    criteria: Criteria
    count: int


@dataclass
class Results:
    """One page of a search. ``found`` is empty when ``total`` is 0 or the page does not exist."""

    criteria: Criteria
    total: int
    pages: int
    found: list[Found]
    specialties: list[Subject]
    specialty: Subject | None = None
    place: Place | None = None
    hospital: Hospital | None = None
    respelled: str = ""  # the query that was answered instead of the one that found nobody
    words_known: bool = True  # False: no doctor at all, whatever the filters, is found by them
    unknown: set[str] = field(default_factory=set)  # criteria that name nothing we have
    ways_on: list[WayOn] = field(default_factory=list)
    nearest_phone: Hospital | None = None

    @property
    def page_exists(self) -> bool:
        return 1 <= self.criteria.page <= self.pages


def find_doctors(criteria: Criteria, *, now: datetime) -> Results:
    """The page of doctors that ``criteria`` asks for, with free times as of ``now``."""
    subjects = [
        Subject.read(*row)
        for row in Specialty.objects.order_by("name").values_list(
            "pk", "slug", "name", "everyday_words"
        )
    ]
    results = Results(criteria, total=0, pages=1, found=[], specialties=subjects)
    if criteria.specialty:
        results.specialty = next((s for s in subjects if s.slug == criteria.specialty), None)
        if results.specialty is None:
            results.unknown.add("specialty")
    if criteria.place:
        results.place = find_place(criteria.place)
        if results.place is None:
            results.unknown.add("place")
    if criteria.hospital:
        results.hospital = Hospital.objects.listed().filter(slug=criteria.hospital).first()
        if results.hospital is None:
            results.unknown.add("hospital")

    words = words_of(criteria.q)
    search = _Search(criteria, results)
    if criteria.q and not fold(criteria.q):
        results.words_known = False  # only signs, which no name has
        return results
    reading = read_query(words, subjects)
    total, page = search.matches(reading)
    if not total and words and not search.knows(reading):
        names = words_of_names(Doctor.objects.public().values_list("search_text", flat=True))
        terms = set().union(*(subject.words() for subject in subjects))
        respelled = respell(words, names, terms)
        if respelled is not None:
            reading = read_query(respelled, subjects)
            total, page = search.matches(reading)
        if total or search.knows(reading):
            results.respelled = as_typed(reading.words)
        else:
            results.words_known = False

    results.total = total
    results.pages = max(1, -(-total // PER_PAGE))
    if not total:
        _find_ways_on(results, search, reading)
    else:
        results.found = load(
            page,
            fits=search.fits,
            miles_to=search.miles_to,
            specialty_names={subject.pk: subject.name for subject in subjects},
            first=criteria.date,
            now=now,
        )
    return results


class _Search:
    """The criteria as conditions on doctors and on their services."""

    def __init__(self, criteria: Criteria, results: Results) -> None:
        self.criteria = criteria
        self.place = results.place
        self.hospital = results.hospital
        self.specialty = results.specialty

    def matches(self, reading: Reading) -> tuple[int, list[int]]:
        """How many doctors fit, and the primary keys of those on the page, in order."""
        start = max(0, self.criteria.page - 1) * PER_PAGE
        stop = start + PER_PAGE if self.criteria.page else 0
        if self.place is not None and self.place.has_position:
            by_distance = self._by_distance(reading, self.place)
            return len(by_distance), by_distance[start:stop]
        doctors = self._doctors(reading)
        if self._narrows_services():
            mine = self.services().filter(doctor=OuterRef("pk"))
            doctors = doctors.filter(Exists(mine))
        ordered = doctors.annotate(rank=_rank(reading)).order_by("rank", "search_text", "pk")
        return doctors.count(), list(ordered.values_list("pk", flat=True)[start:stop])

    def _by_distance(self, reading: Reading, place: Place) -> list[int]:
        """All doctors that fit, the nearest first; in SQL a distance could use no index either.

        Only numbers are read: names would double the time of a search in a town of doctors, so
        doctors at the same hospital keep the order in which they joined.
        """
        rows = (
            self.services()
            .filter(self._doctor_conditions(reading, "doctor__"))
            .annotate(rank=_rank(reading, "doctor__"))
            .values_list(
                "doctor_id", "hospital_id", "hospital__latitude", "hospital__longitude", "rank"
            )
            .distinct()
        )
        miles_to: dict[int, float] = {}
        nearest: dict[int, tuple[int, float, int]] = {}
        farthest = self.criteria.miles
        for doctor, hospital, latitude, longitude, rank in rows:
            miles = miles_to.get(hospital)
            if miles is None:
                found = place.miles_to(latitude, longitude)
                miles = miles_to[hospital] = inf if found is None else found
            if miles > farthest:
                continue
            known = nearest.get(doctor)
            if known is None or miles < known[1]:
                nearest[doctor] = (rank, miles, doctor)
        return [doctor for *_, doctor in sorted(nearest.values())]

    def services(self) -> QuerySet[Service]:
        """Bookable services that fit the visit type, the hospital and roughly the place."""
        fitting = public_services()
        if self.criteria.visit:
            fitting = fitting.filter(visit=self.criteria.visit)
        if self.hospital is not None:
            fitting = fitting.filter(hospital=self.hospital)
        if self.place is not None:
            fitting = fitting.filter(self.place.around(self.criteria.miles, "hospital__"))
        return fitting

    def fits(self, service: Service) -> bool:
        """What `services` asks, of a loaded service."""
        if self.criteria.visit and service.visit != self.criteria.visit:
            return False
        if self.hospital is not None and service.hospital_id != self.hospital.pk:
            return False
        if self.place is None:
            return True
        if not self.place.has_position:
            return service.hospital.state == self.place.state
        miles = self.miles_to(service)
        return miles is not None and miles <= self.criteria.miles

    def miles_to(self, service: Service) -> float | None:
        if self.place is None:
            return None
        return self.place.miles_to(service.hospital.latitude, service.hospital.longitude)

    def knows(self, reading: Reading) -> bool:
        """Whether the words alone, without any filter, find a doctor."""
        return Doctor.objects.public().filter(_about(reading)).exists()

    def nearest_with_phone(self) -> Hospital | None:
        """Whom to call when nobody was found: the hospital asked for, or the nearest one."""
        if self.hospital is not None:
            return self.hospital if self.hospital.phone else None
        place = self.place
        if place is None or not place.has_position:
            return None
        bookable = public_services().filter(hospital=OuterRef("pk"))
        near = (
            Hospital.objects.listed()
            .filter(place.around(DISTANCES[-1]), Exists(bookable))
            .exclude(phone="")
        )
        return min(
            near,
            key=lambda hospital: place.miles_to(hospital.latitude, hospital.longitude) or 0.0,
            default=None,
        )

    def _narrows_services(self) -> bool:
        return bool(self.criteria.visit or self.hospital is not None or self.place is not None)

    def _doctors(self, reading: Reading) -> QuerySet[Doctor]:
        return Doctor.objects.public().filter(self._doctor_conditions(reading))

    def _doctor_conditions(self, reading: Reading, prefix: str = "") -> Q:
        """What is asked of a doctor, or with ``prefix`` of the doctor of a service."""
        condition = _about(reading, prefix)
        if self.specialty is not None:
            condition &= _has_specialty([self.specialty.pk], prefix)
        if self.criteria.language:
            speaks = DoctorLanguage.objects.filter(code=self.criteria.language)
            condition &= Q(**{f"{prefix}pk__in": speaks.values("doctor_id")})
        if self.criteria.new:
            condition &= Q(**{f"{prefix}accepts_new": True})
        return condition


def _named(words: Sequence[Spellings], prefix: str = "") -> Q:
    """Whose name has a word that begins with each of ``words`` (which are letters and digits)."""
    condition = Q()
    for typed in words:
        one = Q()
        for spelling in typed:
            one |= Q(**{f"{prefix}search_text__startswith": spelling})
            one |= Q(**{f"{prefix}search_text__contains": f" {spelling}"})
        condition &= one
    return condition


def _has_specialty(specialties: Sequence[int], prefix: str = "") -> Q:
    through = Doctor.specialties.through.objects.filter(specialty__in=specialties)
    return Q(**{f"{prefix}pk__in": through.values("doctor_id")})


def _about(reading: Reading, prefix: str = "") -> Q:
    if not reading.words:
        return Q()
    condition = _named(reading.words, prefix)
    if reading.specialties:
        condition |= _has_specialty(sorted(reading.specialties), prefix) & _named(
            reading.rest, prefix
        )
    return condition


def _rank(reading: Reading, prefix: str = "") -> Any:
    if not (reading.words and reading.specialties):
        return Value(0, output_field=IntegerField())
    return Case(
        When(_named(reading.words, prefix), then=Value(0)),
        default=Value(1),
        output_field=IntegerField(),
    )


def _without(criteria: Criteria, *names: str) -> Criteria:
    usual: dict[str, Any] = {field.name: field.default for field in fields(Criteria)}
    return replace(criteria, **{name: usual[name] for name in names})


def _find_ways_on(results: Results, search: _Search, reading: Reading) -> None:
    """Which single criterion to give up, and how many doctors that would find."""
    criteria = results.criteria
    tries: list[tuple[str, Criteria]] = []
    if results.place is not None:
        if results.place.has_position and criteria.miles < DISTANCES[-1]:
            tries.append(("within", replace(criteria, within=DISTANCES[-1])))
        if criteria.visit != Visit.VIDEO:
            tries.append(("video", replace(criteria, visit=Visit.VIDEO.value, within=0)))
    tries += [
        (name, _without(criteria, name))
        for name in (*FILTERS, "place", "q")
        if getattr(criteria, name) and name not in results.unknown
    ]
    # When no single one is to blame, all of them but the place, and then the place too.
    unfiltered = _without(criteria, *FILTERS)
    tries_of_several = [
        ("filters", unfiltered),
        ("everything", _without(unfiltered, "place", "within")),
    ]
    for what, looser in [*tries, *tries_of_several]:
        if what in ("filters", "everything") and (results.ways_on or looser == criteria):
            continue
        loosened = replace(
            results,
            criteria=looser,
            hospital=results.hospital if looser.hospital else None,
            specialty=results.specialty if looser.specialty else None,
            place=results.place if looser.place else None,
        )
        words = reading if looser.q else Reading((), frozenset(), ())
        count, _page = _Search(looser, loosened).matches(words)
        if count:
            results.ways_on.append(WayOn(what, replace(looser, page=1), count))
        if len(results.ways_on) == MOST_WAYS_ON:
            break
    results.nearest_phone = search.nearest_with_phone()
