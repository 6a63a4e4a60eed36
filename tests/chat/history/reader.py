"""People who read pages at a steady pace, in a process of their own, and note how long each took.

``python -m tests.chat.history.reader PORT CERTIFICATE COOKIE PATH…`` reads until its standard input
ends, then prints a JSON list of [when it was due, seconds from then, status]. A page that never
came has status 0. The clock is the system's monotonic one, the same in every process.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.chat.history.measures import percentile
from tests.chat.history.stack import ROOT, Stack

READERS = 6
# Seconds between two pages of one reader: longer than a page takes on a busy machine, or those that
# are due would queue up behind each other.
PACE = 1.5
PATIENCE = 30.0

Row = tuple[float, float, int]


class Pages:
    """``with Pages(stack, session, paths) as pages:`` reads; afterwards it has ``rows``."""

    def __init__(self, stack: Stack, session: str, paths: Sequence[str]) -> None:
        assert stack.edge is not None
        cookie = f"{stack.entrance.cookie}={session}"
        where = (str(stack.edge.port), str(stack.edge.certificate), cookie, *paths)
        self._command = [sys.executable, "-m", __name__, *where]
        self.rows: list[Row] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        text, _ = self._process.communicate("")
        self.rows = [(due, seconds, status) for due, seconds, status in json.loads(text)]

    def between(self, begun: float, ended: float) -> list[Row]:
        return [row for row in self.rows if begun <= row[0] < ended]

    def p95(self, begun: float, ended: float) -> float:
        """Seconds; every page must have come."""
        rows = self.between(begun, ended)
        assert {status for _, _, status in rows} == {200}, "a page did not come"
        return percentile([seconds for _, seconds, _ in rows], 95)


def _read(
    port: int, certificate: str, cookie: str, paths: list[str], done: threading.Event
) -> list[Row]:
    tls = ssl.create_default_context(cafile=certificate)
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=PATIENCE)
    rows: list[Row] = []
    due = time.monotonic()
    while not done.is_set():
        status = 0
        try:
            connection.request("GET", paths[len(rows) % len(paths)], headers={"Cookie": cookie})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            connection.close()
        rows.append((due, time.monotonic() - due, status))
        due += PACE
        done.wait(max(0.0, due - time.monotonic()))
    return rows


def main() -> None:
    port, certificate, cookie, *paths = sys.argv[1:]
    done = threading.Event()
    found: list[Row] = []

    def work() -> None:
        found.extend(_read(int(port), certificate, cookie, paths, done))

    threads = [threading.Thread(target=work) for _ in range(READERS)]
    for thread in threads:
        thread.start()
        time.sleep(PACE / READERS)
    sys.stdin.read()
    done.set()
    for thread in threads:
        thread.join()
    print(json.dumps(sorted(found)))  # noqa: T201  (the test reads it)


if __name__ == "__main__":
    main()
