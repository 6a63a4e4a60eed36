"""One socket: `clinic.chat.v1` over WebSocket, one small method for each frame.

A plain ASGI application rather than a Channels consumer: the hub calls the socket directly, so it
needs no channel of its own, and no per-message look at database connections on the one thread that
everybody shares. Nothing that a client sends closes the socket, apart from frames beyond the size
limit; no exception leaves it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from http.cookies import CookieError
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.http import parse_cookie
from django.utils import timezone

from accounts import audit
from accounts.models import Patient, User
from chat import frames
from chat.frames import (
    BAD_FRAME,
    FRAME_LIMIT,
    NOT_FOUND,
    TOO_FAST,
    UNAVAILABLE,
    Delete,
    Delivered,
    Edit,
    FrameError,
    Ping,
    Read,
    Send,
    Sync,
    Typing,
    dump,
    error_frame,
)
from chat.history import history_text
from chat.hub import SIGNED_OUT, Hub, Seat, hub_here
from chat.lines import Delivery
from chat.log import Act, Entry, Outcome, Refused, iso
from chat.marks import Mark
from chat.models import Conversation
from chat.origins import is_allowed
from chat.outbox import AsgiFlow, Outbox, Outgoing
from chat.sight import Identity, Party
from clinic.net import client_address

SUBPROTOCOL = "clinic.chat.v1"
PATH = "/ws/chat/"
OVERSIZED = 1009
TRY_AGAIN = 1013  # the database is away just now
UNAVAILABLE_RETRY_MS = 2_000
TYPING_SECONDS = 2.0  # typing goes out at most this often for a conversation
MOST_TYPED = 1_000  # conversations of which a socket's last typing is remembered
MOST_SYNCS = 50  # questions for history of one socket that may wait

Receive = Callable[[], Awaitable[dict[str, Any]]]
SendEvent = Callable[[dict[str, Any]], Awaitable[None]]

logger = structlog.get_logger("chat.socket")

_CLIENT_ID = re.compile(r'"client_id"\s*:\s*"([0-9a-fA-F-]{36})"')


class Bucket:
    """How many frames a socket may still send: ``per_minute`` flow in, as many fit."""

    __slots__ = ("_at", "_per_minute", "_tokens")

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._tokens = float(per_minute)
        self._at = time.monotonic()

    def take(self) -> int:
        """0 when a frame may pass, else in how many milliseconds the next one may."""
        now = time.monotonic()
        flowed = (now - self._at) * self._per_minute / 60
        self._tokens = min(float(self._per_minute), self._tokens + flowed)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return int((1 - self._tokens) * 60_000 / self._per_minute) + 1


async def application(scope: dict[str, Any], receive: Receive, send: SendEvent) -> None:
    """All WebSocket requests: this address and allowed origins only, refused before accept."""
    await receive()  # websocket.connect
    if scope["path"] != PATH or not is_allowed(scope):
        await send({"type": "websocket.close"})
        return
    offered = scope.get("subprotocols") or []
    # Before it is accepted, so that no frame goes another way than the ones after it.
    socket = ChatSocket(scope.get("clinic.flow") or AsgiFlow(send), hub_here(), origin_of(scope))
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": SUBPROTOCOL if SUBPROTOCOL in offered else None,
        }
    )
    try:
        await socket.run(session_key(scope), receive)
    finally:
        socket.gone()


def origin_of(scope: dict[str, Any]) -> audit.Origin:
    """For the audit trail: the client's address, and the number that NGINX gave the request."""
    ids = [value for name, value in scope["headers"] if name == b"x-request-id"]
    known = ids[0].decode("latin1") if ids and settings.TRUSTED_PROXY_COUNT else ""
    is_one = known.isascii() and known.isalnum()
    return audit.Origin(client_address(scope), known if is_one else "")


def session_key(scope: dict[str, Any]) -> str | None:
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                key = parse_cookie(value.decode("latin1")).get(settings.SESSION_COOKIE_NAME)
            except CookieError:
                return None
            return key or None
    return None


class ChatSocket(Seat):
    __slots__ = (
        "_bucket",
        "_early",
        "_floors",
        "_held",
        "_hub",
        "_origin",
        "_outbox",
        "_syncing",
        "_syncs",
        "_typed",
        "_warned",
        "identity",
    )

    def __init__(self, flow: Any, hub: Hub, origin: audit.Origin = audit.NOWHERE) -> None:
        self._hub = hub
        self._origin = origin
        self._outbox = Outbox(flow)
        # A client may speak before it is welcomed.
        self._early: list[str | None] | None = []
        flow.received = self._received
        self._bucket = Bucket(settings.CHAT_FRAMES_PER_MINUTE)
        # Until the welcome is sent, what happens is held back; then what it includes is left out.
        self._held: list[Delivery | Outgoing] | None = []
        self._floors: dict[int, int] | None = None
        self._syncs: list[Sync] | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._typed: dict[UUID, float] | None = None
        self._warned: set[UUID] | None = None

    # --- The life of a socket ---------------------------------------------------------------

    async def run(self, key: str | None, receive: Receive) -> None:
        greeting = asyncio.ensure_future(self._greet(key))
        try:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    return
                self._received(message.get("text"))
        finally:
            greeting.cancel()

    def _received(self, text: str | None) -> None:
        if self._early is None:
            self._read(text)
        else:
            # What is beyond the limit is refused for that; its text need not be kept till then.
            if text and len(self._early) >= settings.CHAT_FRAMES_PER_MINUTE:
                found = _CLIENT_ID.search(text)
                text = found.group(0) if found else ""
            self._early.append(text)

    async def _greet(self, key: str | None) -> None:
        try:
            identity = await self._hub.identify.ask(key) if key else None
            if identity is None:
                self._outbox.close(SIGNED_OUT)
                return
            self.identity = identity
            self._outbox.on_close = lambda: self._hub.leave(self)
            await self._hub.join(self)
            welcome = await self._hub.welcome(self)
        except Exception as error:
            logger.warning("chat_welcome_failed", error=type(error).__name__)
            self._outbox.close(TRY_AGAIN)
            return
        self._put(
            {
                "type": "welcome",
                "user": str(identity.public_id),
                "epoch": welcome.epoch,
                "conversations": welcome.frames,
            }
        )
        self._floors = {place.pk: place.last_seq for place in welcome.places}
        held, self._held = self._held or [], None
        for one in held:
            if isinstance(one, Delivery):
                self.event(one)
            else:
                self._outbox.put(one)
        self._drop_floors()
        early, self._early = self._early or [], None
        for text in early:
            self._read(text)
        try:
            await self._hub.presence.arrived(self, welcome.peers)
        except Exception as error:
            logger.warning("chat_presence_failed", error=type(error).__name__)

    def _drop_floors(self) -> None:
        """Keeps only what the hub has not handed out yet, mostly nothing."""
        lines = self._hub.lines
        floors = {
            pk: seq
            for pk, seq in (self._floors or {}).items()
            if pk in lines and lines[pk].cursor < seq
        }
        self._floors = floors or None

    def gone(self) -> None:
        self._outbox.closed = True
        if self._syncing is not None:
            self._syncing.cancel()
        if hasattr(self, "identity"):
            self._hub.leave(self)

    # --- What the hub calls -----------------------------------------------------------------

    def event(self, delivery: Delivery) -> None:
        if self._held is not None:
            self._held.append(delivery)
        elif self._floors is None or delivery.seq > self._floors.get(delivery.pk, 0):
            self._outbox.put(delivery.outgoing)

    def frame(self, outgoing: Outgoing, *, may_drop: bool) -> None:
        if self._held is None:
            self._outbox.put(outgoing, may_drop=may_drop)
        elif not may_drop:
            self._held.append(outgoing)

    def close(self, code: int) -> None:
        self._outbox.close(code)

    # --- Frames from the client -------------------------------------------------------------

    def _read(self, text: str | None) -> None:
        if self._outbox.closed:
            return
        wait_ms = self._bucket.take()
        if wait_ms:
            found = _CLIENT_ID.search(text or "")
            self._error(
                TOO_FAST,
                "Too many messages in a short time. Wait a moment, then send again.",
                client_id=found.group(1).lower() if found else None,
                retry_after_ms=wait_ms,
            )
            return
        try:
            if text is None:
                raise FrameError(BAD_FRAME, "Frames are text, not binary.")
            if len(text) > FRAME_LIMIT // 4 and len(text.encode()) > FRAME_LIMIT:
                self._outbox.close(OVERSIZED)
                return
            frame = frames.parse(text)
            getattr(self, self._METHODS[type(frame)])(frame)
        except FrameError as error:
            self._error(error.code, error.detail, client_id=error.client_id)
        except Exception:
            logger.exception("chat_frame_failed")
            self._error(
                UNAVAILABLE,
                "This did not work just now. Try again.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )

    _METHODS = {
        Send: "_act",
        Edit: "_act",
        Delete: "_act",
        Delivered: "_delivered",
        Read: "_read_mark",
        Typing: "_typing",
        Sync: "_sync",
        Ping: "_ping",
    }

    def _act(self, frame: Send | Edit | Delete) -> None:
        def done(outcome: Outcome, live: bool) -> None:
            self._answer(frame, outcome, live)

        self._hub.committer.submit(Act(self.identity.user_id, frame), done)

    def _answer(self, frame: Send | Edit | Delete, outcome: Outcome, live: bool) -> None:
        if isinstance(outcome, Entry):
            self._hub.note_activity(self.identity)
            self._put(
                {
                    "type": "ack",
                    "client_id": frame.client_id,
                    "conversation": str(frame.conversation),
                    "seq": outcome.seq,
                    "at": iso(outcome.at),
                    "live": live,
                }
            )
        elif isinstance(outcome, Refused):
            if outcome.code == NOT_FOUND:
                self._note_refusal(frame.conversation)
            self._error(
                outcome.code,
                outcome.detail,
                client_id=frame.client_id,
                retry_after_ms=UNAVAILABLE_RETRY_MS if outcome.code == UNAVAILABLE else None,
            )

    def _delivered(self, frame: Delivered) -> None:
        self._with_party(
            frame.conversation,
            lambda party: self._hub.marking.add(
                Mark(frame.conversation, self.identity.user_id, delivered=frame.seq)
            ),
        )

    def _read_mark(self, frame: Read) -> None:
        self._with_party(
            frame.conversation,
            lambda party: self._hub.marking.add(
                Mark(frame.conversation, self.identity.user_id, read=frame.seq)
            ),
        )

    def _typing(self, frame: Typing) -> None:
        now = time.monotonic()
        typed = self._typed = self._typed or {}
        if len(typed) > MOST_TYPED:  # ids are a client's word
            typed.clear()
        if now - typed.get(frame.conversation, -TYPING_SECONDS) < TYPING_SECONDS:
            return
        typed[frame.conversation] = now
        # Others see it at once, so who takes part is asked anew: at most every 2 s.
        self._with_party(frame.conversation, self._type_in, fresh=True)

    def _type_in(self, party: Party) -> None:
        frame = {
            "type": "typing",
            "conversation": str(party.public_id),
            "user": str(self.identity.public_id),
        }
        others = [pk for pk in party.members if pk != self.identity.user_id]
        self._hub.tell(others, frame, may_drop=True)

    def _ping(self, frame: Ping) -> None:
        self._hub.spawn(self._pong())

    async def _pong(self) -> None:
        try:
            heads = await self._hub.heads(self.identity.user_id)
        except Exception:  # the connection is alive, the positions follow when they can be read
            heads = {}
        self._put({"type": "pong", "heads": heads})

    def _sync(self, frame: Sync) -> None:
        syncs = self._syncs = self._syncs or []
        if len(syncs) >= MOST_SYNCS:
            self._error(
                TOO_FAST,
                "Too many questions at once. Wait for the answers first.",
                retry_after_ms=1_000,
            )
            return
        syncs.append(frame)
        if self._syncing is None:
            self._syncing = asyncio.ensure_future(self._answer_syncs())

    async def _answer_syncs(self) -> None:
        """One after the other, and only while the client takes the answers."""
        try:
            while self._syncs and not self._outbox.closed:
                while not self._outbox.has_room and not self._outbox.closed:
                    await asyncio.sleep(0.05)
                await self._answer_sync(self._syncs.pop(0))
        finally:
            self._syncing = None

    async def _answer_sync(self, frame: Sync) -> None:
        try:
            party = await self._hub.fresh_party(frame.conversation, self.identity.user_id)
            if party is None:
                self._not_found(frame.conversation)
                return
            row = Conversation(pk=party.pk, public_id=party.public_id)
            text = await self._hub.pool.run(history_text, row, after=frame.after, limit=frame.limit)
        except Exception as error:
            logger.warning("chat_sync_failed", error=type(error).__name__)
            self._error(
                UNAVAILABLE,
                "The messages could not be read just now. Try again.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
            return
        self._outbox.put(Outgoing(text))

    # --- Answers ----------------------------------------------------------------------------

    def _with_party(
        self, conversation: UUID, then: Callable[[Party], None], *, fresh: bool = False
    ) -> None:
        """Goes on with who takes part, or answers that there is no such conversation."""
        self._hub.spawn(self._ask_party(conversation, then, fresh=fresh))

    async def _ask_party(
        self, conversation: UUID, then: Callable[[Party], None], *, fresh: bool
    ) -> None:
        ask = self._hub.fresh_party if fresh else self._hub.party
        try:
            party = await ask(conversation, self.identity.user_id)
        except Exception as error:  # marks and typing come again by themselves
            logger.warning("chat_party_failed", error=type(error).__name__)
            return
        if party is None:
            self._not_found(conversation)
        else:
            then(party)

    def _not_found(self, conversation: UUID) -> None:
        self._note_refusal(conversation)
        self._error(NOT_FOUND, "There is no such conversation.")

    def _note_refusal(self, conversation: UUID) -> None:
        """An attempt at somebody else's conversation is in the audit trail, once per socket."""
        warned = self._warned = self._warned or set()
        if conversation not in warned and len(warned) < 1_000:
            warned.add(conversation)
            refusal = _audit_refusal(self._hub, self.identity, conversation, self._origin)
            self._hub.spawn(refusal)

    def _error(
        self,
        code: str,
        detail: str,
        *,
        client_id: str | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        self._put(error_frame(code, detail, client_id=client_id, retry_after_ms=retry_after_ms))

    def _put(self, frame: dict[str, Any]) -> None:
        self._outbox.put(Outgoing(dump(frame)))


async def _audit_refusal(
    hub: Hub, identity: Identity, conversation: UUID, origin: audit.Origin
) -> None:
    try:
        await hub.slow_pool.run(_store_refusal, identity.user_id, conversation, origin)
    except Exception as error:
        logger.warning("chat_audit_failed", error=type(error).__name__)


def _store_refusal(user_id: int, conversation: UUID, origin: audit.Origin) -> None:
    patient = Patient.objects.filter(conversations__public_id=conversation).first()
    if patient is None:
        return  # an id of nothing concerns nobody
    user = User.objects.get(pk=user_id)
    if Conversation.objects.visible_to(user).filter(public_id=conversation).exists():
        return  # one's own: a message or file in it was not found
    token = audit.current_origin.set(origin)
    try:
        audit.record_refusal(
            "conversation.write",
            actor=user,
            patient=patient,
            subject=Conversation.objects.get(public_id=conversation),
            reason="not a participant",
        )
    finally:
        audit.current_origin.reset(token)
    logger.warning("chat_refused", at=timezone.now().isoformat())
