"""SECURITY 23: administrators see who opened whose record in an emergency, when, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.audit import verify_chain
from accounts.models import AuditEvent, Patient, User
from appointments.emergency import open_in_emergency
from appointments.models import CareRelation
from clinic.jobs.models import OutgoingMail
from records.who import events_of, looks
from tests.appointments.desk import Desk
from tests.cast import make_patient, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/emergencies/"
REASON = "Found unconscious on the ward"


@pytest.fixture
def ada(administrator: User) -> Client:
    return signed_in(administrator)


def opened(desk: Desk, doctor: User, patient: Patient, **changes: Any) -> CareRelation:
    facts: dict[str, Any] = {"reason": REASON, "by": doctor, "now": timezone.now()} | changes
    return open_in_emergency(doctor=desk.doctor, patient=patient, **facts)


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def address(patient: Patient) -> str:
    return f"{LIST}{patient.public_id}/"


def test_s23_the_list_says_who_and_when_and_names_no_patient(
    ada: Client, desk: Desk, doctor: User
) -> None:
    assert "Nobody opened a record in an emergency." in text_of(ada.get(LIST))
    nora, otto = make_patient("Nora Ames"), make_patient("Otto Hale")
    opened(desk, doctor, nora)
    opened(desk, doctor, otto, now=timezone.now() - timedelta(days=2))
    before = AuditEvent.objects.count()
    page = text_of(ada.get(LIST))
    assert page.count("Dr. Amara Okafor") == 2
    assert "Open until" in page and "Ended" in page
    assert page.index(address(nora)) < page.index(address(otto))  # newest first
    for word in ("Ames", "Hale", REASON):
        assert word not in page
    assert AuditEvent.objects.count() == before  # so far nobody's data was looked at


def test_s23_s37_one_access_shows_whose_record_and_why_and_the_patient_sees_that(
    ada: Client, administrator: User, desk: Desk, doctor: User
) -> None:
    nora = make_patient("Nora Ames")
    opened(desk, doctor, nora)
    page = text_of(ada.get(address(nora)))
    for word in ("Nora Ames", "Dr. Amara Okafor", REASON, "still open"):
        assert word in page
    event = AuditEvent.objects.filter(patient=nora).latest("number")
    assert (event.action, event.actor_id) == ("access.reviewed", administrator.pk)
    assert REASON not in event.detail
    assert verify_chain(nora) == []
    line = looks(list(events_of(nora)))[0]
    assert (line.who, line.what) == (
        "Ada Quist",
        "Looked into an emergency access to the record",
    )


def test_s23_a_record_that_nobody_opened_so_has_no_page(
    ada: Client, desk: Desk, doctor: User
) -> None:
    nora = make_patient("Nora Ames")
    assert ada.get(address(nora)).status_code == 404
    opened(desk, doctor, nora, now=timezone.now() - timedelta(days=400))  # longer than a year ago
    assert ada.get(address(nora)).status_code == 404
    assert not AuditEvent.objects.filter(action="access.reviewed").exists()


@pytest.mark.parametrize("who", ["doctor", "rita", "directory"])
def test_s23_it_is_the_administrators_page_alone(
    who: str, desk: Desk, doctor: User, request: pytest.FixtureRequest
) -> None:
    nora = make_patient("Nora Ames")
    opened(desk, doctor, nora)
    before = AuditEvent.objects.count()
    client = signed_in(request.getfixturevalue(who))
    for path in (LIST, address(nora)):
        assert client.get(path).status_code == 404
    assert AuditEvent.objects.count() == before
    assert "emergencies/" not in text_of(client.get("/admin/"))


def test_s23_the_front_page_counts_the_last_month_and_the_mail_leads_there(
    ada: Client, desk: Desk, doctor: User, administrator: User
) -> None:
    assert "Records opened in an emergency, in 30 days: none" in text_of(ada.get("/admin/"))
    nora = make_patient("Nora Ames")
    opened(desk, doctor, nora)
    opened(desk, doctor, make_patient("Otto Hale"), now=timezone.now() - timedelta(days=31))
    page = text_of(ada.get("/admin/"))
    assert f'<a href="{LIST}">Records opened in an emergency, in 30 days: ' in page
    assert '<span class="task-count">1</span>' in page
    [mail] = OutgoingMail.objects.filter(to=administrator.email, text__contains=str(nora.public_id))
    assert address(nora) in mail.text
    assert "Ames" not in mail.text and REASON not in mail.text


def test_the_list_takes_as_many_queries_for_one_as_for_twenty(
    ada: Client, desk: Desk, doctor: User
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            ada.get(LIST)
        return len(found)

    opened(desk, doctor, make_patient("Nora Ames"))
    one = queries()
    for number in range(19):
        opened(desk, doctor, make_patient(f"Otto Hale {number}"))
    assert queries() == one
