"""The list of own patients, the fixed head of a chart, and its timeline."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Patient
from appointments.care import start_for_visit
from appointments.emergency import open_in_emergency
from chat.models import Conversation
from clinic.directory.models import Doctor
from records.allergies import record_allergy, state_no_known_allergies
from records.models import Observation
from records.observations import record_observation
from tests.appointments.desk import NOW, REASON
from tests.appointments.visits import make_visit
from tests.cast import make_patient, make_staff, signed_in
from tests.records.pages.ward import Ward

pytestmark = pytest.mark.django_db

CHARTS = "/admin/charts/"


def add_patients(ward: Ward, count: int) -> list[Patient]:
    made = []
    for number in range(count):
        patient = make_patient(f"Patient {number:03}")
        visit = make_visit(
            patient,
            NOW - timedelta(days=3 + number),
            hospital=ward.desk.hospital,
            doctor=ward.desk.doctor,
        )
        start_for_visit(visit, now=visit.created_at)
        made.append(patient)
    return made


def queries(ward: Ward, path: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as found:
        assert ward.client.get(path).status_code == 200
    return len(found)


# --- The list -----------------------------------------------------------------------------------
def test_the_list_has_own_patients_and_nobody_else(ward: Ward) -> None:
    make_patient("Zoe Stranger")
    page = ward.client.get(CHARTS).content.decode()
    assert "Nora Ames" in page
    assert "Born Aug 2, 1951" in page
    assert "Zoe Stranger" not in page
    assert "Nora Ames" not in signed_in(ward.colleague).get(CHARTS).content.decode()


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ({"name": "nora"}, ["Nora Ames"]),
        ({"name": "ames no"}, ["Nora Ames"]),
        ({"name": "Zoe"}, []),
        ({"birth_date_month": "8", "birth_date_day": "2", "birth_date_year": "1951"},
         ["Nora Ames"]),
        ({"name": "Nora", "birth_date_month": "8", "birth_date_day": "3",
          "birth_date_year": "1951"}, []),
    ],
)  # fmt: skip
def test_a_search_finds_own_patients_by_name_and_birth_date(
    ward: Ward, sent: dict[str, str], found: list[str]
) -> None:
    make_patient("Zoe Ames")
    make_patient("Nora Adams")
    page = ward.client.post(CHARTS, sent)
    assert page.status_code == 200
    assert [patient.name for patient, _age in page.context["rows"]] == found
    event = AuditEvent.objects.get(action="chart.searched")
    assert event.detail == f"{len(found)} found"
    assert "ora" not in event.detail


def test_a_search_for_nothing_says_what_to_enter(ward: Ward) -> None:
    page = ward.client.post(CHARTS, {})
    assert page.status_code == 422
    assert "Enter a name or a date of birth." in page.content.decode()
    assert b"<title>Error:" in page.content.replace(b"\n", b"")
    assert not AuditEvent.objects.filter(action="chart.searched").exists()


def test_what_is_searched_for_stands_in_no_address(ward: Ward) -> None:
    page = ward.client.get(CHARTS).content.decode()
    assert 'method="post" action="/admin/charts/"' in page
    found = ward.client.get(CHARTS, {"name": "nora", "q": "nora"})
    assert found.context["searched"] is False


def test_the_list_takes_as_many_queries_with_three_patients_as_with_thirty(ward: Ward) -> None:
    add_patients(ward, 2)
    few = queries(ward, CHARTS)
    add_patients(ward, 27)
    assert queries(ward, CHARTS) == few


# --- The head -----------------------------------------------------------------------------------
def test_the_head_says_who_it_is_and_what_must_not_be_missed(ward: Ward) -> None:
    page = ward.get("chart").content.decode()
    assert "Nora Ames" in page
    assert "Born Aug 2, 1951" in page
    assert "(75 years)" in page
    assert "Not asked" in page
    assert "Today, 11:00 am:" in page
    assert REASON in page
    assert "Another patient has the same name" not in page


def test_no_known_allergies_is_another_answer_than_not_asked(ward: Ward) -> None:
    state_no_known_allergies(patient=ward.patient, by=ward.doctor, now=NOW)
    page = ward.get("chart").content.decode()
    assert "No known allergies" in page
    assert "Not asked" not in page
    record_allergy(
        patient=ward.patient, name="Penicillin", reaction="Hives", criticality="high",
        by=ward.doctor, now=NOW,
    )  # fmt: skip
    page = ward.get("chart").content.decode()
    assert "Penicillin (Hives)" in page
    assert "No known allergies" not in page


def test_a_namesake_is_warned_about_on_every_page(ward: Ward) -> None:
    make_patient("Nora Ames", birth_date=date(1990, 1, 1))
    for name in ("chart", "chart_allergies", "chart_prescribe"):
        assert "Another patient has the same name" in ward.get(name).content.decode()


def test_a_visit_of_another_day_or_of_a_colleague_is_not_todays(ward: Ward) -> None:
    ward.visit.starts_at += timedelta(days=1)
    ward.visit.ends_at += timedelta(days=1)
    ward.visit.occupied_until += timedelta(days=1)
    ward.visit.save()
    make_visit(ward.patient, NOW, doctor=ward.colleague.doctor, reason="canary-colleague")
    page = ward.get("chart")
    assert page.context["visit"] is None
    assert "canary-colleague" not in page.content.decode()


# --- The chart ----------------------------------------------------------------------------------
def test_each_opening_is_in_the_patients_trail(ward: Ward) -> None:
    for name in ("chart", "chart_allergies", "chart_medications"):
        before = len(ward.trail())
        assert ward.get(name).status_code == 200
        assert ward.trail()[before:] == ["record.viewed"]


def test_a_chart_is_nobody_elses_and_each_try_is_written_down(ward: Ward) -> None:
    for user in (ward.colleague, make_staff()):
        assert signed_in(user).get(ward.address("chart")).status_code == 404
        event = AuditEvent.objects.filter(patient=ward.patient).latest("number")
        assert (event.action, event.actor_id) == ("record.viewed.refused", user.pk)


def test_a_chart_is_closed_when_care_has_ended(ward: Ward) -> None:
    ward.visit.care_relation.until = NOW - timedelta(seconds=1)
    ward.visit.care_relation.save()
    assert ward.get("chart").status_code == 404
    assert ward.post("chart_allergies", action="none").status_code == 404
    assert "allergies.none_known" not in ward.trail()


def test_the_timeline_is_paged_newest_first(ward: Ward) -> None:
    for number in range(40):
        Observation.objects.create(
            patient=ward.patient, name="Heart rate", code="8867-4", value=Decimal(60 + number),
            unit="/min", observed_at=NOW - timedelta(days=number), recorded_at=NOW,
        )  # fmt: skip
    first = ward.get("chart")
    cards = first.context["cards"]
    assert [card.at for card in cards] == sorted((card.at for card in cards), reverse=True)
    assert "60 a minute" in first.content.decode()
    assert "99 a minute" not in first.content.decode()
    older = ward.client.get(
        ward.address("chart"), {"before": first.context["next_before"].isoformat()}
    )
    assert "99 a minute" in older.content.decode()
    assert older.context["next_before"] is None
    assert "Write a note" not in older.content.decode()


@pytest.mark.parametrize("before", ["soon", "2026-13-01T00:00:00+00:00", "2026-01-01", "'; --"])
def test_a_moment_that_is_none_shows_the_newest_page(ward: Ward, before: str) -> None:
    page = ward.client.get(ward.address("chart"), {"before": before})
    assert page.status_code == 200
    assert page.context["before"] is None


def test_a_chart_takes_as_many_queries_with_one_entry_as_with_thirty(ward: Ward) -> None:
    def add(first: int, last: int) -> None:
        for number in range(first, last):
            record_observation(
                patient=ward.patient, kind="pulse", value=Decimal(60 + number),
                observed_at=NOW - timedelta(minutes=number), by=ward.doctor, now=NOW,
            )  # fmt: skip

    add(0, 1)
    few = queries(ward, ward.address("chart"))
    add(1, 30)
    assert queries(ward, ward.address("chart")) == few


def test_every_page_of_a_chart_is_kept_by_nobody(ward: Ward) -> None:
    for name in ("chart", "chart_documents", "chart_prescribe"):
        assert "no-store" in ward.get(name).headers["Cache-Control"]


# --- Messages -----------------------------------------------------------------------------------
def messages_tab(ward: Ward) -> str:
    """The header has a link to all messages, too; the tab is the one of this patient."""
    page = ward.get("chart").content.decode()
    [tab] = re.findall(r'chart-sections__link" href="([^"]+)">Messages<', page)
    return str(tab)


def test_the_tab_leads_to_this_patients_conversation_or_to_beginning_one(ward: Ward) -> None:
    tab = messages_tab(ward)
    page = ward.client.get(tab)
    assert page.status_code == 200
    text = page.content.decode()
    assert "Write to Nora Ames" in text
    assert not Conversation.objects.exists()  # looking begins nothing
    fields = {"patient": str(ward.patient.public_id), "doctor": ward.desk.doctor.slug}
    for name, value in fields.items():
        assert f'name="{name}" value="{value}"' in text
    begun = ward.client.post("/messages/new/", fields)
    talk = Conversation.objects.get()
    assert begun.headers["Location"] == f"/messages/{talk.public_id}/"
    again = ward.client.get(tab)
    assert again.headers["Location"] == f"/messages/{talk.public_id}/"


def test_nobody_elses_patient_is_written_to_by_the_address_of_the_tab(ward: Ward) -> None:
    tab = messages_tab(ward)
    ward.client.post("/messages/new/", {
        "patient": str(ward.patient.public_id), "doctor": ward.desk.doctor.slug,
    })  # fmt: skip
    answer = signed_in(ward.colleague).get(tab)
    assert answer.status_code == 404
    assert "Nora" not in answer.content.decode()
    assert signed_in(make_staff()).get(tab).status_code == 200  # reception's own page
    assert "Nora" not in signed_in(make_staff("r@example.org")).get(tab).content.decode()


def test_an_emergency_begins_no_conversation(ward: Ward) -> None:
    other = Doctor.objects.get(user=ward.colleague)
    open_in_emergency(
        doctor=other, patient=ward.patient, reason="Found unconscious", by=ward.colleague, now=NOW
    )
    client = signed_in(ward.colleague)
    assert client.get(ward.address("chart")).status_code == 200
    assert client.get(f"/messages/new/?patient={ward.patient.public_id}").status_code == 404
