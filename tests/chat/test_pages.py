"""The pages of messages and the same acts over HTTP, as a browser without JavaScript has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import AuditEvent, User
from chat.access import members_of
from chat.membership import add_colleague, hand_over, remove_colleague
from chat.models import Attachment, ChatSettings, Conversation, Event, Kind, Participant
from chat.office import looked_at
from chat.unread import ids_of
from tests.cast import make_account, signed_in
from tests.chat.clinic import (
    NIGHT,
    NOW,
    Clinic,
    address,
    form,
    open_clinic,
    post_json,
    say,
    states,
    text_of,
)
from tests.files import HTML, png

pytestmark = pytest.mark.django_db

TAILS_READ = ["", "?before=1", "?q=x", "events?after=0", "transcript/"]
TAILS_WRITTEN = ["", "edit/", "delete/", "marks/", "close/", "reopen/", "colleagues/"]


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    looked_at.forget()
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def clinic(db: None) -> Clinic:
    return open_clinic()


@pytest.fixture
def talk(clinic: Clinic, alice: User) -> Conversation:
    clinic.take_into_care(alice.chart)
    return clinic.talk(alice.chart, by=alice)


# --- Who gets in ----------------------------------------------------------------------------


@pytest.mark.parametrize("tail", TAILS_READ)
def test_s25_somebody_elses_conversation_does_not_exist(
    talk: Conversation, alice: User, charlie: User, tail: str
) -> None:
    say(talk, alice, "For my doctor only")
    response = signed_in(charlie).get(address(talk, tail))
    assert response.status_code == 404
    assert b"For my doctor" not in response.content
    trail = AuditEvent.objects.get(action="conversation.access.refused")
    assert (trail.actor, trail.patient_id) == (charlie.email, alice.chart.pk)


@pytest.mark.parametrize("tail", TAILS_WRITTEN)
def test_s25_nobody_writes_into_somebody_elses_conversation(
    talk: Conversation, alice: User, charlie: User, clinic: Clinic, tail: str
) -> None:
    say(talk, alice, "For my doctor only")
    before = list(Event.objects.values_list("seq", "kind"))
    fields = form("Let me in", target="1", read="1", action="add", doctor=clinic.doctor.slug)
    for by in (charlie, clinic.reception, make_account("stranger@example.org")):
        assert signed_in(by).post(address(talk, tail), fields).status_code == 404
        assert post_json(signed_in(by), address(talk, tail), fields).status_code == 404
    assert list(Event.objects.values_list("seq", "kind")) == before
    assert not Participant.objects.exists()


@pytest.mark.parametrize("tail", TAILS_READ)
def test_visitors_are_sent_to_the_sign_in(talk: Conversation, tail: str) -> None:
    pages = [
        f"/messages/{page}" for page in ("", "new/", "waiting/", "settings/", "unread", "heads")
    ]
    for path in (address(talk, tail), f"/messages/{uuid4()}/{tail}", *pages):
        response = Client().get(path)
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("tail", TAILS_WRITTEN[1:])
def test_acts_are_posts(talk: Conversation, alice: User, tail: str) -> None:
    assert signed_in(alice).get(address(talk, tail)).status_code == 405


@pytest.mark.parametrize("tail", ["x/", "1/", "00000000-0000-0000-0000-000000000000/"])
def test_an_unknown_conversation_is_a_404(alice: User, tail: str) -> None:
    assert signed_in(alice).get(f"/messages/{tail}").status_code == 404


def test_a_carer_reads_until_the_care_ends(talk: Conversation, alice: User, bob: User) -> None:
    say(talk, alice, "Hello doctor")
    client = signed_in(bob)
    page = client.get(address(talk))
    assert page.status_code == 200
    assert "for Alice Moreau" in text_of(page)
    bob.cares_for.update(until=NOW)
    assert client.get(address(talk)).status_code == 404
    assert client.post(address(talk), form()).status_code == 404
    assert "Alice" not in text_of(client.get("/messages/"))


def test_a_removed_colleague_is_out(clinic: Clinic, talk: Conversation) -> None:
    colleague = clinic.colleague()
    assert colleague.user is not None
    client = signed_in(colleague.user)
    assert client.get(address(talk)).status_code == 404
    add_colleague(conversation=talk, doctor=colleague, by=clinic.doctor_user, now=NOW)
    assert client.get(address(talk)).status_code == 200
    remove_colleague(conversation=talk, user=colleague.user, by=clinic.doctor_user, now=NOW)
    assert client.get(address(talk)).status_code == 404


def test_visible_to_and_members_agree(
    clinic: Clinic, talk: Conversation, alice: User, bob: User, charlie: User
) -> None:
    desk = clinic.desk(alice.chart, by=alice)
    colleague = clinic.colleague()
    assert colleague.user is not None
    hand_over(conversation=talk, doctor=colleague, by=clinic.doctor_user, now=NOW)
    members = members_of([talk.pk, desk.pk], NOW)
    bob.cares_for.update(since=NOW - timedelta(days=3), until=NOW + timedelta(seconds=1))
    people = [alice, bob, charlie, clinic.doctor_user, clinic.reception, colleague.user]
    for user in people:
        seen = set(Conversation.objects.visible_to(user, NOW).values_list("pk", flat=True))
        assert seen == {pk for pk, found in members.items() if user.pk in found}, user
        assert seen == {row["pk"] for row in ids_of(user, NOW)}, user
    bob.cares_for.update(may_message=False)
    assert not Conversation.objects.visible_to(bob, NOW).exists()
    assert not ids_of(bob, NOW).exists()


def test_a_carer_without_the_right_reads_nothing_in_the_list(
    talk: Conversation, alice: User, bob: User
) -> None:
    say(talk, alice, "My result is here")
    client = signed_in(bob)
    assert "My result" in text_of(client.get("/messages/"))
    bob.cares_for.update(may_message=False)
    assert client.get(address(talk)).status_code == 404
    assert "My result" not in text_of(client.get("/messages/"))
    assert client.get("/messages/unread").json() == {"unread": 0}
    assert client.get("/messages/heads").json() == {"heads": {}}


@pytest.mark.parametrize("tail", TAILS_READ)
def test_s34_nobody_keeps_a_copy(talk: Conversation, alice: User, tail: str) -> None:
    client = signed_in(alice)
    for path in (address(talk, tail), "/messages/", "/messages/new/", "/messages/unread"):
        assert "no-store" in client.get(path).headers["Cache-Control"]


# --- Sending --------------------------------------------------------------------------------


def test_the_form_sends_and_comes_back_to_the_message(talk: Conversation, alice: User) -> None:
    client = signed_in(alice)
    page = client.get(address(talk)).content.decode()
    [client_id] = re.findall(r'name="client_id" value="([^"]+)"', page)
    response = client.post(address(talk), {"client_id": client_id, "body": "Line 1\r\nLine 2"})
    assert response.status_code == 302
    assert response.headers["Location"] == f"{address(talk)}#m1"
    event = Event.objects.get()
    assert (event.body, event.sender, event.client_id) == ("Line 1\nLine 2", alice, client_id)
    shown = client.get(address(talk))
    assert "Line 1\nLine 2" in shown.content.decode()
    assert states(shown) == ["Sent"]


def test_s28_the_same_client_id_over_http_is_the_same_message(
    talk: Conversation, alice: User
) -> None:
    client, fields = signed_in(alice), form("Once")
    first = post_json(client, address(talk), fields)
    again = post_json(client, address(talk), fields)
    by_form = client.post(address(talk), fields)
    assert first.status_code == again.status_code == 200
    assert first.json()["seq"] == again.json()["seq"] == 1
    assert by_form.headers["Location"].endswith("#m1")
    assert Event.objects.count() == 1
    other = post_json(client, address(talk), fields | {"body": "Something else"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


def test_the_ack_is_the_protocols(talk: Conversation, alice: User) -> None:
    fields = form("Hello")
    ack = post_json(signed_in(alice), address(talk), fields).json()
    assert ack == {
        "type": "ack",
        "client_id": fields["client_id"],
        "conversation": str(talk.public_id),
        "seq": 1,
        "at": "2026-11-03T15:00:00.000Z",
        "live": True,
    }


BAD = [
    ({"body": ""}, 422, "bad_frame"),
    ({"body": " \n\t "}, 422, "bad_frame"),
    ({"body": "x" * 4_001}, 422, "too_long"),
    ({"body": "bell \x07"}, 422, "bad_frame"),
    ({"client_id": "7"}, 422, "bad_frame"),
    ({"client_id": ""}, 422, "bad_frame"),
    ({"reply_to": "9"}, 404, "not_found"),
    ({"reply_to": "x"}, 422, "bad_frame"),
    ({"attachment": str(uuid4())}, 404, "not_found"),
    ({"attachment": "../../etc"}, 404, "not_found"),
]


@pytest.mark.parametrize(("change", "status", "code"), BAD)
def test_what_cannot_be_sent_is_refused_with_a_sentence(
    talk: Conversation, alice: User, change: dict[str, str], status: int, code: str
) -> None:
    client, fields = signed_in(alice), form("My words") | change
    answer = post_json(client, address(talk), fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["type"] == "error"
    page = client.post(address(talk), fields)
    assert page.status_code == status
    assert "Error:" in page.content.decode().split("</title>")[0]
    assert answer.json()["detail"] in text_of(page)
    assert not Event.objects.exists()


def test_four_thousand_characters_and_their_line_ends_fit(talk: Conversation, alice: User) -> None:
    body = "é" * 3_998 + "\r\n" + "ü"
    assert post_json(signed_in(alice), address(talk), form(body)).status_code == 200


def test_a_text_changed_after_it_was_sent_can_be_sent_as_another(
    talk: Conversation, alice: User
) -> None:
    client, fields = signed_in(alice), form("First")
    client.post(address(talk), fields)
    page = client.post(address(talk), fields | {"body": "Went back and changed it"})
    assert page.status_code == 409
    [client_id] = re.findall(r'name="client_id" value="([^"]+)"', page.content.decode())
    assert client_id != fields["client_id"]
    again = client.post(address(talk), {"client_id": client_id, "body": "Changed"})
    assert again.status_code == 302
    assert Event.objects.count() == 2


def test_a_refused_text_is_still_there(talk: Conversation, alice: User) -> None:
    fields = form("kept words " * 400)
    page = signed_in(alice).post(address(talk), fields).content.decode()
    assert page.count("kept words") >= 400
    assert f'name="client_id" value="{fields["client_id"]}"' in page


def test_nobody_sends_without_end(talk: Conversation, alice: User, settings: Any) -> None:
    settings.CHAT_FRAMES_PER_MINUTE = 3
    client = signed_in(alice)
    answers = [post_json(client, address(talk), form(str(number))) for number in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].json()["code"] == "too_fast"
    assert answers[3].headers["Retry-After"] == "60"
    assert answers[3].json()["retry_after_ms"] == 60_000
    assert client.post(address(talk), form("As a form")).status_code == 429
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False):
        assert post_json(client, address(talk), form("Later")).status_code == 200


def test_a_reply_quotes_what_it_answers(clinic: Clinic, talk: Conversation, alice: User) -> None:
    say(talk, clinic.doctor_user, "Take it in the morning")
    client = signed_in(alice)
    page = text_of(client.get(address(talk, "?reply_to=1")))
    assert "Replying to Dr. Amara Okafor: Take it in the morning" in page
    client.post(address(talk), form("Why?", reply_to="1"))
    assert Event.objects.get(seq=2).reply_to == 1
    assert "Dr. Amara Okafor: Take it in the morning" in text_of(client.get(address(talk)))


def test_a_message_is_edited_and_deleted_with_a_trace(talk: Conversation, alice: User) -> None:
    say(talk, alice, "Frist")
    client = signed_in(alice)
    assert ">Frist</textarea>" in client.get(address(talk, "?edit=1")).content.decode()
    client.post(address(talk, "edit/"), form("First", target="1"))
    page = text_of(client.get(address(talk)))
    assert "First" in page and "Frist" not in page and "edited" in page
    assert "Delete this message?" in text_of(client.get(address(talk, "?delete=1")))
    client.post(address(talk, "delete/"), {"client_id": str(uuid4()), "target": "1"})
    page = text_of(client.get(address(talk)))
    assert "Message deleted" in page and "First" not in page
    kinds = list(Event.objects.order_by("seq").values_list("kind", "body"))
    assert kinds == [(Kind.MESSAGE, "Frist"), (Kind.EDITED, "First"), (Kind.DELETED, "")]
    assert "Message deleted" in text_of(client.get("/messages/"))


def test_only_own_messages_are_changed_and_for_fifteen_minutes(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    say(talk, alice, "Mine")
    doctor = signed_in(clinic.doctor_user)
    for tail, fields in (("edit/", form("Hers", target="1")), ("delete/", form(target="1"))):
        answer = post_json(doctor, address(talk, tail), fields)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    with time_machine.travel(NOW + timedelta(minutes=16), tick=False):
        late = post_json(signed_in(alice), address(talk, "edit/"), form("Late", target="1"))
        assert (late.status_code, late.json()["code"]) == (403, "forbidden")
        page = signed_in(alice).get(address(talk)).content.decode().split("<template")[0]
        assert "?edit=1" not in page and "?delete=1" in page
    missing = post_json(doctor, address(talk, "edit/"), form("No", target="7"))
    assert missing.status_code == 404
    unreadable = post_json(doctor, address(talk, "edit/"), form("No", target="x"))
    assert unreadable.status_code == 422


def test_who_writes_at_night_reads_when_somebody_is_there_again(
    talk: Conversation, alice: User
) -> None:
    with time_machine.travel(NIGHT, tick=False):
        client = signed_in(alice)
        assert "Closed now, open again Wed, Nov 4, 9:00 am EST." in text_of(
            client.get(address(talk))
        )
        client.post(address(talk), form("Hello?"))
        page = text_of(client.get(address(talk)))
    assert "Automatic answer: We are closed now and open again Wednesday, November 4" in page
    assert "call 911" in page


# --- Around the conversation ----------------------------------------------------------------


def test_closing_and_starting_again_by_the_page(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    patient, doctor = signed_in(alice), signed_in(clinic.doctor_user)
    refused = patient.post(address(talk, "close/"))
    assert refused.status_code == 403
    assert "Only the clinic can do this." in text_of(refused)
    assert doctor.post(address(talk, "close/")).status_code == 302
    page = patient.get(address(talk))
    assert "This conversation is closed. Start it again to write." in text_of(page)
    assert 'name="body"' not in page.content.decode()
    answer = post_json(patient, address(talk), form("Hello?"))
    assert (answer.status_code, answer.json()["code"]) == (409, "closed")
    assert patient.post(address(talk, "reopen/")).status_code == 302
    assert post_json(patient, address(talk), form("Hello!")).status_code == 200


def test_colleagues_by_the_page(clinic: Clinic, talk: Conversation, alice: User) -> None:
    colleague = clinic.colleague()
    assert colleague.user is not None
    doctor = signed_in(clinic.doctor_user)
    where = address(talk, "colleagues/")
    assert colleague.slug in doctor.get(address(talk)).content.decode()
    assert colleague.slug not in signed_in(alice).get(address(talk)).content.decode()
    for fields in ({"action": "add"}, {"action": "add", "doctor": "nobody"}, {"action": "x"}):
        assert doctor.post(where, fields).status_code == 422
    doctor.post(where, {"action": "hand_over", "doctor": colleague.slug})
    page = text_of(signed_in(alice).get(address(talk)))
    assert "Dr. Matthieu Lefebvre answers from now on." in page
    assert "Dr. Matthieu Lefebvre answers ·" in page
    assert signed_in(alice).post(
        where, {"action": "remove", "user": str(colleague.user.public_id)}
    ).status_code == 403  # fmt: skip
    left = signed_in(colleague.user).post(
        where, {"action": "remove", "user": str(colleague.user.public_id)}
    )
    assert left.headers["Location"] == "/messages/"
    for user in ("x", str(uuid4()), str(alice.public_id)):
        assert doctor.post(where, {"action": "remove", "user": user}).status_code in {404, 422}


def test_a_conversation_begins_from_the_visit(clinic: Clinic, alice: User) -> None:
    visit = clinic.take_into_care(alice.chart)
    client = signed_in(alice)
    page = client.get(f"/appointments/{visit.public_id}/").content.decode()
    assert "Message Dr. Amara Okafor" in page and "Message the clinic" in page
    fields = {"appointment": str(visit.public_id), "doctor": clinic.doctor.slug}
    response = client.post("/messages/new/", fields)
    talk = Conversation.objects.get()
    assert response.headers["Location"] == address(talk)
    assert "About the visit on Tuesday, November 10, 2026" in text_of(client.get(address(talk)))
    again = post_json(client, "/messages/new/", fields)
    assert again.json() == {"conversation": str(talk.public_id)}
    desk = {"appointment": str(visit.public_id), "hospital": clinic.hospital.slug}
    assert client.post("/messages/new/", desk).status_code == 302
    assert Conversation.objects.count() == 2
    doctor = signed_in(clinic.doctor_user)
    assert "Message the patient" in doctor.get(f"/appointments/{visit.public_id}/").content.decode()
    assert doctor.post("/messages/new/", fields).headers["Location"] == address(talk)


def test_a_conversation_begins_from_the_list_of_whom_one_may_write_to(
    clinic: Clinic, alice: User, bob: User
) -> None:
    clinic.take_into_care(alice.chart)
    page = signed_in(bob).get("/messages/new/")
    assert "Write to Dr. Amara Okafor for Alice Moreau" in text_of(page)
    fields = {"doctor": clinic.doctor.slug, "patient": str(alice.chart.public_id)}
    assert signed_in(bob).post("/messages/new/", fields).status_code == 302
    # Alice has one chart, so the form need not say for whom.
    assert (
        signed_in(alice).post("/messages/new/", {"doctor": clinic.doctor.slug}).status_code == 302
    )
    assert Conversation.objects.count() == 1


def test_reception_begins_by_the_reference_of_a_visit(clinic: Clinic, alice: User) -> None:
    visit = clinic.take_into_care(alice.chart)
    client = signed_in(clinic.reception)
    assert "Reference of a visit" in text_of(client.get("/messages/new/"))
    wrong = client.post("/messages/new/", {"reference": "NOPE"})
    assert wrong.status_code == 404
    assert 'value="NOPE"' in wrong.content.decode()
    response = client.post("/messages/new/", {"reference": visit.reference.lower()})
    assert response.headers["Location"] == address(Conversation.objects.get())
    assert Conversation.objects.get().doctor is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"doctor": "nobody"},
        {"hospital": "nowhere"},
        {"doctor": "amara-okafor", "patient": "x"},
        {"appointment": "x"},
        {"appointment": str(uuid4())},
    ],
)
def test_a_conversation_with_nobody_is_not_begun(
    clinic: Clinic, charlie: User, fields: dict[str, str]
) -> None:
    client = signed_in(charlie)
    assert client.post("/messages/new/", fields).status_code == 404
    answer = post_json(client, "/messages/new/", fields)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    stranger = post_json(client, "/messages/new/", {"doctor": clinic.doctor.slug})
    assert stranger.status_code in {403, 404}
    assert not Conversation.objects.exists()


def test_the_desk_sees_what_waits_too_long_without_a_doctors_words(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    desk = clinic.desk(alice.chart, by=alice)
    say(talk, alice, "My secret question", now=NOW - timedelta(hours=9))
    say(desk, alice, "Where do I park?", now=NOW - timedelta(hours=5))
    page = signed_in(clinic.reception).get("/messages/waiting/")
    text = text_of(page)
    assert text.index("Waits for Dr. Amara Okafor") < text.index("Waits for reception")
    assert "secret" not in text
    assert address(talk) not in page.content.decode()
    assert address(desk) in page.content.decode()
    for user in (alice, clinic.doctor_user):
        assert signed_in(user).get("/messages/waiting/").status_code == 404


def test_a_doctor_sets_absence_and_seen(clinic: Clinic, alice: User) -> None:
    cover = clinic.colleague()
    client = signed_in(clinic.doctor_user)
    fields = {
        "away_from_month": "11", "away_from_day": "2", "away_from_year": "2026",
        "away_until_month": "11", "away_until_day": "9", "away_until_year": "2026",
        "cover": cover.slug, "reply_days": "0",
    }  # fmt: skip
    assert client.post("/messages/settings/", fields).status_code == 302
    chosen = ChatSettings.objects.get()
    assert (chosen.show_seen, chosen.cover, chosen.reply_days) == (False, cover, 0)
    assert client.post("/messages/settings/", fields | {"reply_days": "4"}).status_code == 422
    assert client.post("/messages/settings/", fields | {"reply_days": ""}).status_code == 302
    assert ChatSettings.objects.get().reply_days is None
    wrong = client.post("/messages/settings/", fields | {"away_until_day": "1"})
    assert wrong.status_code == 422
    assert "must be after the first day away" in text_of(wrong)
    assert signed_in(alice).get("/messages/settings/").status_code == 404


def test_the_composer_names_the_emergency_number_and_the_expected_reply(
    talk: Conversation, alice: User
) -> None:
    page = text_of(signed_in(alice).get(address(talk)))
    assert "Not for emergencies. If you think it is urgent, call 911." in page
    assert "We aim to answer within one working day." in page


def test_a_photo_goes_out_with_the_form_and_once(talk: Conversation, alice: User) -> None:
    client, fields = signed_in(alice), form("My arm")
    for _ in range(2):
        photo = SimpleUploadedFile("arm.png", png(), "image/png")
        assert client.post(address(talk), fields | {"file": photo}).status_code == 302
    [event] = Event.objects.all()
    [stored] = Attachment.objects.all()
    assert event.attachment == stored and stored.sent_seq == 1
    page = client.get(address(talk)).content.decode()
    assert f'href="/messages/attachments/{stored.public_id}/"' in page
    assert f'src="/messages/attachments/{stored.public_id}/?thumbnail=1"' in page
    assert "arm.png" in text_of(client.get(address(talk)))


def test_a_file_that_is_no_picture_is_refused_and_the_text_stays(
    talk: Conversation, alice: User
) -> None:
    client = signed_in(alice)
    page = SimpleUploadedFile("x.png", HTML, "image/png")
    answer = client.post(address(talk), form("My words", file=page))
    assert answer.status_code == 422
    assert "My words" in answer.content.decode()
    assert not Event.objects.exists() and not Attachment.objects.exists()
