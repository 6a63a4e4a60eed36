"""How much sample data, and how far back its visits reach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

ZONE = "America/New_York"  # of all sample clinics but one
SHORTEST_PAST_DAYS = 182
LONGEST_PAST_DAYS = 3_650
VISITS_A_DAY = 5  # of one doctor, on average over all days of the past


@dataclass(frozen=True)
class Sizes:
    doctors: int = 40
    patients: int = 60
    appointments: int = 400
    seed: int = 1


class ImpossibleSizes(Exception):
    """Sizes that cannot be; the message says which ones can."""


def sample_today(now: datetime) -> date:
    return now.astimezone(ZoneInfo(ZONE)).date()


def past_days(sizes: Sizes) -> int:
    """How many days back visits must reach so that doctors and patients have room for them."""
    if not sizes.appointments:
        return SHORTEST_PAST_DAYS
    by_patient = sizes.appointments / sizes.patients * 7 / 5 * 1.6
    by_doctor = sizes.appointments / sizes.doctors / VISITS_A_DAY
    days = max(SHORTEST_PAST_DAYS, math.ceil(by_patient), math.ceil(by_doctor))
    if days > LONGEST_PAST_DAYS:
        raise ImpossibleSizes(
            f"{sizes.appointments:,} appointments are too many for {sizes.patients:,} patients "
            f"and {sizes.doctors:,} doctors: each patient has at most one visit a day. Ask for at "
            f"least {math.ceil(sizes.appointments / 1_000):,} of both."
        )
    return days
