"""What the chat's benchmark runs on: MariaDB on the disk, Redis, our socket servers and the peer's.

The peer is `bench/socketio/`: its packages are installed there at the first run, at the versions of
the lock file, and are not part of the repository.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.chat_load import Client, ClinicClient, Person, SocketIoClient
from bench.common import ROOT, say
from bench.data import Copy
from tests.servers import Redis, ServerFailed, ServerMissing, end_with_this_process, find, free_port

KEY = "a-key-for-benchmarks-only-that-is-long-enough-to-be-accepted"
PEER = ROOT / "bench" / "socketio"
# Connections of each peer process to the database; 4, 16 and 32 cost it as much CPU.
PEER_CONNECTIONS = 8

Pairs = list[tuple[str, list[Person]]]


@dataclass
class Contender:
    """Server processes of one kind, and people who use only these."""

    name: str
    client: type[Client]
    pairs: Pairs
    ports: list[int] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]


@dataclass
class ChatStack:
    database: Copy
    redis: Redis
    environment: dict[str, str]
    contenders: list[Contender] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.database.folder / "sockets.log"

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

    def serve_ours(self, contender: Contender) -> None:
        port = free_port()
        command = [sys.executable, "-m", "clinic.websocket_server", "-p", str(port)]
        self._serve(contender, port, command, self.environment)

    def serve_peer(self, contender: Contender) -> None:
        port = free_port()
        settings = {
            "port": port,
            "database": self.database.url,
            "redis": self.redis.url,
            "connections": PEER_CONNECTIONS,
        }
        environment = {**os.environ, "NODE_ENV": "production", "PEER": json.dumps(settings)}
        self._serve(contender, port, [find("node"), str(PEER / "server.js")], environment)

    def _serve(
        self, contender: Contender, port: int, command: list[str], environment: dict[str, str]
    ) -> None:
        with self.log.open("ab") as out:
            process = subprocess.Popen(
                end_with_this_process(command),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        contender.processes.append(process)
        deadline = time.monotonic() + 30
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"no socket server:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)
        contender.ports.append(port)

    def end(self) -> None:
        processes = [one for contender in self.contenders for one in contender.processes]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def peer_is_here() -> bool:
    """Installs the peer's packages where they are missing; False, and says why, when it cannot."""
    try:
        find("node"), find("npm")
    except ServerMissing:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            say("Node.js and npm are not on this machine: the peer is left out.")
            return False
        say("Installing nodejs and npm …")
        for arguments in (
            ["update"],
            ["install", "-y", "--no-install-recommends", "nodejs", "npm"],
        ):
            subprocess.run(["apt-get", "-q", *arguments], check=True, capture_output=True)
    lock = hashlib.sha256((PEER / "package-lock.json").read_bytes()).hexdigest()
    stamp = PEER / "node_modules" / ".clinic-stamp"
    if not stamp.exists() or stamp.read_text() != lock:
        say("Installing the peer's packages …")
        done = subprocess.run(
            [find("npm"), "ci", "--ignore-scripts"], cwd=PEER, capture_output=True, text=True
        )
        if done.returncode:
            say(f"The peer could not be installed and is left out:\n{done.stderr[-2000:]}")
            return False
        stamp.write_text(lock)
    return True


@contextmanager
def chat_stack(*, pairs: int, servers: int = 1, peer: bool = False) -> Iterator[ChatStack]:
    """``pairs`` of people for each contender, ``servers`` processes of each."""
    with ExitStack() as running:
        database, redis = running.enter_context(Copy()), running.enter_context(Redis())
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "clinic.settings",
            "DATABASE_URL": database.url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": KEY,
            "ALLOWED_HOSTS": "127.0.0.1",
            "ALLOW_HTTP": "1",
            "STAFF_MFA_REQUIRED": "0",
            "STAFF_IDLE_MINUTES": "600",  # sessions are made once, before a long run
            "PUBLIC_URL": "http://127.0.0.1",
            "CHAT_FRAMES_PER_MINUTE": "100000000",
            "LOG_LEVEL": "WARNING",
        }
        environment.pop("DEBUG", None)
        stack = ChatStack(database, redis, environment)
        stack.manage("manage.py", "migrate", "--no-input", "--verbosity", "0")
        made = stack.manage("-m", "bench.chat_people", str(pairs * (2 if peer else 1)))
        everybody = [
            (conversation, [Person(**one) for one in people])
            for conversation, people in json.loads(made)
        ]
        try:
            ours = Contender("clinic", ClinicClient, everybody[:pairs])
            stack.contenders.append(ours)
            for _ in range(servers):
                stack.serve_ours(ours)
            if peer:
                theirs = Contender("Socket.IO + mysql2", SocketIoClient, everybody[pairs:])
                stack.contenders.append(theirs)
                for _ in range(servers):
                    stack.serve_peer(theirs)
            yield stack
        finally:
            stack.end()
