"""One clinic with everybody in it, whose rows can be compared before and after a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import request_finished
from django.db import close_old_connections
from django.test import Client

from accounts.ids import uuid7
from accounts.models import AuditEvent, Patient, Role, User
from appointments import feeds
from appointments.models import Appointment, CalendarFeed
from chat.attachments import store
from chat.frames import Send
from chat.log import Act, Entry, append
from chat.models import Attachment, Conversation
from chat.opening import close, open_conversation
from clinic.directory.models import HospitalStaff, Service
from tests.appointments.desk import AT, NOW, Desk, book, open_desk
from tests.cast import make_account, signed_in
from tests.files import jpeg

ROLES = ["anonymous", "alice", "bob", "charlie", "doctor", "other", "reception", "administrator"]
LATER = AT + timedelta(days=9, hours=1)


@dataclass
class World:
    """Alice's visit at a doctor's desk; Bob cares for Alice, nobody else here has a part in it
    but the doctor. Both doctors may open the admin, and both work at the visit's hospital: a
    conversation is its own doctor's, not the hospital's."""

    desk: Desk
    other_desk: Desk
    visit: Appointment
    feed: CalendarFeed
    users: dict[str, User]
    # Alice's conversation with the doctor: she wrote the first message, with a picture the second.
    talk: Conversation
    picture: Attachment
    # Hers with the reception of the visit's hospital, and a closed one with the other hospital's.
    desk_talk: Conversation
    ended_talk: Conversation

    def client(self, role: str, **options: Any) -> Client:
        user = self.users.get(role)
        return signed_in(user, **options) if user else Client(**options)


def make_world(
    *, alice: User, bob: User, charlie: User, reception: User, administrator: User
) -> World:
    desk, other_desk = open_desk(), open_desk(name="Ben Ito")
    users = {
        "alice": alice,
        "bob": bob,
        "charlie": charlie,
        "reception": reception,
        "administrator": administrator,
    }
    for role, which in [("doctor", desk), ("other", other_desk)]:
        users[role] = make_account(f"{role}@example.org", role=Role.DOCTOR, is_staff=True)
        which.doctor.user = users[role]
        which.doctor.save()
    visit = book(signed_in(alice), desk)
    feed = feeds.make_address(user=alice, now=NOW)
    Service.objects.create(
        doctor=other_desk.doctor,
        hospital=desk.hospital,
        name="Second opinion",
        minutes=30,
        position=1,
    )
    for which in (desk, other_desk):
        HospitalStaff.objects.create(hospital=which.hospital, user=reception)
    talk = open_conversation(
        patient=alice.chart, doctor=desk.doctor, hospital=desk.hospital, by=alice, now=NOW
    )
    picture = store(conversation=talk, by=alice, upload=photo(), now=NOW)
    say(talk, alice, "How do I take it?")
    say(talk, alice, "", attachment=picture.public_id)
    talks = [
        open_conversation(patient=alice.chart, hospital=which.hospital, by=alice, now=NOW)
        for which in (desk, other_desk)
    ]
    for reception_talk in talks:
        say(reception_talk, alice, "Where do I park?")
    close(conversation=talks[1], by=reception, now=NOW)
    return World(desk, other_desk, visit, feed, users, talk, picture, *talks)


def photo(name: str = "rash.jpg") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, jpeg((64, 48)), content_type="image/jpeg")


def say(talk: Conversation, by: User, words: str, attachment: UUID | None = None) -> None:
    send = Send(talk.public_id, str(uuid7()), words, attachment=attachment)
    assert isinstance(append([Act(by.pk, send)], now=NOW)[0], Entry)


def ended(answer: Any) -> Any:
    """The answer, ended as a server ends it, also when nobody read the file in it."""
    if answer.streaming:
        # As Django's own client does it: the test's connection is not the request's to close.
        request_finished.disconnect(close_old_connections)
        answer.close()
        request_finished.connect(close_old_connections)
    return answer


CHAIN = {"audit_head", "audit_count"}


def rows(*, trail: bool = True) -> dict[str, list[Any]]:
    """Every row of every table. Without ``trail``, what the audit trail adds is left out."""
    found: dict[str, list[Any]] = {}
    for model in apps.get_models(include_auto_created=True):
        if not model._meta.managed or (model is AuditEvent and not trail):
            continue
        names = [field.attname for field in model._meta.concrete_fields]
        if model is Patient and not trail:
            names = [name for name in names if name not in CHAIN]
        found[model._meta.label] = sorted(map(repr, model._base_manager.values_list(*names)))
    return found


def difference(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> dict[str, Any]:
    """What was added and what is gone, by table."""
    return {
        label: {"added": sorted(set(after[label]) - set(before[label])),
                "gone": sorted(set(before[label]) - set(after[label]))}
        for label in before
        if before[label] != after[label]
    }  # fmt: skip
