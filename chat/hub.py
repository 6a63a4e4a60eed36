"""The meeting point of all sockets of one server process.

What happens on other servers comes over a link (`chat.link`) that may lose, double or reorder it,
and may be away: what counts is in the database. So events are delivered in the order of their
numbers (`chat.lines`), holes are filled from the database, and every few seconds the hub looks at
the heads of its conversations and at who may still see them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection
from django.utils import timezone

from chat import names, office, sight
from chat.committer import Committer
from chat.frames import dump
from chat.history import missing_of_each
from chat.lines import Delivery, Line
from chat.link import Link
from chat.log import Entry
from chat.loops import Tasks, for_ever
from chat.marking import Marking
from chat.marks import Moved
from chat.outbox import Outgoing
from chat.pool import Gathered, Pool
from chat.presence import Peers, Presence
from chat.sight import Identity, Look, Party
from clinic.metrics import SOCKETS

LOOK_SECONDS = 3.5  # between looks at access and heads; the contract says 5 s at most
POLL_SECONDS = 2.0  # the same while the link is away
HOLE_PATIENCE = 0.15  # how long a hole may close by itself before the database is asked
ACTIVE_SECONDS = 60.0  # between notes that somebody is active
MOST_ACTIVE = 20_000  # sign-ins of which the last note is remembered
PARTY_SECONDS = 4.0  # how long it is remembered who takes part in a conversation
MOST_PER_LOOK = 200  # users in one batch of queries

SIGNED_OUT = 4401
WITHDRAWN = 4403
LEAVING = 4012

logger = structlog.get_logger("chat.hub")


class Seat:
    """What the hub knows of a socket. `chat.socket.ChatSocket` fills it with life."""

    identity: Identity

    def event(self, delivery: Delivery) -> None:
        raise NotImplementedError

    def frame(self, outgoing: Outgoing, *, may_drop: bool) -> None:
        raise NotImplementedError

    def close(self, code: int) -> None:
        raise NotImplementedError


class Here:
    """A user with sockets on this server."""

    __slots__ = ("peers", "places", "public_id", "seats", "user_id")

    def __init__(self, user_id: int, public_id: UUID) -> None:
        self.user_id = user_id
        self.public_id = public_id
        self.seats: set[Seat] = set()
        self.places: set[int] = set()  # conversations, by primary key
        self.peers: Peers = {}


class Hub:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.pool = Pool(settings.CHAT_THREADS)
        self.slow_pool = Pool(settings.CHAT_SLOW_THREADS, "chat-slow")
        self.users: dict[int, Here] = {}
        self.lines: dict[int, Line] = {}
        self._tasks = Tasks()
        self._look_soon = asyncio.Event()
        self.link = Link(got=self._got, changed=self._look_soon.set)
        # SQLite has one writer: a second transaction would only wait for the first.
        batches = 1 if connection.vendor == "sqlite" else 2
        self.committer = Committer(self.pool, self.slow_pool, self._stored, batches=batches)
        self.identify = Gathered(self.pool, sight.identify)
        self.welcomes = Gathered(self.pool, sight.welcomes, most=100)
        self.presence = Presence(self)
        self.marking = Marking(self.pool, self._tasks, self._tell_moved)
        self._parties = Gathered(self.pool, sight.parties)
        self._known_parties: dict[UUID, tuple[float, Party | None]] = {}
        self._heads = Gathered(self.pool, sight.heads_of_each)
        self._fills = Gathered(self.pool, missing_of_each, most=50)
        self._active: dict[UUID, float] = {}  # sign-in → when its activity is noted again
        self.is_leaving = False
        self.link.start()
        for work in (self._look_now_and_then, self.presence.refresh):
            self.spawn(for_ever(work))

    def spawn(self, work: Awaitable[Any]) -> None:
        self._tasks.spawn(work)

    # --- Sockets come and go ----------------------------------------------------------------

    async def join(self, seat: Seat) -> None:
        """After this the seat gets what happens; what happened before is in its welcome."""
        user_id = seat.identity.user_id
        here = self.users.get(user_id)
        if here is None:
            here = self.users[user_id] = Here(user_id, seat.identity.public_id)
        here.seats.add(seat)
        SOCKETS.inc()
        await self.link.wait_until_joined()

    def leave(self, seat: Seat) -> None:
        here = self.users.get(seat.identity.user_id)
        if here is None or seat not in here.seats:
            return
        here.seats.discard(seat)
        SOCKETS.dec()
        if not here.seats:
            del self.users[here.user_id]
            self.spawn(self._exit(here))

    async def _exit(self, here: Here) -> None:
        if here.user_id not in self.users and not self.is_leaving:
            await self.presence.left(here)

    def seats(self) -> list[Seat]:
        return [seat for here in self.users.values() for seat in here.seats]

    async def welcome(self, seat: Seat) -> sight.Welcome:
        """Positions as of now. From each on, `seat.event` is called without a hole."""
        user_id = seat.identity.user_id
        found = await self.welcomes.ask(user_id)
        here = self.users.get(user_id)
        if here is not None:
            self._place(here, found.places)
            here.peers = found.peers
        return found

    def _place(self, here: Here, places: Iterable[sight.Place]) -> None:
        for place in places:
            here.places.add(place.pk)
            line = self.lines.get(place.pk)
            if line is None:
                self.lines[place.pk] = Line(place.pk, place.public_id, place.last_seq)
            else:
                self._head_is(line, place.last_seq)

    # --- Events, in order -------------------------------------------------------------------

    async def _stored(self, entries: Sequence[Entry]) -> bool:
        """After a commit here: to the sockets here at once, to the others through the layer."""
        messages = [names.event_message(entry) for entry in entries]
        for entry, (_, message) in zip(entries, messages, strict=True):
            self._deliver(
                Delivery(
                    entry.conversation_id,
                    entry.conversation,
                    entry.seq,
                    entry.audience,
                    Outgoing(message["text"]),
                )
            )
        now = timezone.now()
        if places := office.to_look_at(entries, now=now):
            self.spawn(self._answer_when_closed(places, now))  # no acknowledgement waits for it
        return await self.link.publish(messages)

    async def _answer_when_closed(self, places: set[int], now: datetime) -> None:
        """The automatic answer to who writes outside office hours."""
        try:
            answers = await self.slow_pool.run(office.answers_when_closed, places, now=now)
            if answers:
                await self._stored(answers)
        except Exception as error:
            logger.warning("chat_automatic_answer_failed", error=type(error).__name__)

    def _event(self, message: dict[str, Any]) -> None:
        to = tuple(message["to"])
        self._deliver(
            Delivery(
                message["pk"],
                UUID(message["conversation"]),
                message["seq"],
                to,
                Outgoing(message["text"]),
            )
        )

    def _deliver(self, delivery: Delivery) -> None:
        if self.users.keys().isdisjoint(delivery.to):
            return  # it concerns other servers
        line = self.lines.get(delivery.pk)
        if line is None:  # opened after everybody's welcome
            line = Line(delivery.pk, delivery.conversation, delivery.seq - 1)
            self.lines[delivery.pk] = line
        for ready in line.offer(delivery):
            for user in ready.to:
                here = self.users.get(user)
                if here is not None:
                    for seat in list(here.seats):
                        seat.event(ready)
        if line.is_behind:
            self._fill_soon(line)

    def _head_is(self, line: Line, seq: int) -> None:
        line.head = max(line.head, seq)
        if line.is_behind:  # also when an earlier try to fill the hole failed
            self._fill_soon(line)

    def _fill_soon(self, line: Line) -> None:
        if not line.filling:
            line.filling = True
            self.spawn(self._fill(line))

    async def _fill(self, line: Line) -> None:
        try:
            if self.link.live:
                await asyncio.sleep(HOLE_PATIENCE)
            while line.is_behind and self.lines.get(line.pk) is line:
                before = line.cursor
                for delivery in await self._fills.ask((line.pk, line.conversation, line.cursor)):
                    self._deliver(delivery)
                if line.cursor == before:
                    break  # not there yet, or never: the next look tells
        except Exception as error:
            logger.warning("chat_fill_failed", error=type(error).__name__)
        finally:
            line.filling = False

    def note_activity(self, who: Identity) -> None:
        """Somebody wrote: the one thing on a socket that a person does and a page does not."""
        now = self.loop.time()
        if who.sign_in is None or now < self._active.get(who.sign_in, 0.0):
            return
        if len(self._active) > MOST_ACTIVE:
            self._active.clear()
        self._active[who.sign_in] = now + ACTIVE_SECONDS
        self.spawn(self._store_activity(who.sign_in))

    async def _store_activity(self, sign_in: UUID) -> None:
        try:
            await self.slow_pool.run(sight.note_activity, sign_in, now=timezone.now())
        except Exception as error:
            logger.warning("chat_activity_failed", error=type(error).__name__)
            self._active.pop(sign_in, None)

    # --- What is of the moment --------------------------------------------------------------

    def tell(self, user_ids: Iterable[int], frame: dict[str, Any], *, may_drop: bool) -> None:
        """Sends a frame to users' sockets, here and on other servers; it may get lost."""
        to = list(user_ids)
        if not to:
            return
        message = names.frame_message(to, frame, may_drop=may_drop)
        self._frame(message[1])
        if self.link.live:
            self.spawn(self.link.publish([message]))

    def _frame(self, message: dict[str, Any]) -> None:
        outgoing = Outgoing(message["text"])
        for user in message["to"]:
            self._show(user, outgoing, may_drop=bool(message["may_drop"]))

    def _show(self, user_id: int, outgoing: Outgoing, *, may_drop: bool) -> None:
        here = self.users.get(user_id)
        if here is not None:
            for seat in list(here.seats):
                seat.frame(outgoing, may_drop=may_drop)

    def _tell_moved(self, moved: Iterable[Moved]) -> None:
        for one in moved:
            self.tell(one.to, one.frame, may_drop=False)

    async def party(self, conversation: UUID, user_id: int) -> Party | None:
        """Who takes part, as of a few seconds ago at most; None when ``user_id`` does not."""
        now = self.loop.time()
        known = self._known_parties.get(conversation)
        if known is None or known[0] < now:
            if len(self._known_parties) > 10_000:
                self._known_parties.clear()
            known = (now + PARTY_SECONDS, await self._parties.ask(conversation))
            self._known_parties[conversation] = known
        party = known[1]
        return party if party is not None and user_id in party.members else None

    async def fresh_party(self, conversation: UUID, user_id: int) -> Party | None:
        """The same, as of now."""
        self._known_parties.pop(conversation, None)
        return await self.party(conversation, user_id)

    async def heads(self, user_id: int) -> dict[str, int]:
        """The last number of each of the user's conversations, from the database."""
        here = self.users.get(user_id)
        if here is None or not here.places:
            return {}
        found = await self._heads.ask(frozenset(here.places))
        result = {}
        for pk, seq in found.items():
            line = self.lines.get(pk)
            if line is not None:
                result[str(line.conversation)] = seq
                self._head_is(line, seq)
        return result

    # --- What other servers say --------------------------------------------------------------

    def _got(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == names.EVENT:
            self._event(message)
        elif kind == names.FRAME:
            self._frame(message)
        elif kind == names.ACCESS:
            self._known_parties.clear()
            if any(user in self.users for user in message["users"]):
                self._look_soon.set()
        elif kind == names.GONE and message["user"] in self.users:
            self.presence.still_here(message["user"])

    # --- Looking ----------------------------------------------------------------------------

    async def _look_now_and_then(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS if self.link.live else POLL_SECONDS):
                    await self._look_soon.wait()
            except TimeoutError:
                pass
            self._look_soon.clear()
            await self.look()

    async def look(self) -> None:
        """Closes sockets that may not stay, and finds events that did not come by the layer."""
        everybody = list(self.users)
        for start in range(0, len(everybody), MOST_PER_LOOK):
            asked = [
                (
                    user,
                    frozenset(seat.identity for seat in self.users[user].seats),
                    frozenset(self.users[user].places),
                )
                for user in everybody[start : start + MOST_PER_LOOK]
                if user in self.users
            ]
            for (user, _, _), found in zip(
                asked, await self.pool.run(sight.look, asked), strict=True
            ):
                here = self.users.get(user)
                if here is not None:
                    self._apply(here, found)
        seen = {pk for here in self.users.values() for pk in here.places}
        for pk in [pk for pk, line in self.lines.items() if pk not in seen and not line.filling]:
            del self.lines[pk]

    def _apply(self, here: Here, found: Look) -> None:
        for seat in list(here.seats):
            why = found.identities.get(seat.identity, "")
            if why:
                seat.close(SIGNED_OUT if why == "signed_out" else WITHDRAWN)
            elif found.lost:
                # The page still shows it; coming back, it gets what it may see.
                seat.close(WITHDRAWN)
        here.places -= found.lost
        gained = [place for place in found.places if place.pk not in here.places]
        self._place(here, found.places)
        if gained:
            # A position the client does not know: it asks for what it may see now.
            heads = {str(place.public_id): place.last_seq for place in gained}
            self._show(
                here.user_id, Outgoing(dump({"type": "pong", "heads": heads})), may_drop=False
            )

    # --- Leaving ----------------------------------------------------------------------------

    async def drain(self, *, spread: float) -> None:
        """Says goodbye to every socket, closes them over ``spread`` seconds, finishes commits."""
        self.is_leaving = True
        seats = self.seats()
        random.shuffle(seats)
        for seat in seats:
            retry_ms = random.randint(250, 3_000)  # noqa: S311  (spreads their return)
            seat.frame(Outgoing(dump({"type": "bye", "retry_ms": retry_ms})), may_drop=False)
        started = self.loop.time()
        for number, seat in enumerate(seats, start=1):
            while not self.committer.is_idle and self.loop.time() < started + spread:
                await asyncio.sleep(0.01)  # acks first
            seat.close(LEAVING)
            due = started + spread * number / len(seats)
            await asyncio.sleep(max(0.0, due - self.loop.time()))
        deadline = self.loop.time() + spread
        while not self.committer.is_idle and self.loop.time() < deadline:
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        self.link.stop()
        self._tasks.cancel()
        self.pool.close()
        self.slow_pool.close()


_hub: Hub | None = None


def hub_here() -> Hub:
    """This process's hub; made with the first socket. Call it on the event loop."""
    global _hub
    if _hub is None or _hub.loop is not asyncio.get_running_loop():
        _hub = Hub()
    return _hub


def running_hub() -> Hub | None:
    """This process's hub, when it has one; from any thread."""
    return _hub
