"""Load for a chat: sockets spoken by hand, an open loop, and a judgment of what came back.

The same driver speaks both protocols; each has one small class. While it measures it only cuts
frames apart and notes the time, since it shares the cores with the servers: what is in them is read
afterwards.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, cast
from uuid import uuid4

from bench.common import percentile
from tests.servers import ServerFailed

BODY = "x" * 200
SETTLE_SECONDS = 8.0  # how long after the last message the others may still arrive
TICK_SECONDS = 0.001


@dataclass
class Person:
    """Somebody with an account, as `bench.chat_people` made them."""

    id: int
    uuid: str
    name: str
    isPatient: bool  # noqa: N815  (as the peer reads it)
    session: str


class Talk(NamedTuple):
    """A conversation and its two people's sockets."""

    sides: tuple[Client, Client]
    conversation: str


@dataclass
class Progress:
    """What all clients of one load have got so far."""

    events: int = 0
    acks: int = 0


class Client(asyncio.Protocol):
    """One person's socket. A client library would cost more than the servers."""

    path = ""
    headers = ""

    def __init__(self, person: Person, progress: Progress) -> None:
        self.person = person
        self.progress = progress
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.events: list[tuple[bytes, float]] = []  # frames, and when they came
        self.acks: list[tuple[bytes, float]] = []
        self.errors: list[str] = []
        self._is_open = False
        self._kept = b""

    # --- What a protocol says -----------------------------------------------------------------

    def speak(self, conversation: str, client_id: str) -> None:
        """Sends a message."""
        raise NotImplementedError

    def got(self, payload: bytes, at: float) -> None:
        raise NotImplementedError

    def read(self, payload: bytes) -> dict[str, Any]:
        """What a kept frame says: client_id and seq."""
        raise NotImplementedError

    # --- WebSocket ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        host = "127.0.0.1:{}".format(transport.get_extra_info("peername")[1])
        self._transport.write(
            (
                f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                f"Sec-WebSocket-Version: 13\r\nOrigin: http://127.0.0.1\r\n{self.headers}\r\n"
            ).encode()
        )

    def data_received(self, data: bytes) -> None:
        at = time.perf_counter()
        if self._kept:
            data = self._kept + data
        start, end = 0, len(data)
        if not self._is_open:
            start = data.find(b"\r\n\r\n") + 4
            if start < 4:
                self._kept = data
                return
            if b" 101 " not in data[:start].split(b"\r\n")[0]:
                self.welcomed.set_exception(ServerFailed(data.decode(errors="replace")))
                return
            self._is_open = True
        while end - start >= 2:
            first, size, body = data[start], data[start + 1], start + 2
            if size == 126:
                body += 2
                size = int.from_bytes(data[start + 2 : body], "big")
            elif size == 127:
                body += 8
                size = int.from_bytes(data[start + 2 : body], "big")
            if end < body + size:
                break
            payload = data[body : body + size]
            start = body + size
            if first == 0x81:
                self.got(payload, at)
            elif first == 0x89:  # ping
                self._write(0x8A, payload)
        self._kept = data[start:]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(ServerFailed("The server closed a socket."))

    def send(self, text: str) -> None:
        self._write(0x81, text.encode())

    def _write(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        head = (
            bytes([kind, 0x80 | size]) if size < 126 else bytes([kind, 254, size >> 8, size & 255])
        )
        # The mask is zero, so masking changes nothing.
        self._transport.write(head + b"\0\0\0\0" + payload)

    def welcome(self) -> None:
        if not self.welcomed.done():
            self.welcomed.set_result(None)

    def close(self) -> None:
        self._transport.abort()


class ClinicClient(Client):
    """`clinic.chat.v1`."""

    path = "/ws/chat/"

    def __init__(self, person: Person, progress: Progress) -> None:
        super().__init__(person, progress)
        self.headers = (
            f"Sec-WebSocket-Protocol: clinic.chat.v1\r\nCookie: session={person.session}\r\n"
        )

    def speak(self, conversation: str, client_id: str) -> None:
        self.send(
            f'{{"type":"send","conversation":"{conversation}","client_id":"{client_id}",'
            f'"body":"{BODY}"}}'
        )

    def got(self, payload: bytes, at: float) -> None:
        if payload.startswith(b'{"type":"message"'):
            self.events.append((payload, at))
            self.progress.events += 1
        elif payload.startswith(b'{"type":"ack"'):
            self.acks.append((payload, at))
            self.progress.acks += 1
        elif payload.startswith(b'{"type":"welcome"'):
            self.welcome()
        elif payload.startswith(b'{"type":"error"'):
            self.errors.append(json.loads(payload)["code"])

    def read(self, payload: bytes) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(payload))


class SocketIoClient(Client):
    """Socket.IO's protocol 5 in Engine.IO's 4, over WebSocket from the start."""

    path = "/socket.io/?EIO=4&transport=websocket"

    def __init__(self, person: Person, progress: Progress) -> None:
        super().__init__(person, progress)
        self._sent = 0

    def speak(self, conversation: str, client_id: str) -> None:
        self._sent += 1
        self.send(
            f'42{self._sent}["send",{{"conversation":"{conversation}","client_id":"{client_id}",'
            f'"body":"{BODY}"}}]'
        )

    def got(self, payload: bytes, at: float) -> None:
        if payload.startswith(b'42["message"'):
            self.events.append((payload, at))
            self.progress.events += 1
        elif payload.startswith(b"43"):
            if b'"seq"' in payload:
                self.acks.append((payload, at))
                self.progress.acks += 1
            else:
                self.errors.append(payload.decode())
        elif payload == b"2":  # ping
            self.send("3")
        elif payload.startswith(b"0"):
            person = self.person
            about = {"id": person.id, "uuid": person.uuid, "name": person.name}
            self.send("40" + json.dumps({**about, "isPatient": person.isPatient}))
        elif payload.startswith(b'42["welcome"'):
            self.welcome()

    def read(self, payload: bytes) -> dict[str, Any]:
        found = json.loads(payload[payload.index(b"[") :])
        return cast("dict[str, Any]", found[-1])


@dataclass
class Sockets:
    """Everybody's sockets on one contender's servers."""

    talks: list[Talk]
    progress: Progress = field(default_factory=Progress)

    def close(self) -> None:
        for talk in self.talks:
            for client in talk.sides:
                client.close()


async def connect(
    kind: type[Client],
    ports: Sequence[int],
    pairs: Sequence[tuple[str, Sequence[Person]]],
) -> Sockets:
    """``pairs``: conversations and their two people, who are on different servers if there are."""
    many = asyncio.Semaphore(200)
    progress = Progress()
    loop = asyncio.get_running_loop()

    async def one(port: int, person: Person) -> Client:
        async with many:
            _, client = await loop.create_connection(
                lambda: kind(person, progress), "127.0.0.1", port
            )
            await client.welcomed
            return client

    clients = await asyncio.gather(
        *(one(ports[side % len(ports)], people[side]) for _, people in pairs for side in (0, 1))
    )
    talks = [
        Talk((clients[2 * number], clients[2 * number + 1]), conversation)
        for number, (conversation, _) in enumerate(pairs)
    ]
    return Sockets(talks, progress)


async def load(sockets: Sockets, *, rate: int, seconds: float) -> dict[str, Any]:
    """Latencies in milliseconds from the intended send time, and what went wrong (nothing)."""
    talks, progress = sockets.talks, sockets.progress
    total = max(1, int(rate * seconds))
    ids = [str(uuid4()) for _ in range(total)]
    progress.events = progress.acks = 0
    gc.collect()
    gc.disable()  # a pause of the driver would look like one of the server
    try:
        begun = time.perf_counter() + 0.1
        number = 0
        while number < total:
            due = (time.perf_counter() - begun) * rate
            while number < total and number <= due:
                talk = talks[number % len(talks)]
                side = (number // len(talks)) % 2
                talk.sides[side].speak(talk.conversation, ids[number])
                number += 1
            left = begun + number / rate - time.perf_counter()
            await asyncio.sleep(max(left, TICK_SECONDS))
        deadline = time.perf_counter() + SETTLE_SECONDS
        while progress.acks < total or progress.events < 2 * total:
            if time.perf_counter() > deadline:
                break
            await asyncio.sleep(0.02)
    finally:
        gc.enable()
    intended = {client_id: begun + number / rate for number, client_id in enumerate(ids)}
    return _judge(talks, ids, intended)


def _judge(talks: Sequence[Talk], ids: Sequence[str], intended: dict[str, float]) -> dict[str, Any]:
    across: list[float] = []
    acked: list[float] = []
    wrong: dict[str, int] = defaultdict(int)
    places = len(talks)
    sender = {
        client_id: (number % places, (number // places) % 2) for number, client_id in enumerate(ids)
    }
    expected: dict[int, set[str]] = defaultdict(set)
    for client_id, (place, _) in sender.items():
        expected[place].add(client_id)
    for place, talk in enumerate(talks):
        for side, client in enumerate(talk.sides):
            events = [(client.read(payload), at) for payload, at in client.events]
            events = [one for one in events if one[0]["client_id"] in sender]
            seqs = [event["seq"] for event, _ in events]
            wrong["errors"] += len(client.errors)
            wrong["doubled"] += len(seqs) - len(set(seqs))
            wrong["out of order"] += sum(b <= a for a, b in pairwise(seqs))
            wrong["lost"] += len(expected[place] - {event["client_id"] for event, _ in events})
            for event, at in events:
                if sender[event["client_id"]] != (place, side):
                    across.append((at - intended[event["client_id"]]) * 1000)
            for payload, at in client.acks:
                client_id = client.read(payload)["client_id"]
                if client_id in intended:
                    acked.append((at - intended[client_id]) * 1000)
            client.events.clear()
            client.acks.clear()
            client.errors.clear()
    nothing = float("nan")
    return {
        "p50 ms": round(percentile(across, 50), 1) if across else nothing,
        "p99 ms": round(percentile(across, 99), 1) if across else nothing,
        "ack p50 ms": round(percentile(acked, 50), 1) if acked else nothing,
        "ack p99 ms": round(percentile(acked, 99), 1) if acked else nothing,
        "messages": len(ids),
        **{name: wrong[name] for name in ("lost", "doubled", "out of order", "errors")},
    }
