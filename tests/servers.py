"""Real servers for tests: each on a private free port with a private, temporary folder.

Only what was started here is ended, by its process id: on ``stop()``, when Python exits, and, on
Linux, when Python is killed. Start servers from the main thread: the kernel ties a child's end to
the *thread* that started it. Standard library only, so that the runner can use it too.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import quote, urlencode

READY_SECONDS = 60
STOP_SECONDS = 20
# Data in memory spares the tests the disk's pace. What a killed server had flushed is still there
# when it is started again, so tests of kill -9 lose nothing by it.
SHARED_MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 3 * 1024**3
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/mysql")

_running: list[Server] = []


class ServerMissing(Exception):
    """A program is not on this machine; says which."""


class ServerFailed(Exception):
    """A server ended or did not become ready; carries the end of its log."""


def find(program: str) -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    found = shutil.which(program, path=path)
    if found is None:
        raise ServerMissing(
            f"{program} is not on this machine. As root on Debian or Ubuntu `make test` installs "
            "it; elsewhere install it and put it on PATH."
        )
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end_with_this_process(command: list[str], *, by: str = "KILL") -> list[str]:
    """The command, made to end when this process is killed, where the system can do that."""
    guard = shutil.which("setpriv")
    return [guard, "--pdeathsig", by, *command] if guard else command


def _data_folder(prefix: str) -> Path:
    roomy = (
        SHARED_MEMORY.is_dir()
        and os.access(SHARED_MEMORY, os.W_OK)
        and shutil.disk_usage(SHARED_MEMORY).free > ENOUGH_MEMORY
    )
    return Path(tempfile.mkdtemp(prefix=prefix, dir=SHARED_MEMORY if roomy else None))


class Server:
    """One server process. ``start`` waits until it answers; it can be killed and started again."""

    name = "server"
    ends_by = "KILL"  # the signal it gets when Python is killed

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = _data_folder(f"clinic-{self.name}-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed(f"{self.name} is not running.")
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str] | None:
        return None

    def prepare(self) -> None:
        """Runs once, before the first start."""

    def answers(self) -> bool:
        raise NotImplementedError

    def opened(self) -> None:
        """Runs once, after the first start."""

    def start(self) -> Self:
        first = self not in _running
        if first:
            _running.append(self)
            self.prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                end_with_this_process(self.command(), by=self.ends_by),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the tests, which then end it
            )
        self.wait()
        if first:
            self.opened()
        return self

    def wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.answers():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-3000:]
                raise ServerFailed(f"{self.name} did not become ready:\n{tail}")
            time.sleep(0.05)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """SIGKILL, as when the machine's memory runs out; ``start`` brings it up again."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        self._end(signal.SIGTERM)
        return self.start()

    def stop(self) -> None:
        """Ends it for good and removes its folder."""
        self._end(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self in _running:
            _running.remove(self)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class MariaDB(Server):
    """A MySQL-compatible server. A commit it acknowledged survives kill -9."""

    name = "mariadb"
    user = "clinic"
    password = "only-for-tests"  # a private port, gone after the test
    database = "clinic"

    options: ClassVar[dict[str, str]] = {}  # that every client needs in its address

    @property
    def url(self) -> str:
        return self.address(self.database)

    def address(self, database: str, **options: str) -> str:
        """The DATABASE_URL of one of its databases."""
        query = urlencode({**self.options, **options}, quote_via=quote)
        where = f"mysql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"
        return f"{where}?{query}" if query else where

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"

    def _as_this_user(self) -> list[str]:
        # mariadbd refuses to run as root unless it is told so in words.
        return ["--user=root"] if os.geteuid() == 0 else []

    def prepare(self) -> None:
        done = subprocess.run(
            [
                *(find("mariadb-install-db"), "--no-defaults", *self._as_this_user()),
                *(f"--datadir={self.folder / 'data'}", "--skip-test-db", "--skip-name-resolve"),
                "--auth-root-authentication-method=normal",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ServerFailed(f"mariadb-install-db failed:\n{done.stdout}\n{done.stderr}"[-3000:])

    def command(self) -> list[str]:
        return [
            *(find("mariadbd"), "--no-defaults", *self._as_this_user()),
            *(f"--datadir={self.folder / 'data'}", f"--socket={self._socket}"),
            *("--bind-address=127.0.0.1", f"--port={self.port}", "--skip-name-resolve"),
            *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_ci"),
            "--innodb-flush-log-at-trx-commit=1",  # an acknowledged commit is on the disk
            *("--innodb-buffer-pool-size=256M", "--max-connections=300"),
            *("--skip-log-bin", "--performance-schema=OFF"),
        ]

    def sql(self, statements: str) -> str:
        """What the server's own client prints for the statements, run as its administrator."""
        done = subprocess.run(
            [find("mariadb"), "--no-defaults", f"--socket={self._socket}", "-uroot", "-N", "mysql"],
            input=statements,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ServerFailed(f"mariadb refused: {done.stderr.strip()}")
        return done.stdout

    def answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except ServerFailed:
            return False
        return True

    def opened(self) -> None:
        self.sql(
            f"CREATE DATABASE {self.database};"
            f"CREATE USER {self.user}@'127.0.0.1' IDENTIFIED BY '{self.password}';"
            f"GRANT ALL ON *.* TO {self.user}@'127.0.0.1' WITH GRANT OPTION;"
        )
        # MySQL's own image has the zones loaded; Django needs them to cut days in other zones.
        self.sql(self.zones())

    def zones(self) -> str:
        """The statements that fill the server's tables of time zones."""
        return subprocess.run(
            [find("mariadb-tzinfo-to-sql"), "/usr/share/zoneinfo"], capture_output=True, text=True
        ).stdout


class Redis(Server):
    """A Redis that keeps nothing on disk: killing it loses all it held, as the design allows."""

    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        return [
            *(find("redis-server"), "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--save", "", "--appendonly", "no", "--dir", str(self.folder)),
        ]

    def answers(self) -> bool:
        try:
            return self.ask("PING") == "+PONG"
        except OSError:
            return False

    def ask(self, command: str) -> str:
        """The first line Redis answers to a plain command, such as ``FLUSHALL``."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.makefile().readline().strip()


@atexit.register
def stop_all() -> None:
    for server in list(_running):
        server.stop()
