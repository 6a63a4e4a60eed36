"""Looks whether the release before could go on working while each new migration runs.

The statements depend on the database, so a MariaDB of its own answers what MySQL would be told.
"""

from __future__ import annotations

import subprocess
import sys

from tests.servers import MariaDB, ServerMissing
from tools import environments
from tools.environments import ROOT, say

APPS = ("accounts", "directory", "appointments", "records", "chat", "jobs", "uploads")


def lint(settings: str = "tools.lint_settings", apps: tuple[str, ...] = APPS) -> int:
    with MariaDB() as server:
        environment = environments.embedded_environment(
            DATABASE_URL=server.url, DEBUG="1", DJANGO_SETTINGS_MODULE=settings
        )
        return subprocess.run(
            [
                *(sys.executable, "manage.py", "lintmigrations", "--sql-analyser", "mysql"),
                *("--no-cache", "--project-root-path", str(ROOT), "--include-apps", *apps),
                *("--quiet", "ok", "ignore"),
            ],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
        ).returncode


def main() -> int:
    try:
        return lint()
    except ServerMissing as missing:
        say(str(missing))
        return 1


if __name__ == "__main__":
    sys.exit(main())
