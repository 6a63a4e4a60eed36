"""Which starts are free: pure computation on integers, without database, clock or settings.

Time is counted in grains of 5 minutes since 1970 in UTC. A set of grains is one Python integer in
which bit ``i`` stands for grain ``base + i``, so a whole day is a few machine words, and "is there
room for a visit of ``n`` grains" is shifting and masking instead of a loop.

Opening hours are wall-clock, so a local day is cut where its UTC offset changes. The hour that the
clock skips in spring is in no piece and is never offered; the hour it repeats in autumn is in two.
The grid of starts is anchored to local midnight, by the wall clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from appointments.zones import zone_info

GRAIN_MINUTES = 5
GRAIN_SECONDS = GRAIN_MINUTES * 60
MINUTES_PER_DAY = 24 * 60

Period = tuple[int, int]  # half-open, in grains


def grain_at(moment: datetime) -> int:
    """The grain in which ``moment`` lies."""
    return int(moment.timestamp()) // GRAIN_SECONDS


def grain_end(moment: datetime) -> int:
    """The first grain that begins at or after ``moment``: the half-open end of a period."""
    return -(-int(moment.timestamp()) // GRAIN_SECONDS)


def moment_of(grain: int) -> datetime:
    return datetime.fromtimestamp(grain * GRAIN_SECONDS, UTC)


def is_on_grain(moment: datetime) -> bool:
    return moment.microsecond == 0 and int(moment.timestamp()) % GRAIN_SECONDS == 0


@dataclass(frozen=True)
class Piece:
    """A part of a local day with one UTC offset: grains ``[start, end)``, wall = UTC + offset."""

    start: int
    end: int
    offset: int  # grains

    def wall_minute(self, grain: int) -> int:
        """Minutes since local midnight, on the wall clock, at ``grain``."""
        return (grain + self.offset) * GRAIN_MINUTES % MINUTES_PER_DAY


def _offset(zone: str, grain: int) -> int:
    offset = moment_of(grain).astimezone(zone_info(zone)).utcoffset() or timedelta()
    return int(offset.total_seconds()) // GRAIN_SECONDS


@lru_cache(maxsize=20_000)
def pieces_of_day(zone: str, day: date) -> tuple[Piece, ...]:
    """The local ``day`` in UTC: one piece, or two when the clocks change on it."""
    tz = zone_info(zone)
    # fold=0 picks the first of two midnights; a midnight that does not exist maps to the change.
    start = grain_end(datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC))
    following = day + timedelta(days=1)
    end = grain_at(
        datetime(following.year, following.month, following.day, tzinfo=tz).astimezone(UTC)
    )
    first, last = _offset(zone, start), _offset(zone, end - 1)
    if first == last:
        return (Piece(start, end, first),)
    low, high = start, end - 1  # the last grain known with `first`, the first known with `last`
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle) == first:
            low = middle
        else:
            high = middle
    return (Piece(start, high, first), Piece(high, end, last))


def open_periods(zone: str, day: date, opens: int, closes: int) -> list[Period]:
    """Where the wall clock of ``day`` shows ``opens <= minute < closes``, as periods of grains.

    Periods that touch across a clock change are one, so a visit may run through it.
    """
    found: list[Period] = []
    for piece in pieces_of_day(zone, day):
        # Grain at which this piece's wall clock would show local midnight.
        midnight = piece.start - piece.wall_minute(piece.start) // GRAIN_MINUTES
        start = max(piece.start, midnight - (-opens // GRAIN_MINUTES))
        end = min(piece.end, midnight + closes // GRAIN_MINUTES)
        if start >= end:
            continue
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def mask(periods: Iterable[Period], base: int, length: int) -> int:
    """The bits of ``periods`` within ``[base, base + length)``."""
    bits = 0
    for start, end in periods:
        low, high = max(start - base, 0), min(end - base, length)
        if low < high:
            bits |= ((1 << (high - low)) - 1) << low
    return bits


def runs(bits: int, length: int) -> int:
    """The bits at which a run of ``length`` set bits begins (``length`` 0: every bit)."""
    if length <= 0:
        return -1
    have = 1
    while have < length:
        step = min(have, length - have)
        bits &= bits >> step
        have += step
    return bits


@lru_cache(maxsize=20_000)
def grid_mask(zone: str, day: date, step: int) -> tuple[int, int]:
    """``(base, bits)`` of the starts that the grid of ``step`` minutes allows on ``day``."""
    pieces = pieces_of_day(zone, day)
    base = pieces[0].start
    bits = 0
    for piece in pieces:
        for grain in range(piece.start, piece.end):
            if piece.wall_minute(grain) % step == 0:
                bits |= 1 << (grain - base)
    return base, bits


def bits_of(bits: int) -> Iterator[int]:
    """The positions of the set bits, ascending."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def free_starts(
    *,
    zone: str,
    day: date,
    hours: Iterable[tuple[int, int]],
    busy: Iterable[Period],
    minutes: int,
    buffer_minutes: int,
    step: int,
) -> list[int]:
    """The grains at which a visit may start on the local ``day``.

    ``hours``: wall-clock minutes ``(opens, closes)``; ``busy``: what is taken or time off. The
    visit itself must fit into the hours; the pause after it may run past closing time but not into
    something busy.
    """
    periods = [
        period for opens, closes in hours for period in open_periods(zone, day, opens, closes)
    ]
    if not periods:
        return []
    base, grid = grid_mask(zone, day, step)
    visit, pause = minutes // GRAIN_MINUTES, buffer_minutes // GRAIN_MINUTES
    length = pieces_of_day(zone, day)[-1].end - base + visit + pause
    vacant = ~mask(busy, base, length) & ((1 << length) - 1)
    fits = runs(mask(periods, base, length) & vacant, visit)
    if pause:
        fits &= runs(vacant, pause) >> visit
    return [base + position for position in bits_of(fits & grid)]
