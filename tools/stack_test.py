"""`make stack-test`: brings what the test needs on Debian 12, and runs it (deploy/swarm_test)."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tools import environments, system_packages
from tools.environments import ROOT

VENV = ROOT / ".venv-stack"
REQUIREMENTS = ROOT / "requirements" / "test.txt"
NEEDED = {"websockets"}
PACKAGES = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "ip": "iproute2",
    "debootstrap": "debootstrap",
    "openssl": "openssl",
}


def everything_else() -> list[str]:
    """The test driver is light: of all pinned packages it needs one."""
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==", REQUIREMENTS.read_text(), re.MULTILINE)
    return [name for name in pinned if name not in NEEDED]


def main() -> None:
    if os.geteuid() != 0:
        raise SystemExit("The stack test makes networks and starts engines: run it as root.")
    missing = {package for name, package in PACKAGES.items() if not system_packages.find(name)}
    if sys.base_prefix == "/usr" and not list(
        Path("/usr/lib").glob("python3*/ensurepip/__init__.py")
    ):
        missing.add("python3-venv")
    if missing:
        system_packages.install(sorted(missing))
    python = environments.ensure(VENV, REQUIREMENTS, wheels_only=True, without=everything_else())
    # In place of this process, so that stopping it reaches the test, which then cleans up.
    command = [str(python), "-m", "deploy.swarm_test", *sys.argv[1:]]
    os.chdir(ROOT)
    os.execve(command[0], command, {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})  # noqa: S606


if __name__ == "__main__":
    main()
