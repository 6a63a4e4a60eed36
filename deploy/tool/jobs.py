"""Jobs: single tasks of a service that has no replicas, such as `migrate`."""

from __future__ import annotations

import json
import time
from typing import Any

from deploy.tool.docker import Problem, docker, inspect
from deploy.tool.settings import Settings

JOB_SECONDS = 3600.0
QUIET_SECONDS = 30.0
ATTEMPTS = 3
FAILED = {"failed", "rejected"}
WITHDRAWN = {"shutdown", "orphaned", "remove"}


def service_name(settings: Settings, service: str) -> str:
    return f"{settings.stack}_{service}"


def run_job(
    settings: Settings, service: str, arguments: list[str], *, image: str | None = None
) -> str:
    """Runs one task to its end; returns what it printed.

    Raises ``Problem`` with its last lines when it fails. A task that the Swarm withdraws before it
    was started (it does so when one job follows another quickly) is asked for again.
    """
    name = service_name(settings, service)
    if inspect("service", name) is None:
        raise Problem(f"{name} is not there. Run `deploy/stack deploy` first.")
    change = [
        *("service", "update", "--detach", "--force", "--replicas", "1"),
        *(("--image", image) if image else ()),
        *(("--no-resolve-image",) if settings.get("RESOLVE_IMAGE") == "never" else ()),
        *("--args", " ".join(_quoted(word) for word in arguments)),
        name,
    ]
    deadline = time.monotonic() + JOB_SECONDS
    for _ in range(ATTEMPTS):
        before = set(_tasks(name))
        try:
            docker(*change)
            printed = _wait(name, service, before, deadline)
        finally:
            docker("service", "update", "--detach", "--replicas", "0", name)
            _wait_until_quiet(name)
        if printed is not None:
            return printed
    raise Problem(f"{service} was not started. `docker service ps {name}` shows why.")


def _wait(name: str, service: str, before: set[str], deadline: float) -> str | None:
    """What the new task printed; None when it was withdrawn before it ran."""
    while True:
        for task in set(_tasks(name)) - before:
            found: dict[str, Any] = json.loads(docker("inspect", "--type", "task", task))[0]
            status = found["Status"]
            if status["State"] == "complete":
                return _printed(task)
            was_run = bool(status.get("ContainerStatus", {}).get("PID"))
            if status["State"] in WITHDRAWN and not was_run:
                return None
            if status["State"] in FAILED | WITHDRAWN:
                why = status.get("Err", status["State"])
                raise Problem(f"{service} failed ({why}):\n{_printed(task)[-3000:]}")
        if time.monotonic() > deadline:
            raise Problem(f"{service} did not end within {JOB_SECONDS:.0f} s; it was stopped.")
        time.sleep(0.5)


def _tasks(name: str) -> list[str]:
    return docker("service", "ps", "--quiet", "--no-trunc", name).split()


def _wait_until_quiet(name: str) -> None:
    deadline = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        if not docker("service", "ps", "--quiet", "--filter", "desired-state=running", name):
            return
        time.sleep(0.5)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'" if set(word) & set(" '\"\\$") else word


def _printed(task: str) -> str:
    """A task's output. Its last lines reach the log's reader a moment after its end."""
    time.sleep(1)
    return docker("service", "logs", "--raw", task, with_errors=True)
