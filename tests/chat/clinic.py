"""A clinic whose people write to each other: Alice is in the care of Dr. Okafor, Rita answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.test import Client

from accounts.models import Patient, Role, User
from appointments.models import Appointment, CareRelation
from chat.frames import Send
from chat.log import Act, Entry, append
from chat.models import Conversation
from chat.opening import open_conversation
from clinic.directory.models import Doctor, Hospital, HospitalStaff
from tests.appointments.town import doctor as make_doctor
from tests.appointments.town import hospital as make_hospital
from tests.appointments.visits import make_visit
from tests.cast import make_account

NOW = datetime(2026, 11, 3, 15, 0, tzinfo=UTC)  # a Tuesday, 10 am in Portland
NIGHT = datetime(2026, 11, 4, 3, 0, tzinfo=UTC)  # 10 pm of the same day there
VISIT_AT = datetime(2026, 11, 10, 14, 0, tzinfo=UTC)  # a week later, 9 am


@dataclass
class Clinic:
    """A hospital with one doctor, open every day from 9 to 5, and its reception."""

    hospital: Hospital
    doctor: Doctor
    reception: User

    @property
    def doctor_user(self) -> User:
        assert self.doctor.user is not None
        return self.doctor.user

    def colleague(self, name: str = "Matthieu Lefebvre") -> Doctor:
        """Another doctor of the same hospital, with an account."""
        user = make_account(f"{name.split()[0].lower()}@example.org", name=name, role=Role.DOCTOR)
        return make_doctor(name, where=self.hospital, user=user)

    def take_into_care(self, patient: Patient, doctor: Doctor | None = None) -> Appointment:
        """A coming visit, and the care relation that it brings."""
        doctor = doctor or self.doctor
        visit = make_visit(patient, VISIT_AT, hospital=self.hospital, doctor=doctor, created_at=NOW)
        CareRelation.objects.create(
            doctor=doctor,
            patient=patient,
            why=CareRelation.Why.VISIT,
            appointment=visit,
            since=NOW - timedelta(days=30),
            until=VISIT_AT + timedelta(days=365),
        )
        return visit

    def talk(self, patient: Patient, *, by: User, now: datetime = NOW) -> Conversation:
        """The conversation of ``patient`` with the doctor."""
        return open_conversation(
            patient=patient, doctor=self.doctor, hospital=self.hospital, by=by, now=now
        )

    def desk(self, patient: Patient, *, by: User, now: datetime = NOW) -> Conversation:
        """The conversation of ``patient`` with reception."""
        return open_conversation(patient=patient, hospital=self.hospital, by=by, now=now)


def open_clinic() -> Clinic:
    hospital = make_hospital("Casco Bay Clinic")
    user = make_account("amara@example.org", name="Amara Okafor", role=Role.DOCTOR)
    doctor = make_doctor("Amara Okafor", where=hospital, user=user)
    reception = make_account(
        "desk@example.org", name="Rita Lund", role=Role.RECEPTION, is_staff=True
    )
    HospitalStaff.objects.create(hospital=hospital, user=reception)
    return Clinic(hospital, doctor, reception)


def say(
    conversation: Conversation, user: User, body: str, *, now: datetime = NOW, **more: Any
) -> Entry:
    """A message as the socket and the page store it."""
    what = Send(conversation.public_id, str(uuid4()), body, **more)
    [entry] = append([Act(user.pk, what)], now=now)
    assert isinstance(entry, Entry), entry
    return entry


def address(conversation: Conversation, tail: str = "") -> str:
    return f"/messages/{conversation.public_id}/{tail}"


def form(body: str = "Hello", **changes: Any) -> dict[str, Any]:
    """What the composer sends."""
    return {"client_id": str(uuid4()), "body": body} | changes


def post_json(client: Client, where: str, fields: dict[str, Any]) -> Any:
    return client.post(where, fields, headers={"accept": "application/json"})


def text_of(response: Any) -> str:
    """What a person reads, on one line."""
    words = re.sub(r"<(script|template)\b.*?</\1>", "", response.content.decode(), flags=re.DOTALL)
    words = re.sub(r"<[^>]+>", "", words)
    return " ".join(words.replace("&#x27;", "'").replace("&quot;", '"').split())


def states(response: Any) -> list[str]:
    found = re.findall(r"data-state>([^<]*)<", response.content.decode().split("<template")[0])
    return [state for state in found if state]
