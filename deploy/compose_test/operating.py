"""The one who operates the machine and looks at it: what each step of the trial is made of."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.compose_test.machine import Compose, Machine
from deploy.compose_test.visit import Browser, Inside
from deploy.swarm_test.crowd import wait_until
from deploy.swarm_test.ledger import Ledger

TRUTH = Path(__file__).parent / "inside.py"
BACK_SECONDS = 180.0
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # what terminals are told, not people


@dataclass
class Row:
    what: str
    expected: str
    found: str = ""
    seconds: float = 0.0
    is_met: bool = False


class Missed(Exception):
    """Something is not as it was expected; says what was found."""


def require(fact: bool, found: str) -> None:
    if not fact:
        raise Missed(found)


class Operator:
    def __init__(self, machine: Machine, compose: Compose, folder: Path, ledger: Ledger) -> None:
        self.machine = machine
        self.compose = compose
        self.folder = folder
        self.ledger = ledger
        self.inside = Inside()
        self.rows: list[Row] = []
        self.visit = ""
        self.world: dict[str, Any] = {}
        self.key = ""
        self.browser = Browser(self.inside, ssl.create_default_context())

    @contextmanager
    def row(self, what: str, expected: str) -> Iterator[Row]:
        row = Row(what, expected)
        begun = time.monotonic()
        try:
            yield row
            row.is_met = True
        except Exception as error:
            kind = "" if isinstance(error, Missed) else f"{type(error).__name__}: "
            row.found = f"{kind}{error}"[:1200]
        row.seconds = row.seconds or time.monotonic() - begun
        self.rows.append(row)
        verdict = "met" if row.is_met else "MISSED"
        print(f"{verdict:6} {row.seconds:6.1f} s  {what}: {row.found}", flush=True)

    # --- Looking ------------------------------------------------------------------------------

    def _wait_until_up(self, services: tuple[str, ...]) -> None:
        def down() -> list[str]:
            return [service for service in services if not self.compose.is_up(service)]

        if not wait_until(lambda: not down(), BACK_SECONDS, every=1.0):
            raise Missed(f"after {BACK_SECONDS:.0f} s these do not run: {down()}")

    def _back(self, service: str, *, after: str = "") -> float:
        """Seconds until the service runs again, started anew, and the visit's page answers."""
        begun = time.monotonic()
        back = wait_until(
            lambda: self.compose.is_up(service, after=after) and self.browser.is_there(self.visit),
            BACK_SECONDS,
            every=0.5,
        )
        require(back, f"not back after {BACK_SECONDS:.0f} s")
        return time.monotonic() - begun

    def _book(self) -> None:
        self.visit = self.browser.book(self.world["slots"])
        require(bool(self.visit), "no time could be booked")
        self.world["slots"] = self.world["slots"][1:]
        self._require_visit()

    def _require_visit(self) -> None:
        answer = self.browser.get(self.visit)
        require(answer.status == 200, f"the visit's page is {answer.status}")

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = self.compose.python(TRUTH.read_text())
        return facts

    def _ended(self, service: str) -> int:
        listed = self.compose.docker(
            *("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.service={service}")
        ).split()
        return int(json.loads(self.compose.docker("inspect", listed[0]))[0]["State"]["ExitCode"])

    def _setup(self, script: str, given: str = "") -> str:
        """A shell where the secrets are, as docs/operations.md has it."""
        return self.compose(
            *("run", "--rm", "-T", "--no-deps", "--entrypoint", "sh", "setup", "-c", script),
            given=given,
        ).stdout

    def _file(self, folder: str, name: str) -> str:
        return self._setup(f"cat /secrets/{folder}/{name}")

    def _secret_values(self) -> dict[str, str]:
        listed = (
            "cd /secrets && for f in */*; do echo \"$f $(head -c 4000 $f | tr -d '\\n')\"; done"
        )
        rows = [line.partition(" ") for line in self._setup(listed).splitlines()]
        public = {"tls/tls_certificate", "alerts/alert_webhook", "alerts/watchdog_webhook"}
        return {name: value for name, _, value in rows if name not in public and "/" in name}

    def _put_certificate(self, certificate: str, key: str) -> None:
        self._setup("cat >/secrets/tls/tls_certificate", certificate)
        self._setup("cat >/secrets/tls/tls_key", key)

    def _trust(self, certificate: str) -> None:
        self.browser.context = ssl.create_default_context(cadata=certificate)
        self.browser.context.minimum_version = ssl.TLSVersion.TLSv1_2

    def _restore(self, *arguments: str, key: str = "", check: bool = True) -> str:
        done = self.compose(
            *("run", "--rm", "-T", "restore", *arguments), given=key or self.key, check=check
        )
        return done.stdout + ("" if check else done.stderr)

    def _read(self) -> set[str]:
        """The jobs all of whose targets Prometheus reads."""
        found = self._asked(9090, "/api/v1/targets") or {"data": {"activeTargets": []}}
        targets = found["data"]["activeTargets"]
        down = {one["labels"]["job"] for one in targets if one["health"] != "up"}
        return {one["labels"]["job"] for one in targets} - down

    def _alerts(self) -> set[str]:
        found = self._asked(9093, "/api/v2/alerts") or []
        return {one["labels"]["alertname"] for one in found}

    def _asked(self, port: int, path: str) -> Any:
        """What a port of the machine answers; nothing while nobody does."""
        try:
            return json.loads(self.browser.plain(port, path).body)
        except (OSError, ValueError):
            return None


def last_line(text: str | list[str]) -> str:
    lines = [
        line for line in (text.splitlines() if isinstance(text, str) else text) if line.strip()
    ]
    last = _CONTROL.sub("", lines[-1]) if lines else "nothing was said"
    return last.strip()[:300]


def published(config: str) -> set[str]:
    """The services that publish a port beyond 127.0.0.1, of what `config` prints."""
    services: dict[str, Any] = yaml.safe_load(config)["services"]
    return {
        name
        for name, service in services.items()
        for port in service.get("ports", [])
        if "127.0.0.1" not in (port if isinstance(port, str) else str(port.get("host_ip")))
    }
