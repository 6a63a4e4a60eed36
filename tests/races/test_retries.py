"""What the database does to a transaction that it is not to blame for: it is run again, once more.

On MariaDB with connections that are really killed and locks that really cross.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connection, connections

from accounts.audit import verify_chain
from accounts.models import AuditEvent, User
from appointments.booking import book
from appointments.models import Appointment, DoctorHold
from appointments.refusals import NotMovable
from appointments.transactions import ATTEMPTS, in_one_transaction, lock_schedules
from clinic.directory.models import Schedule, bump_schedules
from clinic.jobs.models import OutgoingMail
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.cast import make_patient_user

DEADLOCK = OperationalError(1213, "Deadlock found when trying to get lock")


# --- Which errors are tried again, without a server -----------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("code", [1213, 1205, 1020, 2006, 2013, "database is locked"])
def test_what_passes_by_itself_is_tried_again(code: int | str) -> None:
    calls: list[int] = []

    def work() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise OperationalError(code, "…")
        return "done"

    assert in_one_transaction(work) == "done"
    assert len(calls) == 3


@pytest.mark.django_db
def test_it_gives_up_after_a_bounded_number_of_times() -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise DEADLOCK

    with pytest.raises(OperationalError):
        in_one_transaction(work)
    assert len(calls) == ATTEMPTS


@pytest.mark.django_db
@pytest.mark.parametrize("error", [NotMovable("No."), OperationalError(1054, "Unknown column")])
def test_refusals_and_mistakes_are_not_tried_again(error: Exception) -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        in_one_transaction(work)
    assert len(calls) == 1


# --- On MariaDB -----------------------------------------------------------------------------
on_server = [
    pytest.mark.server,
    pytest.mark.django_db(transaction=True),
]


def with_marks(test: Callable[..., Any]) -> Callable[..., Any]:
    for mark in on_server:
        test = mark(test)
    return test


@pytest.fixture
def desk(request: pytest.FixtureRequest) -> Desk:
    request.getfixturevalue("transactional_db")
    return open_desk()


@pytest.fixture
def aside() -> Iterator[Aside]:
    with ThreadPoolExecutor(4) as pool:
        yield Aside(pool)


class Aside:
    """Runs calls in threads that have a connection of their own."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def __call__(self, call: Callable[[], Any]) -> Future[Any]:
        def run() -> Any:
            try:
                return call()
            finally:
                connections.close_all()

        return self._pool.submit(run)


def one_value(statement: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row = cursor.fetchone()
        return row[0] if row else None


def kill_connection(number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("KILL CONNECTION %s", [number])


def version(desk: Desk) -> int:
    return Schedule.objects.get(doctor=desk.doctor).version


@with_marks
def test_a_connection_killed_in_the_middle_is_replaced_and_the_work_done_once(
    desk: Desk, aside: Aside
) -> None:
    before = version(desk)
    used: list[int] = []

    def work() -> None:
        lock_schedules({desk.doctor.pk})
        bump_schedules([desk.doctor.pk])
        used.append(one_value("SELECT CONNECTION_ID()"))
        if len(used) == 1:
            aside(lambda: kill_connection(used[0])).result(timeout=10)
        bump_schedules([desk.doctor.pk])

    in_one_transaction(work)
    assert len(set(used)) == len(used) == 2
    assert version(desk) == before + 2, "what the killed attempt had done is gone"


def waiting_for_a_lock() -> int:
    """The connection that waits for a row lock, as soon as there is one."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = one_value(
            "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx "
            "WHERE trx_state = 'LOCK WAIT' LIMIT 1"
        )
        if found is not None:
            return int(found)
        time.sleep(0.2)  # the table is a copy, made anew only when it was not read for 0.1 s
    raise AssertionError("nobody waits for a lock")


@with_marks
def test_a_booking_whose_connection_is_killed_at_the_lock_is_booked_once(
    desk: Desk, aside: Aside
) -> None:
    alice = make_patient_user()
    locked, let_go = threading.Event(), threading.Event()

    def keep_the_lock() -> None:
        def work() -> None:
            lock_schedules({desk.doctor.pk})
            locked.set()
            assert let_go.wait(20)

        in_one_transaction(work)

    keeper = aside(keep_the_lock)
    assert locked.wait(10)
    booking = aside(lambda: book_at(desk, alice))
    try:
        kill_connection(waiting_for_a_lock())
    finally:
        let_go.set()
    visit = booking.result(timeout=30)
    keeper.result(timeout=30)
    assert Appointment.objects.get() == visit
    assert DoctorHold.objects.count() == 6
    assert OutgoingMail.objects.filter(key__startswith="visit-booked:").count() == 1
    assert list(AuditEvent.objects.values_list("action", flat=True)) == ["visit.book"]
    assert verify_chain(alice.chart) == []


def book_at(desk: Desk, user: User) -> Appointment:
    return book(
        service=desk.service, patient=user.chart, starts_at=AT, by=user, key="one-key", now=NOW
    )


@with_marks
def test_of_two_who_deadlock_one_is_tried_again_and_both_are_done(desk: Desk, aside: Aside) -> None:
    other = open_desk(name="Ben Osei")
    attempts: list[str] = []
    meet = threading.Barrier(2)

    def crosswise(name: str, first: Desk, second: Desk) -> None:
        def work() -> None:
            attempts.append(name)
            lock_schedules({first.doctor.pk})
            if attempts.count(name) == 1:
                meet.wait(20)  # each has one of the two locks and now wants the other
            lock_schedules({second.doctor.pk})
            bump_schedules([first.doctor.pk, second.doctor.pk])

        in_one_transaction(work)

    before = version(desk), version(other)
    runs = [
        aside(lambda: crosswise("here", desk, other)),
        aside(lambda: crosswise("there", other, desk)),
    ]
    for run in runs:
        run.result(timeout=60)
    assert len(attempts) == 3
    assert (version(desk), version(other)) == (before[0] + 2, before[1] + 2)


@with_marks
def test_who_waited_too_long_for_a_lock_tries_again(desk: Desk, aside: Aside) -> None:
    locked, let_go = threading.Event(), threading.Event()

    def keep_the_lock() -> None:
        def work() -> None:
            lock_schedules({desk.doctor.pk})
            locked.set()
            assert let_go.wait(20)

        in_one_transaction(work)

    attempts: list[int] = []

    def impatient() -> None:
        one_value("SELECT 1")  # opens the connection
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")

        def work() -> None:
            attempts.append(1)
            if len(attempts) == 2:
                let_go.set()
            lock_schedules({desk.doctor.pk})
            bump_schedules([desk.doctor.pk])

        in_one_transaction(work)

    before = version(desk)
    keeper = aside(keep_the_lock)
    assert locked.wait(10)
    try:
        aside(impatient).result(timeout=30)
    finally:
        let_go.set()
    keeper.result(timeout=30)
    assert len(attempts) == 2
    assert version(desk) == before + 1


@with_marks
def test_the_server_of_the_suite_keeps_what_it_acknowledged(desk: Desk) -> None:
    assert one_value("SELECT @@innodb_flush_log_at_trx_commit") == 1
    name = (
        "tx_isolation"
        if getattr(connection, "mysql_is_mariadb", False)
        else "transaction_isolation"
    )
    assert one_value(f"SELECT @@{name}") == "READ-COMMITTED"
