"""Compares what was acknowledged with what the database holds. Pure: no Swarm, no database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.swarm_test.records import Booking
from deploy.swarm_test.sockets import Device
from deploy.swarm_test.verdict import Check, Row
from tests.chat.history import checker
from tests.chat.history.journal import Event, Stored


@dataclass
class Lost:
    """An acknowledged item that is not there as it was acknowledged."""

    what: str
    acknowledged: float


@dataclass
class Judgment:
    lost: list[Lost] = field(default_factory=list)
    bookings: int = 0
    messages: int = 0
    doubled_bookings: int = 0
    wrong_bookings: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)  # the checker's sentences


def lost_bookings(bookings: Iterable[Booking], stored: Sequence[Sequence[Any]]) -> list[Lost]:
    """``stored``: (key, visit, whether it is cancelled)."""
    by_key: dict[str, list[tuple[str, bool]]] = {}
    for key, visit, cancelled in stored:
        by_key.setdefault(key, []).append((visit, cancelled))
    found = []
    for booking in bookings:
        if not booking.visit:
            continue
        there = by_key.get(booking.key, [])
        if [visit for visit, _ in there] != [booking.visit]:
            found.append(Lost(f"booking {booking.key}: {there}", booking.acknowledged))
        elif booking.cancelled and not there[0][1]:
            found.append(Lost(f"cancellation of {booking.visit}", booking.acknowledged))
    return found


def doubled_keys(stored: Sequence[Sequence[Any]]) -> int:
    """Keys with more than one visit."""
    return sum(times > 1 for times in Counter(key for key, _, _ in stored).values())


def stored_of(world: Mapping[str, Any], truth: Mapping[str, Any]) -> Stored:
    events: dict[str, list[Event]] = {place["conversation"]: [] for place in world["places"]}
    for conversation, seq, kind, client_id, sender, body, target in truth["events"]:
        events[conversation].append(Event(seq, kind, client_id, sender, body, target))
    members = {place["conversation"]: frozenset(place["members"]) for place in world["places"]}
    return Stored(events, dict(truth["heads"]), members)


def lost_messages(devices: Iterable[Device], stored: Stored) -> list[Lost]:
    places: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for conversation, events in stored.events.items():
        for event in events:
            places.setdefault((event.sender, event.client_id), []).append((conversation, event.seq))
    return [
        Lost(f"{device.journal.device}: {ack}", device.acknowledged[ack.client_id][0])
        for device in devices
        for ack in device.journal.acks
        if places.get((device.journal.user, ack.client_id)) != [(ack.conversation, ack.seq)]
    ]


RULES = (
    checker.acknowledged_is_stored_once,
    checker.written_is_acknowledged,
    checker.numbers_have_no_holes,
    checker.everybody_saw_the_log,
    checker.senders_keep_their_order,
    checker.nobody_outside,
    checker.nothing_else_went_wrong,
)


def judge(
    bookings: Iterable[Booking],
    devices: Sequence[Device],
    world: Mapping[str, Any],
    truth: Mapping[str, Any],
) -> Judgment:
    bookings = list(bookings)
    stored = stored_of(world, truth)
    journals = [device.journal for device in devices]
    return Judgment(
        lost=lost_bookings(bookings, truth["bookings"]) + lost_messages(devices, stored),
        bookings=sum(bool(booking.visit) for booking in bookings),
        messages=sum(len(device.acknowledged) for device in devices),
        doubled_bookings=doubled_keys(truth["bookings"]),
        wrong_bookings=[
            f"booking {booking.key}: {booking.wrong}" for booking in bookings if booking.wrong
        ],
        history=[f"{rule.__name__}: {what}" for rule in RULES for what in rule(journals, stored)],
    )


def blame(rows: Sequence[Row], judgment: Judgment) -> None:
    """Each lost item goes to the fault during which it was acknowledged."""
    for item in judgment.lost:
        for row in rows:
            if row.begun <= item.acknowledged <= row.ended:
                row.lost += 1
                break


def always(judgment: Judgment, truth: Mapping[str, Any]) -> list[Check]:
    """What must hold whatever happened."""
    return [
        Check("acknowledged and lost", len(judgment.lost), most=0),
        Check("bookings with a wrong answer", len(judgment.wrong_bookings), most=0),
        Check("doubled bookings", judgment.doubled_bookings, most=0),
        Check("faults of check_bookings", len(truth["check_bookings"].splitlines()), most=0),
        Check("broken audit chains", len(truth["broken_chains"]), most=0),
        Check("faults of the messages' history", len(judgment.history), most=0),
        Check("bookings acknowledged", judgment.bookings, least=1),
        Check("messages acknowledged", judgment.messages, least=1),
    ]
