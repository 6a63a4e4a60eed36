"""What staff do with visits: the limits they may set aside, and the one they may not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from accounts.models import AuditEvent, Patient, Role, User
from appointments.attendance import mark
from appointments.booking import book, cancel
from appointments.checker import find_faults
from appointments.desk import (
    NoReason,
    NotAtYourDesk,
    book_at_desk,
    cancel_at_desk,
    move_at_desk,
    walk_in,
)
from appointments.free_times import free_times
from appointments.models import Appointment, CareRelation, DoctorHold, Registration, Status
from appointments.overrides import Limit, Override
from appointments.refusals import NotMovable, NotNewPatients, NotOffered, SlotTaken, TooManyOpen
from appointments.registering import LikelyDuplicates, NotYourHospital, register, take_over
from clinic.directory.models import HospitalStaff, TimeOff
from clinic.jobs.models import OutgoingMail
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.cast import make_patient, make_staff

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
WHY = "The patient was told to come by the emergency room"


@pytest.fixture
def desk() -> Desk:
    return open_desk()


@pytest.fixture
def rita(desk: Desk) -> User:
    """Reception at the desk's hospital."""
    user = make_staff()
    HospitalStaff.objects.create(hospital=desk.hospital, user=user)
    return user


@pytest.fixture
def nora(desk: Desk, rita: User) -> Patient:
    """Somebody who books by phone, known at the desk's hospital."""
    patient = make_patient()
    Registration.objects.create(hospital=desk.hospital, patient=patient, since=NOW, by=rita)
    return patient


def despite(*limits: str, why: str = WHY) -> Override:
    return Override(frozenset(limits), why)


def at_desk(desk: Desk, patient: Patient, by: User, at: datetime = AT, **more: Any) -> Appointment:
    facts: dict[str, Any] = {
        "service": desk.service,
        "patient": patient,
        "starts_at": at,
        "by": by,
        "key": f"{at}-{patient.pk}",
        "now": NOW,
    }
    return book_at_desk(**(facts | more))


def test_reception_books_for_somebody_without_account_or_mail(
    desk: Desk, rita: User, nora: Patient
) -> None:
    visit = at_desk(desk, nora, rita)

    assert (visit.patient, visit.booked_by, visit.status) == (nora, rita, Status.BOOKED)
    assert visit.booked_despite == ""
    assert not OutgoingMail.objects.exists()  # nobody's address, least of all reception's
    assert AuditEvent.objects.get(action="visit.book").patient == nora


def test_a_taken_time_is_refused_whatever_is_set_aside(
    desk: Desk, rita: User, nora: Patient, alice: User
) -> None:
    book(service=desk.service, patient=alice.chart, starts_at=AT, by=alice, key="first", now=NOW)
    with pytest.raises(SlotTaken) as refusal:
        at_desk(desk, nora, rita, override=despite(*Limit.values))

    assert len(refusal.value.nearest) == 3
    assert Appointment.objects.count() == 1
    assert AuditEvent.objects.filter(action="visit.book.refused", patient=nora).count() == 1


@pytest.mark.parametrize(
    ("limit", "prepare", "at"),
    [
        (Limit.LEAD, None, NOW + timedelta(minutes=15)),
        (Limit.HORIZON, None, NOW + timedelta(days=120, minutes=-60)),
        (Limit.GRID, None, AT + timedelta(minutes=5)),
        (Limit.HOURS, None, AT + timedelta(hours=10)),
        (Limit.NEW_PATIENTS, "takes no new patients", AT),
        (Limit.OPEN_BOOKINGS, "is full", AT),
    ],
)
def test_each_limit_holds_until_it_is_set_aside_with_a_reason(
    desk: Desk,
    rita: User,
    nora: Patient,
    settings: Any,
    limit: str,
    prepare: str | None,
    at: datetime,
) -> None:
    if prepare == "takes no new patients":
        desk.doctor.accepts_new = False
        desk.doctor.save()
        desk.service.refresh_from_db()
    if prepare == "is full":
        settings.OPEN_BOOKINGS_PER_PATIENT = 1
        at_desk(desk, nora, rita, AT + timedelta(days=14))
    others = despite(*(set(Limit.values) - {limit}))

    with pytest.raises((NotOffered, NotNewPatients, TooManyOpen)):
        at_desk(desk, nora, rita, at, override=others)
    with pytest.raises(NoReason):
        at_desk(desk, nora, rita, at, override=despite(limit, why=" ok "))
    visit = at_desk(desk, nora, rita, at, override=despite(limit))

    assert visit.booked_despite == f"{limit}: {WHY}"
    row = AuditEvent.objects.filter(action="visit.book").latest("pk")
    assert row.detail == limit  # which, and not the typed words


def test_a_doctor_who_is_away_is_booked_by_nobody(desk: Desk, rita: User, nora: Patient) -> None:
    TimeOff.objects.create(doctor=desk.doctor, starts_at=AT - HOUR, ends_at=AT + HOUR)
    with pytest.raises(NotOffered):
        at_desk(desk, nora, rita, override=despite(*Limit.values))
    assert not Appointment.objects.exists()


def test_the_past_is_booked_by_nobody(desk: Desk, rita: User, nora: Patient) -> None:
    with pytest.raises(NotOffered):
        at_desk(desk, nora, rita, NOW - timedelta(minutes=10), override=despite(*Limit.values))


def test_who_walks_in_is_there_at_once(desk: Desk, rita: User, nora: Patient) -> None:
    now = NOW + timedelta(minutes=3)
    visit = walk_in(service=desk.service, patient=nora, by=rita, key="w", now=now)

    assert (visit.starts_at, visit.status, visit.arrived_at) == (NOW, Status.ARRIVED, now)
    assert visit.is_walk_in
    assert list(find_faults(now)) == []
    other = make_patient("Omar Field")
    Registration.objects.create(hospital=desk.hospital, patient=other, since=NOW, by=rita)
    with pytest.raises(SlotTaken):  # the next one waits or sees somebody else
        walk_in(service=desk.service, patient=other, by=rita, key="x", now=now)


def test_a_walk_in_of_the_wrong_person_is_taken_back_until_it_is_over(
    desk: Desk, rita: User, nora: Patient
) -> None:
    now = NOW + timedelta(minutes=3)
    visit = walk_in(service=desk.service, patient=nora, by=rita, key="w", now=now)
    with pytest.raises(NotMovable):  # at the desk alone
        cancel(appointment=visit, by=rita, now=now)
    later = now + timedelta(minutes=5)
    done = cancel_at_desk(appointment=visit, by=rita, now=later, reason="Somebody else")
    assert (done.status, done.cancelled_late) == (Status.CANCELLED, False)
    assert list(find_faults(later)) == []
    assert not CareRelation.objects.running(later).filter(patient=nora).exists()
    other = make_patient("Omar Field")
    Registration.objects.create(hospital=desk.hospital, patient=other, since=NOW, by=rita)
    visit = walk_in(service=desk.service, patient=other, by=rita, key="x", now=later)
    mark(appointment=visit, status=Status.DONE, by=rita, now=later)
    with pytest.raises(NotMovable):
        cancel_at_desk(appointment=visit, by=rita, now=later)


@pytest.mark.parametrize("who", ["patient", "other hospital", "administrator", "disabled"])
def test_nobody_else_books_at_this_desk(
    desk: Desk, rita: User, nora: Patient, alice: User, who: str
) -> None:
    by = {
        "patient": lambda: alice,
        "other hospital": lambda: make_staff("other@example.org"),
        "administrator": lambda: make_staff("boss@example.org", role=Role.ADMINISTRATOR),
        "disabled": lambda: _disabled(rita),
    }[who]()
    visit = book(
        service=desk.service, patient=alice.chart, starts_at=AT, by=alice, key="a", now=NOW
    )
    attempts: list[Callable[[], Any]] = [
        lambda: at_desk(desk, nora, by, AT + HOUR),
        lambda: walk_in(service=desk.service, patient=nora, by=by, key="w", now=NOW),
        lambda: move_at_desk(appointment=visit, starts_at=AT + HOUR, by=by, key="m", now=NOW),
        lambda: cancel_at_desk(appointment=visit, by=by, now=NOW),
    ]
    for attempt in attempts:
        with pytest.raises(NotAtYourDesk):
            attempt()
    assert list(Appointment.objects.values_list("status", "starts_at")) == [(Status.BOOKED, AT)]
    assert not TimeOff.objects.exists()
    assert AuditEvent.objects.filter(action__endswith=".refused", actor_id=by.pk).count() == 4


def _disabled(user: User) -> User:
    user.is_active = False
    user.save()
    return user


def test_reception_books_only_for_patients_it_knows(desk: Desk, rita: User) -> None:
    stranger = make_patient("Somebody Else")
    with pytest.raises(NotAtYourDesk):
        at_desk(desk, stranger, rita)
    facts: dict[str, Any] = {
        "public_id": stranger.public_id,
        "hospital": desk.hospital,
        "by": rita,
        "now": NOW,
    }
    with pytest.raises(NotYourHospital):  # an id alone opens nothing
        take_over(**facts, name="Nora Ames", birth_date=date(1990, 1, 1))
    take_over(**facts, name=stranger.name, birth_date=stranger.birth_date)
    assert at_desk(desk, stranger, rita).patient == stranger


def test_a_visit_moved_to_a_colleague_takes_its_reason_to_know_along(
    desk: Desk, rita: User, nora: Patient
) -> None:
    colleague = open_desk(name="Ben Osei", minutes=45)
    HospitalStaff.objects.create(hospital=colleague.hospital, user=rita)
    visit = at_desk(desk, nora, rita)

    moved = move_at_desk(
        appointment=visit, to=colleague.service, starts_at=AT, by=rita, key="m", now=NOW
    )

    assert moved.public_id == visit.public_id
    assert (moved.doctor, moved.minutes) == (colleague.doctor, 45)
    assert moved.service_name == colleague.service.name
    running = CareRelation.objects.running(NOW).filter(patient=nora)
    assert list(running.values_list("doctor", flat=True)) == [colleague.doctor.pk]
    assert set(DoctorHold.objects.values_list("doctor", flat=True)) == {colleague.doctor.pk}
    assert list(find_faults(NOW)) == []
    free = free_times([desk.service], first=date(2026, 11, 10), days=1, now=NOW)
    assert AT in free[desk.service.pk]  # the old time is free at once
    again = move_at_desk(
        appointment=visit, to=colleague.service, starts_at=AT, by=rita, key="m", now=NOW
    )
    assert again.pk == moved.pk
    assert CareRelation.objects.filter(patient=nora).count() == 2


def test_moving_to_a_colleague_who_is_busy_changes_nothing(
    desk: Desk, rita: User, nora: Patient, alice: User
) -> None:
    colleague = open_desk(name="Ben Osei")
    HospitalStaff.objects.create(hospital=colleague.hospital, user=rita)
    book(service=colleague.service, patient=alice.chart, starts_at=AT, by=alice, key="a", now=NOW)
    visit = at_desk(desk, nora, rita)
    with pytest.raises(SlotTaken):
        move_at_desk(
            appointment=visit, to=colleague.service, starts_at=AT, by=rita, key="m", now=NOW
        )
    visit.refresh_from_db()
    assert (visit.doctor, visit.starts_at) == (desk.doctor, AT)
    assert list(find_faults(NOW)) == []


BORN = date(1951, 8, 2)


@pytest.mark.parametrize(
    ("name", "birth_date", "phone"),
    [
        ("Nora Ames", BORN, ""),
        ("nora ámes", BORN, ""),
        ("Norah Ames", BORN, ""),
        ("Ames Nora", BORN, ""),
        ("Nora Ames", date(1951, 8, 12), ""),  # a digit mistyped
        ("Nora Ames", None, ""),
        ("N. Ames", date(1990, 1, 1), "(207) 555-0142"),
    ],
)
def test_a_likely_duplicate_is_shown_before_a_second_chart_is_made(
    desk: Desk, rita: User, name: str, birth_date: date | None, phone: str
) -> None:
    known = make_patient()
    known.phone = "207-555-0142"
    known.save(update_fields=["phone"])
    facts: dict[str, Any] = {
        "name": name,
        "birth_date": birth_date,
        "phone": phone,
        "hospital": desk.hospital,
        "by": rita,
        "now": NOW,
    }
    with pytest.raises(LikelyDuplicates) as refusal:
        register(**facts)

    assert refusal.value.charts == [known]
    assert Patient.objects.count() == 1
    made = register(**facts, looked=[known.public_id])  # somebody else after all
    assert Patient.objects.count() == 2
    assert Registration.objects.get().patient == made


@pytest.mark.parametrize(
    ("name", "birth_date", "phone"),
    [
        ("Nora Ames", date(1980, 1, 30), ""),
        ("Walter Quill", BORN, ""),
        ("Walter Quill", date(1980, 1, 30), "207-555-0142"),
    ],
)
def test_somebody_else_is_no_duplicate(
    desk: Desk, rita: User, name: str, birth_date: date, phone: str
) -> None:
    known = make_patient()
    known.phone = "207-555-0142"
    known.save(update_fields=["phone"])
    register(
        name=name, birth_date=birth_date, phone=phone, hospital=desk.hospital, by=rita, now=NOW
    )
    assert Patient.objects.count() == 2


def test_a_chart_is_made_at_the_own_hospital_only(desk: Desk, alice: User) -> None:
    for by in (alice, make_staff("other@example.org")):
        with pytest.raises(NotYourHospital):
            register(
                name="New One",
                birth_date=BORN,
                hospital=desk.hospital,
                by=by,
                now=datetime.now(UTC),
            )
    assert not Registration.objects.exists()
