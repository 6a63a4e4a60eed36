"""Several workers at once: a freed time is mailed to one who waits, and to the next later."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from appointments.waitlist_offers import ROUND
from tests.races.test_races import tally
from tests.races.ward import NOW
from tests.races.writers import Writers

pytestmark = [pytest.mark.slow]

WORKERS, DOCTORS, PER_DOCTOR = 4, 10, 4


def offer(writers: Writers, now: datetime) -> int:
    jobs = [[{"act": "offer", "at": now.isoformat()}] for _worker in range(WORKERS)]
    outcomes = writers.race(jobs)
    tally(outcomes)
    return sum(outcome["count"] for worker in outcomes for outcome in worker)


def test_four_workers_tell_one_at_a_time_and_each_once(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=DOCTORS, patients=DOCTORS * PER_DOCTOR)
    entries = writers.call(
        "free_and_wait", services=[kinds[0] for kinds in ward["services"]], users=ward["users"]
    )
    for number in range(PER_DOCTOR):
        mailed = min(number + 1, PER_DOCTOR - 1)
        for again in (DOCTORS if number + 1 == mailed else 0, 0):
            assert offer(writers, NOW + number * (ROUND + timedelta(seconds=1))) == again
        assert writers.call("told", entries=entries) == [mailed] * DOCTORS + [mailed * DOCTORS]
