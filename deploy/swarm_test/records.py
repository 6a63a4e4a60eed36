"""What the visitors saw, and what the table asks of it. Times are on the monotonic clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

GOOD = range(200, 500)  # answered; what the answer must have been, its visitor knows
UNREACHED = 0  # no answer came


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt of a visitor, as the visitor sees it.

    ``wrong``: what was not as it must be, empty when all was well. A browser's own second try on
    another address or on a new connection belongs to the attempt.
    """

    begun: float
    ended: float
    kind: str  # "page", "static", "book", "cancel", "sign-in"
    edge: str
    status: int
    wrong: str = ""
    connected: bool = False  # a new connection was made for it

    @property
    def ms(self) -> float:
        return (self.ended - self.begun) * 1000

    @property
    def is_write(self) -> bool:
        return self.kind in {"book", "cancel", "sign-in"}


@dataclass
class Booking:
    """A booking that a visitor wants; ``visit`` once it was acknowledged."""

    key: str
    booker: int
    begun: float
    visit: str = ""
    acknowledged: float = 0.0
    cancelled: bool = False
    attempts: int = 0
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Away:
    """A socket's time without a connection."""

    device: str
    lost: float
    back: float
    why: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message: when it was first sent, acknowledged, and seen by the other device."""

    sent: float
    acknowledged: float
    seen: float
    live: bool


@dataclass
class Records:
    requests: list[Request] = field(default_factory=list)
    bookings: dict[str, Booking] = field(default_factory=dict)
    away: list[Away] = field(default_factory=list)

    def between(self, begun: float, ended: float) -> list[Request]:
        return [one for one in self.requests if begun <= one.ended and one.begun <= ended]


def percentile(values: Iterable[float], percent: float) -> float:
    """The nearest-rank percentile, a value that was measured; 0 of nothing."""
    ranked = sorted(values)
    return ranked[max(math.ceil(len(ranked) * percent / 100), 1) - 1] if ranked else 0.0


def errors(requests: Iterable[Request]) -> list[Request]:
    return [one for one in requests if one.wrong]


def last_error_after(requests: Iterable[Request], moment: float) -> float:
    """Seconds from the moment until the last thing that went wrong; 0 when nothing did."""
    return max((one.ended - moment for one in requests if one.wrong), default=0.0)


def moves(away: Sequence[Away]) -> dict[str, int]:
    """How often each device had to connect anew."""
    found: dict[str, int] = {}
    for one in away:
        found[one.device] = found.get(one.device, 0) + 1
    return found
