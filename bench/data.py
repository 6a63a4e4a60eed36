"""Databases full of sample data, made once and kept under var/bench/.

A run works on a copy, so that what it books is gone afterwards and every run begins alike. A kept
database is made anew when the tables changed or when it is a week old: sample visits lie around
the day on which they were made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.common import ROOT, production_environment, say
from tests.servers import MariaDB

KEPT = ROOT / "var" / "bench"
GOOD_FOR = timedelta(days=7)
FLUSH_SECONDS = 180  # a clean end writes all that is still in memory
OPTIONS = (
    # Room for the data of a million visits, as a server of its own would have.
    "--innodb-buffer-pool-size=1G",
    "--innodb-log-file-size=192M",
)


@dataclass(frozen=True)
class Amount:
    """How much sample data: the rows of the benchmark's table."""

    doctors: int
    patients: int
    appointments: int

    @property
    def name(self) -> str:
        return f"{self.doctors}-{self.patients}-{self.appointments}"

    def options(self) -> list[str]:
        return [
            *("--doctors", str(self.doctors), "--patients", str(self.patients)),
            *("--appointments", str(self.appointments)),
        ]


class Copy(MariaDB):
    """A server on a copy of a kept data folder, or on a new one when there is none.

    On the disk, not in memory: a commit costs what it costs in production.
    """

    def __init__(self, kept: Path | None = None) -> None:
        super().__init__()
        shutil.rmtree(self.folder)
        self.folder = Path(tempfile.mkdtemp(prefix="clinic-bench-"))
        self._kept = kept

    def prepare(self) -> None:
        if self._kept is None:
            super().prepare()
        else:
            # Linux clones instead of copying where the file system can.
            command = ["cp", "-a", str(self._kept / "data"), str(self.folder / "data")]
            subprocess.run(command, check=True)

    def opened(self) -> None:
        if self._kept is None:
            super().opened()

    def command(self) -> list[str]:
        return [*super().command(), *OPTIONS]

    def end_cleanly(self) -> None:
        """Ends the server after it has written everything, so that its folder can be kept."""
        assert self._process is not None
        self.sql("SHUTDOWN")
        self._process.wait(FLUSH_SECONDS)
        self._process = None


def kept(amount: Amount) -> Path:
    """The folder of a database with this much sample data; makes it when there is none."""
    folder = KEPT / amount.name
    note = folder / "made.json"
    if note.exists():
        made = json.loads(note.read_text())
        age = datetime.now(UTC) - datetime.fromisoformat(made["at"])
        if made["tables"] == _tables() and age < GOOD_FOR:
            return folder
        say(f"The sample data in {folder.relative_to(ROOT)} is outdated and made anew.")
        shutil.rmtree(folder)
    _make(amount, folder)
    return folder


def minutes_to_make(folder: Path) -> float:
    minutes: float = json.loads((folder / "made.json").read_text())["minutes"]
    return minutes


def _make(amount: Amount, folder: Path) -> None:
    say(f"Making {amount.doctors:,} doctors and {amount.appointments:,} visits, once …")
    with Copy() as database:
        environment = production_environment(database.url)
        begun = time.monotonic()
        for command in (
            ["migrate", "--no-input", "--verbosity", "0"],
            ["sample_data", "--yes-this-is-not-real", *amount.options()],
        ):
            subprocess.run(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                check=True,
            )
        minutes = (time.monotonic() - begun) / 60
        database.sql("SET GLOBAL innodb_fast_shutdown = 0")
        database.end_cleanly()
        folder.mkdir(parents=True)
        shutil.move(database.folder / "data", folder / "data")
    note = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tables": _tables(),
        "minutes": round(minutes, 2),
    }
    (folder / "made.json").write_text(json.dumps(note, indent=2) + "\n")
    say(f"Made in {minutes:.1f} minutes.")


def sync_ms() -> float:
    """The median of what one small durable write costs here: what a commit waits for."""
    found = []
    with tempfile.TemporaryFile() as file:
        for _ in range(50):
            begun = time.perf_counter()
            file.write(b"x" * 512)
            file.flush()
            os.fsync(file.fileno())
            found.append((time.perf_counter() - begun) * 1000)
    return round(statistics.median(found), 2)


def _tables() -> str:
    """Changes when a table does: a digest of all own migrations."""
    found = hashlib.sha256()
    for path in sorted(ROOT.glob("*/migrations/*.py")) + sorted(ROOT.glob("*/*/migrations/*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]
