"""`make test`: the whole suite in three parts, from a fresh clone.

1. embedded   on the embedded default: SQLite, everything in one process
2. server     on a MySQL-compatible server and Redis over real connections, in production mode
3. browser    in a real Chromium, against a running site

What could not run is named at the end; with REQUIRE_ALL=1 that is a failure. The last line counts
all parts together, in pytest's own form.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.mysql import ROOT_VARIABLE, database_server
from tests.servers import Redis, ServerMissing
from tools import environments, system_packages
from tools.environments import ROOT, say

RESULTS = ROOT / "var" / "test-results"
NO_TESTS_COLLECTED = 5  # pytest's exit code
NEEDS_COMPILER = "mysqlclient"


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0

    @classmethod
    def read(cls, report: Path) -> Counts:
        """From pytest's JUnit report; all zero when pytest ended before writing one."""
        if not report.exists():
            return cls()
        suite = next(ElementTree.parse(report).getroot().iter("testsuite"))  # noqa: S314 (ours)
        failed, errors, skipped, total = (
            int(suite.get(name, "0")) for name in ("failures", "errors", "skipped", "tests")
        )
        # A test that passed and whose tear-down failed counts as one test and one error.
        return cls(max(0, total - failed - errors - skipped), failed, errors, skipped)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.passed + other.passed,
            self.failed + other.failed,
            self.errors + other.errors,
            self.skipped + other.skipped,
        )

    def line(self, seconds: float) -> str:
        named = [(self.failed, "failed"), (self.passed, "passed"), (self.skipped, "skipped")]
        words = [f"{number} {name}" for number, name in named if number]
        if self.errors:
            words.append(f"{self.errors} error{'s' if self.errors > 1 else ''}")
        return f" {', '.join(words) or 'no tests ran'} in {seconds:.2f}s ".center(80, "=")


@dataclass
class Suite:
    """One run: what it was asked, and what came of each part."""

    python: str
    arguments: list[str]
    counts: Counts = field(default_factory=Counts)
    failures: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)

    def pytest(self, part: str, options: list[str], environment: dict[str, str]) -> None:
        say(f"\n--- Part {part} ---")
        report = RESULTS / f"{part}.xml"
        report.unlink(missing_ok=True)
        begun = time.monotonic()
        code = subprocess.run(
            [self.python, "-m", "pytest", *options, f"--junitxml={report}", *self.arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
        ).returncode
        self.counts += Counts.read(report)
        if code == NO_TESTS_COLLECTED:
            if not self.arguments:  # with ARGS a part may well have nothing to do
                self.failures.append(f"{part}: no tests were found")
        elif code:
            self.failures.append(f"{part}: pytest ended with {code}")
        say(f"Part {part} took {time.monotonic() - begun:.0f} s.")


def embedded(suite: Suite) -> None:
    suite.pytest(
        "embedded",
        ["-m", "not server and not browser", "-n", "2"],
        environments.embedded_environment(),
    )


def production_environment(**more: str) -> dict[str, str]:
    """Production mode over plain HTTP, as a load check runs it; no second factor, no proxy."""
    environment = environments.embedded_environment(
        SECRET_KEY="a-key-for-tests-only-that-is-long-enough-to-be-accepted",  # noqa: S106
        ALLOWED_HOSTS="testserver,localhost,127.0.0.1",
        PUBLIC_URL="http://127.0.0.1:8000",  # as in the embedded default: mails name it
        ALLOW_HTTP="1",
        STAFF_MFA_REQUIRED="0",
        TRUSTED_PROXY_COUNT="0",
        **more,
    )
    environment.pop("DEBUG", None)
    return environment


def server(suite: Suite) -> None:
    with ExitStack() as running:
        try:
            database, redis = (
                running.enter_context(database_server()),
                running.enter_context(Redis()),
            )
        except ServerMissing as missing:
            suite.not_run.append(f"server: {missing}")
            return
        environment = production_environment(DATABASE_URL=database.url, REDIS_URL=redis.url)
        # Production serves hashed names: a template that names a missing file fails here.
        collected = subprocess.run(
            [suite.python, "manage.py", "collectstatic", "--noinput", "-v", "0"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        if collected.returncode:
            suite.failures.append("server: collectstatic failed")
            return
        # On MySQL itself everything runs; beside the embedded part what differs by server.
        which = "not browser" if ROOT_VARIABLE in os.environ else "not browser and not once"
        suite.pytest("server", ["-m", which, "-n", "2"], environment)


def browser(suite: Suite) -> None:
    if system_packages.find_chromium() is None:
        suite.not_run.append("browser: no Chromium on this machine")
        return
    suite.pytest("browser", ["-m", "browser"], environments.embedded_environment())


PARTS: dict[str, Callable[[Suite], None]] = {
    "embedded": embedded,
    "server": server,
    "browser": browser,
}


def suite_python() -> tuple[str, bool]:
    """The tests' Python, and whether it can speak to MySQL."""
    able = system_packages.has_database_headers()
    python = environments.ensure(
        ROOT / ".venv-test",
        ROOT / "requirements" / "test.txt",
        without=() if able else (NEEDS_COMPILER,),
    )
    return str(python), able


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument("--parts", default="", help=f"some of: {' '.join(PARTS)}")
    parser.add_argument("arguments", nargs="*", help="passed on to pytest")
    asked = parser.parse_args()
    parts = asked.parts.replace(",", " ").split() or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        say(f"There is no part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}.")
        return 2

    begun = time.monotonic()
    # SystemExit unwinds, so that the servers are ended when the run is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    system_packages.ensure()
    python, speaks_mysql = suite_python()
    suite = Suite(python, asked.arguments)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in parts:
        if name == "server" and not speaks_mysql:
            suite.not_run.append(f"server: {NEEDS_COMPILER} needs a C compiler and libmariadb-dev")
        else:
            PARTS[name](suite)

    if suite.not_run and os.environ.get("REQUIRE_ALL") == "1":
        suite.failures += [f"{reason} (REQUIRE_ALL=1)" for reason in suite.not_run]
    elif suite.not_run:
        say("\nCould not run:\n  " + "\n  ".join(suite.not_run))
    if suite.failures:
        say("\nFailed:\n  " + "\n  ".join(suite.failures))
    say(suite.counts.line(time.monotonic() - begun))
    return 1 if suite.failures else 0


if __name__ == "__main__":
    sys.exit(main())
