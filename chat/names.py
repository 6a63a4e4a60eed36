"""Names of groups in the channel layer, and the messages that go through it, in one place.

A group is a user; its members are the socket servers where that user has a socket. Messages are
small dictionaries that any channel layer can carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chat.frames import dump
from chat.log import Entry

EVENT = "chat.event"  # an event of a conversation's log, delivered in order
FRAME = "chat.frame"  # something of the moment for one user: typing, presence, marks
ACCESS = "chat.access"  # look again at what these users may see
GONE = "chat.gone"  # a user's last socket on one server closed
PROBE = "chat.probe"  # a server asking itself whether the layer works


def user_group(user_id: int) -> str:
    return f"chat.user.{user_id}"


def event_message(entry: Entry, origin: str) -> dict[str, Any]:
    """``origin`` is the server that sends it and has delivered to its own sockets already."""
    return {
        "type": EVENT,
        "origin": origin,
        "pk": entry.conversation_id,
        "conversation": str(entry.conversation),
        "seq": entry.seq,
        "to": list(entry.audience),
        "text": dump(entry.frame()),
    }


def frame_message(
    user_id: int, frame: dict[str, Any], origin: str, *, may_drop: bool = False
) -> dict[str, Any]:
    """``may_drop``: of no use to somebody who reads too slowly (typing, presence)."""
    return {
        "type": FRAME,
        "origin": origin,
        "user": user_id,
        "text": dump(frame),
        "may_drop": may_drop,
    }


def access_message(user_ids: Sequence[int]) -> dict[str, Any]:
    return {"type": ACCESS, "users": list(user_ids)}
