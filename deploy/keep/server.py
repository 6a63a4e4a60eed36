"""The database server as backups see it: MySQL, or MariaDB, whose tools spell some options anew.

Passwords go to the tools in a file only this user can read, never in arguments.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from deploy.keep.errors import BackupError


def secret(name: str) -> str:
    """The value of NAME, or the content of the file that NAME_FILE names."""
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise BackupError(f"{name}_FILE names {path}, which cannot be read.") from error
    value = os.environ.get(name, "")
    if not value:
        raise BackupError(f"{name} is not set. Set it, or {name}_FILE to a file that holds it.")
    return value


@dataclass(frozen=True)
class Login:
    host: str
    port: str
    user: str
    password: str

    @classmethod
    def read(cls, prefix: str) -> Login:
        """From PREFIX_USER and PREFIX_PASSWORD; the server is the same for all."""
        return cls(
            host=os.environ.get("BACKUP_HOST") or "mysql",
            port=os.environ.get("BACKUP_PORT") or "3306",
            user=os.environ.get(f"{prefix}_USER") or "clinic_backup",
            password=secret(f"{prefix}_PASSWORD"),
        )


class Server:
    def __init__(self, login: Login) -> None:
        self.login = login
        folder = tempfile.mkdtemp(prefix="login-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._options = Path(folder) / "my.cnf"
        quoted = login.password.replace("\\", "\\\\").replace('"', '\\"')
        self._options.touch(mode=0o600)
        self._options.write_text(
            f'[client]\nhost="{login.host}"\nport={login.port}\nuser="{login.user}"\n'
            f'password="{quoted}"\nprotocol=tcp\n'
        )

    def tool(self, name: str) -> list[str]:
        """The command of a tool, with the login; ``name`` is client, dump or binlog."""
        programs = {
            "client": ("mysql", "mariadb"),
            "dump": ("mysqldump", "mariadb-dump"),
            "binlog": ("mysqlbinlog", "mariadb-binlog"),
        }
        program = programs[name][self.is_mariadb if name != "client" else _has_only_mariadb()]
        return [program, f"--defaults-extra-file={self._options}"]

    def client(self, database: str = "", *, logged: bool = True) -> list[str]:
        """The client's command. What it does unlogged is in no binary log, so that a restore
        drill is not replayed by the next one."""
        return [
            *self.tool("client"),
            *([] if logged else ["--init-command=SET SESSION sql_log_bin = 0"]),
            *([database] if database else []),
        ]

    def ask(self, statement: str, *, logged: bool = True) -> list[list[str]]:
        """The rows of an answer, as texts."""
        done = subprocess.run(
            [*self.client(logged=logged), "--batch", "--skip-column-names"],
            input=statement,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BackupError(
                f"The database at {self.login.host} did not answer: {_first_line(done.stderr)}"
            )
        return [line.split("\t") for line in done.stdout.splitlines()]

    def wait(self, seconds: float) -> None:
        """Until it answers: one that was just started elsewhere needs a moment."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.ask("SELECT 1")
            except BackupError as error:
                if "ERROR 20" not in str(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(1)
            else:
                return

    def size(self, database: str) -> tuple[int, int]:
        """How many tables a database has, and about how many rows are in them."""
        (found,) = self.ask(
            "/*!80000 SET SESSION information_schema_stats_expiry = 0 */;"  # noqa: S608
            "SELECT COUNT(*), COALESCE(SUM(table_rows), 0) FROM information_schema.tables "
            f"WHERE table_schema = '{database}'"
        )
        return int(found[0]), int(found[1])

    @cached_property
    def is_mariadb(self) -> bool:
        return "MariaDB" in self.ask("SELECT VERSION()")[0][0]

    @cached_property
    def identity(self) -> str:
        """Tells a server with its logs from another one that was set up anew, for file names."""
        column = "@@server_id" if self.is_mariadb else "@@server_uuid"
        return self.ask(f"SELECT {column}")[0][0].replace("-", "")[:12]

    def dump_command(self, database: str) -> list[str]:
        own = (
            ["--master-data=2"]
            if self.is_mariadb
            else ["--source-data=2", "--set-gtid-purged=OFF", "--no-tablespaces"]
        )
        return [
            *self.tool("dump"),
            *("--single-transaction", "--quick", "--routines", "--triggers", "--events"),
            *("--hex-blob", "--default-character-set=utf8mb4", *own, database),
        ]

    def fetch_log_command(self, name: str, folder: Path) -> list[str]:
        return [
            *self.tool("binlog"),
            *("--read-from-remote-server", "--raw", f"--result-file={folder}/", name),
        ]

    def replay_command(
        self, *, database: str, into: str, position: int | None, until: str | None
    ) -> list[str]:
        """Prints the statements of a log, given to its input, that concern ``database``, for
        ``into``. MySQL's tool looks at the new name of a database, MariaDB's at the one it had."""
        return [
            "mariadb-binlog" if self.is_mariadb else "mysqlbinlog",
            *([] if self.is_mariadb else ["--skip-gtids"]),
            *([f"--rewrite-db={database}->{into}"] if into != database else []),
            f"--database={database if self.is_mariadb else into}",
            *([f"--start-position={position}"] if position else []),
            *([f"--stop-datetime={until}"] if until else []),
            "-",
        ]

    def closed_logs(self) -> list[str]:
        """Begins a new binary log when something was written since the last one, and returns the
        names of those that are complete, oldest first."""
        logs = self.ask("SHOW BINARY LOGS")
        if not logs:
            raise BackupError(
                "The database keeps no binary log. Start it with --log-bin, or nothing after the "
                "last full backup could be restored."
            )
        name, size = logs[-1][0], int(logs[-1][1])
        if size > _SMALL_LOG_BYTES or self._holds_events(name):
            self.ask("FLUSH BINARY LOGS")
            return [row[0] for row in logs]
        return [row[0] for row in logs if row[0] != name]

    def _holds_events(self, log: str) -> bool:
        """Whether anything was written to a small log: one booking has fewer bytes than some
        servers' description of an empty log."""
        rows = self.ask(f"SHOW BINLOG EVENTS IN '{log}' LIMIT 8")
        return any(row[2] not in _OF_THE_LOG_ITSELF for row in rows)


_SMALL_LOG_BYTES = 4096
_OF_THE_LOG_ITSELF = {"Format_desc", "Previous_gtids", "Gtid_list", "Binlog_checkpoint", "Rotate"}


def _has_only_mariadb() -> bool:
    return shutil.which("mysql") is None


def _first_line(text: str) -> str:
    return next((line for line in text.strip().splitlines() if "ERROR" in line), text.strip()[:200])


def fetch(command: Sequence[str], pipe: Path, onward: Sequence[Sequence[str]], to: Path) -> None:
    """``command`` writes a file named ``pipe``; its content goes through ``onward`` into ``to``.

    The file is a pipe, so that what is in it is never on a disk and may be of any length.
    """
    os.mkfifo(pipe, 0o600)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(pipe, os.O_WRONLY)  # held open, so that the reader waits for the command
    os.set_blocking(reading, True)
    with tempfile.TemporaryFile() as errors, to.open("wb") as target:
        running: list[subprocess.Popen[bytes]] = []
        given: int | IO[bytes] = reading
        for step in onward:
            out = target if step is onward[-1] else subprocess.PIPE
            process = subprocess.Popen(step, stdin=given, stdout=out, stderr=errors)
            if isinstance(given, int):
                os.close(given)
            else:
                given.close()
            given = process.stdout or given
            running.append(process)
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
        finally:
            os.close(writing)
            codes = [process.wait() for process in running]
        if done.returncode or any(codes):
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            raise BackupError(f"{pipe.name} could not be brought: {said[-400:]}")


def run_pipe(
    commands: Sequence[Sequence[str]],
    *,
    output: Path | None = None,
    source: int | None = None,
    read: Callable[[IO[bytes]], None] | None = None,
) -> None:
    """``a | b | c > output``; raises ``BackupError`` when any of them fails. ``read`` gets what
    the last one prints."""
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as errors:
        given: IO[bytes] | None = None
        for number, command in enumerate(commands):
            last = number == len(commands) - 1
            target = output.open("wb") if last and output else None
            shown = subprocess.PIPE if not last or read else subprocess.DEVNULL
            process = subprocess.Popen(
                command,
                stdin=given if given is not None else subprocess.DEVNULL,
                stdout=target or shown,
                stderr=errors,
                env={**os.environ, "TZ": "UTC"},
            )
            if given is not None:
                given.close()
            if target is not None:
                target.close()
            given = process.stdout
            running.append(process)
        if read is not None and running[-1].stdout is not None:
            with running[-1].stdout as printed:
                read(printed)
        codes = [process.wait() for process in running]
        if any(codes):
            errors.seek(0)
            said = errors.read().decode(errors="replace")
            which = commands[next(n for n, code in enumerate(codes) if code)][0]
            raise BackupError(f"{which} failed: {said.strip()[-400:]}")
