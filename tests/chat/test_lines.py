"""A conversation's events on one server: in order, each once, without holes."""

from __future__ import annotations

import random
from collections.abc import Callable
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from chat.lines import Delivery, Line
from chat.outbox import MOST_FRAMES, SLOW_READER, Outbox, Outgoing

PLACE = uuid4()


def _delivery(seq: int) -> Delivery:
    return Delivery(1, PLACE, seq, (1,), Outgoing(str(seq)))


@given(st.integers(0, 5), st.lists(st.integers(1, 20), max_size=60))
def test_whatever_arrives_leaves_in_order_each_once_without_holes(
    start: int, arriving: list[int]
) -> None:
    line = Line(1, PLACE, start)
    left = [ready.seq for seq in arriving for ready in line.offer(_delivery(seq))]
    assert left == list(range(start + 1, start + 1 + len(left)))
    assert line.cursor == start + len(left)
    assert line.is_behind == (max([start, *arriving]) > line.cursor)


@given(st.randoms(use_true_random=False))
def test_all_of_them_leave_when_all_have_come(rng: random.Random) -> None:
    arriving = [*range(1, 30), *range(1, 30)]
    rng.shuffle(arriving)
    line = Line(1, PLACE, 0)
    left = [ready.seq for seq in arriving for ready in line.offer(_delivery(seq))]
    assert left == list(range(1, 30)) and not line.held and not line.is_behind


class Transport:
    """A client that reads when it is told to."""

    def __init__(self) -> None:
        self.paused = False
        self.resumed: Callable[[], None] | None = None
        self.received: Callable[[str | None], None] | None = None
        self.written: list[str] = []
        self.code: int | None = None

    def write(self, outgoing: Outgoing) -> None:
        self.written.append(outgoing.text)

    def close(self, code: int) -> None:
        self.code = code

    def resume(self) -> None:
        self.paused = False
        assert self.resumed is not None
        self.resumed()


def test_an_outbox_sends_at_once_and_keeps_the_order_when_it_may_not() -> None:
    flow = Transport()
    outbox = Outbox(flow)
    outbox.put(Outgoing("1"))
    flow.paused = True
    outbox.put(Outgoing("2"))
    outbox.put(Outgoing("3"))
    assert flow.written == ["1"]
    flow.resume()
    outbox.put(Outgoing("4"))
    assert flow.written == ["1", "2", "3", "4"]


def test_half_full_drops_what_is_of_the_moment_and_full_closes() -> None:
    flow = Transport()
    outbox = Outbox(flow)
    flow.paused = True
    for _ in range(MOST_FRAMES // 2):
        outbox.put(Outgoing("message"))
    outbox.put(Outgoing("typing"), may_drop=True)
    for _ in range(MOST_FRAMES // 2):
        outbox.put(Outgoing("message"))
    assert (outbox.closed, flow.code) == (False, None)
    outbox.put(Outgoing("one more"))
    assert (outbox.closed, flow.code) == (True, SLOW_READER)
    flow.resume()
    outbox.put(Outgoing("late"))
    assert flow.written == []  # nothing after the close


def test_one_long_answer_does_not_close_a_socket() -> None:
    flow = Transport()
    outbox = Outbox(flow)
    flow.paused = True
    outbox.put(Outgoing("x" * 3_000_000))
    assert not outbox.closed
    outbox.put(Outgoing("y"))
    assert outbox.closed
