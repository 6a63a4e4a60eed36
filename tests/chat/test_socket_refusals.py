"""What the socket refuses: bad frames, other origins, other people's conversations, too much."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from accounts.models import AuditEvent, Carer, Role, User
from chat.models import Conversation, Event
from tests.cast import signed_in
from tests.chat.wire import ChatServer, Wire, make_conversation, session_of

pytestmark = pytest.mark.django_db(transaction=True)

ID = "5f0f7f3a-7d0e-4b5e-9f46-0f3bdb9a3c11"


def _frame(kind: str, **fields: Any) -> dict[str, Any]:
    """A frame that is good but for what is given; a field that is None is left out."""
    whole = {"type": kind, "conversation": "HERE", "client_id": ID, **fields}
    return {name: value for name, value in whole.items() if value is not None}


# name, frame (text or bytes as sent, or an object), code
BAD: list[tuple[str, Any, str]] = [
    ("no JSON", "hello", "bad_frame"),
    ("half of JSON", '{"type":"ping"', "bad_frame"),
    ("nothing", "", "bad_frame"),
    ("no object", "[1]", "bad_frame"),
    ("a number", "1", "bad_frame"),
    ("deep nesting", "[" * 30_000, "bad_frame"),
    ("a number of 10,000 digits", '{"type":"ping","n":' + "1" * 10_000 + "}", "bad_frame"),
    ("bytes", b'{"type":"ping"}', "bad_frame"),
    ("no bytes", b"", "bad_frame"),
    ("no type", {}, "bad_frame"),
    ("an unknown type", {"type": "shout"}, "bad_frame"),
    ("a type that is no text", {"type": ["send"]}, "bad_frame"),
    ("a server's type", {"type": "ack", "client_id": ID}, "bad_frame"),
    ("a server's welcome", {"type": "welcome"}, "bad_frame"),
    ("no conversation", _frame("send", conversation=None, body="x"), "bad_frame"),
    ("no client_id", _frame("send", client_id=None, body="x"), "bad_frame"),
    ("a wrong client_id", _frame("send", client_id="7", body="x"), "bad_frame"),
    ("no body", _frame("send"), "bad_frame"),
    ("a body that is no text", _frame("send", body=7), "bad_frame"),
    ("only white space", _frame("send", body=" \n\t\u2003"), "bad_frame"),
    ("a control character", _frame("send", body="a\u0007b"), "bad_frame"),
    ("a null character", _frame("send", body="a\u0000"), "bad_frame"),
    ("a lone surrogate", _frame("send", body="\ud83d"), "bad_frame"),
    ("4,001 characters", _frame("send", body="é" * 4_001), "too_long"),
    ("an unknown conversation", _frame("send", conversation=ID, body="x"), "not_found"),
    ("a conversation that is no id", _frame("send", conversation="1", body="x"), "not_found"),
    ("an attachment of nothing", _frame("send", body="x", attachment=ID), "not_found"),
    ("a reply to nothing", _frame("send", body="x", reply_to=7), "not_found"),
    ("an edit without target", _frame("edit", body="x"), "bad_frame"),
    ("an edit that is too long", _frame("edit", body="x" * 4_001, target=1), "too_long"),
    ("a target below 1", _frame("delete", target=0), "bad_frame"),
    ("a target that is true", _frame("delete", target=True), "bad_frame"),
    ("a target of no message", _frame("delete", target=9), "not_found"),
    ("an unknown history", _frame("sync", conversation=ID, after=0), "not_found"),
    ("a sync without after", _frame("sync"), "bad_frame"),
    ("a sync before the start", _frame("sync", after=-1), "bad_frame"),
    ("a sync of none", _frame("sync", after=0, limit=0), "bad_frame"),
    ("a mark without a number", _frame("read"), "bad_frame"),
    ("a mark that is a text", _frame("read", seq="1"), "bad_frame"),
    ("a huge number", _frame("read", seq=2**63), "bad_frame"),
    ("a mark in an unknown conversation", _frame("delivered", conversation=ID, seq=1), "not_found"),
    ("typing nowhere", _frame("typing", conversation=None), "bad_frame"),
    ("typing in an unknown conversation", _frame("typing", conversation=ID), "not_found"),
]


@pytest.mark.parametrize(("frame", "code"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_frame_is_answered_and_the_socket_goes_on(
    chat_server: ChatServer, talk: Conversation, alice: User, frame: Any, code: str
) -> None:
    with Wire(chat_server, alice) as wire:
        wire.welcome()
        if not isinstance(frame, bytes):
            text = frame if isinstance(frame, str) else json.dumps(frame)
            frame = text.replace("HERE", str(talk.public_id))
        wire.raw(frame)
        error = wire.expect("error")
        assert error["code"] == code and error["detail"]
        if isinstance(frame, str) and '"type": "send"' in frame and ID in frame.split("body")[0]:
            assert error["client_id"] == ID
        wire.send("ping")
        wire.expect("pong")
    assert not Event.objects.exists()


def test_4000_characters_of_any_kind_are_one_message(
    chat_server: ChatServer, talk: Conversation, alice: User
) -> None:
    with Wire(chat_server, alice) as wire:
        wire.welcome()
        for body in ("é" * 4_000, "🩺" * 4_000):  # 24 and 48 KB with json.dumps' default escapes
            wire.say(talk, body)
            assert wire.expect("message")["body"] == body


def test_s26_an_oversized_frame_closes_with_1009(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    with Wire(chat_server, alice) as wire, Wire(chat_server, amara) as other:
        wire.welcome()
        other.welcome()
        wire.raw('{"type":"ping","x":"' + "x" * (1024 * 1024) + '"}')
        assert wire.closed_with() == 1009
        other.say(talk, "Unharmed")
        other.expect("ack")


def test_s26_too_many_frames_are_refused_and_others_do_not_notice(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    before = chat_server.memory()
    with Wire(chat_server, alice) as wire, Wire(chat_server, amara) as other:
        wire.welcome()
        other.welcome()
        for _ in range(10):
            for _ in range(20):
                wire.say(talk, "spam")
            time.sleep(0.1)
        other.say(talk, "Hello")
        other.expect("ack", 2)
        taken = refused = 0
        for _ in range(200):
            frame = wire.receive()
            while frame is not None and frame["type"] not in {"ack", "error"}:
                frame = wire.receive()
            assert frame is not None
            if frame["type"] == "ack":
                taken += 1
            else:
                refused += 1
                assert frame["code"] == "too_fast" and frame["client_id"]
                assert 0 < frame["retry_after_ms"] <= 1_000
        assert 100 <= taken <= 105 and taken + refused == 200
        assert Event.objects.filter(sender=alice).count() == taken
    assert chat_server.memory() - before < 10 * 1024 * 1024


def test_s24_only_pages_of_this_site_may_open_the_socket(
    chat_server: ChatServer, alice: User
) -> None:
    session = session_of(alice)
    port = chat_server.port
    for origin in (
        None,
        "null",
        "",
        f"https://127.0.0.1:{port}",
        "http://127.0.0.1",
        f"http://127.0.0.1:{port + 1}",
        "http://evil.example",
        f"http://127.0.0.1.evil.example:{port}",
        f"http://evil-127.0.0.1:{port}",
        f"http://127.0.0.1:{port}@evil.example",
        f"http://127.0.0.1:{port}/path",
        "file://",
    ):
        if origin == "":  # the header with nothing in it
            with pytest.raises(InvalidStatus) as refused:
                Wire(chat_server, session=session, origin=None, additional={"Origin": ""})
        else:
            with pytest.raises(InvalidStatus) as refused:
                Wire(chat_server, session=session, origin=origin)
        assert refused.value.response.status_code in {400, 403}, origin
    for origin in (chat_server.origin, f"http://localhost:{port}"):
        with Wire(chat_server, session=session, origin=origin) as wire:
            wire.welcome()


def test_another_address_is_refused(chat_server: ChatServer, alice: User) -> None:
    with pytest.raises(InvalidStatus):
        Wire(chat_server, alice, path="/ws/other/")


def test_nobody_signed_in_is_told_so_by_4401(chat_server: ChatServer, alice: User) -> None:
    with Wire(chat_server) as wire:
        assert wire.closed_with() == 4401 and wire.seen == []
    with Wire(chat_server, session="x" * 32) as wire:
        assert wire.closed_with() == 4401
    session = session_of(alice)
    User.objects.filter(pk=alice.pk).update(password="changed")
    with Wire(chat_server, session=session) as wire:
        assert wire.closed_with() == 4401


def test_s25_nobody_reaches_a_conversation_of_others(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User, charlie: User
) -> None:
    place = str(talk.public_id)
    with (
        Wire(chat_server, alice) as patient,
        Wire(chat_server, amara) as doctor,
        Wire(chat_server, charlie) as stranger,
    ):
        patient.welcome()
        doctor.welcome()
        assert stranger.welcome()["conversations"] == []
        patient.say(talk, "Between us")
        doctor.expect("message")
        for kind, fields in (
            ("send", {"client_id": str(uuid4()), "body": "x"}),
            ("edit", {"client_id": str(uuid4()), "body": "x", "target": 1}),
            ("delete", {"client_id": str(uuid4()), "target": 1}),
            ("read", {"seq": 1}),
            ("delivered", {"seq": 1}),
            ("typing", {}),
            ("sync", {"after": 0}),
        ):
            stranger.send(kind, conversation=place, **fields)
            error = stranger.expect("error")
            assert error["code"] == "not_found", kind
            assert error.get("client_id") == fields.get("client_id")
        stranger.send("ping")
        assert stranger.expect("pong")["heads"] == {}
        assert stranger.seen == []  # not one frame of theirs
        patient.nothing("typing", 0.3)
    assert Event.objects.count() == 1
    refusal = AuditEvent.objects.get(action="conversation.write.refused")
    assert refusal.actor_id == charlie.pk and refusal.patient_id == alice.chart.pk


def test_s12_signing_out_closes_the_socket_within_five_seconds(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    browser = signed_in(alice)
    session = browser.session.session_key
    with (
        Wire(chat_server, session=session) as wire,
        Wire(chat_server, alice) as another_device,
        Wire(chat_server, amara) as doctor,
    ):
        wire.welcome()
        another_device.welcome()
        doctor.welcome()
        browser.logout()
        assert wire.closed_with(5) == 4401
        doctor.say(talk, "Are you there?")
        another_device.expect("message")
        with pytest.raises(ConnectionClosed):
            wire.socket.recv(timeout=0.1)


def test_s11_a_disabled_account_loses_every_socket_within_five_seconds(
    chat_server: ChatServer, talk: Conversation, amara: User, alice: User
) -> None:
    with (
        Wire(chat_server, amara) as one,
        Wire(chat_server, amara) as two,
        Wire(chat_server, alice) as patient,
    ):
        for wire in (one, two, patient):
            wire.welcome()
        User.objects.filter(pk=amara.pk).update(is_active=False)
        assert one.closed_with(5) == 4401
        assert two.closed_with(1) == 4401
        patient.say(talk, "Hello?")
        patient.expect("ack")


def test_s11_a_removed_role_closes_the_socket_within_five_seconds(
    chat_server: ChatServer, reception: User
) -> None:
    with Wire(chat_server, reception) as wire:
        wire.welcome()
        User.objects.filter(pk=reception.pk).update(role=Role.PATIENT)
        assert wire.closed_with(5) == 4403


def test_s11_a_changed_password_closes_the_sockets_of_old_sessions(
    chat_server: ChatServer, alice: User
) -> None:
    with Wire(chat_server, alice) as wire:
        wire.welcome()
        alice.set_password("another one entirely")
        alice.save(update_fields=["password"])
        assert wire.closed_with(5) == 4401


def test_access_that_ends_closes_with_4403_and_nothing_more_is_delivered(
    chat_server: ChatServer, talk: Conversation, alice: User, bob: User
) -> None:
    with Wire(chat_server, alice) as patient, Wire(chat_server, bob) as carer:
        patient.welcome()
        assert carer.welcome()["conversations"]
        Carer.objects.filter(user=bob).delete()
        carer.say(talk, "Still me")  # at once, before any look
        assert carer.expect("error")["code"] == "not_found"
        patient.say(talk, "Only for me")
        patient.expect("message")
        assert carer.closed_with(5) == 4403
        assert not [frame for frame in carer.seen if frame["type"] == "message"]
    with Wire(chat_server, bob) as carer:
        assert carer.welcome()["conversations"] == []


def test_a_stranger_to_one_conversation_still_has_the_own(
    chat_server: ChatServer, talk: Conversation, charlie: User
) -> None:
    own = make_conversation(charlie)
    with Wire(chat_server, charlie) as wire:
        assert [row["id"] for row in wire.welcome()["conversations"]] == [str(own.public_id)]
        wire.say(talk, "Let me in")
        wire.say(own, "Hello")
        assert wire.expect("error")["code"] == "not_found"
        wire.expect("ack")
