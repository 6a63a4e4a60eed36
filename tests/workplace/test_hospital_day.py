"""Reception's front page: the day of its hospital, over all doctors, and whom it never shows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from appointments.models import Appointment, Status
from clinic.directory.approval import withdraw
from clinic.directory.models import HospitalStaff, OpeningHours, Service
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.cast import make_staff, signed_in
from tests.workplace.conftest import Book, doctor_of, text_of
from tests.workplace.test_my_day import _question, rows, step

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def colleague_of(desk: Desk, name: str) -> Desk:
    """Another doctor at the same hospital."""
    other = open_desk(name=name)
    for model in (Service, OpeningHours):
        model.objects.filter(doctor=other.doctor).update(hospital=desk.hospital)
    other.service.refresh_from_db()
    other.hospital = desk.hospital
    return other


def test_the_day_is_over_all_doctors_of_the_hospital(
    at_desk: Client, desk: Desk, booked: Book
) -> None:
    ito = colleague_of(desk, "Ben Ito")
    booked(desk, AT + 60 * MINUTE, "Ira Vance")
    booked(ito, AT + 30 * MINUTE, "Nora Ames")
    page = text_of(at_desk, "/admin/")
    assert "Harbour Clinic: Tuesday, November 10, 2026" in page
    first, second = rows(page)
    assert first.startswith("9:30 am Nora Ames") and "Dr. Ben Ito" in first
    assert second.startswith("10:00 am Ira Vance") and "Dr. Amara Okafor" in second
    assert "free now until 10:00 am" in page


def test_one_doctor_is_shown_with_the_free_gaps(at_desk: Client, desk: Desk, booked: Book) -> None:
    ito = colleague_of(desk, "Ben Ito")
    booked(desk, AT + 60 * MINUTE, "Ira Vance")
    booked(ito, AT + 30 * MINUTE, "Nora Ames")
    page = text_of(at_desk, f"/admin/?doctor={ito.doctor.slug}")
    assert [row.partition(" am ")[2][:9] for row in rows(page)] == [
        "Free unti", "Nora Ames", "Free unti",
    ]  # fmt: skip
    assert "Ira Vance" not in page


def test_another_hospital_is_not_seen(
    at_desk: Client, elsewhere: Desk, desk: Desk, booked: Book
) -> None:
    foreign = booked(elsewhere, AT, "Ira Vance")
    for address in ("/admin/", f"/admin/?hospital={elsewhere.hospital.slug}",
                    f"/admin/?doctor={elsewhere.doctor.slug}"):  # fmt: skip
        page = text_of(at_desk, address)
        assert "Ira Vance" not in page and "Ben Ito" not in page
        assert desk.hospital.name in page
    assert step(at_desk, foreign, "arrived").status_code == 404
    foreign.refresh_from_db()
    assert foreign.status == Status.BOOKED


def test_who_works_at_several_hospitals_begins_with_the_busiest(
    at_desk: Client, rita: User, desk: Desk, elsewhere: Desk, booked: Book
) -> None:
    elsewhere.hospital.name = "Zenith Clinic"
    elsewhere.hospital.save()
    HospitalStaff.objects.create(hospital=elsewhere.hospital, user=rita)
    booked(elsewhere, AT, "Ira Vance")
    assert "Zenith Clinic: Tuesday" in text_of(at_desk, "/admin/")
    chosen = text_of(at_desk, f"/admin/?hospital={desk.hospital.slug}")
    assert "Harbour Clinic: Tuesday" in chosen and "Ira Vance" not in chosen


def test_reception_of_no_hospital_is_told_whom_to_ask(desk: Desk) -> None:
    page = text_of(signed_in(make_staff("new@example.org")), "/admin/")
    assert "An administrator adds you" in page


def test_reception_sees_no_reason_and_no_record(at_desk: Client, desk: Desk, booked: Book) -> None:
    visit = booked(desk)
    Appointment.objects.filter(pk=visit.pk).update(reason="canary-of-the-reason")
    page = text_of(at_desk, "/admin/")
    assert "canary-of-the-reason" not in page
    assert "/admin/charts/" not in page
    assert f'href="/admin/visits/{visit.public_id}/"' in page
    assert at_desk.get(f"/admin/charts/{visit.patient.public_id}/").status_code == 404


def test_reception_marks_and_undoes(at_desk: Client, desk: Desk, booked: Book) -> None:
    visit = booked(desk)
    step(at_desk, visit, "arrived")
    page = text_of(at_desk, "/admin/")
    assert "Arrived 9:10 am" in page and "Undo (until 9:10:10 am)" in page
    step(at_desk, visit, "undo")
    visit.refresh_from_db()
    assert (visit.status, visit.arrived_at) == (Status.BOOKED, None)


def test_questions_that_wait_too_long_are_listed(
    at_desk: Client, desk: Desk, doctor: User, elsewhere: Desk, booked: Book
) -> None:
    doctor_of(elsewhere, "ito@example.org")
    for number, (hours, name, where) in enumerate(
        [(30, "Early Bird", desk), (1, "Late Comer", desk), (50, "Far Away", elsewhere)]
    ):
        _question(where, booked, name, hours=hours, number=number)
    page = text_of(at_desk, "/admin/")
    assert "1 question waits too long" in page
    assert "Early Bird" in page and "Waiting 30 hours" in page
    assert "Late Comer" not in page and "Far Away" not in page
    assert "/messages/0" not in page  # it is the doctor's conversation, not reception's


def test_a_withdrawn_doctor_is_at_work_no_more(
    at_desk: Client, desk: Desk, administrator: User
) -> None:
    assert "Dr. Amara Okafor" in text_of(at_desk, "/admin/")
    withdraw(doctor=desk.doctor, by=administrator, now=NOW)
    assert "Dr. Amara Okafor" not in text_of(at_desk, "/admin/")


def test_a_hospitals_day_has_as_many_queries_with_one_visit_as_with_twenty(
    at_desk: Client, desk: Desk, doctor: User, booked: Book
) -> None:
    booked(desk)
    text_of(at_desk, "/admin/")
    with CaptureQueriesContext(connection) as one:
        text_of(at_desk, "/admin/")
    desks = [desk, *(colleague_of(desk, f"Colleague {number}") for number in range(4))]
    for number in range(1, 20):
        where = desks[number % 5]
        booked(where, AT + (number // 5 + 1) * 30 * MINUTE, f"Patient {number}")
    _question(desk, booked, "Asker", hours=30, number=0)
    with CaptureQueriesContext(connection) as many:
        page = text_of(at_desk, "/admin/")
    assert "20 visits" in page and "1 question waits too long" in page
    assert len(many) == len(one)
    assert len(many) <= 25
