"""Notes: drafts that never overwrite, what is signed, amendments."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent
from appointments.care import end_for_visit
from appointments.emergency import open_in_emergency
from appointments.models import CareRelation
from records.allergies import record_allergy
from records.encounters import begin
from records.models import Encounter, Note
from records.notes import amend, save_draft, sign, start_note
from tests.appointments.desk import NOW
from tests.appointments.visits import cancel_row
from tests.cast import make_patient, signed_in
from tests.records.pages.ward import Ward

pytestmark = pytest.mark.django_db

JSON = {"Accept": "application/json", "X-Background-Request": "1"}


def begun(ward: Ward) -> Note:
    answer = ward.post("chart_note_start", appointment=ward.visit.public_id)
    assert answer.status_code == 302, answer.content.decode()
    note = Note.objects.drafts().get()
    assert answer.headers["Location"] == ward.address("chart_note", note.public_id)
    return note


def signed(ward: Ward, body: str = "All is well.") -> Note:
    note = begun(ward)
    return sign(note=note, body=body, version=note.version, by=ward.doctor, now=NOW)


def autosave(client: Client, path: str, **fields: Any) -> Any:
    return client.post(path, {"action": "save", **fields}, headers=JSON)


# --- Drafts -------------------------------------------------------------------------------------
def test_one_click_begins_the_note_of_todays_visit_and_goes_on_with_it(ward: Ward) -> None:
    note = begun(ward)
    assert note.encounter.appointment == ward.visit
    assert begun(ward) == note
    assert Encounter.objects.count() == 1


def test_a_note_begins_for_own_visits_of_this_patient_only(ward: Ward) -> None:
    unknown = "01890000-0000-7000-8000-000000000000"
    for fields in ({}, {"appointment": "x"}, {"appointment": unknown}, {"encounter": unknown}):
        assert ward.post("chart_note_start", **fields).status_code == 404
    assert not Note.objects.exists()


def test_a_cancelled_visit_gets_no_note_and_the_page_says_why(ward: Ward) -> None:
    cancel_row(ward.visit, by=ward.doctor, at=NOW)
    answer = ward.client.post(
        ward.address("chart_note_start"), {"appointment": ward.visit.public_id}, follow=True
    )
    assert "This visit was cancelled" in answer.content.decode()
    assert not Note.objects.exists()


def test_a_draft_is_saved_without_a_script(ward: Ward) -> None:
    note = begun(ward)
    path = ward.address("chart_note", note.public_id)
    answer = ward.client.post(
        path, {"action": "save", "body": "Cough.\r\nNo fever.", "version": 1}, follow=True
    )
    assert "Draft saved 10:00 am" in answer.content.decode()
    note.refresh_from_db()
    assert (note.body, note.version, note.is_signed) == ("Cough.\nNo fever.", 2, False)


def test_the_script_saves_and_hears_the_version_and_the_time(ward: Ward) -> None:
    note = begun(ward)
    path = ward.address("chart_note", note.public_id)
    answer = autosave(ward.client, path, body="Cough.", version=1)
    assert answer.json() == {"version": 2, "saved": "10:00 am"}
    # The answer was lost and the script sends the same again.
    assert autosave(ward.client, path, body="Cough.", version=1).json()["version"] == 2


def test_a_stale_save_of_the_script_gets_the_other_text_and_overwrites_nothing(ward: Ward) -> None:
    note = begun(ward)
    path = ward.address("chart_note", note.public_id)
    save_draft(note=note, body="The other window", version=1, by=ward.doctor, now=NOW)
    answer = autosave(ward.client, path, body="This window", version=1)
    assert answer.status_code == 409
    assert answer.json()["body"] == "The other window"
    assert answer.json()["version"] == 2
    note.refresh_from_db()
    assert note.body == "The other window"


def test_without_a_script_a_stale_save_shows_both_texts_and_the_writer_chooses(ward: Ward) -> None:
    note = begun(ward)
    path = ward.address("chart_note", note.public_id)
    save_draft(note=note, body="The other window", version=1, by=ward.doctor, now=NOW)
    for action in ("save", "review"):
        answer = ward.client.post(path, {"action": action, "body": "This window", "version": 1})
        assert answer.status_code == 409
        page = answer.content.decode()
        assert "This draft was changed in another window" in page
        assert "The other window" in page
        assert "This window</textarea>" in page
        assert "Error:" in page.partition("</title>")[0]
        note.refresh_from_db()
        assert note.body == "The other window"
    # The form of that page names the newer version, so that sending it is a choice.
    version = answer.context["form"]["version"].value()
    ward.client.post(path, {"action": "save", "body": "This window", "version": version})
    note.refresh_from_db()
    assert note.body == "This window"


def test_a_draft_is_its_authors_alone(ward: Ward) -> None:
    note = begun(ward)
    save_draft(note=note, body="canary-draft", version=1, by=ward.doctor, now=NOW)
    CareRelation.objects.create(
        doctor=ward.colleague.doctor, patient=ward.patient, why="conversation", since=NOW
    )
    colleague = signed_in(ward.colleague)
    chart = colleague.get(ward.address("chart"))
    assert chart.status_code == 200
    assert "canary-draft" not in chart.content.decode()
    path = ward.address("chart_note", note.public_id)
    assert colleague.get(path).status_code == 404
    assert autosave(colleague, path, body="x", version=2).status_code == 404


def test_a_call_that_is_sent_twice_is_one_and_an_empty_one_can_be_called_an_error(
    ward: Ward,
) -> None:
    first, second = (
        ward.post("chart_encounter_new", kind="phone", title="Results").headers["Location"]
        for _twice in range(2)
    )
    assert first == second
    [encounter], [_note] = Encounter.objects.all(), Note.objects.all()
    wrong = ward.address("chart_retract", "encounter", encounter.public_id)
    assert wrong not in ward.get("chart").content.decode()
    assert ward.client.post(wrong, {"why": "Other patient"}).status_code == 409
    assert ward.client.post(first, {"action": "discard"}).status_code == 302
    assert wrong in ward.get("chart").content.decode()
    done = ward.client.post(wrong, {"why": "Other patient"})
    assert (done.status_code, done.headers["Location"]) == (302, ward.address("chart"))
    encounter.refresh_from_db()
    assert encounter.is_retracted


@pytest.mark.parametrize("why", ["emergency", "cancelled"])
def test_a_draft_is_finished_within_a_day_after_the_access_ended(ward: Ward, why: str) -> None:
    if why == "emergency":
        patient = make_patient("Zoe Roux", birth_date=date(1990, 6, 14))
        open_in_emergency(
            doctor=ward.desk.doctor, patient=patient, reason="Found unconscious", by=ward.doctor,
            now=NOW,
        )  # fmt: skip
        record_allergy(
            patient=patient, name="Latex", reaction="", criticality="low", by=ward.doctor, now=NOW
        )
        encounter = begin(patient=patient, kind="other", title="Collapsed", by=ward.doctor, now=NOW)
        note = start_note(encounter=encounter, by=ward.doctor, now=NOW)
    else:
        patient, note = ward.patient, begun(ward)
    path = reverse("chart_note", args=[patient.public_id, note.public_id])
    version = note.version
    assert ward.client.post(path, {"body": "Adrenaline", "version": version}).status_code == 302
    if why == "cancelled":
        end_for_visit(ward.visit, now=NOW)
    with time_machine.travel(NOW + timedelta(minutes=61), tick=False):
        assert signed_in(ward.colleague).get(path).status_code == 404
        client = signed_in(ward.doctor)
        assert client.get(reverse("chart", args=[patient.public_id])).status_code == 404
        assert path in client.get("/admin/charts/").content.decode()
        assert path in client.get("/admin/").content.decode()
        page = client.get(path).content.decode()
        assert "Adrenaline" in page and "Your access to this record has ended" in page
        assert "Latex" not in page and 'class="chart-head' not in page
        seen = AuditEvent.objects.filter(patient=patient).latest("number")
        assert (seen.action, seen.object_id) == ("note.viewed", str(note.public_id))
        text = {"body": "Adrenaline 0.5 mg i.m.", "version": version + 1}
        assert client.post(path, text | {"action": "review"}).status_code == 302
        stale = client.post(path, text | {"body": "Other"})
        assert stale.status_code == 409 and "Latex" not in stale.content.decode()
        assert "0.5 mg" in client.get(f"{path}sign/").content.decode()
        done = client.post(f"{path}sign/", text | {"version": version + 2})
        assert done.headers["Location"] == "/admin/charts/"
        assert client.get(path).status_code == 404
    note.refresh_from_db()
    assert note.is_signed and note.body == "Adrenaline 0.5 mg i.m."


def test_a_day_after_the_access_ended_a_draft_is_closed(ward: Ward) -> None:
    note = begun(ward)
    end_for_visit(ward.visit, now=NOW)
    with time_machine.travel(NOW + timedelta(hours=24), tick=False):
        client = signed_in(ward.doctor)
        path = ward.address("chart_note", note.public_id)
        assert client.get(path).status_code == 404
        assert client.post(path, {"body": "Late", "version": "1"}).status_code == 404
        assert path not in client.get("/admin/charts/").content.decode()


def test_a_draft_can_be_discarded(ward: Ward) -> None:
    note = begun(ward)
    ward.post("chart_note", note.public_id, action="discard", body="", version=1)
    assert not Note.objects.exists()
    answer = autosave(
        ward.client, ward.address("chart_note", note.public_id), body="late", version=1
    )
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"version": "x"},
        {"version": 0},
        {"version": 1, "body": "a\x07b"},
        {"version": 1, "body": "a" * 20_001},
    ],
)
def test_a_save_that_cannot_be_read_keeps_the_draft(ward: Ward, fields: dict[str, Any]) -> None:
    note = begun(ward)
    path = ward.address("chart_note", note.public_id)
    assert autosave(ward.client, path, **fields).status_code == 422
    assert ward.client.post(path, {"action": "save", **fields}).status_code == 422
    note.refresh_from_db()
    assert (note.body, note.version) == ("", 1)


# --- Signing ------------------------------------------------------------------------------------
def test_what_is_signed_is_shown_first(ward: Ward) -> None:
    note = begun(ward)
    answer = ward.post("chart_note", note.public_id, action="review", body="Well.", version=1)
    sign_page = ward.address("chart_note_sign", note.public_id)
    assert answer.headers["Location"] == sign_page
    page = ward.client.get(sign_page).content.decode()
    assert '<div class="note__text">Well.</div>' in page
    assert "born Aug 2, 1951" in page
    ward.client.post(sign_page, {"body": "Well.", "version": 2})
    note.refresh_from_db()
    assert note.is_signed
    assert note.body == "Well."
    assert note.signed_name == "Amara Okafor, MD"
    assert ward.trail()[-1] == "note.signed"


@pytest.mark.parametrize("body", ["", "  \n "])
def test_an_empty_note_is_not_signed(ward: Ward, body: str) -> None:
    note = begun(ward)
    answer = ward.post("chart_note", note.public_id, action="review", body=body, version=1)
    assert answer.status_code == 422
    assert "Write the note before you sign it." in answer.content.decode()
    answer = ward.post("chart_note_sign", note.public_id, body=body, version=1)
    assert answer.status_code == 422
    note.refresh_from_db()
    assert not note.is_signed


def test_what_was_changed_after_the_review_is_not_signed(ward: Ward) -> None:
    note = begun(ward)
    save_draft(note=note, body="Reviewed", version=1, by=ward.doctor, now=NOW)
    save_draft(note=note, body="Changed since", version=2, by=ward.doctor, now=NOW)
    answer = ward.post("chart_note_sign", note.public_id, body="Reviewed", version=2)
    assert answer.status_code == 409
    assert "Changed since" in answer.content.decode()
    note.refresh_from_db()
    assert not note.is_signed


def test_a_note_is_signed_once_and_never_changed(ward: Ward) -> None:
    note = signed(ward)
    for name, fields in (
        ("chart_note_sign", {"body": "Again", "version": note.version}),
        ("chart_note", {"action": "save", "body": "Again", "version": note.version}),
        ("chart_note", {"action": "discard"}),
    ):
        answer = ward.post(name, note.public_id, **fields)
        assert answer.status_code in {409, 422}, (name, fields)
        note.refresh_from_db()
        assert note.body == "All is well."
    path = ward.address("chart_note", note.public_id)
    answer = autosave(ward.client, path, body="Again", version=note.version)
    assert answer.status_code == 409
    assert "body" not in answer.json()
    page = ward.client.get(path).content.decode()
    assert "<textarea" not in page


# --- Amendments ---------------------------------------------------------------------------------
def test_an_amendment_stands_below_the_note_that_stays(ward: Ward) -> None:
    note = signed(ward)
    ward.post("chart_note_amend", note.public_id, body="It was the left arm.")
    page = ward.get("chart_note", note.public_id).content.decode()
    assert page.index("All is well.") < page.index("It was the left arm.")
    assert Note.objects.signed().count() == 2
    timeline = ward.get("chart").content.decode()
    assert timeline.index("All is well.") < timeline.index("It was the left arm.")


def test_an_amendment_of_an_amendment_belongs_to_the_first_note(ward: Ward) -> None:
    note = signed(ward)
    first = amend(note=note, body="One", by=ward.doctor, now=NOW)
    ward.post("chart_note_amend", first.public_id, body="Two")
    assert set(note.amendments.values_list("body", flat=True)) == {"One", "Two"}


def test_somebody_elses_note_is_read_but_not_amended(ward: Ward) -> None:
    note = signed(ward)
    CareRelation.objects.create(
        doctor=ward.colleague.doctor, patient=ward.patient, why="conversation", since=NOW
    )
    colleague = signed_in(ward.colleague)
    page = colleague.get(ward.address("chart_note", note.public_id)).content.decode()
    assert "All is well." in page
    assert "Amend this note" not in page
    answer = colleague.post(ward.address("chart_note_amend", note.public_id), {"body": "Hm"})
    assert answer.status_code == 422
    assert "Only Amara Okafor, MD, who signed this note, can amend it" in answer.content.decode()
    assert not note.amendments.exists()
    assert ward.trail()[-1] == "note.amended.refused"


def test_a_draft_is_not_amended(ward: Ward) -> None:
    note = begun(ward)
    assert ward.get("chart_note_amend", note.public_id).status_code == 404
    assert ward.post("chart_note_amend", note.public_id, body="x").status_code == 404


# --- Without a visit ----------------------------------------------------------------------------
def test_a_phone_call_gets_an_encounter_and_a_note(ward: Ward) -> None:
    answer = ward.post("chart_encounter_new", kind="phone", title="Results of the blood test")
    note = Note.objects.get()
    assert answer.headers["Location"] == ward.address("chart_note", note.public_id)
    assert note.encounter.kind == "phone"
    assert note.encounter.title == "Results of the blood test"


@pytest.mark.parametrize("fields", [{}, {"kind": "visit", "title": "x"}, {"kind": "phone"}])
def test_a_contact_that_says_nothing_is_refused(ward: Ward, fields: dict[str, str]) -> None:
    assert ward.post("chart_encounter_new", **fields).status_code == 422
    assert not Encounter.objects.exists()


def test_another_note_can_be_begun_in_an_encounter(ward: Ward) -> None:
    note = signed(ward)
    ward.post("chart_note_start", encounter=note.encounter.public_id)
    draft = Note.objects.drafts().get()
    assert draft.encounter == note.encounter
    assert start_note(encounter=note.encounter, by=ward.doctor, now=NOW) == draft
