"""A device that talks: keeps to docs/chat-protocol.md with a page's own times, and keeps a journal.

The journal is the one of tests/chat/history, so its checker judges these runs as well.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from deploy.swarm_test.browser import Site
from deploy.swarm_test.records import Away, Delivery, Records
from tests.chat.history.journal import Ack, Event, Journal, Written

PING_SECONDS = 25.0
SILENCE_SECONDS = 35.0  # then the connection counts as dead
ACK_SECONDS = 10.0  # then an act is sent again
LEAST_RETRY, MOST_RETRY = 0.25, 25.0
OPEN_SECONDS = 5.0
SYNC_LIMIT = 200
MOST_WAITING = 10  # acts without an answer, beyond which a person stops writing
EVENTS = {"message", "edited", "deleted", "notice"}


class Device:
    def __init__(
        self, site: Site, facts: Mapping[str, Any], *, address: str, seed: int, records: Records
    ) -> None:
        self.journal = Journal(facts["name"], facts["user"], frozenset(facts["conversations"]))
        self.have: dict[str, int] = {}
        self.edge = ""
        self.is_up = False
        self.sent: dict[str, float] = {}
        self.acknowledged: dict[str, tuple[float, bool]] = {}
        self.seen: dict[str, float] = {}
        self.chance = random.Random(seed)
        self.waiting: deque[dict[str, Any]] = deque()
        self._site = site
        self._session = facts["session"]
        self._address = address
        self._records = records
        self._socket: ClientConnection | None = None
        self._heard = 0.0
        self._flying = 0.0  # when the first of the outbox was sent
        self._not_before = 0.0
        self._lost = time.monotonic()
        self._why = "first"
        self._retry: float | None = None
        self._epoch: str | None = None

    # --- The connection -----------------------------------------------------------------------

    async def live(self) -> None:
        attempt = 0
        while True:
            self.edge = self.chance.choice(self._site.edges)
            is_welcomed = False
            try:
                async with self._connection() as socket:
                    is_welcomed = await self._talk(socket)
            except (OSError, EOFError, TimeoutError, WebSocketException) as error:
                self.journal.counts[f"refused: {type(error).__name__}"] += 1
            attempt = 0 if is_welcomed else attempt + 1
            pause = self._retry
            if pause is None:
                pause = self.chance.uniform(0, min(MOST_RETRY, LEAST_RETRY * 2**attempt))
            self._retry = None
            await asyncio.sleep(pause)

    def _connection(self) -> connect:
        site = self._site
        return connect(
            f"wss://{site.host}:{site.port}/ws/chat/",
            host=self.edge,
            port=site.port,
            ssl=site.context,
            server_hostname=site.host,
            local_addr=(self._address, 0),
            origin=site.origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": f"{site.session_cookie}={self._session}"},
            subprotocols=["clinic.chat.v1"],  # type: ignore[list-item]
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_SECONDS,
            close_timeout=1,
            max_size=None,
            proxy=None,
        )

    async def _talk(self, socket: ClientConnection) -> bool:
        """Until the connection ends; whether it was welcomed."""
        self._socket, self._heard, self._flying = socket, time.monotonic(), 0.0
        watch = asyncio.ensure_future(self._watch(socket))
        try:
            async for text in socket:
                self._heard = time.monotonic()
                await self._got(json.loads(text))
        finally:
            watch.cancel()
            code = socket.close_code
            self.journal.counts[f"closed {code}"] += 1
            was_up, self.is_up, self._socket = self.is_up, False, None
            if was_up:
                self._lost, self._why = time.monotonic(), str(code)
        return was_up

    async def _watch(self, socket: ClientConnection) -> None:
        pinged = time.monotonic()
        with suppress(WebSocketException, OSError):
            while True:
                await asyncio.sleep(1)
                now = time.monotonic()
                if now - self._heard > SILENCE_SECONDS:
                    self.journal.counts["silences"] += 1
                    socket.transport.abort()
                    return
                if now - pinged > PING_SECONDS:
                    pinged = now
                    await socket.send('{"type":"ping"}')
                await self._flush()

    # --- Acts ---------------------------------------------------------------------------------

    async def write(self, body: str) -> None:
        """Into the outbox; it stays there until it is acknowledged."""
        conversation = next(iter(self.journal.conversations))
        client_id = str(uuid4())
        self.journal.wrote[conversation].append(Written(client_id, "message", body))
        self.sent[client_id] = time.monotonic()
        self.waiting.append(
            {"type": "send", "conversation": conversation, "client_id": client_id, "body": body}
        )
        await self._flush()

    async def _flush(self) -> None:
        now = time.monotonic()
        if not self.is_up or not self.waiting or now < self._not_before:
            return
        if self._flying and now - self._flying < ACK_SECONDS:
            return
        self._flying = now
        await self._send(self.waiting[0])

    async def _send(self, frame: dict[str, Any]) -> None:
        if self._socket is not None:
            with suppress(WebSocketException, OSError):
                await self._socket.send(json.dumps(frame))

    async def _ask(self, conversation: str) -> None:
        self.journal.counts["syncs"] += 1
        after = self.have.get(conversation, 0)
        await self._send(
            {"type": "sync", "conversation": conversation, "after": after, "limit": SYNC_LIMIT}
        )

    # --- Frames -------------------------------------------------------------------------------

    async def _got(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "welcome":
            await self._welcome(frame)
        elif kind == "ack":
            await self._ack(frame)
        elif kind in EVENTS:
            await self._event(frame)
        elif kind == "history":
            for event in frame["events"]:
                await self._event(event)
            if frame["more"]:
                await self._ask(frame["conversation"])
        elif kind == "pong":
            await self._heads(frame["heads"])
        elif kind == "bye":
            self._retry = frame["retry_ms"] / 1000
        elif kind == "error":
            self._error(frame)

    async def _welcome(self, frame: dict[str, Any]) -> None:
        now = time.monotonic()
        self.is_up = True
        self._records.away.append(Away(self.journal.device, self._lost, now, self._why))
        if self._epoch not in {None, frame["epoch"]}:  # the database was restored
            self.journal.counts["epochs"] += 1
            self.have.clear()
            self.journal.got.clear()
        self._epoch = frame["epoch"]
        named = {row["id"] for row in frame["conversations"]}
        if named != self.journal.conversations:
            self.journal.wrongs.append(f"was welcomed to {named}")
        await self._heads({row["id"]: row["last_seq"] for row in frame["conversations"]})
        self._flying = 0.0
        await self._flush()

    async def _heads(self, heads: Mapping[str, int]) -> None:
        for conversation, seq in heads.items():
            if seq > self.have.get(conversation, 0):
                await self._ask(conversation)

    async def _event(self, frame: dict[str, Any]) -> None:
        conversation, seq = frame["conversation"], frame["seq"]
        if conversation not in self.journal.conversations:
            self.journal.foreign.append(str(frame)[:300])
            return
        have = self.have.get(conversation, 0)
        if seq <= have:
            return
        if seq > have + 1:
            await self._ask(conversation)
            return
        self.have[conversation] = seq
        client_id = frame.get("client_id", "")
        self.seen[client_id] = time.monotonic()
        self.journal.got[conversation].append(
            Event(
                *(seq, frame["type"], client_id, frame.get("sender", ""), frame.get("body", "")),
                frame.get("target"),
            )
        )

    async def _ack(self, frame: dict[str, Any]) -> None:
        client_id = frame["client_id"]
        self.journal.acks.append(Ack(client_id, frame["conversation"], frame["seq"]))
        self.acknowledged.setdefault(client_id, (time.monotonic(), frame["live"]))
        if self.waiting and self.waiting[0]["client_id"] == client_id:
            self.waiting.popleft()
            self._flying = 0.0
            await self._flush()

    def _error(self, frame: dict[str, Any]) -> None:
        self.journal.counts[f"error {frame['code']}"] += 1
        if "retry_after_ms" not in frame:
            self.journal.wrongs.append(f"refused: {frame}")
            return
        self._not_before = time.monotonic() + frame["retry_after_ms"] / 1000
        self._flying = 0.0


def deliveries(devices: list[Device]) -> list[Delivery]:
    """Every acknowledged message with the moment the last device of its conversation saw it."""
    by_conversation: dict[str, list[Device]] = {}
    for device in devices:
        for conversation in device.journal.conversations:
            by_conversation.setdefault(conversation, []).append(device)
    found = []
    for device in devices:
        for client_id, (acknowledged, live) in list(device.acknowledged.items()):
            for conversation in device.journal.conversations:
                seen = [one.seen.get(client_id) for one in by_conversation[conversation]]
                times = [at for at in seen if at is not None]
                if len(times) == len(seen):
                    found.append(Delivery(device.sent[client_id], acknowledged, max(times), live))
    return found
