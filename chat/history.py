"""Reading a conversation's log back, the same over the socket, over HTTP, and to fill holes.

The text and file of a message that was deleted since are left out, of its edits too: the number
stays, so that no cursor meets a hole, and the record keeps the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from django.utils import timezone

from chat import log
from chat.access import members_of
from chat.frames import dump
from chat.lines import Delivery
from chat.log import Entry
from chat.models import Conversation, Event, Kind
from chat.outbox import Outgoing

# Bytes of a `history` frame's events, beyond which the rest is left for the next question.
HISTORY_BYTES = 256 * 1024
FILL = 200  # events read at once to fill a hole


def events_after(conversation: Conversation, *, after: int, limit: int) -> tuple[list[Entry], bool]:
    """Up to ``limit`` events with ``seq > after``, ascending, and whether there are more."""
    entries, more = log.read(conversation, after=after, limit=limit)
    return without_deleted(conversation.pk, entries), more


def without_deleted(conversation_id: int, entries: list[Entry]) -> list[Entry]:
    touched = {entry.target or entry.seq for entry in entries}
    deleted = set(
        Event.objects.filter(
            conversation=conversation_id, target__in=touched, kind=Kind.DELETED
        ).values_list("target", flat=True)
    )
    return [
        replace(entry, body="", attachment=None)
        if entry.kind != Kind.DELETED and (entry.target or entry.seq) in deleted
        else entry
        for entry in entries
    ]


def history_text(conversation: Conversation, *, after: int, limit: int) -> str:
    """The `history` frame that answers a `sync`."""
    entries, more = events_after(conversation, after=after, limit=limit)
    texts: list[str] = []
    size = 0
    for entry in entries:
        text = dump(entry.frame())
        size += len(text)
        if texts and size > HISTORY_BYTES:
            more = True
            break
        texts.append(text)
    head = f'{{"type":"history","conversation":"{conversation.public_id}","events":['
    return f'{head}{",".join(texts)}],"more":{"true" if more else "false"}}}'


def missing_of_each(asked: Sequence[tuple[int, UUID, int]]) -> list[list[Delivery]]:
    """Of each (conversation, public id, after): the events that follow, for who may see them."""
    members = members_of({pk for pk, _, _ in asked}, timezone.now())
    found = []
    for pk, public_id, after in asked:
        row = Conversation(pk=pk, public_id=public_id)
        entries, _ = events_after(row, after=after, limit=FILL)
        to = tuple(members.get(pk, {}))
        found.append(
            [
                Delivery(pk, public_id, entry.seq, to, Outgoing(dump(entry.frame())))
                for entry in entries
            ]
        )
    return found
