"""One conversation's events on one server, put into order.

Events come from commits here, from other servers, and from the database, several times or not at
all and in any order; they leave in the order of their numbers, each once, without holes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from chat.outbox import Outgoing


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to the sockets of ``to`` (users' primary keys)."""

    pk: int  # the conversation
    conversation: UUID
    seq: int
    to: tuple[int, ...]
    outgoing: Outgoing


class Line:
    """``cursor`` is the last number that was handed out, ``head`` the highest known to exist."""

    __slots__ = ("conversation", "cursor", "filling", "head", "held", "pk")

    def __init__(self, pk: int, conversation: UUID, cursor: int) -> None:
        self.pk = pk
        self.conversation = conversation
        self.cursor = self.head = cursor
        self.held: dict[int, Delivery] = {}
        self.filling = False

    def offer(self, delivery: Delivery) -> Iterator[Delivery]:
        """What can be handed out now that ``delivery`` is here."""
        self.head = max(self.head, delivery.seq)
        if delivery.seq <= self.cursor:
            return
        if delivery.seq != self.cursor + 1:
            self.held[delivery.seq] = delivery
            return
        following: Delivery | None = delivery
        while following is not None:
            self.cursor = following.seq
            yield following
            following = self.held.pop(self.cursor + 1, None)

    @property
    def is_behind(self) -> bool:
        return self.head > self.cursor
