"""One whole history: people write, servers break, everything comes to rest, and it is checked."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chat.history.checker import faults
from tests.chat.history.crowd import Crowd, wait_until
from tests.chat.history.journal import Marks, Stored
from tests.chat.history.schedule import Step
from tests.chat.history.stack import Stack
from tests.servers import ServerFailed

SETTLE_SECONDS = 25.0  # after the last fault: retries, the hub's looks and a heartbeat
SAMPLE_SECONDS = 1.0


@dataclass
class Outcome:
    faults: list[str]
    stored: Stored
    counts: Counter[str]  # over all devices
    seconds: float

    @property
    def messages(self) -> int:
        events = self.stored.events.values()
        return sum(event.kind == "message" for log in events for event in log)


class _Marks:
    """Samples of the marks in the database, taken while nothing else is to do."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._at = 0.0
        self.samples: list[Marks] = []

    def look(self) -> None:
        if time.monotonic() - self._at > SAMPLE_SECONDS:
            self._at = time.monotonic()
            self.samples.append(self._stack.marks())


def play(
    stack: Stack,
    *,
    messages: int,
    seed: int,
    steps: Sequence[Step] = (),
    pace: float = 0.3,
    cut_rate: float = 0.01,
    patience: float = 120.0,
    settle: float = SETTLE_SECONDS,
) -> Outcome:
    """Plays a history and checks it.

    ``patience``: seconds until everything must be written; ``settle``: until, after the last fault,
    everything must be acknowledged and everywhere.
    """
    begun = time.monotonic()
    chance = random.Random(seed)
    marks = _Marks(stack)
    late = []
    crowd = Crowd(
        stack.people, stack.entrance, messages=messages, seed=seed, pace=pace, cut_rate=cut_rate
    )
    with crowd:
        crowd.start_writing()
        # While one thing breaks people write on, but not past the next.
        gates = [*(step.after for step in steps), messages][1:]
        for step, gate in zip(steps, gates, strict=True):
            crowd.gate = gate

            def is_due(after: int = step.after) -> bool:
                marks.look()
                return crowd.acknowledged >= after

            wait_until(is_due, max(1.0, begun + patience - time.monotonic()))
            step.do(stack, crowd, chance)
        crowd.gate = messages

        def is_done() -> bool:
            marks.look()
            return crowd.is_done

        if not wait_until(is_done, max(settle, begun + patience - time.monotonic())):
            late.append(f"{crowd.written} of {messages} messages were written in {patience} s")
        for device in crowd.devices:
            device.cut_rate = 0.0
        if not wait_until(lambda: crowd.is_level(stack.heads()), settle, every=0.3):
            late.append(f"not everybody had everything {settle} s after the last fault")
        time.sleep(1.5)  # what comes twice, or to the wrong people, may come late
        marks.samples.append(stack.marks())
    stored = Stored(stack.events(), stack.heads(), stack.members(), marks.samples)
    counts: Counter[str] = sum((journal.counts for journal in crowd.journals), Counter())
    for server in (*stack.servers, *([stack.edge] if stack.edge else [])):
        if not server.answers():
            raise ServerFailed(f"{server.name} is gone:\n{server.log.read_text()[-3000:]}")
    return Outcome(
        [f"late: {what}" for what in late] + faults(crowd.journals, stored),
        stored,
        counts,
        time.monotonic() - begun,
    )
