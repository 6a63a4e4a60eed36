"""The database is killed while eight writers book: what was acknowledged is there afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.races.test_races import at, job, tally
from tests.races.writers import Writers, assert_sound
from tests.servers import MariaDB

pytestmark = [pytest.mark.server, pytest.mark.slow]

AT_WORK = 8
VISITS_BEFORE_THE_KILL = 12
PATIENCE = 40  # seconds in which a writer presses the button again, with the same key
BOOKED = "SELECT COUNT(*) FROM killed.appointments_appointment WHERE starts_at > '2040-06-05'"


@pytest.fixture
def on_mortal(mariadb: MariaDB) -> Iterator[Writers]:
    mariadb.sql("CREATE DATABASE killed")
    try:
        with Writers(mariadb.address("killed"), count=AT_WORK) as writers:
            writers.call("migrate")
            yield writers
    finally:
        mariadb.sql("DROP DATABASE killed")


def visits_in(server: MariaDB) -> int:
    return int(server.sql(BOOKED).strip())


@pytest.mark.parametrize("kills", [1, 2])
def test_no_acknowledged_booking_is_lost_with_the_database(
    mariadb: MariaDB, on_mortal: Writers, kills: int
) -> None:
    assert mariadb.sql("SELECT @@innodb_flush_log_at_trx_commit").strip() == "1"
    ward = on_mortal.call("open_ward", doctors=2, patients=AT_WORK)
    # Every time is wanted by two writers, of whom one can have it.
    jobs = [
        [
            job(
                ward,
                who,
                ward["services"][who % 2][0],
                at(30 * (turn + who // 4 * 2), day=8 * (turn % 6)),
                patience=PATIENCE,
                clash="both",
            )
            for turn in range(12)
        ]
        for who in range(AT_WORK)
    ]
    before = visits_in(mariadb)
    with ThreadPoolExecutor(1) as aside:
        racing = aside.submit(on_mortal.race, jobs)
        for number in range(1, kills + 1):
            deadline = time.monotonic() + 60
            while visits_in(mariadb) - before < VISITS_BEFORE_THE_KILL * number:
                assert time.monotonic() < deadline and not racing.done(), "killed too late"
                time.sleep(0.01)
            mariadb.kill()
            mariadb.start()
        outcomes = racing.result(timeout=180)

    found = tally(outcomes)  # fails on any error that patience did not resolve
    assert set(found) <= {"visit", "taken", "patient_busy", "too_many_open"}
    seen = [error for writer in outcomes for one in writer for error in one["errors"]]
    assert seen, "nobody noticed the kill: it came too late to prove anything"
    assert {error.split()[0] for error in seen} == {"OperationalError"}

    verdict = assert_sound(on_mortal)
    there = {row[0] for row in verdict["visits"]}
    acknowledged = {
        one["visit"]: key_of["key"]
        for writer, asked in zip(outcomes, jobs, strict=True)
        for one, key_of in zip(writer, asked, strict=True)
        if one["result"] == "visit"
    }
    assert set(acknowledged) <= there
    assert len(acknowledged) == found["visit"], "one visit was given to two requests"
    assert on_mortal.call("existing", keys=list(acknowledged.values())) == {
        key: pk for pk, key in acknowledged.items()
    }
    # Nothing is there that nobody was told of, since every writer asked until it had an answer.
    assert visits_in(mariadb) - before == found["visit"]

    # Asked once more with the same keys, everybody gets the same visits, and none is added.
    again = on_mortal.race([[{**one, "patience": 0} for one in asked] for asked in jobs])
    assert {
        one["visit"]
        for writer, first in zip(again, outcomes, strict=True)
        for one, was in zip(writer, first, strict=True)
        if was["result"] == "visit"
    } == set(acknowledged)
    assert_sound(on_mortal)
