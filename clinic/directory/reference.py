"""Reference data shipped with the app (data/README.md says where it comes from).

Loaded by commands and never by a migration: 33,791 ZIP codes would be inserted into every test
database.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.db import transaction

from clinic.directory.models import Specialty, ZipCode
from clinic.directory.slugs import Slugs

DATA = Path(__file__).parent / "data"
SHIPPED_HOSPITALS = DATA / "cms_hospitals.csv.gz"
SHIPPED_COORDINATES = DATA / "hospital_coordinates.csv.gz"


@dataclass(frozen=True)
class SpecialtyFacts:
    """A specialty of the CMS file: how many clinicians in Maine have it as their first one.

    ``credentials``: degrees of doctors of this specialty; empty where its clinicians are no
    doctors, or are not booked by patients.
    """

    cms_name: str
    name: str
    clinicians: int
    credentials: tuple[str, ...]
    everyday_words: tuple[str, ...]


@lru_cache(maxsize=1)
def specialty_facts() -> tuple[SpecialtyFacts, ...]:
    with (DATA / "specialties.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            SpecialtyFacts(
                cms_name=row["cms_name"],
                name=row["name"],
                clinicians=int(row["clinicians_in_maine"]),
                credentials=_list(row["sample_credentials"]),
                everyday_words=_list(row["everyday_words"]),
            )
            for row in csv.DictReader(file)
        )


def _list(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(";") if word)


@lru_cache(maxsize=1)
def specialty_by_cms_name() -> dict[str, str]:
    """Names of specialties by the upper-case name in CMS files."""
    return {facts.cms_name: facts.name for facts in specialty_facts()}


def zip_centroids() -> Iterator[tuple[str, float, float]]:
    """ZIP code, latitude, longitude of each ZIP code area of the Census."""
    with gzip.open(DATA / "zip_centroids.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["zip"], float(row["lat"]), float(row["lon"])


def load_specialties() -> int:
    """Adds the specialties that are missing; returns how many. Staff's own words stay."""
    with transaction.atomic():
        known = dict(Specialty.objects.values_list("name", "slug"))
        slugs = Slugs(known.values())
        missing = [
            Specialty(
                name=facts.name,
                slug=slugs.give(facts.name),
                everyday_words="\n".join(facts.everyday_words),
            )
            for facts in specialty_facts()
            if facts.name not in known
        ]
        Specialty.objects.bulk_create(missing)
    return len(missing)


def load_zip_codes() -> int:
    """Adds the ZIP codes that are missing; returns how many."""
    with transaction.atomic():
        known = set(ZipCode.objects.values_list("code", flat=True))
        missing = [
            ZipCode(code=code, latitude=latitude, longitude=longitude)
            for code, latitude, longitude in zip_centroids()
            if code not in known
        ]
        ZipCode.objects.bulk_create(missing, batch_size=2_000)
    return len(missing)
