"""What the benchmarks share: timing, server CPU, tables, results, and the servers they run on.

These machines are small and noisy, so a figure counts beside a peer or a control of the same run:
``interleaved`` runs the contenders in turn (A B A B). Server CPU seconds are steadier than wall
time; report both.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.servers import MariaDB, Redis, ServerFailed, end_with_this_process, free_port

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
READY_SECONDS = 60
STOP_SECONDS = 20
_TICKS = os.sysconf("SC_CLK_TCK")


def say(text: str) -> None:
    print(text, flush=True)


# --- Measuring ------------------------------------------------------------------------------


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was really measured."""
    ranked = sorted(values)
    rank = math.ceil(len(ranked) * percent / 100)
    return ranked[max(rank, 1) - 1]


def timed(work: Callable[[], object], *, repeats: int, warm: int = 2) -> list[float]:
    """Milliseconds of each repeat, after ``warm`` runs that do not count."""
    for _ in range(warm):
        work()
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        found.append((time.perf_counter() - begun) * 1000)
    return found


def interleaved(
    contenders: Mapping[str, Callable[[], float]], *, rounds: int = 5
) -> dict[str, list[float]]:
    """Each contender's figure of each round, in turn, so that all see the same machine."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            found[name].append(run())
    return found


def summary(values: Sequence[float]) -> dict[str, float]:
    return {
        "p50": round(percentile(values, 50), 2),
        "p95": round(percentile(values, 95), 2),
        "p99": round(percentile(values, 99), 2),
        "mean": round(statistics.fmean(values), 2),
        "n": len(values),
    }


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time so far of these processes and the live ones below them (Linux)."""
    return sum(_own_cpu(pid) for pid in _with_children(pids))


def _with_children(pids: Iterable[int]) -> set[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents[int(entry.name)] = int(fields[1])
    family = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _own_cpu(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may itself hold spaces."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


# --- Telling --------------------------------------------------------------------------------


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A Markdown table; the first row's keys are its columns."""
    if not rows:
        return "(no rows)"
    columns = list(rows[0])
    cells = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def save(name: str, rows: Sequence[Mapping[str, object]], **more: Any) -> Path:
    """Prints the rows as a table and writes them to bench/results/NAME.json."""
    say(table(rows))
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    facts = {
        "benchmark": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {"cores": os.cpu_count(), "system": platform.system()},
        "python": platform.python_version(),
        "rows": list(rows),
        **more,
    }
    path.write_text(json.dumps(facts, indent=2, default=str) + "\n")
    say(f"Written to {path.relative_to(ROOT)}")
    return path


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip()


# --- Serving --------------------------------------------------------------------------------


def production_environment(database_url: str) -> dict[str, str]:
    """The environment of production mode over plain HTTP, on this database."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "clinic.settings",
        "DATABASE_URL": database_url,
        "SECRET_KEY": "a-key-for-benchmarks-only-that-is-long-enough-to-be-accepted",
        "ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
        "ALLOW_HTTP": "1",
        "STAFF_MFA_REQUIRED": "0",
        "STAFF_IDLE_MINUTES": "600",  # sessions are made once, before a long run
        "TRUSTED_PROXY_COUNT": "0",
        "LOG_LEVEL": "WARNING",
    }
    environment.pop("DEBUG", None)
    return environment


class Stack:
    """MariaDB, Redis and gunicorn as in production over plain HTTP; see ``stack``."""

    def __init__(self, database: MariaDB, redis: Redis, *, workers: int, settings: dict[str, str]):
        self.database = database
        self.redis = redis
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._workers = workers
        self._gunicorn: subprocess.Popen[bytes] | None = None
        self._log = database.folder / "gunicorn.log"
        self.environment = {
            **production_environment(database.url),
            "REDIS_URL": redis.url,
            "PUBLIC_URL": self.url,
            **settings,
        }

    def manage(self, *arguments: str) -> None:
        """Runs a management command and shows what it prints, such as its progress."""
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            check=True,
        )

    def connect_django(self) -> None:
        """Sets Django up in this process on the stack's database; call once, before any import."""
        os.environ.update(self.environment)
        os.environ.pop("DEBUG", None)
        import django

        django.setup()

    def server_cpu(self) -> float:
        """CPU seconds so far of the pages' processes, without the database."""
        assert self._gunicorn is not None
        return cpu_seconds([self._gunicorn.pid])

    def database_cpu(self) -> float:
        return cpu_seconds([self.database.pid])

    def serve(self) -> None:
        with self._log.open("ab") as log:
            self._gunicorn = subprocess.Popen(
                end_with_this_process(
                    [
                        *(sys.executable, "-m", "gunicorn", "clinic.wsgi:application"),
                        *("--bind", f"127.0.0.1:{self.port}", "--workers", str(self._workers)),
                        *("--log-level", "warning"),
                    ]
                ),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            if self._gunicorn.poll() is not None or time.monotonic() > deadline:
                self.end()
                tail = self._log.read_text(errors="replace")[-3000:]
                raise ServerFailed(f"gunicorn did not start:\n{tail}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/livez", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def end(self) -> None:
        process, self._gunicorn = self._gunicorn, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def stack(
    *,
    database: MariaDB | None = None,
    sample: Sequence[str] = (),
    workers: int = 2,
    settings_module: str = "clinic.settings",
    **settings: str,
) -> Iterator[Stack]:
    """A running stack with tables and, when ``sample`` names options, sample data.

    ``database``: a server of the caller's, such as a copy of kept data (see bench/data.py).
    """
    with database or MariaDB() as server, Redis() as redis:
        settings = {"DJANGO_SETTINGS_MODULE": settings_module, **settings}
        running = Stack(server, redis, workers=workers, settings=settings)
        running.manage("collectstatic", "--noinput", "--verbosity", "0")
        running.manage("migrate", "--no-input", "--verbosity", "0")
        if sample:
            running.manage("sample_data", "--yes-this-is-not-real", *sample)
        running.serve()
        try:
            yield running
        finally:
            running.end()
