"""The database server as backups see it: MySQL, or MariaDB, whose tools spell some options anew.

Passwords go to the tools in a file only this user can read, never in arguments.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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
        self._folder = tempfile.TemporaryDirectory(prefix="login-")
        self._options = Path(self._folder.name) / "my.cnf"
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

    def ask(self, statement: str, *, database: str = "") -> list[list[str]]:
        """The rows of an answer, as texts."""
        done = subprocess.run(
            [*self.tool("client"), "--batch", "--skip-column-names", *filter(None, [database])],
            input=statement,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BackupError(
                f"The database at {self.login.host} did not answer: {_first_line(done.stderr)}"
            )
        return [line.split("\t") for line in done.stdout.splitlines()]

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
        self, file: Path, *, database: str, into: str, position: int | None, until: str | None
    ) -> list[str]:
        """Prints the statements of a log file that concern ``database``, for ``into``."""
        return [
            "mariadb-binlog" if self.is_mariadb else "mysqlbinlog",
            *([] if self.is_mariadb else ["--skip-gtids"]),
            *([f"--rewrite-db={database}->{into}"] if into != database else []),
            f"--database={into}",
            *([f"--start-position={position}"] if position else []),
            *([f"--stop-datetime={until}"] if until else []),
            str(file),
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
        if size > _EMPTY_LOG_BYTES:
            self.ask("FLUSH BINARY LOGS")
            return [row[0] for row in logs]
        return [row[0] for row in logs if row[0] != name]


_EMPTY_LOG_BYTES = 500  # format description, earlier GTIDs, and what the flush itself wrote


def _has_only_mariadb() -> bool:
    from shutil import which

    return which("mysql") is None


def _first_line(text: str) -> str:
    return next((line for line in text.strip().splitlines() if "ERROR" in line), text.strip()[:200])


def run_pipe(commands: Sequence[Sequence[str]], *, output: Path | None = None) -> None:
    """``a | b | c > output``; raises ``BackupError`` when any of them fails."""
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as errors:
        source = None
        for number, command in enumerate(commands):
            last = number == len(commands) - 1
            target = output.open("wb") if last and output else None
            process = subprocess.Popen(
                command,
                stdin=source if source is not None else subprocess.DEVNULL,
                stdout=target or (subprocess.DEVNULL if last else subprocess.PIPE),
                stderr=errors,
                env={**os.environ, "TZ": "UTC"},
            )
            if source is not None:
                source.close()
            if target is not None:
                target.close()
            source = process.stdout
            running.append(process)
        codes = [process.wait() for process in running]
        if any(codes):
            errors.seek(0)
            said = errors.read().decode(errors="replace")
            which = commands[next(n for n, code in enumerate(codes) if code)][0]
            raise BackupError(f"{which} failed: {said.strip()[-400:]}")
