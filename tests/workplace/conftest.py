"""A hospital on a Tuesday morning: its doctor, its reception, and visits made by the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
import time_machine
from django.test import Client

from accounts.models import Patient, Role, User
from appointments.booking import book
from appointments.models import Appointment
from clinic.directory.models import HospitalStaff
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.cast import make_account, make_patient, make_staff, signed_in

Book = Callable[..., Appointment]


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    """10 minutes after the first visit of the day begins."""
    with time_machine.travel(AT + timedelta(minutes=10), tick=False) as traveller:
        yield traveller


@pytest.fixture
def desk(db: None) -> Desk:
    return open_desk()


@pytest.fixture
def elsewhere(db: None) -> Desk:
    """Another hospital with another doctor."""
    return open_desk(name="Ben Ito")


@pytest.fixture
def doctor(desk: Desk) -> User:
    return doctor_of(desk, "okafor@example.org")


def doctor_of(desk: Desk, email: str) -> User:
    user = make_account(email, role=Role.DOCTOR, is_staff=True)
    desk.doctor.user = user
    desk.doctor.save()
    return user


@pytest.fixture
def rita(desk: Desk) -> User:
    """Reception at the desk's hospital."""
    user = make_staff()
    HospitalStaff.objects.create(hospital=desk.hospital, user=user)
    return user


@pytest.fixture
def directory(db: None) -> User:
    return make_staff("dora@example.org", role=Role.DIRECTORY, name="Dora Ek")


@pytest.fixture
def my_day(doctor: User) -> Client:
    return signed_in(doctor)


@pytest.fixture
def at_desk(rita: User) -> Client:
    return signed_in(rita)


@pytest.fixture
def booked(alice: User) -> Book:
    """Books for somebody, by default a new patient of that name."""

    def book_one(
        desk: Desk, at: datetime = AT, name: str = "Nora Ames", patient: Patient | None = None
    ) -> Appointment:
        chart = patient or make_patient(name)
        return book(
            service=desk.service,
            patient=chart,
            starts_at=at,
            by=alice,
            key=f"{chart.pk}-{at.isoformat()}",
            now=NOW,
        )

    return book_one


def text_of(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer.status_code
    return str(answer.content.decode())
