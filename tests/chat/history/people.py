"""Makes who talks in a history, and prints it as JSON.

Run as ``python -m tests.chat.history.people [BYSTANDERS]`` in the environment of the stack.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

PATIENTS = 20
DOCTORS = 8  # each with a laptop and a phone
WITH_DESK = 4  # of the patients; they talk with reception, the others with a doctor
WITH_COLLEAGUE = 4  # conversations that a second doctor was added to
CARED_FOR = (0, PATIENTS - 1)  # patients with a carer
STRANGER = "stranger"  # signed in, takes part in nothing


@dataclass
class Person:
    name: str
    pk: int
    user: str  # public id
    sessions: list[str]  # one for each device
    conversations: list[str] = field(default_factory=list)


@dataclass
class Place:
    pk: int
    conversation: str  # public id
    members: list[str] = field(default_factory=list)  # users' public ids


@dataclass
class People:
    persons: list[Person]
    places: list[Place]
    # Each with a conversation of their own, in which nothing happens.
    bystanders: list[Person] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> People:
        data: dict[str, Any] = json.loads(text)
        return cls(
            [Person(**row) for row in data["persons"]],
            [Place(**row) for row in data["places"]],
            [Person(**row) for row in data["bystanders"]],
        )


def make(bystanders: int = 0) -> People:
    from django.contrib.auth.hashers import make_password
    from django.utils import timezone

    from accounts.models import Carer, Patient, Relation, Role, User
    from chat.access import members_of
    from chat.models import Conversation, Participant
    from clinic.directory.models import Doctor, HospitalStaff
    from tests.appointments.town import hospital as make_hospital
    from tests.chat.wire import session_of

    password = make_password(None)

    def person(name: str, role: Role = Role.PATIENT) -> User:
        return User.objects.create(
            email=f"{name}@example.org", name=name, role=role, password=password
        )

    where = make_hospital()
    patients = [person(f"patient{number}") for number in range(PATIENTS)]
    charts = [Patient.objects.create(account=user, name=user.name) for user in patients]
    doctors = [person(f"doctor{number}", Role.DOCTOR) for number in range(DOCTORS)]
    rows = [Doctor.objects.create(name=u.name, slug=u.name, user=u) for u in doctors]
    desk = [person(f"desk{number}", Role.RECEPTION) for number in range(2)]
    for user in desk:
        HospitalStaff.objects.create(hospital=where, user=user)
    carers = [person(f"carer{number}") for number in CARED_FOR]
    for user, number in zip(carers, CARED_FOR, strict=True):
        Carer.objects.create(
            user=user, patient=charts[number], relation=Relation.OTHER, since=timezone.now()
        )
    stranger = person(STRANGER)
    conversations = []
    for number, chart in enumerate(charts):
        row = rows[number % DOCTORS] if number < PATIENTS - WITH_DESK else None
        pair = f"d{row.pk}.{chart.pk}" if row else f"h{where.pk}.{chart.pk}"
        conversations.append(
            Conversation.objects.create(patient=chart, doctor=row, hospital=where, pair=pair)
        )
    for number in range(WITH_COLLEAGUE):
        Participant.objects.create(
            conversation=conversations[number],
            user=doctors[(number + 1) % DOCTORS],
            added_at=timezone.now(),
            added_by=doctors[number % DOCTORS],
        )

    members = members_of([row.pk for row in conversations], timezone.now())
    places = [
        Place(row.pk, str(row.public_id), [str(one.public_id) for one in members[row.pk].values()])
        for row in conversations
    ]
    persons = []
    for user in (*patients, *doctors, *desk, *carers, stranger):
        devices = 2 if user in doctors else 1
        persons.append(
            Person(
                user.name,
                user.pk,
                str(user.public_id),
                [session_of(user) for _ in range(devices)],
                [place.conversation for place in places if str(user.public_id) in place.members],
            )
        )
    # At a hospital whose reception is nobody, or every device of the desk would see them all.
    elsewhere = make_hospital("Quiet Clinic")
    others = []
    for user in [person(f"bystander{number}") for number in range(bystanders)]:
        chart = Patient.objects.create(account=user, name=user.name)
        talk = Conversation.objects.create(
            patient=chart, hospital=elsewhere, pair=f"h{elsewhere.pk}.{chart.pk}"
        )
        others.append(
            Person(
                user.name, user.pk, str(user.public_id), [session_of(user)], [str(talk.public_id)]
            )
        )
    return People(persons, places, others)


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(asdict(make(*map(int, sys.argv[1:])))))  # noqa: T201  (the run reads it)
