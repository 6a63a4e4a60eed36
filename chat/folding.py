"""The numbered log as people read it: messages with their last text, deletions as a trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from chat.log import attachment_frame, names_of
from chat.models import Conversation, Event, Kind

SHOWN = (Kind.MESSAGE, Kind.NOTICE)


@dataclass
class Line:
    """A message or a notice, with what later events made of it."""

    conversation: int
    seq: int
    kind: str
    at: datetime
    body: str
    sender_id: int | None = None
    sender: UUID | None = None
    name: str = ""
    client_id: str = ""
    reply_to: int | None = None
    attachment: dict[str, Any] | None = None
    edited_at: datetime | None = None
    deleted: bool = False

    @property
    def is_notice(self) -> bool:
        return self.kind == Kind.NOTICE


def fold(events: Sequence[Event]) -> dict[tuple[int, int], Line]:
    """``events`` (messages and notices) as lines by (conversation, seq), in two queries.

    What was deleted has neither text nor file any more; the log keeps both.
    """
    changes = _changes([(event.conversation_id, event.seq) for event in events])
    people = names_of({event.sender_id for event in events if event.sender_id})
    lines = {}
    for event in events:
        line = Line(
            conversation=event.conversation_id,
            seq=event.seq,
            kind=event.kind,
            at=event.at,
            body=event.body,
            sender_id=event.sender_id,
            client_id=event.client_id or "",
            reply_to=event.reply_to,
            attachment=attachment_frame(event.attachment) if event.attachment else None,
        )
        if event.sender_id:
            line.sender, line.name = people[event.sender_id]
        for change in changes[event.conversation_id, event.seq]:
            if change.kind == Kind.EDITED:
                line.body, line.edited_at = change.body, change.at
            else:
                line.deleted = True
        if line.deleted:
            line.body, line.attachment, line.reply_to = "", None, None
        lines[event.conversation_id, event.seq] = line
    return lines


def _changes(places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], list[Event]]:
    """Edits and deletions by what they change, in the order in which they happened."""
    wanted: dict[int, list[int]] = defaultdict(list)
    for conversation, seq in places:
        wanted[conversation].append(seq)
    found: dict[tuple[int, int], list[Event]] = defaultdict(list)
    if not wanted:
        return found
    which = Q()
    for conversation, seqs in wanted.items():
        which |= Q(conversation=conversation, target__in=seqs)
    kinds = (Kind.EDITED, Kind.DELETED)
    for event in Event.objects.filter(which, kind__in=kinds).order_by("seq"):
        found[event.conversation_id, event.target or 0].append(event)
    return found


def lines_before(conversation: Conversation, *, before: int, limit: int) -> tuple[list[Line], bool]:
    """The last ``limit`` lines with ``seq < before``, ascending, and whether there are earlier."""
    events = list(
        Event.objects.filter(conversation=conversation, kind__in=SHOWN, seq__lt=before)
        .select_related("attachment")
        .order_by("-seq")[: limit + 1]
    )
    lines = fold(events[:limit][::-1])
    return list(lines.values()), len(events) > limit


def lines_after(conversation: Conversation, *, after: int, limit: int) -> tuple[list[Line], bool]:
    """The first ``limit`` lines with ``seq > after``, ascending, and whether there are later."""
    events = list(
        Event.objects.filter(conversation=conversation, kind__in=SHOWN, seq__gt=after)
        .select_related("attachment")
        .order_by("seq")[: limit + 1]
    )
    return list(fold(events[:limit]).values()), len(events) > limit


def lines_at(conversation: Conversation, seqs: Iterable[int]) -> dict[int, Line]:
    """Single lines by their number: what replies quote."""
    wanted = set(seqs)
    if not wanted:
        return {}
    events = list(
        Event.objects.filter(conversation=conversation, kind__in=SHOWN, seq__in=wanted)
        .select_related("attachment")
        .order_by("seq")
    )
    return {seq: line for (_, seq), line in fold(events).items()}


def search(conversation: Conversation, words: str, *, limit: int) -> list[Line]:
    """The newest lines whose text, as it is now, holds ``words``; newest first."""
    hits = (
        Event.objects.filter(conversation=conversation, body__icontains=words)
        .exclude(kind=Kind.DELETED)
        .order_by("-seq")
        .values_list("seq", "kind", "target")[: limit * 2]
    )
    places = [(target or 0) if kind == Kind.EDITED else seq for seq, kind, target in hits]
    lines = lines_at(conversation, places)
    folded = words.casefold()
    found = [line for line in lines.values() if folded in line.body.casefold()]
    return sorted(found, key=lambda line: -line.seq)[:limit]
