"""Free starts as integers against a slow, plain computation, in zones and nights that differ.

The slow one walks through all five minutes of UTC around the day and asks the zone what the clock
on the wall shows; it knows nothing of masks, shifts or the pieces of a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appointments.slots import (
    Period,
    free_starts,
    grain_at,
    grain_end,
    is_on_grain,
    mask,
    moment_of,
    pieces_of_day,
    runs,
)
from appointments.zones import time_words

STEP = timedelta(minutes=5)

# Zone and the days around which its clocks change (none: any days will do).
CHANGES = {
    "America/New_York": [date(2026, 3, 8), date(2026, 11, 1)],
    "Europe/Berlin": [date(2026, 3, 29), date(2026, 10, 25)],
    "America/Phoenix": [],
    "Asia/Kolkata": [],
    "Australia/Lord_Howe": [date(2026, 4, 5), date(2026, 10, 4)],  # by half an hour
    "Asia/Beirut": [date(2026, 3, 29), date(2026, 10, 24)],  # at midnight: no 0:00, two 23:xx
    "America/Havana": [date(2026, 3, 8), date(2026, 11, 1)],  # at midnight: no 0:xx, two 0:xx
    "Pacific/Apia": [],
}


def slow_starts(
    zone: str,
    day: date,
    hours: Sequence[tuple[int, int]],
    busy: Sequence[Period],
    minutes: int,
    buffer_minutes: int,
    step: int,
) -> list[datetime]:
    tz = ZoneInfo(zone)

    def open_at(moment: datetime) -> bool:
        wall = moment.astimezone(tz)
        minute = wall.hour * 60 + wall.minute
        return wall.date() == day and any(opens <= minute < closes for opens, closes in hours)

    taken = [(moment_of(start), moment_of(end)) for start, end in busy]

    def vacant_at(moment: datetime) -> bool:
        return not any(start <= moment < end for start, end in taken)

    found = []
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    for _grain in range(55 * 12):
        wall = moment.astimezone(tz)
        visit = [moment + STEP * number for number in range(minutes // 5)]
        pause = [visit[-1] + STEP * (number + 1) for number in range(buffer_minutes // 5)]
        if (
            (wall.hour * 60 + wall.minute) % step == 0
            and open_at(moment)
            and all(open_at(at) and vacant_at(at) for at in visit)
            and all(vacant_at(at) for at in pause)
        ):
            found.append(moment)
        moment += STEP
    return found


def quick_starts(
    zone: str,
    day: date,
    hours: Sequence[tuple[int, int]],
    busy: Sequence[Period] = (),
    minutes: int = 30,
    buffer_minutes: int = 0,
    step: int = 30,
) -> list[datetime]:
    grains = free_starts(
        zone=zone,
        day=day,
        hours=hours,
        busy=busy,
        minutes=minutes,
        buffer_minutes=buffer_minutes,
        step=step,
    )
    return [moment_of(grain) for grain in grains]


@st.composite
def places_and_days(draw: st.DrawFn) -> tuple[str, date]:
    zone = draw(st.sampled_from(sorted(CHANGES)))
    near = draw(st.sampled_from(CHANGES[zone] or [date(2026, 6, 15)]))
    return zone, near + timedelta(days=draw(st.integers(-2, 2)))


@st.composite
def opening_hours(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Up to three lines that do not overlap, on the grain; often in the night."""
    edges = draw(
        st.lists(st.integers(0, 288), min_size=2, max_size=6, unique=True).filter(
            lambda found: len(found) % 2 == 0
        )
    )
    edges.sort()
    return [(5 * edges[i], 5 * edges[i + 1]) for i in range(0, len(edges), 2)]


@given(
    where=places_and_days(),
    hours=opening_hours(),
    taken=st.lists(st.tuples(st.integers(-60, 360), st.integers(1, 40)), max_size=6),
    minutes=st.integers(1, 24).map(lambda grains: 5 * grains),
    buffer_minutes=st.integers(0, 6).map(lambda grains: 5 * grains),
    step=st.sampled_from([5, 10, 15, 20, 30, 45, 60, 240]),
)
@example(("America/Havana", date(2026, 11, 1)), [(0, 1440)], [], 60, 0, 15)
@example(("Asia/Beirut", date(2026, 10, 24)), [(1320, 1440)], [], 90, 10, 30)
@example(("Australia/Lord_Howe", date(2026, 4, 5)), [(60, 180)], [], 30, 0, 20)
def test_the_quick_way_finds_what_the_slow_way_finds(
    where: tuple[str, date],
    hours: list[tuple[int, int]],
    taken: list[tuple[int, int]],
    minutes: int,
    buffer_minutes: int,
    step: int,
) -> None:
    zone, day = where
    base = grain_at(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)))
    busy = [(base + start, base + start + length) for start, length in taken]
    assert quick_starts(zone, day, hours, busy, minutes, buffer_minutes, step) == slow_starts(
        zone, day, hours, busy, minutes, buffer_minutes, step
    )


@given(where=places_and_days())
def test_days_follow_each_other_without_gap_or_overlap(where: tuple[str, date]) -> None:
    zone, day = where
    today, tomorrow = pieces_of_day(zone, day), pieces_of_day(zone, day + timedelta(days=1))
    assert today[-1].end == tomorrow[0].start
    for one, following in pairwise(today):
        assert one.end == following.start and one.offset != following.offset


@given(st.sets(st.integers(0, 200)), st.integers(1, 30))
def test_runs_are_where_that_many_bits_follow(bits: set[int], length: int) -> None:
    number = sum(1 << bit for bit in bits)
    found = {at for at in range(201) if runs(number, length) >> at & 1}
    assert found == {at for at in bits if all(at + more in bits for more in range(length))}


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 40)), max_size=5),
    st.integers(0, 60),
    st.integers(1, 80),
)
def test_a_mask_has_a_bit_for_every_grain_of_its_periods(
    spans: list[tuple[int, int]], base: int, length: int
) -> None:
    periods = [(start, start + size) for start, size in spans]
    bits = mask(periods, base, length)
    for at in range(length):
        assert bits >> at & 1 == any(start <= base + at < end for start, end in periods)
    assert bits < 1 << length


# --- Both nights in which the clocks change, to the letter ----------------------------------
NIGHT = [(0, 4 * 60)]  # open from midnight to four


def words(zone: str, day: date, hours: list[tuple[int, int]] = NIGHT) -> list[str]:
    """What a person reads: starts every half hour, with the zone where a time comes twice."""
    return [time_words(moment, zone) for moment in quick_starts(zone, day, hours)]


def test_new_york_in_spring_never_offers_the_hour_that_is_not() -> None:
    assert words("America/New_York", date(2026, 3, 8)) == [
        *("12:00 am", "12:30 am", "1:00 am", "1:30 am", "3:00 am", "3:30 am")
    ]


def test_new_york_in_autumn_offers_the_hour_that_comes_twice_with_its_zone() -> None:
    day = date(2026, 11, 1)
    assert words("America/New_York", day) == [
        *("12:00 am", "12:30 am", "1:00 am EDT", "1:30 am EDT", "1:00 am EST", "1:30 am EST"),
        *("2:00 am", "2:30 am", "3:00 am", "3:30 am"),
    ]
    starts = quick_starts("America/New_York", day, NIGHT)
    assert {b - a for a, b in pairwise(starts)} == {timedelta(minutes=30)}


def test_berlin_in_spring_never_offers_the_hour_that_is_not() -> None:
    assert words("Europe/Berlin", date(2026, 3, 29)) == [
        *("12:00 am", "12:30 am", "1:00 am", "1:30 am", "3:00 am", "3:30 am")
    ]


def test_berlin_in_autumn_offers_the_hour_that_comes_twice_with_its_zone() -> None:
    assert words("Europe/Berlin", date(2026, 10, 25)) == [
        *("12:00 am", "12:30 am", "1:00 am", "1:30 am"),
        *("2:00 am CEST", "2:30 am CEST", "2:00 am CET", "2:30 am CET", "3:00 am", "3:30 am"),
    ]


@pytest.mark.parametrize("day", [date(2026, 3, 8), date(2026, 11, 1)])
def test_phoenix_keeps_its_clock(day: date) -> None:
    assert words("America/Phoenix", day) == [
        *("12:00 am", "12:30 am", "1:00 am", "1:30 am"),
        *("2:00 am", "2:30 am", "3:00 am", "3:30 am"),
    ]
    assert len(pieces_of_day("America/Phoenix", day)) == 1


def test_hours_that_lie_in_the_missing_hour_are_no_hours() -> None:
    assert words("America/New_York", date(2026, 3, 8), [(120, 180)]) == []


def test_a_visit_may_run_through_the_change_of_the_clock() -> None:
    spring = quick_starts("America/New_York", date(2026, 3, 8), [(60, 240)], minutes=120, step=60)
    assert spring == [datetime(2026, 3, 8, 6, 0, tzinfo=UTC)]  # 1 am EST to 4 am EDT
    autumn = quick_starts("America/New_York", date(2026, 11, 1), [(60, 120)], minutes=120, step=60)
    assert autumn == [datetime(2026, 11, 1, 5, 0, tzinfo=UTC)]  # 1 am EDT to 2 am EST


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/Phoenix", date(2026, 11, 1), 24),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
    ],
)
def test_a_day_has_as_many_hours_as_the_clock_gives_it(zone: str, day: date, hours: float) -> None:
    pieces = pieces_of_day(zone, day)
    assert (pieces[-1].end - pieces[0].start) / 12 == hours


# --- Grains ---------------------------------------------------------------------------------
def test_periods_are_half_open() -> None:
    day = date(2026, 6, 15)
    nine = datetime(2026, 6, 15, 13, 0, tzinfo=UTC)  # 9 am in New York
    busy = [(grain_at(nine), grain_end(nine + timedelta(minutes=30)))]
    starts = quick_starts("America/New_York", day, [(9 * 60, 10 * 60 + 30)], busy)
    assert starts == [nine + timedelta(minutes=30), nine + timedelta(minutes=60)]


def test_a_pause_may_pass_closing_time_but_not_reach_into_a_visit() -> None:
    day = date(2026, 6, 15)
    ten = datetime(2026, 6, 15, 14, 0, tzinfo=UTC)
    busy = [(grain_at(ten), grain_end(ten + timedelta(minutes=30)))]
    starts = quick_starts("America/New_York", day, [(540, 660)], busy, buffer_minutes=15, step=15)
    assert starts == [
        datetime(2026, 6, 15, 13, 0, tzinfo=UTC),
        datetime(2026, 6, 15, 13, 15, tzinfo=UTC),  # ends 9:45, pause until 10:00
        datetime(2026, 6, 15, 14, 30, tzinfo=UTC),  # ends 11:00, when the day ends
    ]


def test_a_moment_off_the_grain_occupies_the_whole_grain() -> None:
    odd = datetime(2026, 6, 15, 13, 2, 30, tzinfo=UTC)
    assert not is_on_grain(odd)
    assert moment_of(grain_at(odd)) == odd.replace(minute=0, second=0)
    assert moment_of(grain_end(odd)) == odd.replace(minute=5, second=0)
    assert is_on_grain(moment_of(grain_end(odd)))
    assert not is_on_grain(odd.replace(minute=5, second=0, microsecond=1))
