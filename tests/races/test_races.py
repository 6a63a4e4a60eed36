"""Sixteen writers at once on SQLite and on MariaDB: no time is given twice, no attempt goes astray.

After each race the whole database is judged (`assert_sound`): visits that collide, counted from
their rows alone; ``check_bookings``; every audit chain; one mail, one key and one care relation per
visit. The controls that show that these judges see a double are in test_controls.py.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from tests.races.ward import NOW
from tests.races.writers import WRITERS, Job, Outcome, Writers, assert_sound

pytestmark = [pytest.mark.slow]

DAY = NOW + timedelta(days=1)  # 8 am in New York, when the doctors open
HALF_HOUR, SHORT, LONG, HOUR = range(4)  # ward.SHAPES
_numbers = count(1)


def at(minutes: int, day: int = 0) -> str:
    return (DAY + timedelta(days=day, minutes=minutes)).isoformat()


def key() -> str:
    return f"race-{next(_numbers)}"


def job(ward: dict[str, Any], who: int, service: int, when: str, **more: Any) -> Job:
    return {
        "act": "book",
        "service": service,
        "patient": ward["patients"][who],
        "by": ward["users"][who],
        "at": when,
        "key": key(),
        **more,
    }


def tally(outcomes: Iterable[Iterable[Outcome]]) -> Counter[str]:
    """How often each result came; an error fails the test with its trace."""
    found: Counter[str] = Counter()
    for outcome in (one for writer in outcomes for one in writer):
        assert outcome["result"] != "error", f"{outcome['errors']}\n{outcome['trace']}"
        found[outcome["result"]] += 1
    return found


def visits_of(outcomes: Iterable[Iterable[Outcome]]) -> list[int]:
    return [one["visit"] for writer in outcomes for one in writer if one["result"] == "visit"]


def book_one_each(writers: Writers, ward: dict[str, Any], service: int, *, step: int) -> list[int]:
    """A visit for every patient, ``step`` minutes apart; returns their keys in that order."""
    jobs = [[job(ward, who, service, at(who * step))] for who in range(WRITERS)]
    outcomes = writers.race(jobs)
    assert tally(outcomes) == {"visit": WRITERS}
    return visits_of(outcomes)


def test_the_same_time_goes_to_one_of_sixteen(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=1, patients=WRITERS)
    service = ward["services"][0][HALF_HOUR]
    rounds = 6
    jobs = [
        [job(ward, who, service, at(30, day=10 * turn)) for turn in range(rounds)]
        for who in range(WRITERS)
    ]
    before = assert_sound(writers)
    outcomes = writers.race(jobs)
    assert tally(outcomes) == {"visit": rounds, "taken": rounds * (WRITERS - 1)}
    after = assert_sound(writers)
    assert after["booked"] - before["booked"] == rounds
    refused = "visit.book.refused"
    said = after["audit"].get(refused, 0) - before["audit"].get(refused, 0)
    assert said == rounds * (WRITERS - 1), "every refusal is in the trail, none twice"


def test_overlapping_times_of_different_lengths_never_collide(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=1, patients=WRITERS)
    chance = random.Random(1)
    jobs = [
        [
            job(
                ward,
                who,
                chance.choice(ward["services"][0]),
                at(5 * chance.randrange(36), day=10 * turn),
            )
            for turn in range(6)
        ]
        for who in range(WRITERS)
    ]
    found = tally(writers.race(jobs))
    assert set(found) == {"visit", "taken"}
    assert found["visit"] >= 6
    assert_sound(writers)


def test_a_patient_is_never_at_two_doctors_at_once(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=2, patients=1)
    chance = random.Random(2)
    jobs = [
        [
            job(
                ward, 0, ward["services"][who % 2][HALF_HOUR], at(5 * chance.randrange(8), day=turn)
            )
            for turn in (0, 10, 20, 30)
        ]
        for who in range(WRITERS)
    ]
    found = tally(writers.race(jobs))
    # A patient has room for two at most in these times, at 0 and at 30 minutes.
    assert set(found) <= {"visit", "taken", "patient_busy", "second_visit"}
    assert found["visit"] >= 4 and found["patient_busy"] > 0
    assert_sound(writers)


def test_the_limit_of_open_bookings_holds_against_sixteen(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=16, patients=1)
    jobs = [
        [job(ward, 0, ward["services"][who][HALF_HOUR], at(30 * who))] for who in range(WRITERS)
    ]
    assert tally(writers.race(jobs)) == {"visit": 10, "too_many_open": 6}
    assert_sound(writers)


def test_moves_that_cross_each_other_leave_everybody_with_one_time(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=1, patients=WRITERS)
    service = ward["services"][0][HALF_HOUR]
    visits = book_one_each(writers, ward, service, step=30)

    def move(who: int, minutes: int) -> Job:
        return {
            "act": "move",
            "visit": visits[who],
            "by": ward["users"][who],
            "at": at(minutes),
            "key": key(),
        }

    # First to the next one's time (a ring), then to times in between, then swapping pairs.
    jobs = [
        [move(who, (who + 1) % WRITERS * 30), move(who, who * 30 + 15), move(who, (who ^ 1) * 30)]
        for who in range(WRITERS)
    ]
    found = tally(writers.race(jobs))
    assert set(found) <= {"visit", "taken"}
    after = assert_sound(writers)
    assert {row[0] for row in after["visits"]} >= set(visits), "a visit was lost in a move"
    times = Counter(row[3] for row in after["visits"] if row[0] in visits)
    assert len(times) == WRITERS


def test_moves_to_one_free_time_let_one_in(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=1, patients=WRITERS)
    visits = book_one_each(writers, ward, ward["services"][0][HALF_HOUR], step=30)
    jobs = [
        [{"act": "move", "visit": visits[who], "by": ward["users"][who], "key": key(),
          "at": at(0, day=3)}]
        for who in range(WRITERS)
    ]  # fmt: skip
    assert tally(writers.race(jobs)) == {"visit": 1, "taken": WRITERS - 1}
    assert_sound(writers)


def test_whoever_keeps_a_time_gets_it_whoever_books(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=1, patients=WRITERS)
    service = ward["services"][0][HALF_HOUR]
    acts = ["hold_and_book", "book"]
    jobs = [
        [
            job(ward, who, service, at(15 * (who % 3), day=8 * turn), act=acts[who % 2])
            for turn in range(5)
        ]
        for who in range(WRITERS)
    ]
    outcomes = writers.race(jobs)
    found = tally(outcomes)
    assert set(found) == {"visit", "taken"}
    assert 5 <= found["visit"] <= 10  # 0 and 30 fit beside each other, 15 excludes both
    assert_sound(writers)


def test_kept_times_that_are_given_back_leave_nothing_behind(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=1, patients=WRITERS)
    service = ward["services"][0][SHORT]
    jobs = [
        [job(ward, who, service, at(20), act="hold_and_release") for _ in range(3)]
        for who in range(WRITERS)
    ]
    found = tally(writers.race(jobs))
    assert set(found) <= {"released", "taken"} and found["released"] > 0
    assert tally(writers.race([[job(ward, 0, service, at(20))]])) == {"visit": 1}
    assert_sound(writers)


def test_a_time_that_is_cancelled_while_others_ask_goes_to_one_of_them(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=1, patients=WRITERS)
    service = ward["services"][0][HALF_HOUR]
    half = WRITERS // 2
    first = [[job(ward, who, service, at(30 * who))] for who in range(half)]
    visits = visits_of(writers.race(first))
    assert len(visits) == half
    jobs: list[list[Job]] = [
        # Cancelled twice: the second time changes nothing, mails nobody and is no error.
        [{"act": "cancel", "visit": visits[who], "by": ward["users"][who]}] * 2
        for who in range(half)
    ]
    jobs += [
        [job(ward, who, service, at(30 * (who - half))) for _ in range(4)]
        for who in range(half, WRITERS)
    ]
    outcomes = writers.race(jobs)
    found = tally(outcomes)
    assert found["cancelled"] == 2 * half
    assert set(found) <= {"cancelled", "visit", "taken", "patient_busy"}
    again = [[job(ward, who, service, at(30 * who, day=7))] for who in range(half)]
    assert tally(writers.race(again)) == {"visit": half}
    assert_sound(writers)


def test_one_key_from_sixteen_writers_is_one_visit(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=1, patients=1)
    service = ward["services"][0][HALF_HOUR]
    asked = [job(ward, 0, service, at(0, day=8 * turn)) for turn in range(4)]
    before = assert_sound(writers)
    outcomes = writers.race([asked] * WRITERS)
    assert tally(outcomes) == {"visit": 4 * WRITERS}
    assert len(set(visits_of(outcomes))) == 4
    after = assert_sound(writers)
    assert after["booked"] - before["booked"] == 4
    assert after["audit"].get("visit.book.refused") == before["audit"].get("visit.book.refused")


def test_one_key_with_different_times_is_still_one_visit(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=2, patients=1)
    same = key()
    jobs = [
        [job(ward, 0, ward["services"][who % 2][HALF_HOUR], at(30 * who), key=same)]
        for who in range(WRITERS)
    ]
    outcomes = writers.race(jobs)
    assert tally(outcomes) == {"visit": WRITERS}
    assert len(set(visits_of(outcomes))) == 1
    assert_sound(writers)


def test_replacing_visits_of_two_doctors_leaves_one(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=2, patients=1)
    jobs = [
        [
            job(
                ward,
                0,
                ward["services"][(who + turn) % 2][HALF_HOUR],
                at(5 * ((who + turn) % 6)),
                clash="replace",
            )
            for turn in range(4)
        ]
        for who in range(WRITERS)
    ]
    found = tally(writers.race(jobs))
    assert found == {"visit": 4 * WRITERS}
    after = assert_sound(writers)
    mine = [row for row in after["visits"] if row[2] == ward["patients"][0]]
    assert len(mine) == 1


def test_everything_at_once(writers: Writers) -> None:
    ward = writers.call("open_ward", doctors=3, patients=WRITERS)
    chance = random.Random(3)
    own = book_one_each(writers, ward, ward["services"][0][HALF_HOUR], step=35)

    def anything(who: int) -> Job:
        when = at(5 * chance.randrange(60), day=chance.randrange(2))
        act = chance.choice(["book", "book", "hold_and_book", "hold_and_release", "move", "cancel"])
        if act in {"move", "cancel"}:
            # Also other people's visits, as reception does: the same visit is moved by several.
            whose = chance.choice([who, (who + 1) % WRITERS])
            return {
                "act": act,
                "visit": own[whose],
                "by": ward["users"][who],
                "at": when,
                "key": key(),
            }
        service = chance.choice(chance.choice(ward["services"]))
        patient = chance.choice([who, who // 2])
        return job(
            ward,
            who,
            service,
            when,
            act=act,
            patient=ward["patients"][patient],
            clash=chance.choice(["", "both", "replace"]),
        )

    jobs = [[anything(who) for _ in range(8)] for who in range(WRITERS)]
    found = tally(writers.race(jobs))
    assert set(found) <= {
        *("visit", "released", "cancelled", "taken"),
        *("patient_busy", "second_visit", "not_movable", "too_many_open"),
    }
    assert found["visit"] > 10
    assert_sound(writers)


def test_the_command_agrees_that_nothing_is_doubled(writers: Writers) -> None:
    """`manage.py check_bookings` as an operator runs it, over all that the races left behind."""
    ward = writers.call("open_ward", doctors=1, patients=WRITERS)
    book_one_each(writers, ward, ward["services"][0][HALF_HOUR], step=30)
    done = writers.manage("check_bookings")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No faults in" in done.stdout


def test_the_writers_really_are_sixteen_processes(writers: Writers) -> None:
    """That they meet is shown by the controls, which double."""
    ward = writers.call("open_ward", doctors=1, patients=WRITERS)
    asked = [job(ward, who, ward["services"][0][HALF_HOUR], at(30 * who)) for who in range(WRITERS)]
    outcomes = writers.race([[one] for one in asked])
    processes = {one["process"] for writer in outcomes for one in writer}
    assert len(processes) == WRITERS
