"""Progress of long work: a bar on a terminal, a few lines in a log."""

from __future__ import annotations

from typing import Protocol

BAR_WIDTH = 30
LINES_IN_A_LOG = 10


class Stream(Protocol):
    def isatty(self) -> bool: ...
    def write(self, text: str) -> object: ...
    def flush(self) -> object: ...


class Progress:
    """Call `done` with how much is finished, and `finish` at the end."""

    def __init__(self, stream: Stream, what: str, total: int) -> None:
        self._stream, self._what, self._total = stream, what, max(total, 1)
        self._terminal = stream.isatty()
        self._step = -1

    def done(self, count: int) -> None:
        steps = 100 if self._terminal else LINES_IN_A_LOG
        step = min(count, self._total) * steps // self._total
        if step == self._step:
            return
        self._step = step
        percent = step * 100 // steps
        if self._terminal:
            filled = percent * BAR_WIDTH // 100
            bar = "█" * filled + "░" * (BAR_WIDTH - filled)
            self._stream.write(f"\r{self._what} {bar} {percent:3d} %")
            self._stream.flush()
        else:
            self._stream.write(f"{self._what}: {percent} % ({count:,} of {self._total:,})\n")

    def finish(self) -> None:
        self.done(self._total)
        if self._terminal:
            self._stream.write("\n")
