"""What must hold after any history, whatever broke on the way. A rule is a function of its own.

Each yields sentences about what is wrong; an empty list is a history without a fault.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.chat.history.journal import Event, Journal, Stored


def faults(journals: Sequence[Journal], stored: Stored) -> list[str]:
    found: list[str] = []
    for rule in (
        acknowledged_is_stored_once,
        written_is_acknowledged,
        numbers_have_no_holes,
        everybody_saw_the_log,
        senders_keep_their_order,
        nothing_is_invented,
        marks_never_fall,
        nobody_outside,
        nothing_else_went_wrong,
    ):
        found += [f"{rule.__name__}: {what}" for what in rule(journals, stored)]
    return found


def acknowledged_is_stored_once(journals: Sequence[Journal], stored: Stored) -> Iterator[str]:
    places: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for conversation, events in stored.events.items():
        for event in events:
            places[event.sender, event.client_id].append((conversation, event.seq))
    for journal in journals:
        for ack in journal.acks:
            at = places[journal.user, ack.client_id]
            if at != [(ack.conversation, ack.seq)]:
                yield f"{journal.device} was told {ack}, stored is {at}"


def written_is_acknowledged(journals: Sequence[Journal], stored: Stored) -> Iterator[str]:
    """A run ends when every outbox is empty, so nothing may still wait."""
    for journal in journals:
        acknowledged = {ack.client_id for ack in journal.acks}
        for conversation, acts in journal.wrote.items():
            missing = [act.body for act in acts if act.client_id not in acknowledged]
            if missing:
                yield f"{journal.device} got no ack in {conversation} for {missing[:5]}"


def numbers_have_no_holes(journals: Sequence[Journal], stored: Stored) -> Iterator[str]:
    for conversation, events in stored.events.items():
        numbers = [event.seq for event in events]
        if numbers != list(range(1, len(numbers) + 1)):
            doubled = [seq for seq, times in Counter(numbers).items() if times > 1]
            holes = set(range(1, max(numbers) + 1)) - set(numbers)
            yield f"{conversation}: doubled numbers {doubled[:5]}, holes {sorted(holes)[:5]}"
    for conversation, head in stored.heads.items():
        highest = max((event.seq for event in stored.events.get(conversation, [])), default=0)
        if head != highest:
            yield f"{conversation} says {head}, its last event is {highest}"


def everybody_saw_the_log(journals: Sequence[Journal], stored: Stored) -> Iterator[str]:
    """Every device of every participant: all of it, in the order of the database, each once."""
    for conversation, members in stored.members.items():
        log = stored.events.get(conversation, [])
        deleted = {event.target for event in log if event.kind == "deleted"}
        for journal in journals:
            if journal.user not in members:
                continue
            got = journal.got.get(conversation, [])
            if len(got) == len(log) and all(
                _same(shown, event, deleted) for shown, event in zip(got, log, strict=True)
            ):
                continue
            yield f"{journal.device} in {conversation}: {_difference(got, log, deleted)}"


def _same(shown: Event, event: Event, deleted: set[int | None]) -> bool:
    # A text that was deleted since is left out when the log is read back, of its edits too.
    is_withheld = shown.body == "" and (event.target or event.seq) in deleted
    return (shown.seq, shown.kind, shown.client_id, shown.sender, shown.target) == (
        event.seq,
        event.kind,
        event.client_id,
        event.sender,
        event.target,
    ) and (shown.body == event.body or is_withheld)


def _difference(got: list[Event], log: list[Event], deleted: set[int | None]) -> str:
    times = Counter(event.client_id for event in got)
    doubled = [client_id for client_id, number in times.items() if number > 1]
    if doubled:
        return f"saw {len(doubled)} events twice, first {doubled[0]}"
    lost = [event.seq for event in log if event.client_id not in times]
    if lost:
        return f"saw {len(got)} events of {len(log)}, lost {lost[:5]}"
    for shown, event in zip(got, log, strict=False):
        if not _same(shown, event, deleted):
            return f"saw {shown} where the log has {event}"
    return f"saw {len(got)} events of {len(log)}"


def senders_keep_their_order(journals: Sequence[Journal], stored: Stored) -> Iterator[str]:
    for journal in journals:
        for conversation, acts in journal.wrote.items():
            own = {act.client_id for act in acts}
            log = [e.client_id for e in stored.events.get(conversation, []) if e.client_id in own]
            once = list(dict.fromkeys(log))  # doubles are another rule's
            wanted = [act.client_id for act in acts if act.client_id in set(once)]
            if once != wanted:
                first = next(n for n, pair in enumerate(zip(once, wanted, strict=True))
                             if pair[0] != pair[1])  # fmt: skip
                yield f"{journal.device} in {conversation}: its act {first} is stored elsewhere"


def nothing_is_invented(journals: Sequence[Journal], stored: Stored) -> Iterator[str]:
    wrote = {
        (conversation, journal.user, act.client_id, act.kind, act.body, act.target)
        for journal in journals
        for conversation, acts in journal.wrote.items()
        for act in acts
    }
    for conversation, events in stored.events.items():
        for event in events:
            said = (event.client_id, event.kind, event.body, event.target)
            if (conversation, event.sender, *said) not in wrote:
                yield f"{conversation}: nobody wrote {event}"


def marks_never_fall(journals: Sequence[Journal], stored: Stored) -> Iterator[str]:
    for before, after in pairwise(stored.marks):
        for place, was in before.items():
            now = after.get(place, (0, 0))
            if now[0] < was[0] or now[1] < was[1]:
                yield f"{place}: (delivered, read) went from {was} to {now}"
    for marks in stored.marks[-1:]:
        for (conversation, user), (delivered, read) in marks.items():
            if not read <= delivered <= stored.heads[conversation]:
                yield f"{user} in {conversation}: {read=} {delivered=} {stored.heads=}"


def nobody_outside(journals: Sequence[Journal], stored: Stored) -> Iterator[str]:
    for journal in journals:
        for frame in journal.foreign:
            yield f"{journal.device} got {frame}"
        for conversation in journal.got:
            if journal.user not in stored.members.get(conversation, ()):
                yield f"{journal.device} saw events of {conversation}"


def nothing_else_went_wrong(journals: Sequence[Journal], stored: Stored) -> Iterator[str]:
    for journal in journals:
        for what in journal.wrongs:
            yield f"{journal.device}: {what}"
