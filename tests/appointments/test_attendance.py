"""Arrived, done, did not come: one step at a time, by whose visit it is, undone within seconds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.audit import verify_chain
from accounts.models import AuditEvent, Role, User
from appointments.attendance import TooEarly, TooLateToUndo, WrongStep, mark, steps_of, undo
from appointments.booking import book, cancel
from appointments.desk import NotAtYourDesk
from appointments.models import Appointment, DoctorHold, PatientHold, Status
from appointments.slots import GRAIN_MINUTES
from clinic.directory.approval import withdraw
from clinic.directory.models import HospitalStaff
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.cast import make_account, make_staff

pytestmark = pytest.mark.django_db

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture
def desk() -> Desk:
    return open_desk()


@pytest.fixture
def doctor(desk: Desk) -> User:
    user = make_account("okafor@example.org", role=Role.DOCTOR, is_staff=True)
    desk.doctor.user = user
    desk.doctor.save()
    return user


@pytest.fixture
def rita(desk: Desk) -> User:
    user = make_staff()
    HospitalStaff.objects.create(hospital=desk.hospital, user=user)
    return user


@pytest.fixture
def visit(desk: Desk, alice: User) -> Appointment:
    return book(service=desk.service, patient=alice.chart, starts_at=AT, by=alice, key="k", now=NOW)


def actions(visit: Appointment) -> list[str]:
    trail = AuditEvent.objects.filter(patient=visit.patient).order_by("number")
    return list(trail.values_list("action", flat=True))


def state(visit: Appointment) -> tuple[object, ...]:
    visit.refresh_from_db()
    return (visit.status, visit.arrived_at, visit.status_at, visit.status_before)


def test_a_morning_arrived_then_done(visit: Appointment, rita: User, doctor: User) -> None:
    early = AT - 8 * MINUTE
    mark(appointment=visit, status=Status.ARRIVED, by=rita, now=early)
    assert state(visit) == ("arrived", early, early, "booked")
    later = AT + 25 * MINUTE
    mark(appointment=visit, status=Status.DONE, by=doctor, now=later)
    assert state(visit) == ("done", early, later, "arrived")
    assert actions(visit) == ["visit.book", "visit.arrived", "visit.done"]
    assert verify_chain(visit.patient) == []


@pytest.mark.parametrize("status", [Status.DONE, Status.NO_SHOW])
def test_the_holds_of_a_visit_that_is_over_or_missed_stay(
    visit: Appointment, rita: User, status: str
) -> None:
    mark(appointment=visit, status=status, by=rita, now=AT + 20 * MINUTE)
    grains = visit.minutes // GRAIN_MINUTES
    assert DoctorHold.objects.filter(appointment=visit).count() == grains
    assert PatientHold.objects.filter(appointment=visit).count() == grains


def test_marking_twice_changes_nothing_more(visit: Appointment, rita: User) -> None:
    mark(appointment=visit, status=Status.ARRIVED, by=rita, now=AT)
    before = state(visit)
    mark(appointment=visit, status=Status.ARRIVED, by=rita, now=AT + MINUTE)
    assert state(visit) == before
    assert actions(visit).count("visit.arrived") == 1


@pytest.mark.parametrize("status", [Status.ARRIVED, Status.DONE, Status.NO_SHOW])
def test_a_step_is_undone_for_ten_seconds(visit: Appointment, rita: User, status: str) -> None:
    at = AT + MINUTE
    mark(appointment=visit, status=status, by=rita, now=at)
    undo(appointment=visit, by=rita, now=at + 10 * SECOND)
    assert state(visit) == ("booked", None, None, "")
    assert actions(visit)[-1] == "visit.undo"
    mark(appointment=visit, status=status, by=rita, now=at)
    before = state(visit)
    with pytest.raises(TooLateToUndo):
        undo(appointment=visit, by=rita, now=at + 10.001 * SECOND)
    assert state(visit) == before
    refusal = AuditEvent.objects.get(action="visit.mark.refused")
    assert (refusal.detail, refusal.patient) == ("too_late_to_undo", visit.patient)


def test_undoing_done_keeps_when_the_patient_arrived(visit: Appointment, rita: User) -> None:
    mark(appointment=visit, status=Status.ARRIVED, by=rita, now=AT)
    mark(appointment=visit, status=Status.DONE, by=rita, now=AT + 20 * MINUTE)
    undo(appointment=visit, by=rita, now=AT + 20 * MINUTE + SECOND)
    assert state(visit)[:2] == ("arrived", AT)
    # There is one step to take back, not two.
    undo(appointment=visit, by=rita, now=AT + 20 * MINUTE + 2 * SECOND)
    assert state(visit)[:2] == ("arrived", AT)


def test_somebody_marked_as_missed_who_comes_after_all_has_arrived(
    visit: Appointment, rita: User
) -> None:
    mark(appointment=visit, status=Status.NO_SHOW, by=rita, now=AT + 15 * MINUTE)
    mark(appointment=visit, status=Status.ARRIVED, by=rita, now=AT + 20 * MINUTE)
    assert state(visit)[0] == "arrived"


@pytest.mark.parametrize(
    ("before", "status"),
    [("arrived", "no_show"), ("done", "arrived"), ("done", "no_show"), ("no_show", "done")],
)
def test_a_step_that_does_not_follow_is_refused(
    visit: Appointment, rita: User, before: str, status: str
) -> None:
    mark(appointment=visit, status=before, by=rita, now=AT + MINUTE)
    with pytest.raises(WrongStep):
        mark(appointment=visit, status=status, by=rita, now=AT + 2 * MINUTE)
    assert state(visit)[0] == before


@pytest.mark.parametrize("status", [Status.DONE, Status.NO_SHOW])
def test_nothing_is_over_or_missed_before_it_begins(
    visit: Appointment, rita: User, status: str
) -> None:
    assert status not in steps_of(visit, AT - SECOND)
    with pytest.raises(TooEarly):
        mark(appointment=visit, status=status, by=rita, now=AT - SECOND)
    assert status in steps_of(visit, AT)
    mark(appointment=visit, status=status, by=rita, now=AT)


def test_nobody_arrives_on_another_day(visit: Appointment, rita: User) -> None:
    midnight = AT - timedelta(hours=9)  # the visit is at 9 am where the hospital is
    with pytest.raises(TooEarly):
        mark(appointment=visit, status=Status.ARRIVED, by=rita, now=midnight - SECOND)
    assert steps_of(visit, midnight - SECOND) == []
    mark(appointment=visit, status=Status.ARRIVED, by=rita, now=midnight)


def test_a_cancelled_visit_takes_no_step(visit: Appointment, rita: User, alice: User) -> None:
    cancel(appointment=visit, by=alice, now=NOW)
    for status in (Status.ARRIVED, Status.DONE, Status.NO_SHOW):
        with pytest.raises(WrongStep):
            mark(appointment=visit, status=status, by=rita, now=AT + MINUTE)
    undo(appointment=visit, by=rita, now=AT + MINUTE)
    assert state(visit)[0] == "cancelled"


def test_only_who_handles_a_visit_marks_it(
    visit: Appointment, doctor: User, alice: User, charlie: User, administrator: User
) -> None:
    elsewhere = open_desk(name="Ben Ito")
    others = [alice, charlie, administrator]
    for number, place in enumerate((None, elsewhere.hospital)):
        user = make_staff(f"desk{number}@example.org")
        if place is not None:
            HospitalStaff.objects.create(hospital=place, user=user)
        others.append(user)
    colleague = make_account("ito@example.org", role=Role.DOCTOR, is_staff=True)
    elsewhere.doctor.user = colleague
    elsewhere.doctor.save()
    for user in [*others, colleague]:
        for step in (mark, undo):
            extra = {"status": Status.ARRIVED} if step is mark else {}
            with pytest.raises(NotAtYourDesk):
                step(appointment=visit, by=user, now=AT, **extra)
    assert state(visit) == ("booked", None, None, "")
    tried = AuditEvent.objects.filter(action="visit.mark.refused", patient=visit.patient)
    assert tried.count() == 2 * (len(others) + 1)


def test_a_withdrawn_doctor_marks_nothing(
    visit: Appointment, desk: Desk, doctor: User, administrator: User
) -> None:
    withdraw(doctor=desk.doctor, by=administrator, now=NOW)
    doctor.refresh_from_db()
    assert not doctor.is_staff
    with pytest.raises(NotAtYourDesk):
        mark(appointment=visit, status=Status.ARRIVED, by=doctor, now=AT)


def test_an_unknown_status_is_a_mistake_of_the_caller(visit: Appointment, rita: User) -> None:
    with pytest.raises(ValueError, match="no step at the desk"):
        mark(appointment=visit, status=Status.CANCELLED, by=rita, now=AT)
