"""The docker command, and the one kind of error that this tool ends with."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any


class Problem(Exception):
    """Something the operator has to put right; the text is a sentence that says how."""


def docker(
    *arguments: str,
    text: str | None = None,
    environment: dict[str, str] | None = None,
    with_errors: bool = False,
) -> str:
    """What a docker command prints. ``text`` goes to its input, never into its arguments.

    ``with_errors``: also what it prints as errors, as a container's log does with its own.
    """
    command = [os.environ.get("DOCKER") or "docker", *arguments]
    try:
        done = subprocess.run(
            command,
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    except FileNotFoundError as error:
        raise Problem(
            f"{command[0]} is not on this machine. Install Docker, or set DOCKER to its path."
        ) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        if "Cannot connect to the Docker daemon" in said:
            raise Problem("Docker does not answer. Start it, or set DOCKER_HOST to a manager's.")
        raise Problem(f"docker {' '.join(arguments[:3])} failed: {said}")
    return (done.stdout + (done.stderr if with_errors else "")).strip()


def inspect(kind: str, name: str) -> dict[str, Any] | None:
    """What docker knows about an object; None when there is none of that name."""
    try:
        found: list[dict[str, Any]] = json.loads(docker(kind, "inspect", name))
    except Problem as problem:
        if "no such" in str(problem).lower() or "not found" in str(problem).lower():
            return None
        raise
    return found[0] if found else None


def inspect_all(kind: str, wanted: list[str]) -> list[dict[str, Any]]:
    """What docker knows about these, which all exist, in one call."""
    return json.loads(docker(kind, "inspect", *wanted)) if wanted else []


def names(kind: str) -> list[str]:
    return docker(kind, "ls", "--format", "{{.Name}}").splitlines()


def require_manager() -> None:
    state = json.loads(docker("info", "--format", "{{json .Swarm}}"))
    if state.get("LocalNodeState") != "active":
        raise Problem(
            "This machine is in no swarm. Start one with `docker swarm init --advertise-addr "
            "ADDRESS`, let the others join with the command it prints, and run this again."
        )
    if not state.get("ControlAvailable"):
        raise Problem(
            "This machine is no manager of its swarm. Run this on a manager, or set "
            "DOCKER_HOST=ssh://MANAGER."
        )
