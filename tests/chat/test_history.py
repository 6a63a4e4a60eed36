"""40 devices, NGINX, two socket servers, Redis and MariaDB; all break on a seeded schedule.

Every device comes in through the project's own NGINX, over TLS (tests/edge.py).

HISTORY_SEEDS="1 2 3" plays other schedules, HISTORY_MESSAGES=50000 a longer history. The controls
are servers with one guarantee taken out: the same checker must find that, or it proves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.chat.history import lossy_layer, without_idempotency, without_lock
from tests.chat.history.play import Outcome, play
from tests.chat.history.schedule import EVERY, kill_a_server, pause_redis, schedule
from tests.chat.history.stack import running
from tests.edge import Edge

SEEDS = [int(seed) for seed in os.environ.get("HISTORY_SEEDS", "1").split()]
MESSAGES = int(os.environ.get("HISTORY_MESSAGES", "5000"))
OVER_LOSSY_LAYER = MESSAGES * 2 // 5
FOR_CONTROL = 600

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.timeout(200 + MESSAGES // 20),
]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[Outcome], None]:
    def show(outcome: Outcome) -> None:
        with capsys.disabled():
            counts = ", ".join(f"{number} {what}" for what, number in outcome.counts.most_common())
            print(f"\n{outcome.messages} messages in {outcome.seconds:.0f} s: {counts}")  # noqa: T201

    return show


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_doubled_or_reordered_whatever_breaks(
    seed: int, tell: Callable[[Outcome], None]
) -> None:
    with running(edge=Edge()) as stack:
        outcome = play(stack, messages=MESSAGES, seed=seed, steps=schedule(seed, MESSAGES))
    tell(outcome)
    assert outcome.faults == []
    assert outcome.messages == MESSAGES
    # It did break: otherwise this history says little.
    assert outcome.counts["replies lost after the commit"] > 5
    assert outcome.counts["not live"] > 0
    assert outcome.counts["reconnects"] > len(stack.people.places)
    assert outcome.counts["stops"] == 3
    assert outcome.counts["error not_found"] > 10, "the stranger did not try"


def test_a_layer_that_drops_and_doubles_changes_nothing(tell: Callable[[Outcome], None]) -> None:
    with running(settings=lossy_layer.__name__, edge=Edge()) as stack:
        steps = schedule(SEEDS[0], OVER_LOSSY_LAYER, (*EVERY[2:], kill_a_server, pause_redis))
        outcome = play(stack, messages=OVER_LOSSY_LAYER, seed=SEEDS[0], steps=steps)
        dropped = any("dropped_on_purpose" in server.log.read_text() for server in stack.servers)
    tell(outcome)
    assert outcome.faults == []
    assert outcome.messages == OVER_LOSSY_LAYER
    assert dropped


def control(module: str, schema: str) -> Outcome:
    """No server breaks: connections that are cut, and two servers at once, are enough."""
    with running(module=module, schema=schema, edge=Edge()) as stack:
        return play(
            stack,
            messages=FOR_CONTROL,
            seed=SEEDS[0],
            pace=0.1,
            cut_rate=0.05,
            patience=15,
            settle=3,
        )


def test_control_without_idempotency_fails(tell: Callable[[Outcome], None]) -> None:
    outcome = control(without_idempotency.__name__, without_idempotency.SCHEMA)
    tell(outcome)
    assert any(what.startswith("acknowledged_is_stored_once") for what in outcome.faults)


def test_control_without_the_lock_fails(tell: Callable[[Outcome], None]) -> None:
    outcome = control(without_lock.__name__, without_lock.SCHEMA)
    tell(outcome)
    assert any(what.startswith("numbers_have_no_holes") for what in outcome.faults)
    assert any(what.startswith("everybody_saw_the_log") for what in outcome.faults)


def test_control_the_same_without_anything_taken_out_passes(
    tell: Callable[[Outcome], None],
) -> None:
    outcome = control("clinic.websocket_server", "")
    tell(outcome)
    assert outcome.faults == []
