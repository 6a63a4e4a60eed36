"""The directory in the admin: approvals, checked hours, and caches that are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, User
from clinic.directory.admin import DoctorAdmin
from clinic.directory.approval import withdraw
from clinic.directory.models import Doctor, Hospital, OpeningHours, Schedule, Service, add_doctor
from tests.cast import signed_in
from tests.directory.helpers import make_doctor, make_hospital

pytestmark = pytest.mark.django_db

DOCTORS = "/admin/directory/doctor/"


@pytest.fixture
def client(administrator: User) -> Client:
    return signed_in(administrator)


def test_approving_asks_what_was_checked(client: Client, administrator: User) -> None:
    doctor = make_doctor(approved=False)
    chosen = {"action": "approve_doctors", "_selected_action": [doctor.pk]}
    page = client.post(DOCTORS, chosen)
    assert page.status_code == 200
    assert "What did you check?" in page.content.decode()
    assert client.post(DOCTORS, chosen | {"what": " "}).status_code == 422
    assert not Doctor.objects.public().exists()
    assert client.post(DOCTORS, chosen | {"what": "License and identity"}).status_code == 302
    doctor.refresh_from_db()
    assert doctor.is_public
    assert (doctor.verified_by, doctor.verified_what) == (administrator, "License and identity")


def test_an_approval_cannot_be_typed_into_the_doctors_form(client: Client) -> None:
    doctor = make_doctor(approved=False)
    answer = client.post(
        f"{DOCTORS}{doctor.pk}/change/",
        form(doctor, verified_at_0="2026-01-01", verified_at_1="00:00", verified_what="x"),
    )
    assert answer.status_code == 302
    doctor.refresh_from_db()
    assert not doctor.is_public


def form(doctor: Doctor, **changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": doctor.name,
        "credentials": "MD",
        "grid_minutes": "15",
        "lead_minutes": "60",
        "horizon_days": "90",
        "cancel_hours": "24",
    }
    for prefix in ("languages", "services"):
        data |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    return data | changes


def one(prefix: str, **fields: Any) -> dict[str, Any]:
    return {f"{prefix}-TOTAL_FORMS": "1"} | {f"{prefix}-0-{k}": v for k, v in fields.items()}


def service(hospital: Hospital, **changes: Any) -> dict[str, Any]:
    fields = {
        "hospital": hospital.pk, "name": "Visit", "minutes": "30", "buffer_minutes": "0",
        "visit": "in_person", "position": "0", "is_active": "on",
    }  # fmt: skip
    return one("services", **(fields | changes))


def test_saving_tells_the_caches_and_the_trail(client: Client) -> None:
    doctor, hospital = make_doctor(), make_hospital()
    answer = client.post(f"{DOCTORS}{doctor.pk}/change/", form(doctor, **service(hospital)))
    assert answer.status_code == 302
    assert Service.objects.filter(doctor=doctor).count() == 1
    assert Schedule.objects.get(doctor=doctor).version == 2
    assert AuditEvent.objects.filter(action="doctor.saved").count() == 1


def test_odd_lengths_are_errors_of_the_form(client: Client) -> None:
    doctor = make_doctor()
    odd = service(make_hospital(), minutes="33")
    answer = client.post(f"{DOCTORS}{doctor.pk}/change/", form(doctor, **odd))
    assert "that 5 divides" in answer.content.decode()
    assert not Service.objects.exists()
    assert Schedule.objects.get(doctor=doctor).version == 1


def test_hours_are_not_typed_into_the_doctors_form(client: Client) -> None:
    """Their own page asks what becomes of the visits that a change would hit."""
    doctor, hospital = make_doctor(), make_hospital()
    typed = one(
        "opening_hours", hospital=hospital.pk, weekday="0", opens="09:00", closes="12:00",
        valid_from="2026-12-01",
    )  # fmt: skip
    page = f"{DOCTORS}{doctor.pk}/change/"
    assert client.post(page, form(doctor, **typed)).status_code == 302
    assert not OpeningHours.objects.exists()
    assert f'href="/admin/hours/{doctor.slug}/"' in client.get(page).content.decode()


def test_a_form_that_was_open_takes_no_approval_back(client: Client, administrator: User) -> None:
    doctor = make_doctor()
    typed = form(doctor, about="Speaks slowly")
    with patched_before_saving(doctor, administrator):
        client.post(f"{DOCTORS}{doctor.pk}/change/", typed)
    doctor.refresh_from_db()
    assert doctor.about == "Speaks slowly"
    assert doctor.withdrawn_at is not None


@contextmanager
def patched_before_saving(doctor: Doctor, by: User) -> Iterator[None]:
    """Somebody withdraws the doctor between the reading and the storing of the form."""
    storing = DoctorAdmin.save_model

    def withdraw_first(self: DoctorAdmin, *args: Any, **kwargs: Any) -> None:
        withdraw(doctor=doctor, by=by, now=timezone.now())
        storing(self, *args, **kwargs)

    DoctorAdmin.save_model = withdraw_first  # type: ignore[method-assign]
    try:
        yield
    finally:
        DoctorAdmin.save_model = storing  # type: ignore[method-assign]


def test_a_doctor_added_in_the_admin_has_a_lock_row_and_an_address(client: Client) -> None:
    answer = client.post(f"{DOCTORS}add/", form(Doctor(name="Zoë Núñez")))
    assert answer.status_code == 302
    doctor = Doctor.objects.get()
    assert (doctor.slug, doctor.search_text, doctor.npi) == ("zoe-nunez", "zoe nunez", None)
    assert Schedule.objects.filter(doctor=doctor).exists()
    add_doctor(name="Another", slug="another", npi=None)  # two unknown NPIs are not the same one


def test_confirming_zones_in_the_list(client: Client) -> None:
    derived = make_hospital(time_zone_confirmed=False)
    unknown = make_hospital(time_zone_confirmed=False, time_zone="")
    client.post(
        "/admin/directory/hospital/",
        {"action": "confirm_time_zone", "_selected_action": [derived.pk, unknown.pk]},
    )
    derived.refresh_from_db()
    unknown.refresh_from_db()
    assert (derived.time_zone_confirmed, unknown.time_zone_confirmed) == (True, False)


def test_every_page_of_the_directory_opens(client: Client) -> None:
    make_doctor(hospital=make_hospital())
    for name in ("hospital", "doctor", "specialty"):
        listed = f"/admin/directory/{name}/"
        assert client.get(listed).status_code == 200
        assert client.get(f"{listed}add/").status_code == 200
        assert client.get(f"{listed}?q=a").status_code == 200
