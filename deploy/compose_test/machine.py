"""The one machine: an engine in a network namespace of its own, and Compose as people type it.

The images are built by an engine on the host's network, which has packages to install; the machine
itself has no way out, and the host's interfaces and rules stay as they are.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.swarm_test.bases import build_bases, named_in, wanted
from deploy.swarm_test.ledger import Ledger
from deploy.swarm_test.nodes import DOCKER, Engine, in_namespace, run

ROOT = Path(__file__).resolve().parents[2]
RECIPES = Path(__file__).parent / "bases"
FILE = ROOT / "docker-compose.yml"
NAMESPACE = "clinic-one"
PROJECT = "clinic"
# No stand-in: what needs them is looked at in the configuration only.
NOT_RUN = ("phpmyadmin",)
MONITORING = {"prometheus": "prom/prometheus", "alertmanager": "prom/alertmanager"}
COMMAND_SECONDS = 900.0


class ComposeFailed(Exception):
    """A command of Compose ended with an error; carries what it said."""


class Machine(Engine):
    @property
    def cgroup(self) -> str:
        return f"/{NAMESPACE}/{self.name}"


def make_network(ledger: Ledger) -> None:
    ledger.note("cgroup", name=NAMESPACE)
    ledger.note("namespace", name=NAMESPACE)
    run("ip", "netns", "add", NAMESPACE)
    run(*in_namespace(NAMESPACE), "ip", "link", "set", "lo", "up")


def build_stand_ins(engine: Engine, folder: Path, ledger: Ledger) -> None:
    """Every official image that the installation names, from Debian's packages."""
    text = FILE.read_text()
    named = named_in((ROOT / "deploy" / "Dockerfile").read_text(), text)
    bases = wanted([name for name in named if name.partition(":")[0] not in NOT_RUN])
    build_bases(engine, bases, folder, ledger)
    for target, official in MONITORING.items():
        tag = text.partition(f"{official}:")[2].partition("}")[0]
        recipe = RECIPES / "monitoring.Dockerfile"
        engine.docker(
            *("build", "--network", "host", "--file", str(recipe), "--target", target),
            *("--tag", f"{official}:{tag}", str(RECIPES)),
            seconds=COMMAND_SECONDS,
        )


def newer_compose(engine: Engine, folder: Path) -> Path:
    """Compose 2, taken out of an image."""
    program = folder / "compose"
    if not program.exists():
        recipe = RECIPES / "compose.Dockerfile"
        engine.docker(
            *("build", "--network", "host", "--file", str(recipe)),
            *("--tag", "clinic-test/compose", str(RECIPES)),
            seconds=COMMAND_SECONDS,
        )
        made = engine.docker("create", "--network", "none", "clinic-test/compose", "none")
        engine.docker("cp", f"{made}:/compose", str(program))
        engine.docker("rm", made)
        program.chmod(0o755)
    return program


@dataclass
class Compose:
    """``program`` with the installation's file and no settings but those given."""

    program: str
    engine: Engine
    folder: Path
    settings: Mapping[str, str]

    def __call__(
        self,
        *arguments: str,
        given: str = "",
        check: bool = True,
        files: tuple[Path, ...] = (),
        seconds: float = COMMAND_SECONDS,
        **settings: str,
    ) -> subprocess.CompletedProcess[str]:
        blank = self.folder / "no.env"  # a developer's own .env must not matter
        blank.touch()
        chosen = [word for file in (FILE, *files) for word in ("--file", str(file))]
        done = subprocess.run(
            [self.program, "--env-file", str(blank), *chosen, *arguments],
            cwd=ROOT,
            env={
                "PATH": f"/usr/bin:{os.environ['PATH']}",
                "HOME": str(self.folder),
                "DOCKER_HOST": self.engine.host,
                "COMPOSE_PROJECT_NAME": PROJECT,
                "COMPOSE_HTTP_TIMEOUT": "300",
                **self.settings,
                **settings,
            },
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        if check and done.returncode:
            raise ComposeFailed(
                f"{' '.join(arguments)} ended with {done.returncode}: "
                f"{(done.stdout + done.stderr).strip()[-3000:]}"
            )
        return done

    # --- What runs ----------------------------------------------------------------------------

    def container(self, service: str) -> str:
        return self("ps", "-q", service).stdout.strip()

    def state(self, service: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", self.container(service)))
        return found[0]

    def docker(self, *arguments: str, check: bool = True) -> str:
        return self.engine.docker(*arguments, check=check)

    def is_up(self, service: str, *, after: str = "") -> bool:
        """Running, and healthy where a check is made; started at another time than ``after``."""
        listed = self("ps", "-q", service, check=False).stdout.split()
        if not listed:
            return False
        state = json.loads(self.docker("inspect", listed[0]))[0]["State"]
        health = (state.get("Health") or {}).get("Status", "healthy")
        return bool(state["Running"] and state["StartedAt"] != after and health == "healthy")

    def kill(self, service: str) -> None:
        """kill -9 of a container's first process, past the engine."""
        self.engine.kill_inside(self.state(service)["State"]["Pid"])

    def python(self, text: str, *arguments: str) -> Any:
        """What a program prints that runs in the container of web, as JSON."""
        said = self("exec", "-T", "web", "python", "-", *arguments, given=text).stdout
        return json.loads(said.strip().splitlines()[-1])


__all__ = ["DOCKER", "Compose", "ComposeFailed", "Machine"]
