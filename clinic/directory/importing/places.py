"""Where hospitals are, and on which clock: coordinates, ZIP centroids and time zones.

No CMS file names a time zone and some states have two, so it is derived from the position; staff
confirm it before opening hours are accepted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from timezonefinder import TimezoneFinder

from clinic.directory.reference import zip_centroids

EARTH_RADIUS_KM = 6_371
# Some published coordinates are those of another town of the same name, or of Honolulu for Guam.
FARTHEST_FROM_ZIP_KM = 50

Position = tuple[float, float]  # latitude, longitude in degrees


@lru_cache(maxsize=1)
def _finder() -> TimezoneFinder:
    return TimezoneFinder()  # reads its polygons once; takes a moment


def zone_at(position: Position) -> str:
    """The IANA zone at ``position``; empty in the open sea."""
    latitude, longitude = position
    return _finder().timezone_at(lat=latitude, lng=longitude) or ""


def distance_km(one: Position, other: Position) -> float:
    """Along the surface of a sphere (haversine); exact to half a percent."""
    latitude, longitude, other_latitude, other_longitude = map(math.radians, (*one, *other))
    half = (
        math.sin((other_latitude - latitude) / 2) ** 2
        + math.cos(latitude)
        * math.cos(other_latitude)
        * math.sin((other_longitude - longitude) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half))


@dataclass(frozen=True)
class Place:
    """``position`` is None when only the region is known: enough for a zone, not for distances."""

    position: Position | None
    zone: str
    doubted: bool = False  # the coordinates given lie far from the ZIP code


class Places:
    """Looks places up; built once per import."""

    def __init__(self) -> None:
        self._centroids: dict[str, Position] = {}
        sums: dict[str, list[float]] = {}
        for code, latitude, longitude in zip_centroids():
            self._centroids[code] = (latitude, longitude)
            total = sums.setdefault(code[:3], [0.0, 0.0, 0.0])
            total[0] += latitude
            total[1] += longitude
            total[2] += 1
        self._regions = {
            prefix: (latitude / count, longitude / count)
            for prefix, (latitude, longitude, count) in sums.items()
        }
        self._zones: dict[Position, str] = {}

    def find(self, zip_code: str, given: Position | None) -> Place:
        """The place of an address, from coordinates if given, else from its ZIP code."""
        centroid = self._centroids.get(zip_code)
        region = self._regions.get(zip_code[:3])
        doubted = (
            given is not None
            and centroid is not None
            and distance_km(given, centroid) > FARTHEST_FROM_ZIP_KM
        )
        position = given if given is not None and not doubted else centroid
        return Place(position, self._zone(position or region), doubted)

    def _zone(self, position: Position | None) -> str:
        if position is None:
            return ""
        if position not in self._zones:
            self._zones[position] = zone_at(position)
        return self._zones[position]
