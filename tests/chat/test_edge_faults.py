"""SECURITY.md's faults 10 and 11 through the project's own NGINX, while 40 devices chat and people
read pages.

What makes others slow is counted: processor time of the servers, requests that reach a replica,
memory. Times are printed, and held to the table with FAULT_TIMES=1, on a machine with nothing else
to do. FAULT_SOCKETS=2000 plays the table's own number of sockets.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from tests.chat.history.crowd import Crowd, wait_until
from tests.chat.history.measures import (
    MIB,
    ack_seconds,
    check,
    close_code,
    finish,
    open_socket,
    percentile,
)
from tests.chat.history.people import Person
from tests.chat.history.reader import Pages
from tests.chat.history.stack import Stack, running
from tests.edge import Edge
from tests.processes import cpu_of
from tests.servers import Server

SOCKETS = int(os.environ.get("FAULT_SOCKETS", "300"))
DEVICES = 4  # of each bystander
COME_BACK_SECONDS = 5.0
ALL_IN_SECONDS = 30.0
DROPPED_SECONDS = 30.0
DRIP_SECONDS = 10.0
MEMORY = 10 * MIB
QUIET_SECONDS = 12.0
HARMED = 1.2  # times the p95 of others without the fault, and times the processor time
HARMED_BY_ALL = 2.0
ALLOWANCE = 0.05  # seconds: clients and servers share two cores here
CORE = 0.15  # of one core, for attackers or for sockets that only are there
SECONDS_OF_A_RETURN = 0.03  # of processor time, TLS and the welcome included
WITH_TIMES = os.environ.get("FAULT_TIMES") == "1"

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300 + SOCKETS // 10)]


@pytest.fixture(scope="module")
def kept_stack() -> Iterator[Stack]:
    # All of them come from one address here, for which the usual limits are not made.
    limits = {
        "LIMIT_CONNECTIONS": str(4 * SOCKETS + 1000),
        "LIMIT_PAGES": str(SOCKETS),
        "LIMIT_FILES": "1000",
    }
    edge, bystanders = Edge(**limits), SOCKETS // DEVICES
    with running(edge=edge, pages=True, bystanders=bystanders) as stack:
        yield stack


@pytest.fixture
def stack(kept_stack: Stack) -> Stack:
    kept_stack.start_anew()
    return kept_stack


def person_of(stack: Stack, name: str) -> Person:
    return next(person for person in stack.people.persons if person.name == name)


def pages_of_a_patient(stack: Stack) -> Pages:
    person = person_of(stack, "patient0")
    talk = f"/messages/{person.conversations[0]}/"
    return Pages(stack, person.sessions[0], ["/doctors/", "/messages/", talk])


Mark = tuple[float, float]  # when, and the seconds of processor time used until then


class Meter:
    """Processor time of servers: marks, and what was used between two of them."""

    def __init__(self, *servers: Server | None) -> None:
        self._pids = [server.pid for server in servers if server is not None]

    def mark(self) -> Mark:
        return time.monotonic(), sum(map(cpu_of, self._pids))


def rate(begun: Mark, ended: Mark) -> float:
    """Cores in use between two marks."""
    return (ended[1] - begun[1]) / (ended[0] - begun[0])


# --- Fault 10 -------------------------------------------------------------------------------------
def request(line: str, *headers: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


def form(path: str, length: int) -> bytes:
    kind = "Content-Type: application/x-www-form-urlencoded"
    return request(f"POST {path}", kind, f"Content-Length: {length}")


def chunked(path: str, length: int) -> bytes:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = request(f"POST {path}", "Transfer-Encoding: chunked")
    return head + chunk * (length // 0x10000 + 1) + b"0\r\n\r\n"


KIB = 1024
FILE = "/messages/0192f0c1-2d3e-7abc-8def-0123456789ab/attachments/"
LONG = "x" * 9_000
MANY = [f"X-Name-{number}: {'x' * 900}" for number in range(45)]
UPGRADE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]

# What is sent, and the status it gets.
OVERSIZED: list[tuple[str, bytes, int]] = [
    ("a form above NGINX's limit", form("/accounts/login/", 301 * KIB), 413),
    ("the same, in chunks", chunked("/accounts/login/", 320 * KIB), 413),
    (
        "a form above the site's limit",
        form("/accounts/login/", 280 * KIB) + b"x" * 280 * KIB,
        413,
    ),
    ("a file above NGINX's limit", form(FILE, 12 * MIB), 413),
    ("a file, in chunks", chunked(FILE, 12 * MIB), 413),
    ("a body for the sockets", form("/ws/chat/", 301 * KIB), 413),
    ("the same, in chunks", chunked("/ws/chat/", 320 * KIB), 413),
    ("a header", request("GET /", f"X-Name: {LONG}"), 431),
    ("a cookie", request("GET /doctors/", f"Cookie: session={LONG}"), 431),
    ("many headers", request("GET /", *MANY), 431),
    ("a header at the handshake", request("GET /ws/chat/", *UPGRADE, f"Cookie: {LONG}"), 431),
    ("many headers at the handshake", request("GET /ws/chat/", *UPGRADE, *MANY), 431),
    ("an address", request(f"GET /doctors/?q={LONG}"), 414),
]

# What is sent at once; then comes a byte each DRIP_SECONDS.
SLOW: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("a head", b"GET /doctors/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Name: "),
    ("a head at the handshake", request("GET /ws/chat/", *UPGRADE)[:-2] + b"X-Name: "),
    ("a form", form("/accounts/login/", 1_000)),
    ("a form in chunks", request("POST /accounts/login/", "Transfer-Encoding: chunked")),
    ("a file", form(FILE, 5 * MIB)),
    ("a body for the sockets", form("/ws/chat/", 1_000)),
]
BARE = "no handshake of TLS"
WARM, ROUNDS, SLOW_ONES = 2, 12, 10  # of each kind


@dataclass
class Attack:
    """Asks ``stack`` for too much, and remembers what came of it."""

    stack: Stack

    def __post_init__(self) -> None:
        self.statuses: list[tuple[str, int, int]] = []  # what, expected, got
        self.dropped: list[tuple[str, float]] = []
        self.codes: list[int] = []

    async def run(self, rounds: int, *, slow: int) -> None:
        drips = [self._drip(what, head) for what, head in SLOW * slow]
        drips += [self._drip(BARE, b"", bare=True) for _ in range(slow)]
        dripping = asyncio.gather(*drips) if drips else None
        for _ in range(rounds):
            for what, data, expected in OVERSIZED:
                self.statuses.append((what, expected, await self._status(data)))
            await self._frames()
            await asyncio.sleep(0.5)
        if dripping is not None:
            await dripping

    async def _open(
        self, *, bare: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        [port] = self.stack.entrance.ports
        tls = None if bare else self.stack.entrance.tls
        return await asyncio.open_connection("127.0.0.1", port, ssl=tls)

    async def _status(self, data: bytes) -> int:
        """The status of the answer; the rest of what is sent may be cut off by then."""
        reader, writer = await self._open()

        async def send() -> None:
            with suppress(ConnectionError, OSError):
                writer.write(data)
                await writer.drain()

        sending = asyncio.ensure_future(send())
        try:
            line = await asyncio.wait_for(reader.readline(), 20)
            return int(line.split()[1]) if line else 0
        except (ConnectionError, TimeoutError):
            return 0
        finally:
            sending.cancel()
            writer.transport.abort()

    async def _drip(self, what: str, head: bytes, *, bare: bool = False) -> None:
        begun = time.monotonic()
        reader, writer = await self._open(bare=bare)
        with suppress(ConnectionError, OSError):
            writer.write(head)
            while time.monotonic() - begun < 2 * DROPPED_SECONDS:
                with suppress(TimeoutError):
                    while await asyncio.wait_for(reader.read(4096), DRIP_SECONDS):
                        pass
                    break
                writer.write(b"x")
                await writer.drain()
        self.dropped.append((what, time.monotonic() - begun))
        writer.transport.abort()

    async def _frames(self) -> None:
        session = person_of(self.stack, "patient1").sessions[0]
        for size in (64 * KIB + 1, MIB):
            connection = await open_socket(self.stack.entrance, session)
            await connection.send("x" * size)
            self.codes.append(await close_code(connection))


async def highest(
    stack: Stack, work: Callable[[], asyncio.Future[None]]
) -> tuple[dict[str, int], dict[str, int]]:
    """The memory of each server before ``work`` and at its highest meanwhile."""

    def now() -> dict[str, int]:
        assert stack.edge is not None and stack.pages is not None
        sockets = {f"sockets {n}": server.memory() for n, server in enumerate(stack.servers)}
        return {"edge": stack.edge.memory(), "pages": stack.pages.memory(), **sockets}

    before = most = now()
    working = work()
    while not working.done():
        await asyncio.sleep(0.25)
        most = {name: max(most[name], size) for name, size in now().items()}
    await working
    return before, most


def refusals(edge: Edge) -> list[dict[str, Any]]:
    """What its log says about requests that it or a replica called too large or too slow."""
    lines = (json.loads(line) for line in edge.log.read_text().splitlines() if line[:1] == "{")
    return [line for line in lines if line["status"] in {408, 413, 414, 431}]


def test_fault_10_the_edge_drops_the_slow_and_refuses_the_oversized(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    attack = Attack(stack)
    with (
        pages_of_a_patient(stack) as pages,
        Crowd(stack.people, stack.entrance, messages=1_600, seed=10, pace=1.2) as crowd,
    ):
        meter = Meter(stack.edge, stack.pages, stack.database, *stack.servers)
        crowd.start_writing()
        # What the first of each kind loads is there from then on: everybody pays that once.
        asyncio.run(Attack(stack).run(WARM, slow=0))
        assert wait_until(lambda: crowd.acknowledged > 150, 60)
        quiet = meter.mark()
        time.sleep(QUIET_SECONDS)
        begun = meter.mark()

        async def all_at_once() -> tuple[dict[str, int], dict[str, int]]:
            return await highest(
                stack, lambda: asyncio.ensure_future(attack.run(ROUNDS, slow=SLOW_ONES))
            )

        before, most = asyncio.run(all_at_once())
        ended = meter.mark()
        finish(stack, crowd)
    check(stack, crowd)
    assert [row for row in attack.statuses if row[1] != row[2]] == []
    assert set(attack.codes) == {1009} and len(attack.codes) == 2 * ROUNDS
    assert len(attack.dropped) == SLOW_ONES * (len(SLOW) + 1)
    assert [row for row in attack.dropped if row[1] > DROPPED_SECONDS] == []
    grown = {name: most[name] - before[name] for name in before}
    usual, during = pages.p95(quiet[0], begun[0]), pages.p95(begun[0], ended[0])
    usual_ack = percentile(ack_seconds(crowd.devices, quiet[0], begun[0]), 95)
    ack = percentile(ack_seconds(crowd.devices, begun[0], ended[0]), 95)
    assert stack.edge is not None
    passed = [row for row in refusals(stack.edge) if row["upstream"]]
    with capsys.disabled():
        print(  # noqa: T201
            f"\npages p95 {usual:.3f} → {during:.3f} s, acks p95 {usual_ack:.3f} → {ack:.3f} s, "
            f"cores {rate(quiet, begun):.2f} → {rate(begun, ended):.2f}, slow ones gone after "
            f"{max(row[1] for row in attack.dropped):.0f} s at most, grown by "
            + ", ".join(f"{name} {size / MIB:.1f} MiB" for name, size in grown.items())
        )
    assert {name: size for name, size in grown.items() if size >= MEMORY} == {}
    # Nothing else of it reached a replica.
    assert [row["status"] for row in passed] == [413] * (WARM + ROUNDS)
    assert rate(begun, ended) < HARMED * rate(quiet, begun) + CORE
    if WITH_TIMES:
        assert during < HARMED * usual + ALLOWANCE
        assert ack < HARMED * usual_ack + ALLOWANCE


# --- Fault 11 -------------------------------------------------------------------------------------
class Sockets:
    """``SOCKETS`` of bystanders; each tenth belongs to somebody who never reads."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._chance = random.Random(11)
        self._connections: list[ClientConnection] = []

    async def come(self) -> float:
        """All open within COME_BACK_SECONDS; how many seconds until each was welcomed."""
        persons = self._stack.people.bystanders
        begun = time.monotonic()

        async def come_one(number: int) -> ClientConnection:
            await asyncio.sleep(self._chance.uniform(0, COME_BACK_SECONDS))
            person = persons[number % len(persons)]
            connection = await open_socket(self._stack.entrance, person.sessions[0])
            welcome = json.loads(await asyncio.wait_for(connection.recv(), ALL_IN_SECONDS))
            assert welcome["type"] == "welcome"
            assert {row["id"] for row in welcome["conversations"]} == set(person.conversations)
            if number % 10 == 0:
                connection.transport.pause_reading()
            return connection

        self._connections = await asyncio.gather(*map(come_one, range(SOCKETS)))
        return time.monotonic() - begun

    def lose(self) -> None:
        for connection in self._connections:
            connection.transport.abort()

    async def are_served(self) -> None:
        idle = [one for number, one in enumerate(self._connections) if number % 10]
        for connection in idle:
            await connection.send('{"type":"ping"}')
        for connection in idle:
            while json.loads(await asyncio.wait_for(connection.recv(), 10))["type"] != "pong":
                pass


def test_fault_11_pages_stay_quick_while_many_sockets_come_back_through_the_edge(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    # Pages and their queries are left out: how many there are depends on the machine.
    meter = Meter(stack.edge, *stack.servers)

    async def play() -> tuple[Mark, Mark, Mark, float]:
        sockets = Sockets(stack)
        await sockets.come()
        held = meter.mark()
        await asyncio.sleep(QUIET_SECONDS)
        lost = meter.mark()
        sockets.lose()
        seconds = await sockets.come()
        back = meter.mark()
        await sockets.are_served()
        sockets.lose()
        return held, lost, back, seconds

    with (
        pages_of_a_patient(stack) as pages,
        Crowd(stack.people, stack.entrance, messages=1_600, seed=11, pace=1.2) as crowd,
    ):
        crowd.start_writing()
        assert wait_until(lambda: crowd.acknowledged > 150, 60)
        quiet = meter.mark()
        time.sleep(QUIET_SECONDS)
        begun = meter.mark()
        held, lost, back, seconds = asyncio.run(play())
        finish(stack, crowd)
    check(stack, crowd)
    usual, idle, during = (
        pages.p95(one[0], other[0]) for one, other in ((quiet, begun), (held, lost), (lost, back))
    )
    used, base = rate(quiet, begun), (back[0] - lost[0]) * rate(held, lost)
    each = (back[1] - lost[1] - base) / SOCKETS
    with capsys.disabled():
        print(  # noqa: T201
            f"\npages p95 {usual:.3f} s, with {SOCKETS} sockets held {idle:.3f} s, while they come "
            f"back {during:.3f} s; all in after {seconds:.1f} s; cores {used:.2f} → "
            f"{rate(held, lost):.2f}, {each * 1000:.0f} ms for each that came back"
        )
    assert seconds <= ALL_IN_SECONDS
    assert rate(held, lost) < HARMED * used + CORE
    assert each < SECONDS_OF_A_RETURN
    if WITH_TIMES:
        assert idle < HARMED * usual + ALLOWANCE
        assert during < HARMED_BY_ALL * usual + ALLOWANCE
