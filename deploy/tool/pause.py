"""The site stopped for a restore, and started again with as many replicas as before.

How many there were is a label of each service, set together with its stop, so that neither a
failure nor a second try forgets it.
"""

from __future__ import annotations

import time
from typing import Any

from deploy.tool import release
from deploy.tool.docker import Problem, docker, inspect
from deploy.tool.jobs import service_name
from deploy.tool.settings import Settings

LABEL = "clinic.replicas"
# The site as the stack file has it; backups are stopped as well, so that no half is kept.
DEFAULTS = {"web": 2, "ws": 2, "worker": 1, "backup": 1}


def to_start(*, now: int, label: str, default: int) -> int:
    """How many replicas a service gets after the stop: those it had, at least one."""
    if now > 0:
        return now
    return int(label) if label.isdigit() and int(label) > 0 else max(default, 1)


def default_of(settings: Settings, service: str) -> int:
    given = settings.get(f"{service.upper()}_REPLICAS")
    return int(given) if given.isdigit() and int(given) > 0 else DEFAULTS[service]


def is_stopped(state: dict[str, Any]) -> bool:
    return LABEL in (state["Spec"].get("Labels") or {})


def counts(settings: Settings) -> dict[str, int]:
    """With how many replicas each service there is goes on afterwards."""
    found = {}
    for service in DEFAULTS:
        state = inspect("service", service_name(settings, service))
        if state is not None:
            found[service] = to_start(
                now=state["Spec"]["Mode"]["Replicated"]["Replicas"],
                label=(state["Spec"].get("Labels") or {}).get(LABEL, ""),
                default=default_of(settings, service),
            )
    return found


def stop(settings: Settings) -> None:
    begun = time.time()
    for service, number in counts(settings).items():
        docker(
            *("service", "update", "--detach", "--label-add", f"{LABEL}={number}"),
            *("--replicas", "0", service_name(settings, service)),
        )
    release.settle(settings, begun=begun)


def start(settings: Settings) -> None:
    begun = time.time()
    for service, number in counts(settings).items():
        docker(
            *("service", "update", "--detach", "--label-rm", LABEL),
            *("--replicas", str(number), service_name(settings, service)),
        )
    release.settle(settings, begun=begun)


def require_running(settings: Settings) -> None:
    """An update or a change of secrets would start the site on half a database."""
    for service in DEFAULTS:
        state = inspect("service", service_name(settings, service))
        if state is not None and is_stopped(state):
            raise Problem(
                "The site is stopped by a restore that did not end. Run `deploy/stack restore` "
                "again, or start the site on the database as it is with `deploy/stack resume`."
            )
