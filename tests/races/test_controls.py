"""The controls: writers that are *not* safe go through the same races, and must be caught.

If one of these finds no double, then the races of test_races.py prove nothing: the writers did not
really meet, or the count does not count.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.races.doubles import Visit, count_doubles
from tests.races.test_races import at, job, tally
from tests.races.writers import WRITERS, Writers

ROUNDS = 6  # a race that goes well once by chance does not go well in all


def doubles_of(writers: Writers, act: str, rounds: int = ROUNDS) -> int:
    """Doubles of the first race with any, of up to ``rounds`` by unsafe writers.

    Also asserts that ``check_bookings`` sees them.
    """
    found = 0
    chance = random.Random(5)
    for _round in range(rounds):
        ward = writers.call("open_ward", doctors=1, patients=WRITERS)
        service = ward["services"][0][0]
        times = [at(30 * chance.randrange(4), day=day) for day in range(8)]
        jobs = [
            [job(ward, who, service, when, act=act) for when in times] for who in range(WRITERS)
        ]
        try:
            assert set(tally(writers.race(jobs))) <= {"visit", "taken"}
            verdict = writers.call("verdict")
        finally:
            writers.call("remove_unsafe")
        doubles = count_doubles(writers.visits(verdict))
        code, said = verdict["check_bookings"]
        assert code == 1, "visits without hold rows went unseen"
        assert (doubles > 0) == ("overlap" in said)
        found += doubles
        if found:
            break
    return found


@pytest.mark.server
def test_checking_before_inserting_doubles_on_mariadb(on_committed: Writers) -> None:
    assert doubles_of(on_committed, "check_then_insert") > 0


@pytest.mark.server
def test_checking_before_inserting_doubles_at_repeatable_read(on_repeatable: Writers) -> None:
    assert doubles_of(on_repeatable, "check_then_insert") > 0


@pytest.mark.server
def test_a_lock_after_a_plain_read_doubles_at_repeatable_read(on_repeatable: Writers) -> None:
    assert doubles_of(on_repeatable, "lock_after_read") > 0


def test_checking_in_another_transaction_doubles_on_sqlite(on_sqlite: Writers) -> None:
    assert doubles_of(on_sqlite, "check_apart") > 0


def test_checking_and_inserting_in_one_immediate_transaction_does_not(on_sqlite: Writers) -> None:
    """Why the control above is another one: SQLite lets one writer in from BEGIN to COMMIT."""
    assert doubles_of(on_sqlite, "check_then_insert", rounds=1) == 0


START = datetime(2040, 6, 5, 12, 0, tzinfo=UTC)


def visit(pk: int, doctor: int, patient: int, start: int, minutes: int, pause: int = 0) -> Visit:
    begins = START + timedelta(minutes=start)
    ends = begins + timedelta(minutes=minutes)
    return Visit(pk, doctor, patient, begins, ends, ends + timedelta(minutes=pause))


@pytest.mark.parametrize(
    ("visits", "doubles"),
    [
        ([visit(1, 1, 1, 0, 30), visit(2, 1, 2, 30, 30)], 0),  # one after the other
        ([visit(1, 1, 1, 0, 30), visit(2, 1, 2, 25, 30)], 1),
        ([visit(1, 1, 1, 0, 30, 5), visit(2, 1, 2, 30, 30)], 1),  # in the doctor's pause
        ([visit(1, 1, 1, 0, 30, 5), visit(2, 2, 1, 30, 30)], 0),  # which is not the patient's
        ([visit(1, 1, 1, 0, 30), visit(2, 2, 1, 10, 5)], 1),  # one patient at two doctors
        ([visit(1, 1, 1, 0, 90), visit(2, 1, 2, 10, 5), visit(3, 1, 3, 60, 5)], 2),
        ([visit(1, 1, 1, 0, 30), visit(2, 2, 2, 0, 30)], 0),
    ],
)
def test_the_count_of_doubles_counts(visits: list[Visit], doubles: int) -> None:
    assert count_doubles(visits) == doubles
    assert count_doubles(reversed(visits)) == doubles
