"""Where somebody wants to be seen: a ZIP code, a town or a state, turned into a position.

ZIP codes come from `ZipCode`, towns from the hospitals (their own coordinates, or those of their
ZIP code). Small typing errors in a town are put right, and the result says so.
"""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from dataclasses import dataclass, field, replace
from math import asin, cos, radians, sin, sqrt

from django.core.cache import cache
from django.db.models import Count, Q
from rapidfuzz import process
from rapidfuzz.distance import OSA

from clinic.directory.models import Hospital, ZipCode
from clinic.directory.states import STATES, split_state
from clinic.directory.text import fold

EARTH_RADIUS_MILES = 3958.8
MILES_PER_DEGREE = 69.0
TOWNS_SECONDS = 60  # how long a moved hospital may keep its town's old position
OTHER_TOWNS = 3

_ZIP = re.compile(r"(?<!\d)(\d{5})(?:-?\d{4})?(?!\d)")
# Spreadsheets and people lose leading zeros: 4101 is Portland's 04101, 601 is Adjuntas' 00601.
_SHORT_ZIP = re.compile(r"\A\d{3,4}\Z")


@dataclass(frozen=True)
class Place:
    """A place that was understood. Without a position it is a whole state."""

    label: str
    latitude: float | None = None
    longitude: float | None = None
    state: str = ""
    exact: bool = True  # False: a typing error was put right, or the nearest ZIP code was taken
    others: tuple[str, ...] = ()  # towns of the same name in other states

    @property
    def has_position(self) -> bool:
        return self.latitude is not None

    def miles_to(self, latitude: float | None, longitude: float | None) -> float | None:
        """Distance along the great circle (haversine), or None when a position is missing."""
        if self.latitude is None or self.longitude is None or latitude is None or longitude is None:
            return None
        north, east = radians(latitude - self.latitude), radians(longitude - self.longitude)
        half = (
            sin(north / 2) ** 2
            + cos(radians(latitude)) * cos(radians(self.latitude)) * sin(east / 2) ** 2
        )
        return 2 * EARTH_RADIUS_MILES * asin(min(1.0, sqrt(half)))

    def around(self, miles: float, prefix: str = "") -> Q:
        """A box that contains everything within ``miles``: what the index on positions serves."""
        if self.latitude is None or self.longitude is None:
            return Q(**{f"{prefix}state": self.state})
        north = miles / MILES_PER_DEGREE
        east = min(180.0, north / max(0.01, cos(radians(self.latitude))))
        return Q(
            **{
                f"{prefix}latitude__range": (self.latitude - north, self.latitude + north),
                f"{prefix}longitude__range": (self.longitude - east, self.longitude + east),
            }
        )


def find_place(text: str) -> Place | None:
    """The place that was typed: "04101", "4101", "04101-2345", "Portland", "portland, ME 04101",
    "Maine". None when there is no such place."""
    digits = text.strip()
    if _SHORT_ZIP.match(digits):
        return _zip_place(digits.zfill(5))
    found = _ZIP.search(text)
    town_text = _ZIP.sub(" ", text)
    if found:
        place = _zip_place(found[1])
        if place is not None or not fold(town_text):
            return place
    return _town_place(town_text)


def _zip_place(code: str) -> Place | None:
    exact = ZipCode.objects.filter(pk=code).first()
    if exact is not None:
        return Place(code, exact.latitude, exact.longitude)
    # Post-office-box codes have no area; the number next to it in the same district is near.
    district = ZipCode.objects.filter(pk__startswith=code[:3])
    nearest = min(district, key=lambda other: abs(int(other.pk) - int(code)), default=None)
    if nearest is None:
        return None
    return Place(nearest.pk, nearest.latitude, nearest.longitude, exact=False)


@dataclass
class Town:
    """A town with at least one listed hospital."""

    city: str
    state: str
    positions: list[tuple[float, float]] = field(default_factory=list)
    services: int = 0  # that can be booked there: the bigger of two Portlands is meant

    @property
    def label(self) -> str:
        return f"{self.city}, {self.state}"

    def place(self) -> Place:
        count = len(self.positions)
        return Place(
            self.label,
            sum(latitude for latitude, _ in self.positions) / count,
            sum(longitude for _, longitude in self.positions) / count,
            self.state,
        )


class Towns:
    """All towns by folded name, kept in the process.

    A stamp in the cache says whether they still count: it ends after `TOWNS_SECONDS`, and when the
    cache is emptied. A town that is not found is looked for again in the tables.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, list[Town]] = {}
        self._stamp = ""

    def named(self, name: str) -> list[Town]:
        if self._stamp and cache.get("towns") == self._stamp:
            found = self._by_name.get(name)
            if found:
                return found
        self._read()
        return self._by_name.get(name, [])

    def names(self) -> list[str]:
        return list(self._by_name)

    def _read(self) -> None:
        towns: dict[tuple[str, str], Town] = {}
        rows = list(
            Hospital.objects.listed()
            .annotate(bookable=Count("services", filter=Q(services__is_active=True)))
            .values_list("city", "state", "zip_code", "latitude", "longitude", "bookable")
        )
        without = {zip_code for _, _, zip_code, latitude, _, _ in rows if latitude is None}
        by_zip: dict[str, tuple[float | None, float | None]] = {
            code: (latitude, longitude)
            for code, latitude, longitude in ZipCode.objects.filter(pk__in=without).values_list(
                "pk", "latitude", "longitude"
            )
        }
        for city, state, zip_code, latitude, longitude, bookable in rows:
            if latitude is None or longitude is None:
                latitude, longitude = by_zip.get(zip_code, (None, None))
            if latitude is None or longitude is None:
                continue
            town = towns.setdefault((fold(city), state), Town(_capitals(city), state))
            town.positions.append((latitude, longitude))
            town.services += bookable
        by_name: dict[str, list[Town]] = defaultdict(list)
        for (name, _), town in towns.items():
            by_name[name].append(town)
        for same in by_name.values():
            same.sort(key=lambda town: (-town.services, -len(town.positions), town.state))
        self._by_name = dict(by_name)
        self._stamp = secrets.token_hex(8)
        cache.set("towns", self._stamp, TOWNS_SECONDS)


def _capitals(city: str) -> str:
    """The CMS file writes towns in capitals."""
    return city.title() if city.isupper() else city


towns = Towns()


def _town_place(text: str) -> Place | None:
    name = fold(text)
    if not name:
        return None
    city, state = split_state(name)
    # "New York" is a town and a state, "Maine" only a state.
    found = _choose(towns.named(name), "") or (_choose(towns.named(city), state) if city else None)
    if found is not None:
        return found
    if not city:
        return Place(STATES[state], state=state)
    errors = 0 if len(city) < 4 else 1 if len(city) < 6 else 2
    if not errors:
        return None
    near = process.extract(city, towns.names(), scorer=OSA.distance, score_cutoff=errors, limit=20)
    for other, _distance, _index in sorted(near, key=lambda it: (it[1], it[0][:1] != city[:1])):
        found = _choose(towns.named(other), state)
        if found is not None:
            return replace(found, exact=False)
    return None


def _choose(same_name: list[Town], state: str) -> Place | None:
    fitting = [town for town in same_name if not state or town.state == state]
    if not fitting:
        return None
    others = tuple(town.label for town in fitting[1 : 1 + OTHER_TOWNS])
    return replace(fitting[0].place(), others=others)
