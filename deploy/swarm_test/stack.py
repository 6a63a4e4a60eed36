"""The stack as its operator and its engines see it: `deploy/stack`, and questions to the Swarm."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.swarm_test.crowd import wait_until
from deploy.swarm_test.nodes import DOCKER, Cluster, Engine, NodeFailed

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ROOT / "deploy" / "stack"
NAME = "clinic"
COMMAND_SECONDS = 300.0


class StackFailed(Exception):
    """`deploy/stack` or the Swarm did not do what was asked; carries what was said."""


@dataclass(frozen=True)
class Task:
    """A running task: where its container is."""

    id: str
    service: str
    node: Engine
    container: str
    pid: int  # as its node counts
    state: str

    def kill(self) -> None:
        """kill -9 of the container's first process."""
        self.node.kill_inside(self.pid)

    def signal(self, name: str) -> None:
        self.node.kill_inside(self.pid, name)

    def run(self, *command: str, given: str | None = None, seconds: float = 120.0) -> str:
        """The output of a program inside the container."""
        done = subprocess.run(
            [DOCKER, "-H", self.node.host, "exec", "-i", self.container, *command],
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        if done.returncode:
            raise StackFailed(f"{command} in {self.service}: {done.stderr[-3000:]}")
        return done.stdout


class Stack:
    def __init__(self, cluster: Cluster, settings: dict[str, str]) -> None:
        self.cluster = cluster
        self.settings = settings
        self.manager = cluster.manager

    # --- The operator -------------------------------------------------------------------------

    def operate(
        self, *arguments: str, check: bool = True, given: str = "", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """`deploy/stack …`, as an operator types it on a manager."""
        done = subprocess.run(
            [str(COMMAND), *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "DOCKER": DOCKER,
                "DOCKER_HOST": self.manager.host,
                "RESOLVE_IMAGE": "never",
                "OVERLAY_ENCRYPTED": "0",
                **self.settings,
                **settings,
            },
            input=given,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        if check and done.returncode:
            raise StackFailed(
                f"deploy/stack {arguments}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
            )
        return done

    def docker(self, *arguments: str, check: bool = True, seconds: float = 120.0) -> str:
        return self.manager.docker(*arguments, check=check, seconds=seconds)

    # --- What runs ----------------------------------------------------------------------------

    def tasks(self, service: str, *, anywhere: bool = False) -> list[Task]:
        """The tasks that run; ``anywhere``: also those that are not running yet or any more."""
        listed = self.docker(
            *("service", "ps", "--no-trunc", "-q", "--filter", "desired-state=running"),
            f"{NAME}_{service}",
            check=False,
        ).split()
        if not listed:
            return []
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", *listed))
        names = self._node_names()
        tasks = []
        for row in found:
            status = row["Status"]
            container = status.get("ContainerStatus") or {}
            if status["State"] == "running" or anywhere:
                tasks.append(
                    Task(
                        row["ID"],
                        service,
                        self.cluster.node(names[row["NodeID"]])
                        if row.get("NodeID")
                        else self.manager,
                        container.get("ContainerID", ""),
                        container.get("PID", 0),
                        status["State"],
                    )
                )
        return tasks

    def _node_names(self) -> dict[str, str]:
        listed = self.docker("node", "ls", "--format", "{{.ID}} {{.Hostname}}")
        return dict(line.split() for line in listed.splitlines())

    def task(self, service: str, *, node: str = "") -> Task:
        for one in self.tasks(service):
            if node in {"", one.node.name}:
                return one
        raise StackFailed(f"no task of {service} runs{f' on {node}' if node else ''}")

    def replicas(self, service: str) -> tuple[int, int]:
        """How many run, and how many should."""
        return self._all_replicas().get(service, (0, 0))

    def _all_replicas(self) -> dict[str, tuple[int, int]]:
        found = {}
        for line in self.docker(
            "service", "ls", "--format", "{{.Name}} {{.Replicas}}"
        ).splitlines():
            name, replicas, *_ = line.split()
            service = name.removeprefix(f"{NAME}_")
            running, _, wanted = replicas.partition("/")
            # Of a global service the Swarm counts a task only once it has been made.
            most = len(self.cluster.nodes) if service == "nginx" else int(wanted)
            found[service] = int(running), most
        return found

    def is_whole(self, services: Iterable[str]) -> bool:
        found = self._all_replicas()
        of_these = [found.get(service, (0, 0)) for service in services]
        return all(running == wanted and wanted > 0 for running, wanted in of_these)

    def wait_until_whole(self, services: Iterable[str], seconds: float) -> float:
        """Seconds until all replicas run."""
        services = list(services)
        begun = time.monotonic()
        if not wait_until(lambda: self.is_whole(services), seconds, every=0.5):
            raise StackFailed(f"after {seconds:.0f} s not everything runs:\n{self.trouble()}")
        return time.monotonic() - begun

    def trouble(self) -> str:
        """What the Swarm says about the services, for a person to read."""
        said = [self.docker("service", "ls", check=False)]
        for name in self.docker("service", "ls", "--format", "{{.Name}}", check=False).split():
            running = self.docker("service", "ps", "--no-trunc", name, check=False)
            lines = [line for line in running.splitlines() if "Running" not in line.split("  ")]
            said += lines[:6]
            said.append(self.docker("service", "logs", "--tail", "8", name, check=False)[-1500:])
        return "\n".join(said)

    def containers(self, services: Iterable[str]) -> dict[str, set[str]]:
        return {service: {task.container for task in self.tasks(service)} for service in services}

    def image(self, service: str) -> str:
        return self.docker(
            *("service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}"),
            f"{NAME}_{service}",
        )


__all__ = ["NAME", "NodeFailed", "Stack", "StackFailed", "Task"]
