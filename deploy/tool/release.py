"""Deploying, one release after another, and waiting for what comes of it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from deploy.tool import before, monitoring, secrets
from deploy.tool.docker import Problem, docker, inspect, inspect_all
from deploy.tool.jobs import run_job, service_name
from deploy.tool.settings import Settings

APP_SERVICES = ("web", "ws", "worker")
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
            found[f"{service.upper()}_REPLICAS"] = to_keep(
                service, state["Spec"]["Mode"]["Replicated"]["Replicas"]
            )
    return found


def to_keep(service: str, replicas: int) -> str:
    """Nobody scales backups to none on purpose: an update never carries that over."""
    return str(max(replicas, 1) if service == "backup" else replicas)


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
        **monitoring.config_environment(),
        **more,
    }
    environment["RELEASE_BEFORE"] = before.written(
        before.to_write(
            running=images_now(settings), wanted=environment, label=label_before(settings)
        )
    )
    begun = time.time()
    docker(
        *("stack", "deploy", "--prune"),
        *(word for file in monitoring.files(settings) for word in ("--compose-file", str(file))),
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


def migrate(settings: Settings, *, new_database: bool = False) -> str:
    """The job before an update, with the new image. When it fails nothing else is changed."""
    keep_images(settings)
    try:
        return run_job(
            settings,
            "migrate",
            ["migrate", *(["--new-database"] if new_database else [])],
            image=settings.get("APP_IMAGE", "clinic-app:latest"),
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


def images_now(settings: Settings) -> dict[str, str]:
    """The image of each service there is, with its digest."""
    found = {}
    for services in before.SERVICES.values():
        for service in services:
            state = inspect("service", service_name(settings, service))
            if state is not None:
                found[service] = state["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
    return found


def label_before(settings: Settings) -> str:
    state = inspect("service", service_name(settings, "migrate")) or {"Spec": {}}
    label: str = (state["Spec"].get("Labels") or {}).get(before.LABEL, "")
    return label


def rollback(settings: Settings) -> list[str]:
    """Takes the services back to the images before the last update that changed one; returns what
    moved. Replicas, secrets and the database stay as they are."""
    running = images_now(settings)
    images = before.to_return_to(running=running, label=label_before(settings))
    apply(settings, **images)
    return before.moves(running, images)
