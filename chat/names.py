"""What socket servers are told through the channel layer, and where, in one place.

All socket servers listen to the same group: one packet tells a whole batch to all of them, and each
picks what concerns its sockets. A group per user would be two publishes and two receipts a message.
With several Redis addresses there is one group on each; a conversation, or a user, always uses the
same one. Packets are small dictionaries that any channel layer can carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chat.frames import dump
from chat.log import Entry

SERVERS = "chat.servers"  # the group, or the beginning of its name where there are several

PACKET = "chat.packet"  # what follows, together
EVENT = "chat.event"  # an event of a conversation's log, delivered in order
FRAME = "chat.frame"  # something of the moment for some users: typing, presence, marks
ACCESS = "chat.access"  # look again at what these users may see
GONE = "chat.gone"  # a user's last socket on one server closed
PROBE = "chat.probe"  # a server asking itself whether the layer works

MOST_LETTERS = 200_000  # in one packet

Message = tuple[int, dict[str, Any]]  # the key of what it is about, and what is told


def event_message(entry: Entry) -> Message:
    return entry.conversation_id, {
        "type": EVENT,
        "pk": entry.conversation_id,
        "conversation": str(entry.conversation),
        "seq": entry.seq,
        "to": list(entry.audience),
        "text": dump(entry.frame()),
    }


def frame_message(
    user_ids: Sequence[int], frame: dict[str, Any], *, may_drop: bool = False
) -> Message:
    """``may_drop``: of no use to somebody who reads too slowly (typing, presence)."""
    about = {"type": FRAME, "to": list(user_ids), "text": dump(frame), "may_drop": may_drop}
    return user_ids[0] if user_ids else 0, about


def access_message(user_ids: Sequence[int]) -> Message:
    return 0, {"type": ACCESS, "users": list(user_ids)}


def gone_message(user_id: int) -> Message:
    return user_id, {"type": GONE, "user": user_id}


def packets(
    messages: Iterable[Message], origin: str, groups: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Groups, and what to send to each. ``origin`` is the server that has shown it to its own
    sockets already."""
    by_group: dict[str, list[dict[str, Any]]] = {}
    letters: dict[str, int] = {}
    for key, message in messages:
        group = groups[key % len(groups)]
        size = len(message.get("text", ""))
        if group in by_group and letters[group] + size > MOST_LETTERS:
            yield group, _packet(by_group.pop(group), origin)
        letters[group] = size + (letters[group] if group in by_group else 0)
        by_group.setdefault(group, []).append(message)
    for group, some in by_group.items():
        yield group, _packet(some, origin)


def _packet(messages: list[dict[str, Any]], origin: str) -> dict[str, Any]:
    return {"type": PACKET, "origin": origin, "messages": messages}
