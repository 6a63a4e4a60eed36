"""Makes pairs of a patient and a doctor with a conversation, and prints them as JSON.

Run as ``python -m bench.chat_people PAIRS`` in the environment of the stack.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import django

django.setup()

from django.contrib.auth.hashers import make_password  # noqa: E402
from django.db import transaction  # noqa: E402

from accounts.models import Patient, Role, User  # noqa: E402
from chat.models import Conversation  # noqa: E402
from clinic.directory.models import Doctor  # noqa: E402
from tests.appointments.town import hospital as make_hospital  # noqa: E402
from tests.chat.wire import session_of  # noqa: E402


def make(pairs: int) -> list[tuple[str, list[dict[str, Any]]]]:
    """Conversations, each with its two people."""
    where = make_hospital()
    password = make_password(None)
    found = []
    for number in range(pairs):
        patient, doctor = (
            User.objects.create(
                email=f"{role}{number}@example.org", name=f"{role} {number}", role=role,
                password=password,
            )
            for role in (Role.PATIENT, Role.DOCTOR)
        )  # fmt: skip
        chart = Patient.objects.create(account=patient, name=f"Patient {number}")
        row = Doctor.objects.create(name=f"Doctor {number}", slug=f"doctor-{number}", user=doctor)
        conversation = Conversation.objects.create(
            patient=chart, doctor=row, hospital=where, pair=f"d{row.pk}.{chart.pk}"
        )
        people = [
            {
                "id": user.pk,
                "uuid": str(user.public_id),
                "name": user.name,
                "isPatient": user == patient,
                "session": session_of(user),
            }
            for user in (patient, doctor)
        ]
        found.append((str(conversation.public_id), people))
    return found


if __name__ == "__main__":
    with transaction.atomic():
        made = make(int(sys.argv[1]))
    print(json.dumps(made))
