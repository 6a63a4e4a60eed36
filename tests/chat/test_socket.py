"""The socket, spoken to over the network as a browser does."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from accounts.models import User
from chat.models import Conversation, Event
from tests.chat.wire import ChatServer, Wire, make_conversation, make_doctor_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server(django_db_setup: None, django_db_blocker: object) -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


@pytest.fixture
def amara(db: None) -> User:
    """Alice's doctor."""
    return make_doctor_user()


@pytest.fixture
def talk(alice: User, amara: User) -> Conversation:
    return make_conversation(alice, amara)


def test_a_message_is_stored_acknowledged_and_reaches_both(
    server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    with Wire(server, alice) as patient, Wire(server, amara) as doctor:
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
