"""Counts times that were given twice, from nothing but the visits' own rows.

Deliberately plain and apart from the code under test: it knows neither grains nor hold rows. The
controls in test_controls.py prove that it counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import combinations
from typing import NamedTuple


class Visit(NamedTuple):
    pk: int
    doctor: int
    patient: int
    starts_at: datetime
    ends_at: datetime
    occupied_until: datetime  # with the pause after it, in which the doctor is not free either


def count_doubles(visits: Iterable[Visit]) -> int:
    """Pairs of visits in which one doctor or one patient would be in two places."""
    return sum(_collide(one, other) for one, other in combinations(visits, 2))


def _collide(one: Visit, other: Visit) -> bool:
    same_doctor = one.doctor == other.doctor and (
        one.starts_at < other.occupied_until and other.starts_at < one.occupied_until
    )
    same_patient = one.patient == other.patient and (
        one.starts_at < other.ends_at and other.starts_at < one.ends_at
    )
    return same_doctor or same_patient
