"""Several workers at once, and one that is killed: each visit is reminded of once (fault 9)."""

from __future__ import annotations

import pytest

from tests.races.test_races import at, job, tally, visits_of
from tests.races.writers import Writers

pytestmark = [pytest.mark.slow]

WORKERS = 4
DOCTORS, EACH = 8, 10
VISITS = DOCTORS * EACH  # more than one worker's batch


def booked(writers: Writers) -> list[int]:
    """Visits far enough ahead, each of a patient of its own."""
    ward = writers.call("open_ward", doctors=DOCTORS, patients=VISITS)
    jobs = [
        job(ward, doctor * EACH + number, ward["services"][doctor][0], at(30 * number, day=9))
        for doctor in range(DOCTORS)
        for number in range(EACH)
    ]
    outcomes = writers.race([jobs[start::16] for start in range(16)])
    assert tally(outcomes) == {"visit": VISITS}
    return visits_of(outcomes)


def remind(writers: Writers, visits: list[int], act: str) -> tuple[int, dict[str, int]]:
    """How many mails the workers say that they stored, and how many each visit got."""
    moment = writers.call("due", visits=visits)
    outcomes = writers.race([[{"act": act, "at": moment}] for _worker in range(WORKERS)])
    tally(outcomes)
    said = sum(outcome["count"] for worker in outcomes for outcome in worker)
    return said, writers.call("mails", visits=visits)


def test_s9_four_workers_store_each_reminder_once(writers: Writers) -> None:
    visits = booked(writers)
    said, mails = remind(writers, visits, "remind")
    assert said == VISITS
    assert set(mails.values()) == {1}
    assert len(mails) == VISITS


@pytest.mark.server
def test_without_the_claim_the_same_workers_store_some_twice(on_committed: Writers) -> None:
    """The control. What it leaves is the race's own: nothing here judges the other visits."""
    for _round in range(6):
        _said, mails = remind(on_committed, booked(on_committed), "remind_without_claim")
        if max(mails.values()) > 1:
            return
    pytest.fail("four workers without a claim never met")
