"""Deploying, one release after another, and waiting for what comes of it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from deploy.tool import secrets
from deploy.tool.docker import Problem, docker, inspect, inspect_all
from deploy.tool.jobs import run_job, service_name
from deploy.tool.settings import STACK_FILE, Settings

APP_SERVICES = ("web", "ws", "worker")
ROLLING = ("nginx", *APP_SERVICES)
SETTLE_SECONDS = 900.0
LOOK_SECONDS = 2.0  # every look costs the manager more than a page does
QUIET_SECONDS = 4.0  # an update shows up in a service's state this soon


def require_deployed(settings: Settings) -> None:
    if inspect("service", service_name(settings, "web")) is None:
        raise Problem(
            f"The stack {settings.stack} does not run. Start it with `deploy/stack init` and "
            "`deploy/stack deploy`."
        )


def replicas_now(settings: Settings) -> dict[str, str]:
    """How many replicas run of what was scaled by hand, so that an update keeps it."""
    found = {}
    for service in (*APP_SERVICES, "backup"):
        state = inspect("service", service_name(settings, service))
        if state is not None and f"{service.upper()}_REPLICAS" not in settings.values:
            found[f"{service.upper()}_REPLICAS"] = str(
                state["Spec"]["Mode"]["Replicated"]["Replicas"]
            )
    return found


def keep_images(settings: Settings) -> None:
    """Where no image is named, the one that runs stays: a change of settings is no update."""
    for name, service in (
        ("APP_IMAGE", "web"),
        ("NGINX_IMAGE", "nginx"),
        ("BACKUP_IMAGE", "backup"),
    ):
        state = inspect("service", service_name(settings, service))
        if state is not None and name not in settings.values:
            image: str = state["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
            settings.values[name] = image.partition("@")[0]


def apply(settings: Settings, **more: str) -> None:
    """`docker stack deploy` with the versions and replicas that are to be, and waits."""
    keep_images(settings)
    environment = {
        **replicas_now(settings),
        **settings.environment(),
        **secrets.version_environment(settings),
        **more,
    }
    begun = time.time()
    docker(
        *("stack", "deploy", "--compose-file", str(STACK_FILE), "--prune"),
        *("--resolve-image", settings.get("RESOLVE_IMAGE", "always")),
        *(("--with-registry-auth",) if settings.get("REGISTRY") else ()),
        settings.stack,
        environment=environment,
    )
    settle(settings, begun=begun)


def service_states(settings: Settings) -> dict[str, dict[str, Any]]:
    listed = docker(
        *("stack", "services", settings.stack, "--format", "{{.Name}} {{.Replicas}}")
    ).splitlines()
    running = dict(line.split()[:2] for line in listed)
    return {
        state["Spec"]["Name"].removeprefix(f"{settings.stack}_"): {
            **state,
            "Running": running[state["Spec"]["Name"]],
        }
        for state in inspect_all("service", list(running))
    }


def settle(settings: Settings, *, begun: float) -> None:
    """Waits until every service runs as asked. A service that went back by itself is a failure;
    what ran before goes on running then."""
    deadline = time.monotonic() + SETTLE_SECONDS
    time.sleep(QUIET_SECONDS)
    while True:
        waiting = []
        for name, state in service_states(settings).items():
            update = state.get("UpdateStatus") or {}
            now = update.get("State", "")
            if _seconds(update.get("StartedAt")) >= begun - 2 and now in {
                "rollback_started",
                "rollback_completed",
                "rollback_paused",
                "paused",
            }:
                if now == "rollback_started":
                    waiting.append(name)
                    continue
                raise Problem(
                    f"{name} did not come up and went back to what ran before "
                    f"({update.get('Message', now)}). What it said: `docker service logs "
                    f"{service_name(settings, name)}`, and `deploy/stack status`. Put it right and "
                    "deploy again."
                )
            running, _, wanted = state["Running"].partition("/")
            if now == "updating" or running != wanted.split()[0]:
                waiting.append(name)
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise Problem(
                f"After {SETTLE_SECONDS:.0f} s these do not run as asked: {', '.join(waiting)}. "
                "`deploy/stack status` shows why."
            )
        time.sleep(LOOK_SECONDS)


def _seconds(text: str | None) -> float:
    if not text:
        return 0.0
    return datetime.fromisoformat(text[:19] + "+00:00").timestamp()


def migrate(settings: Settings) -> str:
    """The job before an update, with the new image. When it fails nothing else is changed."""
    keep_images(settings)
    try:
        return run_job(
            settings, "migrate", ["migrate"], image=settings.get("APP_IMAGE", "clinic-app:latest")
        )
    except Problem as problem:
        raise Problem(
            f"{problem}\n\nThe database could not be brought to this release. What was running "
            "goes on running; migrations that were done stay, and the release before works with "
            "them. "
            "Put right what is said above and run this again."
        ) from problem


def manage(settings: Settings, *arguments: str) -> str:
    return run_job(settings, "migrate", ["manage", *arguments])


def rollback(settings: Settings) -> list[str]:
    """Takes the services back to what ran before the last update. The database stays as it is."""
    done = []
    for service in ROLLING:
        name = service_name(settings, service)
        state = inspect("service", name)
        if state is None or not state.get("PreviousSpec"):
            continue
        begun = time.time()
        docker("service", "rollback", "--detach", name)
        done.append(service)
        _wait_for_rollback(name, begun=begun)
    if not done:
        raise Problem("There is nothing to go back to: no service was updated since it was made.")
    return done


def _wait_for_rollback(name: str, *, begun: float) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    time.sleep(QUIET_SECONDS)
    while True:
        state = inspect("service", name) or {}
        now = (state.get("UpdateStatus") or {}).get("State", "")
        if now in {"rollback_completed", "completed", ""}:
            return
        if now == "rollback_paused" or time.monotonic() > deadline:
            raise Problem(f"{name} could not go back. `docker service ps {name}` shows why.")
        time.sleep(1)
