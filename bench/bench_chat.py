"""The chat under load: messages committed to the database, from send to the other side's socket.

Real processes: socket servers, MariaDB, Redis. Open loop: a message counts from when it was meant
to be sent, so a server that stalls is not excused. The two people of a conversation are on
different servers when there are two. A run also checks what the figures are worth: nothing lost,
nothing doubled, every socket saw its conversation in order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from bench.common import ROOT, cpu_seconds, percentile, save, say
from tests.servers import MariaDB, Redis, ServerFailed, end_with_this_process, free_port

BODY = "x" * 200
SETTLE_SECONDS = 20.0
KEY = "a-key-for-benchmarks-only-that-is-long-enough-to-be-accepted"


# --- Servers --------------------------------------------------------------------------------


@dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/chat/"


@dataclass
class ChatStack:
    """MariaDB, Redis and socket servers, with people in pairs."""

    database: MariaDB
    redis: Redis
    environment: dict[str, str]
    servers: list[Server] = field(default_factory=list)
    # (session key of one, session key of the other, conversation)
    pairs: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def pids(self) -> list[int]:
        return [server.process.pid for server in self.servers]

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ServerFailed(done.stdout + done.stderr)
        return done.stdout

    def serve(self, log: Path) -> None:
        port = free_port()
        with log.open("ab") as out:
            process = subprocess.Popen(
                end_with_this_process(
                    [sys.executable, "-m", "clinic.websocket_server", "-p", str(port)]
                ),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = Server(port, process)
        deadline = time.monotonic() + 30
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"no socket server:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)
        self.servers.append(server)


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def chat_stack(*, pairs: int, servers: int = 1) -> Iterator[ChatStack]:
    with ExitStack() as running:
        database, redis = running.enter_context(MariaDB()), running.enter_context(Redis())
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "clinic.settings",
            "DATABASE_URL": database.url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": KEY,
            "ALLOWED_HOSTS": "127.0.0.1",
            "ALLOW_HTTP": "1",
            "STAFF_MFA_REQUIRED": "0",
            "PUBLIC_URL": "http://127.0.0.1",
            "CHAT_FRAMES_PER_MINUTE": "100000000",
            "LOG_LEVEL": "WARNING",
        }
        environment.pop("DEBUG", None)
        stack = ChatStack(database, redis, environment)
        stack.manage("manage.py", "migrate", "--no-input", "--verbosity", "0")
        people = stack.manage("-m", "bench.chat_people", str(pairs))
        stack.pairs = [tuple(row) for row in json.loads(people)]
        log = database.folder / "sockets.log"
        for _ in range(servers):
            stack.serve(log)
        try:
            yield stack
        finally:
            for server in stack.servers:
                server.process.terminate()
            for server in stack.servers:
                try:
                    server.process.wait(15)
                except subprocess.TimeoutExpired:
                    server.process.kill()
                    server.process.wait()


# --- Clients --------------------------------------------------------------------------------


class Client:
    """One person's socket, spoken by hand: a client library would cost more than the servers."""

    def __init__(self) -> None:
        self.welcomed = asyncio.Event()
        self.events: list[tuple[str, int, float]] = []  # client_id, seq, when
        self.acks: dict[str, tuple[int, float]] = {}
        self.errors: list[str] = []
        self._task: asyncio.Task[None] | None = None

    async def connect(self, port: int, session: str) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        self._writer.write(
            (
                f"GET /ws/chat/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: clinic.chat.v1\r\n"
                f"Origin: http://127.0.0.1\r\nCookie: session={session}\r\n\r\n"
            ).encode()
        )
        answer = await self._reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in answer.split(b"\r\n")[0]:
            raise ServerFailed(answer.decode(errors="replace"))
        self._task = asyncio.create_task(self._read())
        await self.welcomed.wait()

    def send(self, text: str) -> None:
        payload = text.encode()
        size = len(payload)
        # The mask is zero, so masking changes nothing.
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self._writer.write(head + b"\0\0\0\0" + payload)

    async def _read(self) -> None:
        reader = self._reader
        try:
            while True:
                first, size = await reader.readexactly(2)
                if size == 126:
                    size = int.from_bytes(await reader.readexactly(2), "big")
                elif size == 127:
                    size = int.from_bytes(await reader.readexactly(8), "big")
                payload = await reader.readexactly(size)
                if first == 0x89:  # ping
                    self._writer.write(bytes([0x8A, 0x80 | size]) + b"\0\0\0\0" + payload)
                elif first == 0x81:
                    self._got(payload, time.perf_counter())
        except (asyncio.IncompleteReadError, ConnectionError):
            self.welcomed.set()

    def _got(self, payload: bytes, at: float) -> None:
        frame = json.loads(payload)
        kind = frame["type"]
        if kind == "message":
            self.events.append((frame["client_id"], frame["seq"], at))
        elif kind == "ack":
            self.acks[frame["client_id"]] = (frame["seq"], at)
        elif kind == "welcome":
            self.welcomed.set()
        elif kind == "error":
            self.errors.append(frame["code"])

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._writer.close()


class Talk(NamedTuple):
    """A conversation and its two people's sockets."""

    sides: tuple[Client, Client]
    conversation: str


async def connect_all(stack: ChatStack) -> list[Talk]:
    """Everybody's sockets; the two of a pair on different servers when there are two."""
    many = asyncio.Semaphore(200)

    async def one(port: int, session: str) -> Client:
        async with many:
            client = Client()
            await client.connect(port, session)
            return client

    ports = [server.port for server in stack.servers]
    clients = await asyncio.gather(
        *(one(ports[side % len(ports)], pair[side]) for pair in stack.pairs for side in (0, 1))
    )
    return [
        Talk((clients[2 * number], clients[2 * number + 1]), pair[2])
        for number, pair in enumerate(stack.pairs)
    ]


async def load(talks: Sequence[Talk], *, rate: int, seconds: float) -> dict[str, Any]:
    """Latencies in milliseconds from the intended send time, and what went wrong (nothing)."""
    intended: dict[str, float] = {}
    sent_by: dict[str, tuple[int, int]] = {}
    begun = time.perf_counter() + 0.1
    total = int(rate * seconds)
    for number in range(total):
        due = begun + number / rate
        while (left := due - time.perf_counter()) > 0:
            await asyncio.sleep(left if left > 0.002 else 0)
        place = number % len(talks)
        side = (number // len(talks)) % 2
        client_id = str(uuid4())
        intended[client_id], sent_by[client_id] = due, (place, side)
        talks[place].sides[side].send(
            f'{{"type":"send","conversation":"{talks[place].conversation}",'
            f'"client_id":"{client_id}","body":"{BODY}"}}'
        )
    deadline = time.perf_counter() + SETTLE_SECONDS
    while time.perf_counter() < deadline:
        acks = sum(len(client.acks) for talk in talks for client in talk.sides)
        events = sum(len(client.events) for talk in talks for client in talk.sides)
        if acks >= total and events >= 2 * total:
            break
        await asyncio.sleep(0.05)
    return _judge(talks, intended, sent_by)


def _judge(
    talks: Sequence[Talk],
    intended: dict[str, float],
    sent_by: dict[str, tuple[int, int]],
) -> dict[str, Any]:
    across: list[float] = []
    acked: list[float] = []
    wrong: dict[str, int] = defaultdict(int)
    for place, talk in enumerate(talks):
        for side in (0, 1):
            client = talk.sides[side]
            wrong["errors"] += len(client.errors)
            seqs = [seq for _, seq, _ in client.events]
            wrong["doubled"] += len(seqs) - len(set(seqs))
            wrong["out of order"] += sum(b <= a for a, b in pairwise(seqs))
            seen = {client_id for client_id, _, _ in client.events}
            wrong["lost"] += sum(
                1 for client_id, by in sent_by.items() if by[0] == place and client_id not in seen
            )
            for client_id, _, at in client.events:
                if sent_by.get(client_id, (place, side))[1] != side:
                    across.append((at - intended[client_id]) * 1000)
            for client_id, (_, at) in client.acks.items():
                if client_id in intended:
                    acked.append((at - intended[client_id]) * 1000)
            client.events.clear()
            client.acks.clear()
            client.errors.clear()
    return {
        "p50 ms": round(percentile(across, 50), 1),
        "p99 ms": round(percentile(across, 99), 1),
        "ack p50 ms": round(percentile(acked, 50), 1),
        "ack p99 ms": round(percentile(acked, 99), 1),
        "acked": len(acked),
        **{name: wrong[name] for name in ("lost", "doubled", "out of order", "errors")},
    }


def close_all(talks: Sequence[Talk]) -> None:
    for talk in talks:
        for client in talk.sides:
            client.close()


def _memory(pids: Sequence[int]) -> int:
    """Kilobytes of memory in use by the processes (Linux)."""
    text = "".join(Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


def idle(stack: ChatStack, seconds: float) -> dict[str, Any]:
    """What sockets cost that only stay: time to connect, memory, CPU while nothing comes."""

    async def run() -> dict[str, Any]:
        before, cpu = _memory(stack.pids), cpu_seconds(stack.pids)
        begun = time.perf_counter()
        talks = await connect_all(stack)
        took = time.perf_counter() - begun
        sockets = 2 * len(talks)
        connecting = cpu_seconds(stack.pids) - cpu
        cpu = cpu_seconds(stack.pids)
        await asyncio.sleep(seconds)
        row = {
            "sockets": sockets,
            "connected in s": round(took, 1),
            "CPU ms a connect": round(connecting * 1000 / sockets, 2),
            "KB a socket": round((_memory(stack.pids) - before) / sockets, 1),
            "CPU % idle": round((cpu_seconds(stack.pids) - cpu) * 100 / seconds, 1),
        }
        close_all(talks)
        return row

    return asyncio.run(run())


def measure(stack: ChatStack, rates: Sequence[int], seconds: float) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        begun = time.perf_counter()
        talks = await connect_all(stack)
        say(f"{2 * len(talks)} sockets in {time.perf_counter() - begun:.1f} s")
        await load(talks, rate=50, seconds=2)  # warm
        rows = []
        for rate in rates:
            before, database = cpu_seconds(stack.pids), cpu_seconds([stack.database.pid])
            found = await load(talks, rate=rate, seconds=seconds)
            used = cpu_seconds(stack.pids) - before
            count = max(1, int(rate * seconds))
            rows.append(
                {
                    "servers": len(stack.servers),
                    "messages/s": rate,
                    **found,
                    "CPU ms a message": round(used * 1000 / count, 3),
                    "database CPU ms": round(
                        (cpu_seconds([stack.database.pid]) - database) * 1000 / count, 3
                    ),
                }
            )
            say(json.dumps(rows[-1]))
        close_all(talks)
        return rows

    return asyncio.run(run())


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="make bench ARGS=chat", description=__doc__)
    parser.add_argument("--rates", default="10,1000,2000")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--servers", default="1,2")
    parser.add_argument("--idle", type=int, default=5_000, help="idle sockets; 0 leaves them out")
    asked = parser.parse_args(arguments)
    rates = [int(rate) for rate in asked.rates.split(",")]
    rows = []
    for servers in (int(number) for number in asked.servers.split(",")):
        with chat_stack(pairs=asked.pairs, servers=servers) as stack:
            rows += measure(stack, rates, asked.seconds)
    save("chat", rows)
    if asked.idle:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # servers inherit it
        with chat_stack(pairs=asked.idle // 2) as stack:
            save("chat_idle", [idle(stack, 20)])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
