"""The test's side of the writers: starts their program, gives jobs, and judges what is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.races.doubles import Visit, count_doubles
from tests.servers import end_with_this_process

ROOT = Path(__file__).resolve().parent.parent.parent
WRITERS = 16
Outcome = dict[str, Any]
Job = dict[str, Any]


class Writers:
    """Sixteen processes with a connection each to the database at ``url``."""

    def __init__(self, url: str, count: int = WRITERS) -> None:
        self.url = url
        self.count = count
        self.log = Path(tempfile.mkstemp(prefix="clinic-writers-", suffix=".log")[1])
        self._process: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.removesuffix("_FILE")
            not in {"DATABASE_URL", "MIGRATE_DATABASE_URL", "REDIS_URL", "DEBUG"}
        }
        return kept | {
            "DJANGO_SETTINGS_MODULE": "clinic.settings",
            "DATABASE_URL": self.url,
            "SECRET_KEY": "a-key-for-tests-only-that-is-long-enough-to-be-accepted",
            "ALLOWED_HOSTS": "127.0.0.1",
            "PUBLIC_URL": "http://127.0.0.1:8000",
            "ALLOW_HTTP": "1",
            "LOG_LEVEL": "ERROR",
        }

    def __enter__(self) -> Self:
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                end_with_this_process(
                    [sys.executable, "-m", "tests.races.writer", str(self.count)]
                ),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()  # the end of its work
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        self.log.unlink(missing_ok=True)

    def _ask(self, question: dict[str, Any]) -> Any:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, f"the writers' program ended:\n{self.log.read_text()[-4000:]}"
        return json.loads(answer)

    def call(self, name: str, **arguments: Any) -> Any:
        return self._ask({"call": name, "with": arguments})

    def race(self, jobs: list[list[Job]]) -> list[list[Outcome]]:
        """What came of each writer's jobs; all writers start at the same moment."""
        outcomes: list[list[Outcome]] = self._ask({"race": jobs})
        return outcomes

    @staticmethod
    def visits(verdict: dict[str, Any]) -> list[Visit]:
        return [
            Visit(pk, doctor, patient, *(datetime.fromisoformat(text) for text in times))
            for pk, doctor, patient, *times in verdict["visits"]
        ]

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )


def assert_sound(writers: Writers) -> dict[str, Any]:
    """Nothing is doubled, lost or left over in the whole database; returns the verdict."""
    verdict = writers.call("verdict")
    assert count_doubles(writers.visits(verdict)) == 0
    assert verdict["check_bookings"][0] == 0, verdict["check_bookings"][1]
    assert verdict["broken_chains"] == []
    assert verdict["wrong_care"] == []
    assert verdict["relations"] == verdict["booked"]
    mails, audit = verdict["mails"], verdict["audit"]
    for what, kind, action in (
        ("booked", "visit-booked", "visit.book"),
        ("moved", "visit-moved", "visit.move"),
        ("cancelled", "visit-cancelled", "visit.cancel"),
    ):
        assert mails.get(kind, 0) == audit.get(action, 0) == verdict[what], what
    assert verdict["keys"] == verdict["booked"] + verdict["moved"]
    return dict(verdict)
