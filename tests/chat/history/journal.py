"""What one device wrote down, what the database holds, and who was meant to see what."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """An event as a device applied it, or as the database holds it."""

    seq: int
    kind: str
    client_id: str
    sender: str  # the user's public id
    body: str
    target: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """Something a person wrote on a device."""

    client_id: str
    kind: str
    body: str
    target: int | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    client_id: str
    conversation: str
    seq: int


@dataclass
class Journal:
    """One device's own account. ``user`` is the public id of who holds it."""

    device: str
    user: str
    conversations: frozenset[str]
    wrote: dict[str, list[Written]] = field(default_factory=lambda: defaultdict(list))
    acks: list[Ack] = field(default_factory=list)
    # In the order in which they were applied; a client that honors the protocol applies 1, 2, 3 …
    got: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    # Frames about conversations that this person takes no part in.
    foreign: list[str] = field(default_factory=list)
    # Anything else that a server must not do: a mark that fell, a refusal, another epoch.
    wrongs: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


# (conversation, user's public id) → (delivered, read)
Marks = dict[tuple[str, str], tuple[int, int]]


@dataclass
class Stored:
    """What the database holds after the run, and its marks as they were seen on the way."""

    events: dict[str, list[Event]]  # by conversation, in the order of their numbers
    heads: dict[str, int]  # the conversation row's own last number
    members: dict[str, frozenset[str]]  # users' public ids
    marks: list[Marks] = field(default_factory=list)  # samples, oldest first
