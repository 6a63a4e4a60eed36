"""One device that keeps to the protocol (docs/chat-protocol.md), and writes down what it saw.

It is written anew, apart from the page's client: acts of a conversation go out in order, one at a
time, and again with the same client_id until they are acknowledged; events with a number that it
has are ignored; a gap, a new connection and a head that is ahead are answered with `sync`; marks go
out at most once a second. Its times are a tenth of the page's, so that a run stays short.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.chat.history.journal import Ack, Event, Journal, Written
from tests.chat.history.stack import Entrance

PING_SECONDS = 2.5
SILENCE_SECONDS = 6.0  # then the connection counts as dead
ACK_SECONDS = 10.0  # then an act is sent again
ASK_SECONDS = 5.0  # then a question for history may be repeated
LEAST_RETRY = 0.25
MOST_RETRY = 2.0
MARK_SECONDS = 1.0
SYNC_LIMIT = 100
MOST_WAITING = 20  # acts in the outbox, beyond which the person stops writing

EVENTS = {"message", "edited", "deleted", "notice"}
OF_CONVERSATION = {*EVENTS, "history", "read", "delivered", "typing", "presence", "ack"}


class Device:
    def __init__(
        self,
        journal: Journal,
        *,
        session: str,
        entrance: Entrance,
        seed: int,
        on_ack: Callable[[], None] = lambda: None,
        most_retry: float = MOST_RETRY,
    ) -> None:
        self.journal = journal
        self.random = random.Random(seed)
        self.have: dict[str, int] = defaultdict(int)
        self.cut_rate = 0.0  # how often the connection is cut right after an act was sent
        self.is_stopped = False  # does not read
        self.wants_cut = False
        self.port: int | None = None  # of the server it is connected to
        # By client_id, on the monotonic clock; and whether the ack said that it went out live.
        self.written: dict[str, float] = {}
        self.acknowledged: dict[str, tuple[float, bool]] = {}
        self.arrived: dict[str, float] = {}
        self.opened: list[float] = []  # when welcomes came
        self._headers = {"Cookie": f"{entrance.cookie}={session}"}
        self._entrance = entrance
        self._on_ack = on_ack
        self._most_retry = most_retry
        self._outbox: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
        self._flying: dict[str, tuple[str, float]] = {}
        self._not_before: dict[str, float] = {}
        self._cut_while: dict[str, float] = {}  # client_id → when the next attempt was made
        self._asked: dict[str, float] = {}
        self._own: dict[str, list[int]] = defaultdict(list)  # own messages that can be changed
        self._marks: dict[tuple[str, str], int] = defaultdict(int)  # highest shown, by user
        self._sent_marks: dict[str, int] = defaultdict(int)
        self._socket: ClientConnection | None = None
        self._out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._is_deaf = False
        self._is_welcomed = False
        self._heard = 0.0
        self._retry_ms: int | None = None
        self._epoch: str | None = None

    # --- The connection -----------------------------------------------------------------------

    async def live(self) -> None:
        """Connects, and again whenever the connection ends, until it is cancelled."""
        attempt = 0
        while True:
            ports = self.random.sample(self._entrance.ports, len(self._entrance.ports))
            for port in ports:  # as a proxy does: the next server when one refuses
                with suppress(OSError, WebSocketException, TimeoutError, EOFError):
                    async with connect(
                        self._entrance.address(port),
                        ssl=self._entrance.tls,
                        origin=self._entrance.origin,  # type: ignore[arg-type]
                        additional_headers=self._headers,
                        subprotocols=["clinic.chat.v1"],  # type: ignore[list-item]
                        compression=None,
                        ping_interval=None,
                        open_timeout=5,
                        close_timeout=1,
                        max_size=None,
                        proxy=None,
                    ) as socket:
                        welcomed = len(self.opened)
                        self.port = port
                        await self._talk(socket)
                        if len(self.opened) > welcomed:
                            attempt = 0
                        break
            self.journal.counts["reconnects"] += 1
            if self._retry_ms is not None:
                pause, self._retry_ms = self._retry_ms / 1000, None
            else:
                pause = self.random.uniform(0, min(self._most_retry, LEAST_RETRY * 2**attempt))
            attempt += 1
            await asyncio.sleep(pause)

    async def _talk(self, socket: ClientConnection) -> None:
        self._socket, self._is_deaf, self._heard = socket, False, time.monotonic()
        self._out = asyncio.Queue()
        self._is_welcomed = False
        self._asked.clear()
        tasks = [asyncio.ensure_future(work(socket)) for work in (self._send_all, self._watch)]
        try:
            async for text in socket:
                if not self._is_deaf:
                    self._heard = time.monotonic()
                    self._got(json.loads(text))
        finally:
            if socket.close_code is not None and not self._is_deaf:
                self.journal.counts[f"closed {socket.close_code}"] += 1
            self._socket = self.port = None
            self._flying.clear()
            for task in tasks:
                task.cancel()

    async def _send_all(self, socket: ClientConnection) -> None:
        with suppress(WebSocketException, OSError):
            while True:
                frame = await self._out.get()
                await socket.send(json.dumps(frame))
                is_act = "client_id" in frame
                if is_act and (self.wants_cut or self.random.random() < self.cut_rate):
                    await self._cut(socket, frame["client_id"])
                    return

    async def _cut(self, socket: ClientConnection, client_id: str) -> None:
        """What the server answers from now on is lost, also when it has committed."""
        self.wants_cut = False
        self._is_deaf = True
        self.journal.counts["cuts"] += 1
        self._cut_while[client_id] = 0.0
        await asyncio.sleep(self.random.uniform(0, 0.2))
        socket.transport.abort()

    async def _watch(self, socket: ClientConnection) -> None:
        """Ping, marks, and acts whose time has come."""
        pinged = marked = 0.0
        while True:
            await asyncio.sleep(0.1)
            now = time.monotonic()
            if self.is_stopped:
                self._heard = now
                continue
            if now - self._heard > SILENCE_SECONDS:
                self.journal.counts["silences"] += 1
                socket.transport.abort()
                return
            if not self._is_welcomed:
                continue
            if now - pinged > PING_SECONDS:
                pinged = now
                self._out.put_nowait({"type": "ping"})
            if now - marked > MARK_SECONDS:
                marked = now
                self._mark()
            self._flush()

    @property
    def is_up(self) -> bool:
        return self._socket is not None and self._is_welcomed

    async def stop_reading(self, seconds: float) -> None:
        """The device sleeps: nothing is read, not even by its network stack."""
        socket = self._socket
        if socket is None:
            return
        self.is_stopped = True
        transport = socket.transport
        transport.pause_reading()
        await asyncio.sleep(seconds)
        with suppress(Exception):  # the server may have ended the connection meanwhile
            transport.resume_reading()
        self.is_stopped = False
        self.journal.counts["stops"] += 1

    # --- What the person does -----------------------------------------------------------------

    @property
    def waiting(self) -> int:
        return sum(map(len, self._outbox.values()))

    def write(self, body: str) -> None:
        """A message in one of the conversations; now and then a change to an earlier one."""
        conversation = self.random.choice(sorted(self.journal.conversations))
        self._put("message", conversation, {"type": "send", "body": body})
        chance = self.random.random()
        own = self._own[conversation]  # acknowledged, not deleted
        if own and chance < 0.04:
            changed = {"type": "edit", "target": self.random.choice(own), "body": f"{body}, better"}
            self._put("edited", conversation, changed)
        elif own and chance < 0.06:
            target = own.pop(self.random.randrange(len(own)))
            self._put("deleted", conversation, {"type": "delete", "target": target})
        elif chance < 0.2 and self.is_up:
            self._out.put_nowait({"type": "typing", "conversation": conversation})

    def say(self, conversation: str, body: str) -> str:
        return self._put("message", conversation, {"type": "send", "body": body})

    def _put(self, kind: str, conversation: str, frame: dict[str, Any]) -> str:
        client_id = str(uuid4())
        self.written[client_id] = time.monotonic()
        self.journal.wrote[conversation].append(
            Written(client_id, kind, frame.get("body", ""), frame.get("target"))
        )
        self._outbox[conversation].append(
            {**frame, "conversation": conversation, "client_id": client_id}
        )
        self._flush()
        return client_id

    def _flush(self) -> None:
        if not self.is_up or self._is_deaf:
            return
        now = time.monotonic()
        for conversation, acts in self._outbox.items():
            if not acts or now < self._not_before.get(conversation, 0):
                continue
            flying = self._flying.get(conversation)
            if flying is not None and now - flying[1] < ACK_SECONDS:
                continue
            frame = acts[0]
            client_id = frame["client_id"]
            self._flying[conversation] = (client_id, now)
            if self._cut_while.get(client_id) == 0.0:
                self._cut_while[client_id] = time.time()
                self.journal.counts["resent"] += 1
            self._out.put_nowait(frame)

    def _mark(self) -> None:
        for conversation, seq in list(self.have.items()):
            if seq > self._sent_marks[conversation]:
                self._sent_marks[conversation] = seq
                kind = self.random.choice(["delivered", "read"])
                self._out.put_nowait({"type": kind, "conversation": conversation, "seq": seq})
            elif seq and self.random.random() < 0.05:
                # An old mark that comes late, from a tab that was asleep.
                old = self.random.randint(1, seq)
                self._out.put_nowait({"type": "read", "conversation": conversation, "seq": old})

    # --- Frames -------------------------------------------------------------------------------

    def _got(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind in OF_CONVERSATION and frame["conversation"] not in self.journal.conversations:
            self.journal.foreign.append(str(frame)[:300])
            return
        if kind in EVENTS:
            self._event(frame)
        elif kind == "welcome":
            self._welcome(frame)
        elif kind == "ack":
            self._ack(frame)
        elif kind == "history":
            for event in frame["events"]:
                self._event(event)
            self._asked.pop(frame["conversation"], None)
            if frame["more"]:
                self._ask(frame["conversation"])
        elif kind == "pong":
            self._heads(frame["heads"])
        elif kind == "error":
            self._error(frame)
        elif kind in {"read", "delivered"}:
            if kind == "read":
                key = (frame["conversation"], frame["user"])
                self._marks[key] = max(self._marks[key], frame["seq"])
        elif kind == "bye":
            self._retry_ms = frame["retry_ms"]
        elif kind not in {"typing", "presence"}:
            self.journal.wrongs.append(f"unknown frame {frame}")

    def _welcome(self, frame: dict[str, Any]) -> None:
        self._is_welcomed = True
        self.opened.append(time.monotonic())
        if frame["user"] != self.journal.user:
            self.journal.wrongs.append(f"was welcomed as {frame['user']}")
        if self._epoch not in {None, frame["epoch"]}:
            self.journal.wrongs.append(f"the epoch went from {self._epoch} to {frame['epoch']}")
        self._epoch = frame["epoch"]
        named = {row["id"] for row in frame["conversations"]}
        for conversation in named - self.journal.conversations:
            self.journal.foreign.append(f"welcome names {conversation}")
        if named != self.journal.conversations:
            self.journal.wrongs.append(f"was welcomed to {len(named)} conversations")
        for row in frame["conversations"]:
            key = (row["id"], self.journal.user)
            if row["read_seq"] < self._marks[key]:
                self.journal.wrongs.append(f"own mark fell from {self._marks[key]}: {row}")
            self._marks[key] = row["read_seq"]
            for name in ("peer_read_seq", "peer_delivered_seq"):
                if row[name] < self._marks[row["id"], name]:
                    self.journal.wrongs.append(f"{name} fell from {self._marks[row['id'], name]}")
                self._marks[row["id"], name] = row[name]
        self._heads({row["id"]: row["last_seq"] for row in frame["conversations"]})
        self._flush()

    def _heads(self, heads: dict[str, int]) -> None:
        for conversation, seq in heads.items():
            if conversation not in self.journal.conversations:
                self.journal.foreign.append(f"a head of {conversation}")
            elif seq > self.have[conversation]:
                self._ask(conversation)

    def _ask(self, conversation: str) -> None:
        now = time.monotonic()
        if now - self._asked.get(conversation, -ASK_SECONDS) >= ASK_SECONDS:
            self._asked[conversation] = now
            self.journal.counts["syncs"] += 1
            self._out.put_nowait(
                {
                    "type": "sync",
                    "conversation": conversation,
                    "after": self.have[conversation],
                    "limit": SYNC_LIMIT,
                }
            )

    def _event(self, frame: dict[str, Any]) -> None:
        conversation, seq = frame["conversation"], frame["seq"]
        if seq <= self.have[conversation]:
            self.journal.counts["ignored"] += 1
            return
        if seq > self.have[conversation] + 1:
            self.journal.counts["gaps"] += 1
            self._ask(conversation)
            return
        self.have[conversation] = seq
        client_id = frame.get("client_id", "")
        self.arrived[client_id] = time.monotonic()
        self.journal.got[conversation].append(
            Event(
                seq,
                frame["type"],
                client_id,
                frame.get("sender", ""),
                frame.get("body", ""),
                frame.get("target"),
            )
        )

    def _ack(self, frame: dict[str, Any]) -> None:
        conversation, client_id = frame["conversation"], frame["client_id"]
        self.journal.acks.append(Ack(client_id, conversation, frame["seq"]))
        self.acknowledged.setdefault(client_id, (time.monotonic(), frame["live"]))
        if not frame["live"]:
            self.journal.counts["not live"] += 1
        again = self._cut_while.pop(client_id, 0.0)
        if again and datetime.fromisoformat(frame["at"]).timestamp() < again:
            self.journal.counts["replies lost after the commit"] += 1
        acts = self._outbox[conversation]
        if acts and acts[0]["client_id"] == client_id:
            act = acts.popleft()
            if act["type"] == "send":
                self._own[conversation].append(frame["seq"])
            self._flying.pop(conversation, None)
            self._on_ack()
            self._flush()

    def _error(self, frame: dict[str, Any]) -> None:
        self.journal.counts[f"error {frame['code']}"] += 1
        client_id = frame.get("client_id")
        if "retry_after_ms" not in frame:
            self.journal.wrongs.append(f"refused: {frame}")
        elif client_id is None:
            self._asked.clear()  # the next pong asks again
        else:
            for conversation, (flying, _) in list(self._flying.items()):
                if flying == str(UUID(client_id)):
                    del self._flying[conversation]
                    pause = frame["retry_after_ms"] / 1000
                    self._not_before[conversation] = time.monotonic() + pause


class Stranger(Device):
    """Signed in, takes part in nothing, and writes to other people's conversations all the same."""

    def intrude(self, conversation: str) -> None:
        if self.is_up:
            for frame in (
                {"type": "send", "client_id": str(uuid4()), "body": "Let me in"},
                {"type": "sync", "after": 0},
                {"type": "read", "seq": 1},
                {"type": "typing"},
            ):
                self._out.put_nowait({**frame, "conversation": conversation})

    def _error(self, frame: dict[str, Any]) -> None:
        self.journal.counts[f"error {frame['code']}"] += 1
        if frame["code"] not in {"not_found", "unavailable"}:
            self.journal.wrongs.append(f"was answered {frame}")
