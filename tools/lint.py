"""`make lint`: style, templates, types, import contract, migrations and the deployment.

All checks run, also after one has failed, so that one look shows everything there is to do.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools import environments, system_packages
from tools.environments import ROOT, say
from tools.suite import suite_python

TEMPLATES = ["templates"]


class Check(NamedTuple):
    name: str
    command: list[str]
    environment: dict[str, str]


def production_environment() -> dict[str, str]:
    """What an operator sets at the least; the checks read it and connect to nothing."""
    environment = environments.embedded_environment(
        SECRET_KEY="lint-only-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ",  # noqa: S106
        DATABASE_URL="mysql://clinic:secret@mysql:3306/clinic",
        REDIS_URL="redis://redis:6379/0",
        ALLOWED_HOSTS="clinic.example.org",
        CSRF_TRUSTED_ORIGINS="https://clinic.example.org",
        PUBLIC_URL="https://clinic.example.org",
        EMAIL_URL="smtp+tls://clinic:secret@mail.example.org:587",
        DEFAULT_FROM_EMAIL="appointments@clinic.example.org",
    )
    for name in ("DEBUG", "ALLOW_HTTP", "STAFF_MFA_REQUIRED"):
        environment.pop(name, None)
    return environment


def checks(python: str, scratch: str) -> Iterator[Check]:
    tool = Path(python).parent
    plain = environments.embedded_environment(
        DATABASE_URL=f"sqlite:///{scratch}/lint.sqlite3", DEBUG="1"
    )
    templates = [folder for folder in TEMPLATES if (ROOT / folder).is_dir()]
    manage = [python, "manage.py"]
    yield Check("ruff check", [str(tool / "ruff"), "check", "."], plain)
    yield Check("ruff format", [str(tool / "ruff"), "format", "--check", "."], plain)
    yield Check("djlint", [str(tool / "djlint"), *templates, "--lint", "--quiet"], plain)
    yield Check("mypy", [python, "-m", "mypy"], plain)
    yield Check("import contract", [str(tool / "lint-imports"), "--no-cache"], plain)
    yield Check("migrations", [*manage, "makemigrations", "--check", "--dry-run"], plain)
    yield Check("migrations as updates", [python, "-m", "tools.lint_migrations"], plain)
    yield Check(
        "deployment checks",
        [*manage, "check", "--deploy", "--fail-level", "WARNING"],
        production_environment(),
    )
    yield Check("pinned requirements", [python, "-m", "tools.pins", "--check"], plain)
    yield Check("list of parts (SBOM)", [python, "-m", "tools.sbom"], plain)
    yield Check("NGINX (gixy)", [python, "-m", "tools.edge"], plain)
    yield Check("Dockerfile (hadolint)", [str(tool / "hadolint"), "deploy/Dockerfile"], plain)


def main() -> int:
    system_packages.ensure()
    python, _ = suite_python()
    if "--fix" in sys.argv:
        ruff = Path(python).parent / "ruff"
        subprocess.run([ruff, "check", "--fix", "--quiet", "."], cwd=ROOT, check=False)
        return subprocess.run([ruff, "format", "."], cwd=ROOT, check=False).returncode
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        for check in checks(python, scratch):
            begun = time.monotonic()
            done = subprocess.run(
                check.command,
                cwd=ROOT,
                env=check.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            said = "ok" if done.returncode == 0 else "FAILED"
            say(f"{check.name:22} {said:7} {time.monotonic() - begun:5.1f} s")
            if done.returncode:
                failed.append(check.name)
                say(done.stdout.strip())
    if failed:
        say(f"To be put right: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
