"""Who is online: a key in the cache with a time to live, refreshed while somebody has a socket.

Counting sockets goes wrong with the first server that is killed; a key that is not refreshed ends
by itself. A change is announced at once and found again by every server at its next refresh. While
Redis is away nothing is known, so nothing is announced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.cache import cache

from chat import names
from chat.frames import dump
from chat.outbox import Outgoing
from chat.pool import Gathered

if TYPE_CHECKING:
    from chat.hub import Here, Hub, Seat

TTL_SECONDS = 45
REFRESH_SECONDS = 15.0
GRACE_SECONDS = 2.0  # a page that is reloaded is not somebody who went away
AT_ONCE = 1_000  # keys in one question to the cache


@dataclass(slots=True)
class Peer:
    """Somebody who shares conversations with a user."""

    public_id: UUID
    conversations: list[str] = field(default_factory=list)


Peers = Mapping[int, Peer]


def _key(user_id: int) -> str:
    return f"chat:online:{user_id}"


def say_online(user_ids: Iterable[int]) -> None:
    cache.set_many({_key(pk): 1 for pk in user_ids}, TTL_SECONDS)


def online(user_ids: Iterable[int]) -> set[int]:
    """Those of the users who have a socket anywhere."""
    wanted = list(user_ids)
    found: set[int] = set()
    for start in range(0, len(wanted), AT_ONCE):
        keys = {_key(pk): pk for pk in wanted[start : start + AT_ONCE]}
        found |= {keys[key] for key in cache.get_many(list(keys))}
    return found


def _arrive(asked: Sequence[tuple[int, frozenset[int]]]) -> list[tuple[bool, set[int]]]:
    """Of each (user, peers): whether the user was away until now, and the peers online."""
    users = {user for user, _ in asked}
    known = online(users.union(*(peers for _, peers in asked)))
    say_online(users)
    return [(user not in known, known & peers) for user, peers in asked]


def _depart(user_id: int) -> None:
    cache.delete(_key(user_id))


def _frame(conversation: str, user: UUID, is_online: bool) -> dict[str, Any]:
    return {
        "type": "presence",
        "conversation": conversation,
        "user": str(user),
        "online": is_online,
    }


class Presence:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._online: set[int] = set()  # of the peers of the users here, as last told
        self._arrivals = Gathered(hub.pool, _arrive)

    async def arrived(self, seat: Seat, peers: Peers) -> None:
        """Tells a new socket who is online, and the others that its user is."""
        me = seat.identity
        was_away, here_too = await self._arrivals.ask((me.user_id, frozenset(peers)))
        self._online |= here_too
        for pk in here_too:
            for conversation in peers[pk].conversations:
                frame = _frame(conversation, peers[pk].public_id, True)
                seat.frame(Outgoing(dump(frame)), may_drop=True)
        if was_away:
            self._tell(me.public_id, True, {pk: peers[pk] for pk in here_too})

    def _tell(self, user: UUID, is_online: bool, peers: Peers) -> None:
        for pk, peer in peers.items():
            for conversation in peer.conversations:
                self._hub.tell([pk], _frame(conversation, user, is_online), may_drop=True)

    async def left(self, here: Here) -> None:
        """The user's last socket on this server closed; another server may have one."""
        if not self._hub.link.live:
            return
        await self._hub.pool.run(_depart, here.user_id)
        await self._hub.link.publish([names.gone_message(here.user_id)])
        await asyncio.sleep(GRACE_SECONDS)
        known = await self._hub.pool.run(online, {here.user_id, *here.peers})
        if here.user_id not in known and self._hub.link.live:
            told = {pk: peer for pk, peer in here.peers.items() if pk in known}
            self._tell(here.public_id, False, told)

    def still_here(self, user_id: int) -> None:
        """Another server lost the user's last socket there; this one has more."""
        self._hub.spawn(self._hub.pool.run(say_online, [user_id]))

    async def refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            if self._hub.link.live and self._hub.users:
                await self._refresh()

    async def _refresh(self) -> None:
        users = self._hub.users
        await self._hub.pool.run(say_online, list(users))
        peers = {pk for here in users.values() for pk in here.peers}
        known = await self._hub.pool.run(online, peers)
        if not self._hub.link.live:
            return  # Redis went away meanwhile: an empty answer says nothing
        changed = known ^ (self._online & peers)
        self._online = known
        for here in list(users.values()) if changed else ():
            for pk in changed & set(here.peers):
                peer = here.peers[pk]
                for conversation in peer.conversations:
                    outgoing = Outgoing(dump(_frame(conversation, peer.public_id, pk in known)))
                    for seat in list(here.seats):
                        seat.frame(outgoing, may_drop=True)
