"""The server that production runs, MySQL itself, in the place of MariaDB.

MariaDB is what distributions bring, so it is what `make test` starts. `make test-mysql` (tools/
mysql.py) unpacks MySQL's own server and names its folder in MYSQL_ROOT; the same tests then run on
it. Nothing is installed: the program runs with the libraries of its own folder.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import ClassVar

from tests.servers import MariaDB, ServerFailed, ServerMissing

ROOT_VARIABLE = "MYSQL_ROOT"
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib/mysql/private")
LOADERS = (
    "usr/lib64/ld-linux-x86-64.so.2",
    "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "usr/lib/ld-linux-aarch64.so.1",
    "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
)


def database_server() -> MariaDB:
    """MySQL when MYSQL_ROOT names its folder, or else MariaDB; not started yet."""
    root = os.environ.get(ROOT_VARIABLE)
    return MySQL(Path(root)) if root else MariaDB()


class MySQL(MariaDB):
    """MySQL's server from ``root``, a Debian system with its packages unpacked."""

    name = "mysql"
    # Its way of signing in sends passwords over TLS only.
    options: ClassVar[dict[str, str]] = {"ssl_mode": "REQUIRED"}

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def program(self, name: str) -> list[str]:
        """A command of ``root`` that uses the libraries of ``root``."""
        loader = next((self.root / path for path in LOADERS if (self.root / path).exists()), None)
        if loader is None:
            raise ServerMissing(f"{self.root} ({ROOT_VARIABLE}) holds no system.")
        paths = ":".join(str(self.root / path) for path in LIBRARIES)
        return [str(loader), "--library-path", paths, str(self.root / "usr" / name)]

    def _mysqld(self) -> list[str]:
        return [
            *(*self.program("sbin/mysqld"), "--no-defaults", *self._as_this_user()),
            *(f"--datadir={self.folder / 'data'}", f"--basedir={self.root / 'usr'}"),
            f"--lc-messages-dir={self.root / 'usr/share/mysql'}",
            "--secure-file-priv=NULL",
        ]

    def prepare(self) -> None:
        done = subprocess.run(
            [*self._mysqld(), "--initialize-insecure"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ServerFailed(f"mysqld could not be initialized:\n{done.stderr}"[-3000:])

    def command(self) -> list[str]:
        return [
            *(*self._mysqld(), f"--socket={self._socket}", "--mysqlx=OFF"),
            *("--bind-address=127.0.0.1", f"--port={self.port}", "--skip-name-resolve"),
            *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_ci"),
            *("--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=256M"),
            *("--max-connections=300", "--skip-log-bin", "--performance-schema=OFF"),
            f"--pid-file={self.folder / 'pid'}",
        ]

    def zones(self) -> str:
        done = subprocess.run(
            [*self.program("bin/mysql_tzinfo_to_sql"), "/usr/share/zoneinfo"],
            capture_output=True,
            text=True,
        )
        # As MySQL's own image does it: the one name that is too long for its column.
        return done.stdout.replace("Local time zone must be set--see zic manual page", "FCTY")
