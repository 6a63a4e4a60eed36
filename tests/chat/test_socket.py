"""The socket, spoken to over the network as a browser does: every frame of the protocol."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import Role, User
from chat import publishing
from chat.models import Attachment, ChatSettings, Conversation, Event, Participant
from clinic.directory.models import HospitalStaff
from tests.cast import make_account
from tests.chat.wire import ChatServer, Wire, make_conversation

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_message_is_stored_acknowledged_and_reaches_both(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    with Wire(chat_server, alice) as patient, Wire(chat_server, amara) as doctor:
        welcome = patient.welcome()
        assert welcome["user"] == str(alice.public_id) and welcome["epoch"]
        assert welcome["conversations"] == [
            {
                "id": str(talk.public_id),
                "last_seq": 0,
                "read_seq": 0,
                "peer_read_seq": 0,
                "peer_delivered_seq": 0,
            }
        ]
        doctor.welcome()
        client_id = patient.say(talk, "Good morning")
        ack = patient.expect("ack", client_id=client_id)
        assert ack["seq"] == 1 and ack["live"] is True
        for wire in (patient, doctor):
            event = wire.expect("message", seq=1)
            assert event["body"] == "Good morning" and event["client_id"] == client_id
            assert event["sender"] == str(alice.public_id) and event["name"] == "Alice Moreau"
            assert event["conversation"] == str(talk.public_id) and event["at"] == ack["at"]
    assert Event.objects.get().body == "Good morning"


def test_the_subprotocol_is_chosen_and_the_server_does_not_name_itself(
    chat_server: ChatServer, alice: User
) -> None:
    with Wire(chat_server, alice) as wire:
        assert wire.socket.subprotocol == "clinic.chat.v1"
        assert wire.socket.response is not None
        assert "daphne" not in str(wire.socket.response.headers).lower()
    with Wire(chat_server, alice, subprotocols=()) as wire:
        wire.welcome()
        assert wire.socket.subprotocol is None


def test_every_device_of_both_gets_every_event_in_the_same_order(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    people = (alice, alice, amara, amara)
    wires = [Wire(chat_server, user) for user in people]
    for wire in wires:
        wire.welcome()
    for number in range(10):
        for wire in wires:
            wire.say(talk, f"{number}")
    orders = []
    for wire in wires:
        events = [wire.expect("message") for _ in range(40)]
        assert [event["seq"] for event in events] == list(range(1, 41))
        orders.append([event["client_id"] for event in events])
        wire.close()
    assert all(order == orders[0] for order in orders)


def test_one_socket_keeps_the_order_in_which_it_sent(
    chat_server: ChatServer, talk: Conversation, alice: User
) -> None:
    with Wire(chat_server, alice) as wire:
        wire.welcome()
        sent = [wire.say(talk, str(number)) for number in range(30)]
        got = [wire.expect("message")["client_id"] for _ in range(30)]
    assert got == sent


def test_s28_a_message_sent_again_gets_the_same_number_and_one_row(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    with Wire(chat_server, amara) as doctor:
        doctor.welcome()
        with Wire(chat_server, alice) as wire:
            wire.welcome()
            client_id = wire.say(talk, "Once")
            first = wire.expect("ack")
            wire.say(talk, "Once", client_id=client_id)
            assert wire.expect("ack")["seq"] == first["seq"]
            wire.say(talk, "Something else", client_id=client_id)
            assert wire.expect("error", client_id=client_id)["code"] == "conflict"
        with Wire(chat_server, alice) as another:  # the reply was lost, the client came back
            another.welcome()
            another.say(talk, "Once", client_id=client_id.upper())
            assert another.expect("ack", client_id=client_id)["seq"] == first["seq"]
        doctor.expect("message")
        doctor.nothing("message")
    assert Event.objects.count() == 1


def test_a_message_is_edited_and_deleted_with_numbers_of_the_same_log(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    place = str(talk.public_id)
    with Wire(chat_server, alice) as patient, Wire(chat_server, amara) as doctor:
        patient.welcome()
        doctor.welcome()
        patient.say(talk, "helo")
        patient.expect("ack")
        patient.send("edit", conversation=place, target=1, client_id=str(uuid4()), body="hello")
        assert patient.expect("ack")["seq"] == 2
        edited = doctor.expect("edited")
        assert (edited["seq"], edited["target"], edited["body"]) == (2, 1, "hello")
        doctor.send("delete", conversation=place, target=1, client_id=str(uuid4()))
        assert doctor.expect("error")["code"] == "forbidden"  # somebody else's message
        patient.send("delete", conversation=place, target=1, client_id=str(uuid4()))
        deleted = doctor.expect("deleted")
        assert (deleted["seq"], deleted["target"]) == (3, 1) and "body" not in deleted
        patient.send("edit", conversation=place, target=1, client_id=str(uuid4()), body="again")
        assert patient.expect("error")["code"] == "conflict"
        # Who fetches it now learns that there was something, and not what.
        doctor.send("sync", conversation=place, after=0)
        events = doctor.expect("history")["events"]
    assert [(event["type"], event.get("body")) for event in events] == [
        ("message", ""),
        ("edited", ""),
        ("deleted", None),
    ]
    assert Event.objects.order_by("seq").first().body == "helo"  # type: ignore[union-attr]


def test_a_message_can_be_edited_for_fifteen_minutes(
    chat_server: ChatServer, talk: Conversation, alice: User
) -> None:
    with Wire(chat_server, alice) as wire:
        wire.welcome()
        wire.say(talk, "early")
        wire.expect("ack")
        Event.objects.update(at=timezone.now() - timedelta(minutes=16))
        wire.send(
            "edit",
            conversation=str(talk.public_id),
            target=1,
            client_id=str(uuid4()),
            body="late",
        )
        assert wire.expect("error")["code"] == "forbidden"


def test_history_is_ascending_in_pieces_and_says_whether_there_is_more(
    chat_server: ChatServer, talk: Conversation, alice: User
) -> None:
    with Wire(chat_server, alice) as wire:
        wire.welcome()
        for number in range(7):
            wire.say(talk, str(number))
        for _ in range(7):
            wire.expect("ack")
        place = str(talk.public_id)
        wire.send("sync", conversation=place, after=0, limit=5)
        first = wire.expect("history")
        assert [event["seq"] for event in first["events"]] == [1, 2, 3, 4, 5] and first["more"]
        wire.send("sync", conversation=place, after=5, limit=5)
        rest = wire.expect("history")
        assert [event["seq"] for event in rest["events"]] == [6, 7] and not rest["more"]
        wire.send("sync", conversation=place, after=7)
        assert wire.expect("history")["events"] == []
        # The same objects as live.
        live = [wire.expect("message") for _ in range(7)]
        assert live == first["events"] + rest["events"]


def test_a_pong_carries_the_heads(chat_server: ChatServer, talk: Conversation, alice: User) -> None:
    with Wire(chat_server, alice) as wire:
        wire.welcome()
        wire.send("ping")
        assert wire.expect("pong")["heads"] == {str(talk.public_id): 0}
        wire.say(talk, "Hello")
        wire.expect("ack")
        wire.send("ping")
        assert wire.expect("pong")["heads"] == {str(talk.public_id): 1}


def test_marks_move_forward_only_and_reach_the_others(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    place = str(talk.public_id)
    with Wire(chat_server, alice) as patient, Wire(chat_server, amara) as doctor:
        patient.welcome()
        doctor.welcome()
        for number in range(3):
            patient.say(talk, str(number))
        doctor.expect("message", seq=3)
        doctor.send("delivered", conversation=place, seq=3)
        mark = patient.expect("delivered", seq=3)
        assert mark["user"] == str(amara.public_id) and mark["at"]
        doctor.send("read", conversation=place, seq=2)
        patient.expect("read", seq=2)
        doctor.send("read", conversation=place, seq=1)
        doctor.send("read", conversation=place, seq=900)  # beyond the end is the end
        patient.expect("read", seq=3)
        patient.nothing("read", 1.5)
    row = Participant.objects.get(user=amara)
    assert (row.delivered_seq, row.read_seq) == (3, 3)
    with Wire(chat_server, alice) as patient, Wire(chat_server, amara) as doctor:
        [seen] = patient.welcome()["conversations"]
        assert (seen["peer_read_seq"], seen["peer_delivered_seq"], seen["read_seq"]) == (3, 3, 0)
        assert doctor.welcome()["conversations"][0]["read_seq"] == 3


def test_a_doctor_may_keep_for_herself_what_she_has_seen(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    ChatSettings.objects.create(user=amara, show_seen=False)
    with Wire(chat_server, alice) as patient, Wire(chat_server, amara) as doctor:
        patient.welcome()
        doctor.welcome()
        patient.say(talk, "Did you see it?")
        doctor.expect("message")
        doctor.send("read", conversation=str(talk.public_id), seq=1)
        doctor.expect("read", seq=1)  # her own devices count what is unread
        patient.expect("delivered", seq=1)
        patient.nothing("read")
    with Wire(chat_server, alice) as patient:
        [seen] = patient.welcome()["conversations"]
        assert seen["peer_read_seq"] == 0 and seen["peer_delivered_seq"] == 1


def test_typing_reaches_the_others_at_most_every_two_seconds(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    with Wire(chat_server, alice) as patient, Wire(chat_server, amara) as doctor:
        patient.welcome()
        doctor.welcome()
        for _ in range(5):
            patient.send("typing", conversation=str(talk.public_id))
        assert doctor.expect("typing") == {
            "type": "typing",
            "conversation": str(talk.public_id),
            "user": str(alice.public_id),
        }
        doctor.nothing("typing")
        patient.nothing("typing", 0.2)


def test_presence_says_who_comes_and_who_leaves(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    with Wire(chat_server, alice) as patient:
        patient.welcome()
        patient.nothing("presence", 0.5)
        with Wire(chat_server, amara) as doctor:
            doctor.welcome()
            place = str(talk.public_id)
            assert doctor.expect("presence", conversation=place)["user"] == str(alice.public_id)
            here = patient.expect("presence", conversation=place)
            assert here["user"] == str(amara.public_id) and here["online"] is True
        assert patient.expect("presence", online=False)["user"] == str(amara.public_id)


def test_a_reply_names_a_message_of_the_same_conversation(
    chat_server: ChatServer, talk: Conversation, alice: User
) -> None:
    with Wire(chat_server, alice) as wire:
        wire.welcome()
        wire.say(talk, "First")
        wire.say(talk, "Second", reply_to=1)
        assert wire.expect("message", seq=2)["reply_to"] == 1
        wire.say(talk, "Third", reply_to=99)
        assert wire.expect("error")["code"] == "not_found"


def test_a_closed_conversation_takes_nothing_more(
    chat_server: ChatServer, talk: Conversation, alice: User
) -> None:
    with Wire(chat_server, alice) as wire:
        wire.welcome()
        wire.say(talk, "Thanks")
        wire.expect("ack")
        Conversation.objects.update(closed_at=timezone.now())
        client_id = wire.say(talk, "One more thing")
        assert wire.expect("error", client_id=client_id)["code"] == "closed"
        wire.send("sync", conversation=str(talk.public_id), after=0)
        assert len(wire.expect("history")["events"]) == 1
    assert Event.objects.count() == 1


def test_an_attachment_of_another_conversation_or_person_is_refused(
    chat_server: ChatServer, talk: Conversation, alice: User, charlie: User
) -> None:
    def upload(conversation: Conversation, by: User) -> str:
        row = Attachment.objects.create(
            conversation=conversation,
            uploaded_by=by,
            name="rash.jpg",
            content_type="image/jpeg",
            size=12,
            stored_as=uuid4().hex,
        )
        return str(row.public_id)

    other = make_conversation(charlie)
    with Wire(chat_server, alice) as wire:
        wire.welcome()
        for file in (upload(other, charlie), upload(talk, charlie), str(uuid4())):
            wire.say(talk, "Look", attachment=file)
            assert wire.expect("error")["code"] == "not_found"
        mine = upload(talk, alice)
        wire.say(talk, "", attachment=mine)
        assert wire.expect("message")["attachment"]["id"] == mine
        wire.say(talk, "Again", attachment=mine)
        assert wire.expect("error")["code"] == "conflict"
    assert Event.objects.count() == 1


def test_reception_answers_for_the_clinic(
    chat_server: ChatServer, alice: User, reception: User
) -> None:
    talk = make_conversation(alice)
    HospitalStaff.objects.create(hospital=talk.hospital, user=reception)
    other = make_account("omar@example.org", role=Role.RECEPTION)  # of no hospital
    with (
        Wire(chat_server, alice) as patient,
        Wire(chat_server, reception) as desk,
        Wire(chat_server, other) as elsewhere,
    ):
        assert patient.welcome()["conversations"] and desk.welcome()["conversations"]
        assert elsewhere.welcome()["conversations"] == []
        patient.say(talk, "When do you open?")
        assert desk.expect("message")["body"] == "When do you open?"
        desk.say(talk, "At eight.")
        assert patient.expect("message", seq=2)["name"] == "Rita Lund"
        elsewhere.nothing("message", 0.5)


def test_a_conversation_opened_later_is_announced_by_its_position(
    chat_server: ChatServer, alice: User, amara: User
) -> None:
    with Wire(chat_server, alice) as patient, Wire(chat_server, amara) as doctor:
        assert patient.welcome()["conversations"] == []
        doctor.welcome()
        talk = make_conversation(alice, amara)
        publishing.access_changed([alice.pk, amara.pk])
        assert patient.expect("pong", 5)["heads"] == {str(talk.public_id): 0}
        doctor.say(talk, "How are you today?")
        assert patient.expect("message")["seq"] == 1


def test_what_another_process_stored_arrives_within_five_seconds(
    chat_server: ChatServer, talk: Conversation, alice: User
) -> None:
    """Also without Redis, and though this process cannot reach the server's hub."""
    from django.db import transaction

    from chat import log

    with Wire(chat_server, alice) as wire:
        wire.welcome()
        with transaction.atomic():
            entry = log.notice(talk, "Your visit was moved.", now=timezone.now())
        publishing.publish([entry])
        notice = wire.expect("notice", 5)
        assert (notice["seq"], notice["body"]) == (1, "Your visit was moved.")
