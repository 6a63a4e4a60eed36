"""A patient reads the own record, sees who opened it, takes it along, and asks for deletion."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.carers import set_rights
from accounts.models import AuditEvent, Carer, Patient, Role, User
from appointments.booking import book
from appointments.care import known_to_reception
from appointments.models import Referral
from clinic.directory.models import HospitalStaff
from records.allergies import record_allergy
from records.charts import open_chart
from records.encounters import begin
from records.models import Allergy, DeletionRequest, Document, Note
from records.notes import amend, save_draft, sign, start_note
from tests.appointments.desk import Desk, open_desk
from tests.cast import PASSWORD, make_account, make_staff, signed_in
from tests.files import drawing, encoded

pytestmark = pytest.mark.django_db

NOTE = "Blood pressure is fine, come back in spring."
DRAFT = "Half a thought that nobody shall read"


@pytest.fixture
def desk() -> Desk:
    desk = open_desk()
    desk.doctor.user = make_staff("doc@example.org", role=Role.DOCTOR, name="Amara Okafor")
    desk.doctor.save()
    return desk


@pytest.fixture
def doctor(desk: Desk) -> User:
    assert desk.doctor.user is not None
    return desk.doctor.user


@pytest.fixture
def chart(desk: Desk, alice: User, doctor: User) -> Any:
    """Alice's chart with a visit to come, a signed note, a draft, and an allergy."""
    now = timezone.now()
    at = (now + timedelta(days=9)).replace(hour=16, minute=0, second=0, microsecond=0)
    book(service=desk.service, patient=alice.chart, starts_at=at, by=alice, key="k", now=now)
    encounter = begin(patient=alice.chart, kind="phone", title="Results", by=doctor, now=now)
    note = start_note(encounter=encounter, by=doctor, now=now)
    sign(note=note, body=NOTE, version=note.version, by=doctor, now=now)
    draft = start_note(encounter=encounter, by=doctor, now=now)
    save_draft(note=draft, body=DRAFT, version=draft.version, by=doctor, now=now)
    record_allergy(
        patient=alice.chart, name="Penicillin", reaction="Rash", criticality="high", by=doctor,
        now=now,
    )  # fmt: skip
    return alice.chart


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def tried(chart: Any, user: User) -> list[str]:
    """What the patient's trail says about somebody."""
    events = AuditEvent.objects.filter(patient=chart, actor_id=user.pk).order_by("number")
    return list(events.values_list("action", flat=True))


def photo(name: str = "letter.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, encoded(drawing((64, 48)), "PNG"), "image/png")


def test_the_patient_reads_what_was_signed_and_no_drafts(alice: User, chart: Any) -> None:
    rows = AuditEvent.objects.filter(patient=chart).count()
    page = text_of(signed_in(alice).get("/record/"))
    assert NOTE in page
    assert "Penicillin" in page
    assert DRAFT not in page
    assert AuditEvent.objects.filter(patient=chart).count() == rows  # it is the patient


def test_an_amendment_is_read_with_its_note(alice: User, chart: Any, doctor: User) -> None:
    note = Note.objects.signed().get()
    amend(note=note, body="In autumn, not in spring.", by=doctor, now=timezone.now())
    page = text_of(signed_in(alice).get("/record/"))
    assert page.index(NOTE) < page.index("In autumn, not in spring.")


def test_what_was_entered_in_error_is_not_shown(alice: User, chart: Any, doctor: User) -> None:
    Allergy.objects.update(retracted_at=timezone.now(), retracted_by=doctor)
    assert "Penicillin" not in text_of(signed_in(alice).get("/record/"))


def test_a_carer_reads_it_once_the_patient_agreed_and_leaves_a_row(
    alice: User, bob: User, charlie: User, chart: Any
) -> None:
    care = Carer.objects.get(user=bob, patient=chart)
    address = f"/record/?person={chart.public_id}"
    for user in (bob, charlie):
        assert signed_in(user).get(address).status_code == 404
    set_rights(carer=care, may_message=True, may_read_record=True, by=alice, now=timezone.now())
    assert NOTE in text_of(signed_in(bob).get(address))
    row = AuditEvent.objects.get(action="record.viewed", patient=chart)
    assert row.actor_id == bob.pk
    assert signed_in(charlie).get(address).status_code == 404
    assert signed_in(charlie).get("/record/?person=nobody").status_code == 404
    assert tried(chart, charlie) == ["record.viewed.refused"] * 2


def test_s37_a_carer_whose_file_is_refused_has_read_the_record(
    alice: User, bob: User, chart: Any
) -> None:
    care = Carer.objects.get(user=bob, patient=chart)
    set_rights(carer=care, may_message=True, may_read_record=True, by=alice, now=timezone.now())
    for user, rows in [(alice, 0), (bob, 1)]:
        answer = signed_in(user).post("/record/documents/", {"person": str(chart.public_id)})
        assert NOTE in answer.content.decode()
        viewed = AuditEvent.objects.filter(action="record.viewed", patient=chart)
        assert viewed.filter(actor_id=user.pk).count() == rows


@pytest.mark.parametrize("role", [Role.RECEPTION, Role.DIRECTORY, Role.ADMINISTRATOR])
def test_staff_have_no_record_page_of_anybody(chart: Any, role: Role) -> None:
    client = signed_in(make_staff("staff@example.org", role=role))
    assert client.get(f"/record/?person={chart.public_id}").status_code == 404
    assert NOTE not in text_of(client.get("/record/"))


def test_somebody_without_a_chart_is_told_what_to_do(db: None) -> None:
    page = text_of(signed_in(make_account("new@example.org")).get("/record/"))
    assert "one-time code" in page


def test_who_opened_the_record_is_said_with_name_and_time(
    alice: User, bob: User, chart: Any, doctor: User
) -> None:
    open_chart(public_id=chart.public_id, by=doctor, now=timezone.now())
    page = text_of(signed_in(alice).get("/record/who/"))
    assert "Dr. Amara Okafor" in page
    assert "Opened the record" in page
    assert alice.name not in page.partition("<main")[2]  # the own looks are not listed
    assert doctor.email not in page
    assert signed_in(bob).get(f"/record/who/?person={chart.public_id}").status_code == 404


def test_the_list_takes_as_many_queries_for_one_look_as_for_forty(
    alice: User, chart: Any, doctor: User, django_assert_max_num_queries: Any
) -> None:
    for _number in range(40):
        open_chart(public_id=chart.public_id, by=doctor, now=timezone.now())
    client = signed_in(alice)
    client.get("/record/who/")
    with django_assert_max_num_queries(14):
        client.get("/record/who/")


def test_a_file_of_the_patients_is_taken_in_and_given_out(alice: User, chart: Any) -> None:
    client = signed_in(alice)
    sent = client.post("/record/documents/", {"title": "Letter", "file": photo()})
    assert sent["Location"] == "/record/"
    document = Document.objects.get()
    assert (document.patient, document.by_patient) == (chart, True)
    assert "Letter" in text_of(client.get("/record/"))
    got = client.get(reverse("record_document", args=[document.public_id]))
    assert got["Content-Disposition"].startswith("attachment")
    assert "sandbox" in got["Content-Security-Policy"]
    assert b"".join(got.streaming_content)  # type: ignore[attr-defined]


def test_a_document_is_nobody_elses(alice: User, bob: User, charlie: User, chart: Any) -> None:
    signed_in(alice).post("/record/documents/", {"title": "Letter", "file": photo()})
    address = reverse("record_document", args=[Document.objects.get().public_id])
    others = [bob, charlie, make_staff("r@example.org")]
    for user in others:
        assert signed_in(user).get(address).status_code == 404
    assert Client().get(address).status_code == 302


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"title": "Letter"}, "Choose a file."),
        ({"file": b"<svg/>", "title": "Letter"}, "There is a problem"),
        ({"file": b"", "title": "Letter"}, "There is a problem"),
        ({"file": b"PK\x03\x04zip", "title": "Letter"}, "There is a problem"),
    ],
)
def test_a_file_that_is_not_taken_changes_nothing(
    alice: User, chart: Any, entries: dict[str, Any], words: str
) -> None:
    if "file" in entries:
        entries = entries | {"file": SimpleUploadedFile("x.png", entries["file"], "image/png")}
    answer = signed_in(alice).post("/record/documents/", entries)
    assert answer.status_code == 422
    assert words in text_of(answer)
    assert not Document.objects.exists()


def test_taking_the_record_along_asks_for_the_password_again(alice: User, chart: Any) -> None:
    client = signed_in(alice)
    for address in ("/record/download/", "/record/summary/"):
        answer = client.get(address)
        assert answer.status_code == 302
        assert "/accounts/reauthenticate/" in answer["Location"]
    assert client.post("/record/download/").status_code == 302
    assert not AuditEvent.objects.filter(action="record.exported").exists()


def test_the_download_is_a_bundle_with_everything(alice: User, chart: Any) -> None:
    client = signed_in(alice)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/record/download/")
    assert page.status_code == 200
    got = client.post("/record/download/")
    bundle = json.loads(got.content)
    assert got["Content-Disposition"] == 'attachment; filename="record-fhir-r4.json"'
    assert bundle["resourceType"] == "Bundle"
    kinds = {entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert {"Patient", "Encounter", "AllergyIntolerance"} <= kinds
    assert DRAFT not in got.content.decode()
    assert AuditEvent.objects.filter(action="record.exported", patient=chart).count() == 1
    summary = text_of(client.get("/record/summary/"))
    assert NOTE in summary


def test_a_carer_takes_nothing_along(alice: User, bob: User, chart: Any) -> None:
    care = Carer.objects.get(user=bob, patient=chart)
    set_rights(carer=care, may_message=True, may_read_record=True, by=alice, now=timezone.now())
    client = signed_in(bob)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    got = client.post("/record/download/", {"person": str(chart.public_id)})
    assert got.status_code == 404
    assert client.get(f"/record/summary/?person={chart.public_id}").status_code == 404
    assert client.get(f"/record/deletion/?person={chart.public_id}").status_code == 404
    assert tried(chart, bob)[-3:] == [
        "record.exported.refused",
        "record.exported.refused",
        "deletion.asked.refused",
    ]


@pytest.fixture
def rita(desk: Desk) -> User:
    user = make_staff()
    HospitalStaff.objects.create(hospital=desk.hospital, user=user)
    return user


def test_a_request_for_deletion_is_decided_by_reception(
    alice: User, bob: User, chart: Any, rita: User
) -> None:
    client, desk = signed_in(alice), signed_in(rita)
    client.post("/record/documents/", {"title": "Letter", "file": photo()})
    assert client.post("/record/deletion/", {"words": ""}).status_code == 422
    assert client.post("/record/deletion/", {"words": "Everything"}).status_code == 302
    assert client.post("/record/deletion/", {"words": "Now"}).status_code == 409
    asked = DeletionRequest.objects.get()

    assert alice.name in text_of(desk.get("/admin/deletions/"))
    address = reverse("deletion_decide", args=[asked.public_id])
    page = text_of(desk.get(address))
    assert "Everything" in page
    assert NOTE not in page
    assert desk.post(address, {"decision": "grant", "answer": " "}).status_code == 422
    assert (
        desk.post(address, {"decision": "grant", "answer": "Done, notes stay."}).status_code == 302
    )

    asked.refresh_from_db()
    assert asked.decision == DeletionRequest.Decision.GRANTED
    assert "Done, notes stay." in text_of(client.get("/record/deletion/"))
    mine = text_of(client.get("/record/"))
    assert "Letter" not in mine
    assert NOTE in mine  # the law keeps it
    assert not Carer.objects.running(timezone.now()).filter(patient=chart).exists()
    assert desk.post(address, {"decision": "refuse", "answer": "No"}).status_code == 409
    actions = set(AuditEvent.objects.filter(patient=chart).values_list("action", flat=True))
    assert {"deletion.asked", "deletion.decided", "deletion.decided.refused"} <= actions


def test_refusing_deletes_nothing_and_withdrawing_ends_it(
    alice: User, chart: Any, rita: User
) -> None:
    client = signed_in(alice)
    client.post("/record/documents/", {"title": "Letter", "file": photo()})
    client.post("/record/deletion/", {"words": "Everything"})
    asked = DeletionRequest.objects.get()
    address = reverse("deletion_decide", args=[asked.public_id])
    signed_in(rita).post(address, {"decision": "refuse", "answer": "We must keep it."})
    assert "Letter" in text_of(client.get("/record/"))

    client.post("/record/deletion/", {"words": "The letter"})
    assert client.post("/record/deletion/", {"action": "withdraw"}).status_code == 302
    assert client.post("/record/deletion/", {"action": "withdraw"}).status_code == 409
    latest = DeletionRequest.objects.latest("pk")
    assert latest.decision == DeletionRequest.Decision.WITHDRAWN


def test_another_reception_decides_nothing(alice: User, chart: Any) -> None:
    signed_in(alice).post("/record/deletion/", {"words": "Everything"})
    asked = DeletionRequest.objects.get()
    other = make_staff("other@example.org")
    assert not known_to_reception(other).exists()
    client = signed_in(other)
    assert alice.name not in text_of(client.get("/admin/deletions/"))
    address = reverse("deletion_decide", args=[asked.public_id])
    assert client.get(address).status_code == 404
    assert client.post(address, {"decision": "grant", "answer": "x"}).status_code == 404
    asked.refresh_from_db()
    assert asked.decision == DeletionRequest.Decision.OPEN
    assert tried(chart, other) == ["deletion.viewed.refused"] * 2


def test_the_patient_answers_a_referral(
    alice: User, charlie: User, chart: Any, desk: Desk, doctor: User
) -> None:
    colleague = open_desk(name="Ben Osei")
    colleague.doctor.user = make_staff("ben@example.org", role=Role.DOCTOR)
    colleague.doctor.save()
    referral = Referral.objects.create(
        patient=chart,
        from_doctor=desk.doctor,
        to_doctor=colleague.doctor,
        reason="Second opinion",
        asked_at=timezone.now(),
    )
    client = signed_in(alice)
    assert "May Dr. Ben Osei read the record?" in text_of(client.get("/record/"))
    address = reverse("record_referral", args=[referral.public_id])
    assert signed_in(charlie).post(address, {"answer": "agree"}).status_code == 404
    assert tried(chart, charlie) == ["referral.answered.refused"]
    assert client.post(address, {"answer": "perhaps"}).status_code == 404
    assert client.post(address, {"answer": "agree"}).status_code == 302
    ben = colleague.doctor.user
    assert ben is not None
    assert open_chart(public_id=chart.public_id, by=ben, now=timezone.now()) == chart
    # And takes it back on the same page.
    page = text_of(client.get("/record/"))
    assert "Dr. Ben Osei may read the record" in page
    assert address in page
    assert client.post(address, {"answer": "decline"}).status_code == 302
    assert signed_in(charlie).post(address, {"answer": "withdraw"}).status_code == 404
    assert client.post(address, {"answer": "withdraw"}).status_code == 302
    with pytest.raises(Patient.DoesNotExist):
        open_chart(public_id=chart.public_id, by=ben, now=timezone.now())
    assert "Take back" not in text_of(client.get("/record/"))


def test_the_patient_says_on_a_page_what_a_carer_may_do(
    alice: User, bob: User, charlie: User, chart: Any
) -> None:
    client = signed_in(alice)
    assert bob.name in text_of(client.get("/accounts/people/carers/"))
    address = reverse("carer_rights", args=[bob.public_id])
    assert client.post(address, {"may_read_record": "on"}).status_code == 302
    care = Carer.objects.get(user=bob, patient=chart)
    assert (care.may_message, care.may_read_record) == (False, True)
    assert client.post(address, {"action": "end"}).status_code == 302
    assert client.post(address, {"may_read_record": "on"}).status_code == 404
    other = reverse("carer_rights", args=[alice.public_id])
    assert signed_in(charlie).post(other, {"may_read_record": "on"}).status_code == 404
