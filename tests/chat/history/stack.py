"""MariaDB, Redis, two socket servers and NGINX of a history, as real processes."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chat.history.journal import Event, Marks
from tests.chat.history.people import People, Place
from tests.edge import Edge
from tests.mysql import database_server
from tests.processes import memory_of
from tests.servers import MariaDB, Redis, Server, ServerFailed
from tests.static_files import collect_once

ROOT = Path(__file__).resolve().parents[3]
ORIGIN = "http://127.0.0.1"
SERVER = "clinic.websocket_server"
PEOPLE = "tests.chat.history.people"
OTHERS = {"DEBUG", "MIGRATE_DATABASE_URL"}  # settings of the surrounding run


@dataclass(frozen=True)
class Entrance:
    """Where devices come in, and as whose pages."""

    ports: tuple[int, ...]
    origin: str = ORIGIN
    cookie: str = "session"
    tls: ssl.SSLContext | None = None

    def address(self, port: int) -> str:
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{port}/ws/chat/"


class SocketServer(Server):
    """``module`` is the program, the settings come with the ``environment``."""

    name = "sockets"

    def __init__(self, environment: dict[str, str], module: str) -> None:
        super().__init__()
        self._environment = environment
        self._module = module

    def command(self) -> list[str]:
        where = ("-b", "127.0.0.1", "-p", str(self.port), "--drain-seconds", "1")
        return [sys.executable, "-m", self._module, *where]

    def environment(self) -> dict[str, str]:
        return self._environment

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def memory(self) -> int:
        """Bytes of memory in use (Linux)."""
        return memory_of(self.pid)


class PageServer(SocketServer):
    """gunicorn, as the image runs it."""

    name = "pages"

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(environment, "gunicorn")

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "gunicorn", "--config", str(ROOT / "deploy/gunicorn.conf.py")),
            *("--bind", f"127.0.0.1:{self.port}", "--chdir", str(ROOT), "clinic.wsgi"),
        ]


@dataclass
class Stack:
    database: MariaDB
    redis: Redis
    servers: list[SocketServer]
    people: People
    environment: dict[str, str]
    edge: Edge | None = None
    pages: PageServer | None = None

    @property
    def ports(self) -> list[int]:
        return [server.port for server in self.servers]

    @property
    def entrance(self) -> Entrance:
        """Through the edge where there is one, else straight to the socket servers."""
        if self.edge is None:
            return Entrance(tuple(self.ports))
        return Entrance(
            (self.edge.port,), self.edge.origin, cookie="__Host-session", tls=self.edge.tls()
        )

    def start_anew(self) -> None:
        """An empty log, and servers that remember nothing."""
        for server in self.servers:
            server.kill()
        self.database.sql(
            "DELETE FROM clinic.chat_event;"
            "UPDATE clinic.chat_conversation SET last_seq = 0, waiting_since = NULL;"
            "UPDATE clinic.chat_participant SET delivered_seq = 0, read_seq = 0, read_at = NULL;"
        )
        for server in self.servers:
            server.start()

    def hold(self, place: Place, seconds: float) -> None:
        """Somebody's slow transaction: the conversation's row stays locked."""
        self.database.sql(
            "USE clinic; START TRANSACTION;"  # noqa: S608  (both values are ours)
            f"UPDATE chat_conversation SET last_seq = last_seq WHERE id = {place.pk};"
            f"SELECT SLEEP({seconds}); ROLLBACK;"
        )

    # --- What the database holds, read with its own client, not with ours --------------------

    def heads(self) -> dict[str, int]:
        """The last number of each conversation but bystanders', by the conversation's row."""
        rows = self._rows("SELECT id, last_seq FROM clinic.chat_conversation")
        public_ids = self._conversations()
        return {public_ids[pk]: int(seq) for pk, seq in rows if pk in public_ids}

    def events(self) -> dict[str, list[Event]]:
        rows = self._rows(
            "SELECT conversation_id, seq, kind, client_id, sender_id, body, target "
            "FROM clinic.chat_event ORDER BY conversation_id, seq, at"
        )
        public_ids, users = self._conversations(), self._users()
        found: dict[str, list[Event]] = {public_id: [] for public_id in public_ids.values()}
        for pk, seq, kind, client_id, sender, body, target in rows:
            number = None if target == "NULL" else int(target)
            found[public_ids[pk]].append(
                Event(int(seq), kind, client_id, users.get(sender, ""), body, number)
            )
        return found

    def marks(self) -> Marks:
        rows = self._rows(
            "SELECT conversation_id, user_id, delivered_seq, read_seq FROM clinic.chat_participant"
        )
        public_ids, users = self._conversations(), self._users()
        return {
            (public_ids[pk], users[user]): (int(delivered), int(read))
            for pk, user, delivered, read in rows
        }

    def members(self) -> dict[str, frozenset[str]]:
        return {place.conversation: frozenset(place.members) for place in self.people.places}

    def _rows(self, statement: str) -> list[list[str]]:
        return [line.split("\t") for line in self.database.sql(statement).splitlines()]

    def _conversations(self) -> dict[str, str]:
        return {str(place.pk): place.conversation for place in self.people.places}

    def _users(self) -> dict[str, str]:
        return {str(person.pk): person.user for person in self.people.persons}


@contextmanager
def running(
    *,
    module: str = SERVER,
    settings: str = "clinic.settings",
    servers: int = 2,
    schema: str = "",
    edge: Edge | None = None,
    pages: bool = False,
    bystanders: int = 0,
) -> Iterator[Stack]:
    """A stack with its people, in production mode; without an ``edge`` over plain HTTP.

    ``schema``: statements that change its tables for a control; ``pages``: with gunicorn;
    ``bystanders``: how many people there are besides those who talk.
    """
    with database_server() as database, Redis() as redis:
        environment = {
            **{name: value for name, value in os.environ.items() if name not in OTHERS},
            "DJANGO_SETTINGS_MODULE": settings,
            "DATABASE_URL": database.url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": "a-key-for-tests-only-that-is-long-enough-to-be-accepted",
            "ALLOWED_HOSTS": "127.0.0.1",
            "ALLOW_HTTP": "0" if edge else "1",
            "STAFF_MFA_REQUIRED": "0",
            "TRUSTED_PROXY_COUNT": "1" if edge else "0",
            "PUBLIC_URL": edge.origin if edge else ORIGIN,
            "CHAT_FRAMES_PER_MINUTE": "100000",
            "LOG_LEVEL": "WARNING",
            "PYTHONPATH": str(ROOT),  # the tests' own modules, from any folder
        }
        _run(environment, "manage.py", "migrate", "--no-input", "--verbosity", "0")
        people = People.read(_run(environment, "-m", PEOPLE, str(bystanders)))
        if schema:
            database.sql(schema)
        started = [SocketServer(environment, module) for _ in range(servers)]
        page_server = _page_server(environment) if pages else None
        everything: list[Server] = [*started, *([page_server] if page_server else [])]
        if edge is not None:
            edge.ws = [server.port for server in started]
            edge.web = [page_server.port] if page_server else []
            everything.append(edge)
        try:
            for server in everything:
                server.start()
            yield Stack(database, redis, started, people, environment, edge, page_server)
        finally:
            for server in reversed(everything):
                server.stop()


def _page_server(environment: dict[str, str]) -> PageServer:
    def collect() -> None:
        _run(environment, "manage.py", "collectstatic", "--no-input", "--verbosity", "0")

    collect_once(collect)
    return PageServer(environment)


def _run(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ServerFailed(f"{arguments} failed:\n{done.stdout}\n{done.stderr}"[-4000:])
    return done.stdout
