"""Tasks and regular jobs for the tests of the worker; workers in other processes import them."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path

from clinic.jobs.queue import task

runs: list[datetime] = []


@task
def add(left: int, right: int) -> int:
    return left + right


@task
def fail_with(text: str) -> None:
    raise ValueError(f"cannot use {text}")


@task
def slow(folder: str, seconds: float) -> None:
    """Leaves a file when it starts and one when it ends."""
    (Path(folder) / "started").write_text(str(os.getpid()))
    time.sleep(seconds)
    (Path(folder) / "ended").touch()


def note_run(*, now: datetime) -> None:
    runs.append(now)


def break_down(*, now: datetime) -> None:
    raise RuntimeError("alice@example.org has no such thing")
