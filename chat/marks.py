"""How far somebody has got in a conversation: delivered and read marks, which never fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from appointments.transactions import in_one_transaction
from chat import sight
from chat.access import members_of
from chat.log import iso
from chat.models import Conversation, Participant


@dataclass(frozen=True, slots=True)
class Mark:
    """``user`` has the conversation's events up to ``delivered``, and read them up to ``read``."""

    conversation: UUID
    user: int
    delivered: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """A mark that moved, and whom that concerns."""

    frame: dict[str, object]  # the `delivered` or `read` frame
    to: tuple[int, ...]


def mark(
    conversation: Conversation,
    user_id: int,
    *,
    delivered: int | None = None,
    read: int | None = None,
    now: datetime,
) -> bool:
    """Whether a mark moved. Numbers beyond the log's end count as its end."""
    wanted = Mark(conversation.public_id, user_id, delivered or 0, read or 0)
    return bool(mark_all([wanted], now=now))


def mark_all(marks: Sequence[Mark], *, now: datetime) -> list[Moved]:
    """Moves the marks of those who take part, and says which moved. Others' are ignored."""
    rows = {
        row.public_id: row
        for row in Conversation.objects.filter(
            public_id__in={mark.conversation for mark in marks}
        ).only("pk", "public_id", "last_seq")
    }
    members = members_of([row.pk for row in rows.values()], now)
    wanted: dict[tuple[int, int], tuple[int, int]] = {}
    for mark in marks:
        row = rows.get(mark.conversation)
        if row is None or mark.user not in members[row.pk]:
            continue
        before = wanted.get((row.pk, mark.user), (0, 0))
        read = min(mark.read, row.last_seq)
        # What was read was also delivered.
        delivered = max(read, min(mark.delivered, row.last_seq))
        wanted[row.pk, mark.user] = (max(before[0], delivered), max(before[1], read))
    if not wanted:
        return []
    moved = in_one_transaction(lambda: _store(wanted, now))
    public_ids = {row.pk: row.public_id for row in rows.values()}
    hiding = sight.hides_seen(member for found in members.values() for member in found.values())
    found = []
    for (pk, user), kind, seq in moved:
        everybody = tuple(members[pk])
        # Somebody who does not show "seen" still gets it on the own devices, for unread counts.
        to = (user,) if kind == "read" and user in hiding else everybody
        frame = {
            "type": kind,
            "conversation": str(public_ids[pk]),
            "user": str(members[pk][user].public_id),
            "seq": seq,
            "at": iso(now),
        }
        found.append(Moved(frame, to))
    return found


def _store(
    wanted: dict[tuple[int, int], tuple[int, int]], now: datetime
) -> list[tuple[tuple[int, int], str, int]]:
    rows = Participant.objects.filter(
        conversation__in={pk for pk, _ in wanted}, user__in={user for _, user in wanted}
    ).values_list("conversation", "user", "delivered_seq", "read_seq")
    known = {(pk, user): (delivered, read) for pk, user, delivered, read in rows}
    missing = [place for place in sorted(wanted) if place not in known]
    if missing:
        Participant.objects.bulk_create(
            [Participant(conversation_id=pk, user_id=user) for pk, user in missing],
            ignore_conflicts=True,  # another server was first: the updates below tell
        )
    moved = []
    for place in sorted(wanted):  # in one order, so that two servers do not wait crosswise
        delivered, read = wanted[place]
        before = known.get(place, (0, 0))
        row = Participant.objects.filter(conversation=place[0], user=place[1])
        # The condition is part of the update, so a mark never falls, whoever comes second.
        if delivered > before[0] and row.filter(delivered_seq__lt=delivered).update(
            delivered_seq=delivered
        ):
            moved.append((place, "delivered", delivered))
        if read > before[1] and row.filter(read_seq__lt=read).update(read_seq=read, read_at=now):
            moved.append((place, "read", read))
    return moved
