"""`check_bookings` finds what must never be: rows are damaged behind the rules' back."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from appointments import checker
from appointments.booking import book, cancel
from appointments.checker import Fault, find_faults
from appointments.holding import hold
from appointments.models import Appointment, DoctorHold, PatientHold, Status
from appointments.slots import grain_at
from appointments.upkeep import KEEP_HOLDS, prune_holds
from tests.appointments.desk import AT, NOW, Desk, open_desk

pytestmark = pytest.mark.django_db

HALF_HOUR = timedelta(minutes=30)


@pytest.fixture
def desk() -> Desk:
    return open_desk()


@pytest.fixture
def other() -> Desk:
    return open_desk(name="Ben Osei")


def make(
    desk: Desk, user: User, at: datetime = AT, now: datetime = NOW, key: str = ""
) -> Appointment:
    return book(
        service=desk.service,
        patient=user.chart,
        starts_at=at,
        by=user,
        key=key or f"{desk.doctor.pk}-{at}",
        now=now,
        clash="both",
    )


def faults(now: datetime = NOW) -> list[Fault]:
    return list(find_faults(now))


def kinds(now: datetime = NOW) -> list[str]:
    return sorted(fault.kind for fault in faults(now))


def run(now: datetime | None = None) -> tuple[int, str]:
    """Exit code and output of the command."""
    said = io.StringIO()
    try:
        call_command("check_bookings", stdout=said)
    except CommandError as error:
        return error.returncode, f"{said.getvalue()}{error}"
    return 0, said.getvalue()


def test_nothing_is_wrong_with_what_the_rules_write(desk: Desk, alice: User, charlie: User) -> None:
    desk.service.buffer_minutes = 15
    make(desk, alice)
    make(desk, charlie, AT + timedelta(minutes=45))
    cancel(appointment=make(desk, alice, AT + timedelta(hours=2)), by=alice, now=NOW)
    hold(service=desk.service, starts_at=AT + timedelta(hours=3), now=NOW)
    assert faults() == []


def test_a_doctor_with_two_visits_at_once(desk: Desk, alice: User, charlie: User) -> None:
    first = make(desk, alice)
    second = make(desk, charlie, AT + HALF_HOUR)
    Appointment.objects.filter(pk=second.pk).update(starts_at=AT + timedelta(minutes=25))
    found = [fault for fault in faults() if fault.kind == "overlap"]
    assert found == [
        Fault(
            "overlap",
            f"{second.reference} begins before {first.reference} of the same doctor is over",
        )
    ]


def test_a_visit_in_the_pause_after_another(desk: Desk, alice: User, charlie: User) -> None:
    first = make(desk, alice)
    make(desk, charlie, AT + HALF_HOUR)
    Appointment.objects.filter(pk=first.pk).update(occupied_until=AT + timedelta(minutes=40))
    assert "overlap" in kinds()


def test_a_patient_at_two_doctors_at_once(desk: Desk, other: Desk, alice: User) -> None:
    make(desk, alice)
    second = make(other, alice, AT + HALF_HOUR)
    Appointment.objects.filter(pk=second.pk).update(starts_at=AT)
    found = [fault for fault in faults() if fault.kind == "overlap"]
    assert len(found) == 1 and "of the same patient" in found[0].what


def test_a_short_visit_inside_a_long_one_and_one_after_it(
    desk: Desk, other: Desk, alice: User, charlie: User
) -> None:
    """The end that counts is the latest so far, not that of the visit just before."""
    long_one = make(desk, alice)
    inside, after = make(desk, charlie, AT + HALF_HOUR), make(desk, alice, AT + 2 * HALF_HOUR)
    DoctorHold.objects.all().delete()
    Appointment.objects.filter(pk=long_one.pk).update(
        ends_at=AT + 4 * HALF_HOUR, occupied_until=AT + 4 * HALF_HOUR
    )
    said = [f.what for f in faults() if f.kind == "overlap" and "same doctor" in f.what]
    assert said == [
        f"{inside.reference} begins before {long_one.reference} of the same doctor is over",
        f"{after.reference} begins before {long_one.reference} of the same doctor is over",
    ]


def test_visits_that_touch_and_cancelled_ones_do_not_overlap(desk: Desk, alice: User) -> None:
    gone = make(desk, alice)
    cancel(appointment=gone, by=alice, now=NOW)
    make(desk, alice)
    make(desk, alice, AT + HALF_HOUR)
    assert faults() == []


@pytest.mark.parametrize("rows", [DoctorHold, PatientHold])
def test_a_visit_that_lost_a_hold(
    desk: Desk, alice: User, rows: type[DoctorHold | PatientHold]
) -> None:
    visit = make(desk, alice)
    rows._default_manager.filter(grain=grain_at(AT) + 3).delete()
    whose = "doctor" if rows is DoctorHold else "patient"
    assert faults() == [
        Fault("missing_hold", f"{visit.reference} does not hold just its {whose}'s time")
    ]


@pytest.mark.parametrize("rows", [DoctorHold, PatientHold])
def test_a_visit_without_any_hold(
    desk: Desk, alice: User, rows: type[DoctorHold | PatientHold]
) -> None:
    make(desk, alice)
    rows._default_manager.all().delete()
    assert kinds() == ["missing_hold"]


def test_a_visit_whose_time_was_changed_behind_its_holds(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    Appointment.objects.filter(pk=visit.pk).update(
        starts_at=AT + HALF_HOUR, ends_at=AT + 2 * HALF_HOUR, occupied_until=AT + 2 * HALF_HOUR
    )
    assert kinds() == ["missing_hold", "missing_hold"]


def test_holds_under_another_doctor_or_patient_protect_nothing(
    desk: Desk, other: Desk, alice: User, charlie: User
) -> None:
    visit = make(desk, alice)
    DoctorHold.objects.filter(appointment=visit).update(doctor=other.doctor)
    assert kinds() == ["missing_hold"]
    DoctorHold.objects.filter(appointment=visit).update(doctor=desk.doctor)
    PatientHold.objects.filter(appointment=visit).update(patient=charlie.chart)
    assert kinds() == ["missing_hold"]


def test_holds_that_a_cancelled_visit_left_behind(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    Appointment.objects.filter(pk=visit.pk).update(status=Status.CANCELLED, cancelled_at=NOW)
    assert faults() == [
        Fault("orphan_hold", f"{visit.reference} holds time without an active visit")
    ]


def test_visits_that_took_place_still_count(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    Appointment.objects.filter(pk=visit.pk).update(status=Status.DONE)
    assert faults() == []
    DoctorHold.objects.all().delete()
    assert kinds() == ["missing_hold"]


def test_visits_whose_holds_were_pruned_are_no_fault_but_still_may_not_overlap(
    desk: Desk, alice: User, charlie: User
) -> None:
    make(desk, alice)
    second = make(desk, charlie, AT + HALF_HOUR)
    for minutes in range(0, 70, 5):  # also while the edge passes through the visits
        later = AT + KEEP_HOLDS + timedelta(minutes=minutes)
        prune_holds(later)
        assert faults(later) == []
    assert not DoctorHold.objects.exists() and not PatientHold.objects.exists()
    Appointment.objects.filter(pk=second.pk).update(starts_at=AT)
    assert kinds(AT + 2 * KEEP_HOLDS) == ["overlap"]


def test_a_booking_that_comes_in_between_two_reads_is_no_fault(desk: Desk, alice: User) -> None:
    came: list[Appointment] = []

    def book_after_the_holds_were_read(execute: Any, sql: str, *rest: Any) -> Any:
        found = execute(sql, *rest)
        if "patienthold" in sql and not came and "SELECT" in sql:
            came.append(make(desk, alice, key="between"))
        return found

    came_first = make(desk, alice, AT + timedelta(hours=1))
    with connection.execute_wrapper(book_after_the_holds_were_read):
        assert faults() == []
    assert came and came_first.pk < came[0].pk


@pytest.mark.parametrize("page", [1, 2, 3, 5])
def test_rows_are_read_a_page_at_a_time_and_none_is_left_out(
    desk: Desk, other: Desk, alice: User, charlie: User, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """MySQL's driver takes a whole result into memory, whatever the size of an iterator's chunk."""
    monkeypatch.setattr(checker, "PAGE", page)
    visits = [
        make(which, who, AT + number * HALF_HOUR)
        for number in range(0, 4, 2)
        for which, who in ((desk, alice), (other, charlie))
    ]
    with CaptureQueriesContext(connection) as queries:
        assert faults() == []
    # A page of visits ends with an owner; everything else is cut anywhere.
    assert all(
        "LIMIT" in query["sql"] or "GROUP BY" in query["sql"] or "BETWEEN" in query["sql"]
        or ">=" in query["sql"]
        for query in queries
    )  # fmt: skip
    for visit in (visits[0], visits[3]):
        DoctorHold.objects.filter(appointment=visit).delete()
    assert {fault.what[:8] for fault in faults()} == {visits[0].reference, visits[3].reference}
    Appointment.objects.filter(pk=visits[2].pk).update(starts_at=visits[0].starts_at)
    assert kinds().count("overlap") == 2  # of the doctor and of the patient


# --- The command ----------------------------------------------------------------------------
def coming(desk: Desk) -> datetime:
    """A time that is still ahead on the real clock, which the command goes by."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    return now.replace(hour=17) + timedelta(days=3)


def test_the_command_ends_with_0_when_all_is_well(desk: Desk, alice: User) -> None:
    make(desk, alice, coming(desk), now=timezone.now())
    assert run() == (0, "No faults in 1 visits.\n")


def test_the_command_names_each_fault_and_ends_with_1(
    desk: Desk, alice: User, charlie: User
) -> None:
    at = coming(desk)
    first = make(desk, alice, at, now=timezone.now())
    second = make(desk, charlie, at + HALF_HOUR, now=timezone.now())
    Appointment.objects.filter(pk=second.pk).update(starts_at=at)
    code, said = run()
    assert code == 1
    assert f"overlap: {second.reference} begins before {first.reference}" in said
    assert f"missing_hold: {second.reference}" in said
    assert said.endswith("3 faults in 2 visits.")
