"""SECURITY 8, 26, 31 and 38 for every field of every type of frame."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.models import AuditEvent
from chat.models import Conversation, Event, Participant
from tests.chat.scene import EVENTS, MARKS, ROWS, TYPES, UNKNOWN, Scene, fields_of, frame_of
from tests.chat.wire import ChatServer, Wire, session_of
from tests.security.test_s31_parameters import HOSTILE
from tests.security.world import difference, rows

pytestmark = pytest.mark.django_db(transaction=True)


# --- SECURITY 31: every field ---------------------------------------------------------------------
LONG = "x" * 60_000
ODD: list[Any] = [7, 1.5, True, False, [], {}, ["a"], {"a": 1}, -1, 10**30]
NUMBERS: list[Any] = [
    *("1", "", "x", "1e309", 1.0, 1.5, True, False, [], {}, [1], -1, -(10**30)),
    *(2**31, 2**63, 10**300, float("nan"), float("inf"), LONG),
]
TEXTS: dict[str, list[tuple[Any, set[str]]]] = {
    "client_id": [
        (value, {"bad_frame"})
        for value in (
            *ODD,
            *HOSTILE,
            LONG,
            UNKNOWN.replace("-", ""),
            f"{UNKNOWN}\n",
            f"{{{UNKNOWN}}}",
        )
    ],
    "body": [
        *((value, {"bad_frame"}) for value in ODD),
        *(
            (value, {"bad_frame"})
            for value in ("", " \n\t\u2003", "a\u0000b", "a\u001bb", "\ud83d")
        ),
        *((value, {"too_long"}) for value in ("é" * 4_001, LONG)),
    ],
}


def wrong_values(name: str, plain: type, optional: bool) -> list[tuple[Any, set[str]]]:
    """Values that a field must not take, each with the codes it may get."""
    found: list[tuple[Any, set[str]]] = [] if optional else [(None, {"bad_frame"})]
    if plain is UUID:
        found += [(value, {"bad_frame"}) for value in ODD]
        for value in (*HOSTILE, LONG, UNKNOWN.replace("-", ""), f" {UNKNOWN}", f"{UNKNOWN}\n"):
            found.append((value, {"not_found"}))
    elif plain is int:
        found += [(value, {"bad_frame"}) for value in NUMBERS]
        found += [] if name == "after" else [(0, {"bad_frame"})]
    else:
        assert plain is str
        found += TEXTS[name]
    return found


@pytest.mark.parametrize("kind", TYPES)
def test_s31_every_field_refuses_what_it_cannot_take(
    patient_server: ChatServer, scene: Scene, kind: str
) -> None:
    with Wire(patient_server, scene.alice) as wire:
        wire.welcome()
        before = rows()
        for name, (plain, optional) in fields_of(kind, scene).items():
            good = frame_of(kind, scene, scene.talk)
            tried = [(good | {name: value}, codes) for value, codes in
                     wrong_values(name, plain, optional)]  # fmt: skip
            if not optional:
                tried.append(({key: good[key] for key in good if key != name}, {"bad_frame"}))
            for frame, codes in tried:
                wire.send(kind, **frame)
                error = wire.expect("error")
                assert error["code"] in codes, (name, frame.get(name), error)
                assert "retry_after_ms" not in error  # nothing that broke on the way
                expected = good.get("client_id") if name != "client_id" else None
                assert error.get("client_id") == expected
                said = str(frame.get(name))
                assert len(said) < 9 or said not in error["detail"]
        wire.send("ping")
        wire.expect("pong")
        assert wire.seen == []
    assert difference(before, rows()) == {}


# --- SECURITY 8: fields that nobody asked for -----------------------------------------------------
def further_fields(scene: Scene, taken: set[str]) -> dict[str, Any]:
    doctor = scene.clinic.doctor_user
    forged: dict[str, Any] = {
        "seq": 99,
        "last_seq": 99,
        "sent_seq": 99,
        "at": "2001-01-01T00:00:00.000Z",
        "now": "2001-01-01T00:00:00.000Z",
        "kind": "notice",
        "name": "Forged",
        "live": True,
        "is_staff": True,
        "is_active": False,
        "role": "administrator",
        "conversation_id": 1,
        "__proto__": {"type": "ping"},
        "client.id": UNKNOWN,
        "body[]": "x",
        "body__gt": "",
    }
    forged |= dict.fromkeys(("sender", "user", "actor", "by"), str(doctor.public_id))
    forged |= dict.fromkeys(("sender_id", "user_id", "pk", "id", "doctor_id"), doctor.pk)
    forged |= {name: name for name in HOSTILE}
    return {name: value for name, value in forged.items() if name not in taken}


@pytest.mark.parametrize("kind", TYPES)
def test_s8_s31_further_fields_change_nothing(
    patient_server: ChatServer, scene: Scene, kind: str
) -> None:
    begun = timezone.now() - timedelta(minutes=1)
    taken = {"type", "conversation", *ROWS[kind].good(scene), *ROWS[kind].optional(scene)}
    with Wire(patient_server, scene.alice) as wire:
        wire.welcome()
        before = rows()
        head = Conversation.objects.get(pk=scene.talk.pk).last_seq
        frame = frame_of(kind, scene, scene.talk) | further_fields(scene, taken)
        wire.raw(json.dumps({"type": kind, **frame}))
        if kind in EVENTS:
            assert wire.expect("ack")["seq"] == head + 1
        elif kind in MARKS:
            assert wire.expect(kind)["user"] == str(scene.alice.public_id)
        elif kind == "sync":
            assert len(wire.expect("history")["events"]) == head
        wire.send("ping")
        wire.expect("pong")
        assert not [one for one in wire.seen if one["type"] == "error"]
    changed = difference(before, rows())
    if kind in EVENTS:
        # Out of hours the clinic answers by itself; that is not the sender's.
        [event] = Event.objects.filter(conversation=scene.talk, seq__gt=head).exclude(sender=None)
        assert event.sender_id == scene.alice.pk
        assert event.kind == {"send": "message", "edit": "edited", "delete": "deleted"}[kind]
        assert event.seq == head + 1 and event.at > begun
        assert event.body == frame.get("body", "")
        assert {"chat.Event", "chat.Conversation"} <= set(changed)
        assert set(changed) <= {"chat.Event", "chat.Conversation", "chat.Participant"}
    elif kind in MARKS:
        assert set(changed) == {"chat.Participant"}
    else:
        assert changed == {}
    for row in Participant.objects.filter(conversation=scene.talk):
        assert row.user_id == scene.alice.pk or row.read_seq == row.delivered_seq == 0


# --- SECURITY 26: every type counts ---------------------------------------------------------------
PER_MINUTE, SENT = 12, 30


@pytest.fixture(scope="module")
def strict_server(django_db_setup: None) -> Iterator[ChatServer]:
    with ChatServer(CHAT_FRAMES_PER_MINUTE=str(PER_MINUTE)) as running:
        yield running


@pytest.mark.parametrize("kind", [*TYPES, "no such type"])
def test_s26_frames_of_every_type_are_counted(
    strict_server: ChatServer, scene: Scene, kind: str
) -> None:
    known = kind in ROWS
    by_alice = Event.objects.filter(sender=scene.alice)
    events = by_alice.count()
    with Wire(strict_server, scene.alice) as wire:
        wire.welcome()
        sent = [frame_of(kind, scene, scene.talk) if known else {} for _ in range(SENT)]
        for frame in sent:
            wire.send(kind, **frame)
        refused: list[dict[str, Any]] = []
        while len(refused) < SENT - PER_MINUTE - 2:
            error = wire.expect("error")
            if error["code"] == "too_fast":
                refused.append(error)
        assert all(0 < error["retry_after_ms"] <= 60_000 / PER_MINUTE + 1 for error in refused)
        if known and "client_id" in sent[0]:
            assert {error["client_id"] for error in refused} <= {f["client_id"] for f in sent}
        wire.nothing("bye", 0.7)  # reads on for a moment
        answered = [one for one in wire.seen if one["type"] in {"ack", "pong", "history"}]
        assert len(answered) <= PER_MINUTE + 2
    assert by_alice.count() - events <= PER_MINUTE + 2


# --- SECURITY 38: what is typed into frames -------------------------------------------------------
CANARY = "canary-frame-3317"
FORGED = f'{CANARY}\r\n{{"event": "forged"}}\x1b[31m\u2028'


@pytest.fixture
def production_server(django_db_setup: None) -> Iterator[ChatServer]:
    """In production mode, whose log is lines of JSON."""
    with ChatServer(
        DEBUG="0",
        ALLOW_HTTP="1",
        ALLOWED_HOSTS="127.0.0.1",
        TRUSTED_PROXY_COUNT="0",
        STAFF_MFA_REQUIRED="0",
        SECRET_KEY="a-key-for-tests-only-that-is-long-enough-to-be-accepted",
        SECRET_KEY_FALLBACKS=settings.SECRET_KEY,
        CHAT_FRAMES_PER_MINUTE="100000",
        LOG_LEVEL="INFO",
        PYTHONUNBUFFERED="1",
    ) as running:
        yield running


def test_s38_canaries_from_every_field_of_every_frame_come_out_nowhere(
    production_server: ChatServer, scene: Scene
) -> None:
    people = {"inside": scene.alice, "outside": scene.outsiders["a stranger"]}
    sessions = {where: session_of(user) for where, user in people.items()}
    for where, session in sessions.items():
        with Wire(production_server, session=session) as wire:
            wire.welcome()
            for kind in TYPES:
                for name in (*fields_of(kind, scene), CANARY, FORGED):
                    for value in (CANARY, FORGED, [CANARY], {CANARY: FORGED}, CANARY * 300):
                        wire.send(kind, **frame_of(kind, scene, scene.talk) | {name: value})
            for text in (FORGED, f'{{"type":"{CANARY}"}}', f'["{CANARY}"]'):
                wire.raw(text)
            wire.raw(CANARY.encode())
            wire.send("sync", conversation=str(scene.talk.public_id), after=0, limit=1)
            wire.expect("history" if where == "inside" else "error", 20)
            wire.send("ping")
            wire.expect("pong", 20)
            errors = [one for one in wire.seen if one["type"] == "error"]
            assert len(errors) > 30
            assert not [one for one in errors if CANARY in one["detail"]]
    stored = Event.objects.filter(body__contains=CANARY)
    assert {event.sender_id for event in stored} == {scene.alice.pk}  # it did go in
    time.sleep(0.5)
    log = production_server.log.read_text()
    assert CANARY not in log and "\x1b" not in log
    for session in sessions.values():
        assert session not in log
    assert scene.alice.email not in log and scene.alice.name not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [line for line in lines if line.get("event") == "chat_refused"]  # it was written
    assert not [line for line in lines if line.get("event") == "forged"]
    kept = [_text_of(model) for model in (AuditEvent, Participant, Conversation)]
    assert not [text for text in kept if CANARY in text]


def _text_of(model: type[models.Model]) -> str:
    return str(list(model._default_manager.values()))
