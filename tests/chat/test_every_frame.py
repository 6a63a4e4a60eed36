"""SECURITY 10, 12, 15, 25, 37 for every type of frame: who is outside, whose session is over."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone
from websockets.exceptions import ConnectionClosed

from accounts.models import AuditEvent, SignIn, User
from chat import frames
from chat.membership import add_colleague
from chat.models import Conversation, Participant
from chat.socket import ChatSocket
from tests.chat.scene import (
    MARKS,
    OUTSIDERS,
    ROWS,
    TYPES,
    UNKNOWN,
    WITHOUT_CONVERSATION,
    Scene,
    class_of,
    fields_of,
    frame_of,
    fresh,
    places_outside,
)
from tests.chat.wire import ChatServer, Wire, session_of
from tests.security.test_s31_parameters import HOSTILE
from tests.security.world import difference, rows

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_type_and_every_field_has_its_row(scene: Scene) -> None:
    assert set(ROWS) == set(frames.PARSERS)
    assert {class_of(kind, scene) for kind in TYPES} == set(get_args(frames.Frame))
    assert set(ChatSocket._METHODS) == set(get_args(frames.Frame))
    for kind, row in ROWS.items():
        known = {"conversation"} - ({"conversation"} if kind in WITHOUT_CONVERSATION else set())
        known |= set(row.good(scene)) | set(row.optional(scene))
        assert known == {field.name for field in fields(class_of(kind, scene))}, kind


def server_types() -> set[str]:
    """Every type of frame that the code of the chat makes."""
    found = set()
    for path in Path(frames.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "type":
                        found |= {
                            one.value
                            for one in ast.walk(value)
                            if isinstance(one, ast.Constant) and isinstance(one.value, str)
                        }
    return {kind for kind in found if kind.isalpha()}


def test_no_client_may_send_what_only_the_server_says(
    patient_server: ChatServer, scene: Scene
) -> None:
    theirs = server_types() - set(frames.PARSERS)
    assert {"ack", "error", "pong", "presence", "bye", "welcome"} <= theirs
    theirs |= {"history", "message", "edited", "deleted", "notice", "Send", "SEND", "send "}
    with Wire(patient_server, scene.alice) as wire:
        wire.welcome()
        before = rows()
        for kind in sorted(theirs | set(HOSTILE)):
            wire.send(kind, **frame_of("send", scene, scene.talk))
            assert wire.expect("error")["code"] == "bad_frame", kind
        wire.send("ping")
        wire.expect("pong")
        assert wire.seen == []
    assert difference(before, rows()) == {}


# --- SECURITY 25: nobody outside --------------------------------------------------------------
@pytest.mark.parametrize("who", OUTSIDERS)
def test_s15_s25_s37_no_frame_of_anybody_outside_does_anything(
    patient_server: ChatServer, scene: Scene, who: str
) -> None:
    user = scene.outsiders[who]
    places = places_outside(scene, who)
    with Wire(patient_server, scene.alice) as alice, Wire(patient_server, user) as wire:
        alice.welcome()
        named = {row["id"] for row in wire.welcome()["conversations"]}
        assert not named & {str(place.public_id) for place in places}
        time.sleep(0.3)  # whoever is online now is told so
        while (frame := alice.receive(0.1)) is not None:
            assert frame["type"] == "presence"
        before = rows(trail=False)
        for place in places:
            for kind in TYPES:
                if kind in WITHOUT_CONVERSATION:
                    continue
                theirs = frame_of(kind, scene, place)
                answers = []
                for conversation in (theirs["conversation"], UNKNOWN):
                    # A conversation that does not exist is typed in once, by the first round.
                    asked = fresh() if kind == "typing" and conversation == UNKNOWN else None
                    wire.send(kind, **theirs | {"conversation": asked or conversation})
                    answers.append(wire.expect("error"))
                assert answers[0]["code"] == "not_found", kind
                assert answers[0] == answers[1], f"{kind} tells that the conversation exists"
                assert answers[0].get("client_id") == theirs.get("client_id")
        wire.send("ping")
        assert not set(wire.expect("pong")["heads"]) & {str(place.public_id) for place in places}
        assert [one for one in wire.seen if one["type"] != "presence"] == []
        alice.send("ping")
        alice.expect("pong")
        alice.nothing("typing", 0.5)
        assert alice.seen == []
        assert difference(before, rows(trail=False)) == {}
        tried = AuditEvent.objects.filter(action="conversation.write.refused", actor_id=user.pk)
        deadline = time.monotonic() + 5
        while tried.count() < len(places) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert {row.patient_id for row in tried} == {scene.alice.chart.pk}
        assert tried.count() == len(places)  # once for each, however often


def test_s25_whoever_leaves_while_the_socket_is_open_does_nothing_from_then_on(
    patient_server: ChatServer, scene: Scene
) -> None:
    left = scene.outsiders["a colleague who left"]
    now = timezone.now()
    add_colleague(conversation=scene.talk, doctor=left.doctor, by=scene.clinic.doctor_user, now=now)
    with Wire(patient_server, scene.alice) as alice, Wire(patient_server, left) as wire:
        alice.welcome()
        assert wire.welcome()["conversations"]
        # The server knows who takes part, and must not go by that.
        wire.send("delivered", conversation=str(scene.talk.public_id), seq=1)
        alice.expect("delivered")
        Participant.objects.filter(conversation=scene.talk, user=left).update(removed_at=now)
        before = rows(trail=False)
        for kind in TYPES:
            if kind not in WITHOUT_CONVERSATION:
                with suppress(ConnectionClosed):
                    wire.send(kind, **frame_of(kind, scene, scene.talk, **_further(kind)))
        assert wire.closed_with(6) == 4403
        assert {one["code"] for one in wire.seen if one["type"] == "error"} == {"not_found"}
        assert not {one["type"] for one in wire.seen} & {"ack", "history", "message"}
        alice.send("ping")
        alice.expect("pong")
        assert not {one["type"] for one in alice.seen} - {"presence"}
    assert difference(before, rows(trail=False)) == {}


def _further(kind: str) -> dict[str, Any]:
    return {"seq": 3} if kind in MARKS else {}


def test_s25_what_belongs_to_another_conversation_is_not_found_in_the_own(
    patient_server: ChatServer, scene: Scene
) -> None:
    neighbor = scene.outsiders["another patient of the doctor"]
    [own] = Conversation.objects.filter(patient__account=neighbor)
    references = [
        (kind, name)
        for kind in TYPES
        for name, (plain, _) in fields_of(kind, scene).items()
        if plain is UUID and name != "conversation"
    ]
    assert references == [("send", "attachment")]
    with Wire(patient_server, neighbor) as wire:
        wire.welcome()
        before = rows()
        for kind, name in references:
            answers = []
            for given in (ROWS[kind].optional(scene)[name], UNKNOWN):
                frame = frame_of(kind, scene, own, **{name: given, "client_id": UNKNOWN})
                wire.send(kind, **frame)
                answers.append(wire.expect("error"))
            assert answers[0]["code"] == "not_found"
            assert answers[0] == answers[1]
        for kind in TYPES:  # numbers count in the own conversation only
            if "target" in fields_of(kind, scene):
                wire.send(kind, **frame_of(kind, scene, own))
                assert wire.expect("error")["code"] == "not_found"
        time.sleep(0.5)
    # Nobody tried to get into somebody else's: the trail says nothing either.
    assert difference(before, rows()) == {}


# --- SECURITY 10 and 12: a session that is over -------------------------------------------------
def _sign_out(session: str, user: User) -> None:
    Session.objects.filter(session_key=session).delete()


def _expire(session: str, user: User) -> None:
    Session.objects.filter(session_key=session).update(expire_date=timezone.now())


def _idle(session: str, user: User) -> None:
    SignIn.objects.filter(user=user).update(
        seen_at=timezone.now() - timedelta(minutes=settings.STAFF_IDLE_MINUTES)
    )


def _grow_old(session: str, user: User) -> None:
    SignIn.objects.filter(user=user).update(
        since=timezone.now() - timedelta(hours=settings.STAFF_SESSION_HOURS)
    )


def _end(session: str, user: User) -> None:
    SignIn.objects.filter(user=user).delete()


def _disable(session: str, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def _change_password(session: str, user: User) -> None:
    User.objects.filter(pk=user.pk).update(password="another")


OVER: dict[str, Callable[[str, User], None]] = {
    "signed out": _sign_out,
    "expired": _expire,
    "idle": _idle,
    "too old": _grow_old,
    "ended in the list": _end,
    "disabled": _disable,
    "another password": _change_password,
}


@pytest.mark.parametrize("how", OVER)
def test_s10_s12_no_frame_counts_once_the_session_is_over(
    patient_server: ChatServer, scene: Scene, how: str
) -> None:
    doctor = scene.clinic.doctor_user
    session = session_of(doctor)
    with Wire(patient_server, scene.alice) as alice:
        alice.welcome()
        with Wire(patient_server, session=session) as wire:
            wire.welcome()
            OVER[how](session, doctor)
            assert wire.closed_with(6) == 4401
        before = rows(trail=False)
        with Wire(patient_server, session=session) as wire:
            for kind in TYPES:  # at once: before anybody could say who this is
                with suppress(ConnectionClosed):
                    wire.send(kind, **frame_of(kind, scene, scene.talk))
            assert wire.closed_with(6) == 4401
            assert wire.seen == []
        alice.send("ping")
        alice.expect("pong")
        assert {one["type"] for one in alice.seen} <= {"presence"}
    assert difference(before, rows(trail=False)) == {}
