"""Two conversations and everybody who is outside of them, and a row for each type of frame.

The types come from the parser's own table and the fields from its classes; a new one needs a row.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import uuid4

from django.utils import timezone

from accounts.models import Carer, Patient, Role, User
from chat import frames
from chat.attachments import store
from chat.membership import add_colleague, remove_colleague
from chat.models import Attachment, Conversation
from clinic.directory.models import HospitalStaff
from tests.appointments.town import hospital as make_hospital
from tests.cast import make_account, make_carer
from tests.chat.clinic import Clinic, open_clinic, say
from tests.chat.wire import make_conversation
from tests.security.world import photo

UNKNOWN = "5f0f7f3a-7d0e-4b5e-9f46-0f3bdb9a3c11"  # no conversation, file or message has this id
EVENTS = {"send", "edit", "delete"}  # what ends in the log
MARKS = {"delivered", "read"}


# --- Who is there -----------------------------------------------------------------------------
@dataclass
class Scene:
    """Alice writes with Dr. Okafor and with reception; everybody else is outside, or was inside."""

    clinic: Clinic
    alice: User
    talk: Conversation
    desk: Conversation
    written: int  # the number of Alice's message in either conversation
    answered: int  # and of the answer to it
    picture: Attachment  # uploaded by Alice in `talk`, not sent
    outsiders: dict[str, User]


OUTSIDERS = (
    "a stranger",
    "another patient of the doctor",
    "a colleague who left",
    "a doctor without a relation",
    "a carer whose time ended",
    "a carer who may not read messages",
    "reception of another hospital",
    "reception, in the doctor's own",
    "the doctor, in reception's",
    "an administrator",
)


def make_scene(*, alice: User, charlie: User, administrator: User) -> Scene:
    now = timezone.now()
    clinic = open_clinic()
    talk = make_conversation(alice, clinic.doctor_user, where=clinic.hospital)
    desk = make_conversation(alice, where=clinic.hospital)
    outsiders = dict.fromkeys(OUTSIDERS, charlie)

    neighbor = make_account("neighbor@example.org")
    Patient.objects.create(account=neighbor, name="Neighbor")
    make_conversation(neighbor, clinic.doctor_user, where=clinic.hospital)
    outsiders["another patient of the doctor"] = neighbor

    left = clinic.colleague("Lena Left")
    assert left.user is not None
    add_colleague(conversation=talk, doctor=left, by=clinic.doctor_user, now=now)
    remove_colleague(conversation=talk, user=left.user, by=clinic.doctor_user, now=now)
    outsiders["a colleague who left"] = left.user

    unrelated = clinic.colleague("Otto Other")
    assert unrelated.user is not None
    outsiders["a doctor without a relation"] = unrelated.user

    ended = make_account("ended@example.org")
    Carer.objects.filter(pk=make_carer(ended, alice.chart).pk).update(until=now)
    outsiders["a carer whose time ended"] = ended
    silent = make_account("silent@example.org")
    Carer.objects.filter(pk=make_carer(silent, alice.chart).pk).update(may_message=False)
    outsiders["a carer who may not read messages"] = silent

    elsewhere = make_account("far@example.org", role=Role.RECEPTION, is_staff=True)
    HospitalStaff.objects.create(hospital=make_hospital("Bangor Clinic"), user=elsewhere)
    outsiders["reception of another hospital"] = elsewhere
    outsiders["reception, in the doctor's own"] = clinic.reception
    outsiders["the doctor, in reception's"] = clinic.doctor_user
    outsiders["an administrator"] = administrator

    talk.refresh_from_db()
    answering = {talk.pk: clinic.doctor_user, desk.pk: clinic.reception}
    for _ in range(talk.last_seq):  # as many as the notices about the colleague
        say(desk, clinic.reception, "Hello.", now=now)
    for place in (talk, desk):
        written = say(place, alice, "How do I take it?", now=now).seq
        answered = say(place, answering[place.pk], "With water.", now=now).seq
    picture = store(conversation=talk, by=alice, upload=photo(), now=now)
    return Scene(clinic, alice, talk, desk, written, answered, picture, outsiders)


def places_outside(scene: Scene, who: str) -> list[Conversation]:
    if who == "reception, in the doctor's own":
        return [scene.talk]
    if who == "the doctor, in reception's":
        return [scene.desk]
    return [scene.talk, scene.desk]


# --- A row for each type ----------------------------------------------------------------------
@dataclass(frozen=True)
class Row:
    """What makes a frame good, and the fields that it can do without."""

    good: Callable[[Scene], dict[str, Any]]
    optional: Callable[[Scene], dict[str, Any]] = lambda scene: {}


def fresh() -> str:
    return str(uuid4())


ROWS: dict[str, Row] = {
    "send": Row(
        lambda scene: {"client_id": fresh(), "body": "Hello"},
        lambda scene: {"attachment": str(scene.picture.public_id), "reply_to": scene.written},
    ),
    "edit": Row(
        lambda scene: {"client_id": fresh(), "target": scene.written, "body": "Hello again"}
    ),
    "delete": Row(lambda scene: {"client_id": fresh(), "target": scene.written}),
    "delivered": Row(lambda scene: {"seq": scene.answered}),
    "read": Row(lambda scene: {"seq": scene.answered}),
    "typing": Row(lambda scene: {}),
    "sync": Row(lambda scene: {"after": 0}, lambda scene: {"limit": 5}),
    "ping": Row(lambda scene: {}),
}
WITHOUT_CONVERSATION = {"ping"}
TYPES = sorted(frames.PARSERS)


def frame_of(kind: str, scene: Scene, place: Conversation, **changes: Any) -> dict[str, Any]:
    """A good frame of this type about ``place``, but for the changes."""
    where = {} if kind in WITHOUT_CONVERSATION else {"conversation": str(place.public_id)}
    return where | ROWS[kind].good(scene) | changes


def class_of(kind: str, scene: Scene) -> type:
    return type(frames.parse(json.dumps({"type": kind, **frame_of(kind, scene, scene.talk)})))


def fields_of(kind: str, scene: Scene) -> dict[str, tuple[type, bool]]:
    """Each field of a type as its class has it: its plain type, and whether it may be left out."""
    found = {}
    for name, hint in get_type_hints(class_of(kind, scene)).items():
        optional = get_origin(hint) in {Union, types.UnionType}
        plain = next(one for one in get_args(hint) if one is not type(None)) if optional else hint
        found[name] = (plain, optional or name in ROWS[kind].optional(scene))
    return found
