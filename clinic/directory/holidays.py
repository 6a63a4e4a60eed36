"""Days on which hospitals are closed: public holidays of their state, and their own exceptions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache

import holidays as calendars

from clinic.directory.models import Hospital, HospitalDay


@lru_cache(maxsize=512)
def public_holidays(state: str, year: int) -> dict[date, str]:
    """Public holidays of a US state or territory in ``year`` with their names.

    Those on which offices close in that state, with the weekday on which they are observed. An
    unknown state has those of the whole country.
    """
    known = calendars.country_holidays("US", years=year, subdiv=_subdivision(state))
    return {day: name for day, name in known.items() if day.year == year}


@lru_cache(maxsize=128)
def _subdivision(state: str) -> str | None:
    return state if state in calendars.country_holidays("US").subdivisions else None


def closed_days(hospitals: Iterable[Hospital], first: date, until: date) -> dict[int, set[date]]:
    """The days with ``first <= day < until`` on which each hospital is closed, by primary key.

    One query, however many hospitals. A `HospitalDay` wins over the public holidays, both ways.
    """
    closed: dict[int, set[date]] = {}
    for hospital in hospitals:
        closed[hospital.pk] = (
            _public_holidays_between(hospital.state, first, until)
            if hospital.keeps_public_holidays
            else set()
        )
    exceptions = HospitalDay.objects.filter(
        hospital__in=list(closed), date__gte=first, date__lt=until
    ).values_list("hospital_id", "date", "is_open")
    for hospital_id, day, is_open in exceptions:
        if is_open:
            closed[hospital_id].discard(day)
        else:
            closed[hospital_id].add(day)
    return closed


def _public_holidays_between(state: str, first: date, until: date) -> set[date]:
    last = until - timedelta(days=1)
    return {
        day
        for year in range(first.year, last.year + 1)
        for day in public_holidays(state, year)
        if first <= day < until
    }
