"""VTIMEZONE components of RFC 5545 §3.6.5 for IANA zones.

Onsets are written as yearly rules where the zone follows one, because that is all Outlook reads of
a VTIMEZONE ([MS-OXCICAL] 2.1.3.1.1.19), and in the wall-clock time before the change, as the RFC
demands. icalendar's own `Timezone.from_tzid` (7.3) lists dates without a rule and writes the onset
of daylight saving time in the time after the change, an hour late.
"""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from icalendar import Timezone, TimezoneDaylight, TimezoneStandard

from appointments.zones import zone_info

STEP = timedelta(days=7)  # no zone changes its clock twice within a week
# Enough years to tell "the second Sunday" from "March 8" and "the last" from "the fourth".
RULE_YEARS = 12
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True)
class Onset:
    """A change of the clock: the naive wall-clock time before it, both offsets, the new name."""

    wall: datetime
    before: timedelta
    after: timedelta
    name: str

    @property
    def kind(self) -> tuple[timedelta, timedelta, str]:
        return self.before, self.after, self.name


def offset(moment: datetime, zone: str) -> timedelta:
    return moment.astimezone(zone_info(zone)).utcoffset() or timedelta()


def onsets(zone: str, first: datetime, last: datetime) -> list[Onset]:
    """The changes of the clock of ``zone`` in ``first <= moment < last`` (UTC), in order."""
    found = []
    early = first
    while early < last:
        late = early + STEP
        before, after = offset(early, zone), offset(late, zone)
        if before != after:
            low, high = early, late
            while high - low > timedelta(minutes=1):
                middle = low + timedelta(minutes=(high - low) // timedelta(minutes=2))
                low, high = (middle, high) if offset(middle, zone) == before else (low, middle)
            name = high.astimezone(zone_info(zone)).strftime("%Z")
            found.append(Onset((high + before).replace(tzinfo=None), before, after, name))
        early = late
    return found


def yearly_rule(walls: list[datetime]) -> dict[str, str | int] | None:
    """The rule by which ``walls``, one a year, recur ("second Sunday of March"), or None."""
    first = walls[0]
    if [wall.year for wall in walls] != list(range(first.year, first.year + len(walls))):
        return None
    if len({(wall.month, wall.weekday(), wall.time()) for wall in walls}) > 1:
        return None
    numbers = {(wall.day - 1) // 7 + 1 for wall in walls}
    if len(numbers) == 1:
        number = numbers.pop()
    elif all(wall.day + 7 > monthrange(wall.year, wall.month)[1] for wall in walls):
        number = -1
    else:
        return None
    day = f"{number}{WEEKDAYS[first.weekday()]}"
    return {"FREQ": "YEARLY", "BYMONTH": first.month, "BYDAY": day}


def observance(onset: Onset, rule: dict[str, str | int] | None) -> Timezone:
    part = TimezoneDaylight() if onset.after > onset.before else TimezoneStandard()
    part.add("DTSTART", onset.wall)
    if rule is not None:
        part.add("RRULE", rule)
    part.add("TZOFFSETFROM", onset.before)
    part.add("TZOFFSETTO", onset.after)
    part.add("TZNAME", onset.name)
    return part


@lru_cache(maxsize=600)
def vtimezone(zone: str, first_year: int, last_year: int) -> Timezone:
    """The VTIMEZONE of ``zone`` for events from ``first_year`` to ``last_year``, both included.

    The result is shared: add it to a calendar, never change it.
    """
    component = Timezone()
    component.add("TZID", zone)
    start = datetime(first_year - 1, 1, 1, tzinfo=UTC)
    kinds = defaultdict(list)
    for onset in onsets(zone, start, datetime(first_year - 1 + RULE_YEARS, 1, 1, tzinfo=UTC)):
        kinds[onset.kind].append(onset)
    rules = {kind: yearly_rule([onset.wall for onset in same]) for kind, same in kinds.items()}
    regular = len(rules) == 2 and all(
        rule is not None and len(kinds[kind]) == RULE_YEARS for kind, rule in rules.items()
    )
    if regular:
        for kind, same in kinds.items():
            component.add_component(observance(same[0], rules[kind]))
        return component
    # No rule, or none that lasts: what holds at the start, then each change by its date.
    at_start = start.astimezone(zone_info(zone))
    held = offset(start, zone)
    initial = Onset(at_start.replace(tzinfo=None), held, held, at_start.strftime("%Z"))
    component.add_component(observance(initial, None))
    for onset in onsets(zone, start, datetime(last_year + 2, 1, 1, tzinfo=UTC)):
        component.add_component(observance(onset, None))
    return component


@lru_cache(maxsize=600)
def vtimezone_ics(zone: str, first_year: int, last_year: int) -> bytes:
    """`vtimezone` as text. Writing the same zone anew was half the work of an invitation."""
    return bytes(vtimezone(zone, first_year, last_year).to_ical())
