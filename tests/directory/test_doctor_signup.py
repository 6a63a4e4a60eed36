"""Doctors sign up, wait, and are public only after staff said what they checked."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent, Patient, Role, User
from clinic.directory.approval import NotApprovable, approve, withdraw
from clinic.directory.models import Doctor, Schedule, Specialty
from clinic.directory.npi import clean_npi
from tests.accounts.helpers import LONG_PASSWORD, mailed_code
from tests.cast import signed_in
from tests.directory.helpers import NOW, make_doctor, make_hospital, make_service

pytestmark = pytest.mark.django_db

SIGN_UP = "/accounts/signup/doctor/"
CONFIRM = "/accounts/confirm-email/"
ADDRESS = "newdoctor@example.org"
NPI = "1234567893"  # the example of the CMS page about the check digit


def facts(**changes: Any) -> dict[str, Any]:
    specialty, _made = Specialty.objects.get_or_create(name="Neurology", slug="neurology")
    return {
        "name": "Zoë Lefèvre",
        "credentials": "MD",
        "specialty": str(specialty.pk),
        "npi": NPI,
        "email": ADDRESS,
        "password1": LONG_PASSWORD,
        "accept": "on",
        "next": "/accounts/doctor/",
    } | changes


def sign_up(client: Client, **changes: Any) -> Doctor:
    answer = client.post(SIGN_UP, facts(**changes))
    assert (answer.status_code, answer.headers["Location"]) == (302, CONFIRM)
    code = mailed_code(changes.get("email", ADDRESS))
    answer = client.post(CONFIRM, {"action": "verify", "code": code})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/doctor/")
    return Doctor.objects.get(user__email=changes.get("email", ADDRESS))


def test_a_doctor_signs_up_and_learns_what_happens_next() -> None:
    client = Client()
    doctor = sign_up(client, npi="1234 567-893")
    assert (doctor.name, doctor.slug, doctor.credentials) == ("Zoë Lefèvre", "zoe-lefevre", "MD")
    assert doctor.npi == NPI
    assert [s.name for s in doctor.specialties.all()] == ["Neurology"]
    assert Schedule.objects.filter(doctor=doctor).exists()  # the lock row of bookings
    assert doctor.user is not None and doctor.user.role == Role.DOCTOR
    assert not Patient.objects.exists()
    assert AuditEvent.objects.filter(action="doctor.signed_up").count() == 1
    page = client.get("/accounts/doctor/").content.decode()
    assert "What happens next" in page
    assert "nobody can see or book you" in page


def test_a_waiting_doctor_is_on_no_public_page_until_approved(administrator: User) -> None:
    doctor = sign_up(Client())
    hospital = make_hospital()
    make_service(doctor, hospital)
    visitor = Client()

    def public() -> list[bool]:
        return [
            visitor.get(f"/doctors/{doctor.slug}/").status_code == 200,
            "Lefèvre" in visitor.get(f"/hospitals/{hospital.slug}/").content.decode(),
            "Lefèvre" in visitor.get("/doctors/", {"q": "lefevre"}).content.decode(),
            doctor in Doctor.objects.public(),
        ]

    assert public() == [False] * 4
    version = Schedule.objects.get(doctor=doctor).version
    approve(doctor=doctor, by=administrator, what="License and identity", now=NOW)
    assert public() == [True] * 4
    assert Schedule.objects.get(doctor=doctor).version > version
    withdraw(doctor=doctor, by=administrator, now=NOW)
    assert public() == [False] * 4
    actions = AuditEvent.objects.filter(actor_id=administrator.pk).values_list("action", flat=True)
    assert list(actions) == ["doctor.approved", "doctor.withdrawn"]


def test_a_waiting_doctor_cannot_be_booked(alice: User) -> None:
    doctor = sign_up(Client())
    service = make_service(doctor, make_hospital())
    answer = signed_in(alice).get(
        f"/doctors/{doctor.slug}/book/?service={service.code}&at=2026-11-30T14:00:00Z"
    )
    assert answer.status_code == 404


def test_s08_nobody_gives_themselves_rights_or_an_approval() -> None:
    doctor = sign_up(
        Client(),
        role="administrator",
        is_staff="on",
        is_superuser="on",
        is_active="on",
        verified_at="2026-01-01T00:00:00Z",
        verified_by="1",
        verified_what="everything",
        slug="chosen",
        is_sample="on",
        user="1",
    )
    user = doctor.user
    assert user is not None
    assert (user.is_staff, user.is_superuser, user.role) == (False, False, Role.DOCTOR)
    assert not user.user_permissions.exists()
    assert (doctor.verified_at, doctor.verified_by, doctor.verified_what) == (None, None, "")
    assert (doctor.slug, doctor.is_sample, doctor.is_public) == ("zoe-lefevre", False, False)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("npi", "1234567890", "its last digit does not fit"),
        ("npi", "123", "Enter the 10 digits"),
        ("npi", "٠٢٣٤٥٦٧٨٩٣", "Enter the 10 digits"),
        ("npi", "", "Enter your NPI."),
        ("specialty", "", "Choose your specialty."),
        ("credentials", "", "Enter your degree"),
        ("name", "  ", "Enter a name."),
        ("accept", "", "Accept the terms"),
        ("password1", "short", "too short"),
    ],
)
def test_each_mistake_has_its_sentence_and_keeps_the_rest(
    field: str, value: str, sentence: str
) -> None:
    answer = Client().post(SIGN_UP, facts(**{field: value}))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert sentence in page
    assert "<title>Error:" in page
    if field != "name":
        assert "Zoë Lefèvre" in page
    assert not User.objects.exists() and not Doctor.objects.exists()


def test_a_known_npi_is_noted_for_staff_and_told_to_nobody() -> None:
    make_doctor(npi=NPI)
    doctor = sign_up(Client())
    assert doctor.npi is None
    event = AuditEvent.objects.get(action="doctor.signed_up")
    assert event.detail == "gave the NPI of another doctor"


def test_a_known_address_gets_the_same_answer_and_makes_nothing(alice: User) -> None:
    Specialty.objects.create(name="Neurology", slug="neurology")
    answer = Client().post(SIGN_UP, facts(email=alice.email))
    assert (answer.status_code, answer.headers["Location"]) == (302, CONFIRM)
    assert not Doctor.objects.exists()
    assert User.objects.count() == 1


def test_two_doctors_of_one_name_have_addresses_of_their_own() -> None:
    sign_up(Client())
    second = sign_up(Client(), email="other@example.org", npi="1245319599")
    assert second.slug == "zoe-lefevre-2"


def test_the_page_about_a_sign_up_is_the_doctors_own(alice: User) -> None:
    assert Client().get("/accounts/doctor/").status_code == 302
    assert signed_in(alice).get("/accounts/doctor/").status_code == 404


def test_an_approval_says_what_was_checked(administrator: User) -> None:
    doctor = make_doctor(approved=False)
    for what in ("", "   ", "x" * 121):
        with pytest.raises(NotApprovable):
            approve(doctor=doctor, by=administrator, what=what, now=NOW)
    doctor.refresh_from_db()
    assert not doctor.is_public
    assert not AuditEvent.objects.exists()


def test_npi_check_digits() -> None:
    assert clean_npi("1234567893") == "1234567893"
    assert clean_npi("1245319599") == "1245319599"
    for wrong in range(10):
        if wrong != 3:
            with pytest.raises(Exception, match="last digit"):
                clean_npi(f"123456789{wrong}")
