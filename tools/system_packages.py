"""Brings the servers and the browser that the tests need, where the machine lets us.

As root on Debian or Ubuntu what is missing is installed; elsewhere what is there is used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.environments import say

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What the tests run, and the Debian package that brings it.
PROGRAMS = {
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "redis-server": "redis-server",
    "mariadb-dump": "mariadb-client",
    "mariadb-binlog": "mariadb-client",
    "nginx": "nginx",
    "openssl": "openssl",
    "age": "age",
    "zstd": "zstd",
    "promtool": "prometheus",
    "gcc": "gcc",
    "pkg-config": "pkg-config",
}
POLICY = Path("/usr/sbin/policy-rc.d")


def find(program: str) -> str | None:
    """The program's path; servers often live in /usr/sbin, which users' PATH leaves out."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    return shutil.which(program, path=path)


def find_chromium() -> str | None:
    return next((path for name in CHROMIUM_NAMES if (path := find(name))), None)


def has_database_headers() -> bool:
    """Whether mysqlclient, which has no wheels for Linux, could be compiled."""
    return bool(find("gcc") or find("cc")) and any(
        subprocess.run(["pkg-config", "--exists", name], check=False).returncode == 0
        for name in (("libmariadb", "mysqlclient", "mariadb") if find("pkg-config") else ())
    )


def missing_packages() -> list[str]:
    packages = {package for program, package in PROGRAMS.items() if not find(program)}
    if not find_chromium():
        packages |= {"chromium", "fonts-dejavu-core"}
    if not has_database_headers():
        packages |= {"gcc", "pkg-config", "libmariadb-dev", "libc6-dev"}
    if sys.base_prefix == "/usr":  # Debian's own Python comes without these two parts
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            packages.add("python3-dev")
        if not list(Path(sysconfig.get_path("stdlib"), "ensurepip").glob("__init__.py")):
            packages.add("python3-venv")
    return sorted(packages)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian starts a server when it is installed; the tests bring up their own instead."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _apt(*arguments: str, tries: int) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for attempt in range(tries):
        if attempt:
            time.sleep(5 * attempt)
        done = subprocess.run(
            ["apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode == 0:
            return True
        say("\n".join(done.stdout.splitlines()[-15:]))
    return False


def install(packages: list[str]) -> None:
    """Installs Debian packages without starting their services; ``SystemExit`` says what failed."""
    say(f"Installing {', '.join(packages)} …")
    with _no_service_starts():
        if not (
            _apt("update", tries=4)
            and _apt("install", "--no-install-recommends", *packages, tries=3)
        ):
            raise SystemExit(f"These packages could not be installed: {', '.join(packages)}.")


def ensure() -> None:
    """Installs what is missing where that is possible; says so where it is not."""
    packages = missing_packages()
    if not packages:
        return
    if os.geteuid() != 0 or not find("apt-get"):
        say(f"Not on this machine: {', '.join(packages)}. What needs them is left out.")
        return
    say(f"Installing {', '.join(packages)} …")
    with _no_service_starts():
        if not (
            _apt("update", tries=4)
            and _apt("install", "--no-install-recommends", *packages, tries=3)
        ):
            # One package that a release lacks must not keep the others away.
            for package in packages:
                _apt("install", "--no-install-recommends", package, tries=1)
