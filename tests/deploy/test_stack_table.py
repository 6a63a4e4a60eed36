"""The fault test's own verdicts: a miss of any kind must end `make stack-test` with 1."""

from __future__ import annotations

import json

import pytest

from deploy.swarm_test.bases import UnknownBase, named_in, wanted
from deploy.swarm_test.judge import Judgment, Lost, blame, doubled_keys, lost_bookings
from deploy.swarm_test.records import (
    Away,
    Booking,
    Records,
    Request,
    errors,
    last_error_after,
    moves,
    percentile,
)
from deploy.swarm_test.verdict import Check, Row, as_json, exit_code, markdown


def met(fault: str = "kill web") -> Row:
    return Row(fault, "0 errors", checks=[Check("errors", 0, most=0)])


def request(*, begun: float, ended: float, wrong: str = "", kind: str = "page") -> Request:
    return Request(begun, ended, kind, "198.18.77.11", 200, wrong)


# --- Checks -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "is_met"),
    [
        (Check("errors", 0, most=0), True),
        (Check("errors", 1, most=0), False),
        (Check("bookings", 1, least=1), True),
        (Check("bookings", 0, least=1), False),
        (Check("s", 5, least=1, most=4), False),
        (Check("s", float("nan"), most=20), False),
        (Check("s", float("nan"), least=0), False),
        (Check("s", float("inf"), most=20), False),
        (Check("never compared with anything", 0), False),
    ],
)
def test_a_check_is_met_only_by_a_number_within_a_limit(check: Check, is_met: bool) -> None:
    assert check.is_met is is_met


# --- The exit code ----------------------------------------------------------------------------
def test_all_rows_met_is_0() -> None:
    assert exit_code([met("a"), met("b")], ["a", "b"]) == 0


@pytest.mark.parametrize(
    "row",
    [
        Row("b", "0 errors", checks=[Check("errors", 0, most=0), Check("s", 21, most=20)]),
        Row("b", "0 errors", checks=[Check("errors", 0, most=0)], lost=1),
        Row("b", "0 errors", checks=[Check("errors", 0, most=0)], failed="no task of web runs"),
        Row("b", "0 errors"),
    ],
    ids=["over a limit", "something lost", "could not be played", "nothing checked"],
)
def test_one_missed_row_among_met_ones_is_1(row: Row) -> None:
    assert exit_code([met("a"), row, met("c")], ["a", "b", "c"]) == 1
    assert "MISSED" in markdown([row])
    assert as_json([row])["rows"][0]["verdict"] == "MISSED"
    assert as_json([row])["rows"][0]["missed"]


def test_a_fault_that_was_asked_for_and_has_no_row_is_1() -> None:
    assert exit_code([met("a")], ["a", "b"]) == 1


def test_no_rows_at_all_is_1() -> None:
    assert exit_code([], []) == 1


# --- What was lost ----------------------------------------------------------------------------
def booking(key: str, visit: str, *, cancelled: bool = False) -> Booking:
    return Booking(key, 0, 1.0, visit=visit, acknowledged=2.0, cancelled=cancelled)


def test_an_acknowledged_booking_must_be_there_once_and_be_the_same() -> None:
    stored = [["k1", "v1", False], ["k2", "other", False], ["k3", "v3", False]]
    stored += [["k5", "v5", False], ["k5", "v6", False]]
    asked = [booking("k1", "v1"), booking("k2", "v2"), booking("k4", "v4"), booking("k5", "v5")]
    assert [item.what.split()[1] for item in lost_bookings(asked, stored)] == ["k2:", "k4:", "k5:"]
    assert doubled_keys(stored) == 1


def test_a_booking_that_was_never_acknowledged_cannot_be_lost() -> None:
    assert lost_bookings([booking("k1", "")], []) == []


def test_a_cancellation_that_was_acknowledged_must_be_stored_too() -> None:
    stored = [["k1", "v1", False], ["k2", "v2", True]]
    asked = [booking("k1", "v1", cancelled=True), booking("k2", "v2", cancelled=True)]
    assert [item.what for item in lost_bookings(asked, stored)] == ["cancellation of v1"]


def test_what_is_lost_belongs_to_the_fault_during_which_it_was_acknowledged() -> None:
    rows = [met("a"), met("b")]
    rows[0].begun, rows[0].ended, rows[1].begun, rows[1].ended = 0, 10, 10, 20
    blame(rows, Judgment(lost=[Lost("booking", 15.0)]))
    assert [row.lost for row in rows] == [0, 1]
    assert exit_code(rows, ["a", "b"]) == 1


# --- What people saw --------------------------------------------------------------------------
def test_errors_and_the_time_until_they_stop_are_read_from_the_requests() -> None:
    seen = [
        request(begun=1, ended=2),
        request(begun=3, ended=4, wrong="GET 502"),
        request(begun=5, ended=9, wrong="POST reset", kind="book"),
    ]
    assert len(errors(seen)) == 2
    assert [one.is_write for one in errors(seen)] == [False, True]
    assert last_error_after(seen, 2.0) == 7.0
    assert last_error_after(seen[:1], 2.0) == 0.0


def test_a_request_belongs_to_every_fault_it_overlaps() -> None:
    records = Records(requests=[request(begun=1, ended=5), request(begun=8, ended=9)])
    assert len(records.between(4, 6)) == 1
    assert len(records.between(4, 8.5)) == 2


def test_moves_count_for_each_socket() -> None:
    away = [Away("a", 1, 2, "4012"), Away("a", 3, 4, "4012"), Away("b", 1, 2, "1006")]
    assert moves(away) == {"a": 2, "b": 1}


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([1, 2, 3, 4], 50) == 2
    assert percentile(range(1, 101), 99) == 99
    assert percentile([], 99) == 0


# --- The base images --------------------------------------------------------------------------
def test_the_bases_are_those_that_the_files_under_test_name() -> None:
    dockerfile = "ARG PYTHON_IMAGE=python:3.13-slim@sha256:00\nFROM ${PYTHON_IMAGE} AS app\n"
    stack = "  image: mysql:9.7.2\n  image: ${APP_IMAGE:-clinic-app:latest}\n  image: redis:8.8.0\n"
    names = named_in(dockerfile, stack)
    assert names == ["mysql:9.7.2", "python:3.13-slim", "redis:8.8.0"]
    assert [base.recipe for base in wanted(names)] == ["mysql", "python", "redis"]


def test_a_base_without_a_recipe_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnknownBase, match=r"bases/postgres\.Dockerfile"):
        wanted(["postgres:18"])


def test_the_table_survives_text_that_could_break_it() -> None:
    row = Row("a|b", "0\nerrors", checks=[Check("x", 0, most=0)])
    assert len(markdown([row]).splitlines()) == 3
    assert json.loads(json.dumps(as_json([row], commit="abc")))["commit"] == "abc"
