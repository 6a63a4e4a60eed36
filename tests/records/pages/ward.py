"""A doctor with a patient who has a visit today, and a colleague who has nothing to do with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, Patient, Role, User
from appointments.care import start_for_visit
from appointments.models import Appointment
from tests.appointments.desk import NOW, REASON, Desk, open_desk
from tests.appointments.visits import make_visit
from tests.cast import make_account, make_patient, signed_in


@dataclass
class Ward:
    desk: Desk
    doctor: User
    colleague: User
    patient: Patient
    visit: Appointment
    client: Client

    def address(self, name: str, *parts: Any) -> str:
        return reverse(name, args=[self.patient.public_id, *parts])

    def get(self, page: str, /, *parts: Any, **query: Any) -> Any:
        return self.client.get(self.address(page, *parts), query)

    def post(self, page: str, /, *parts: Any, **fields: Any) -> Any:
        return self.client.post(self.address(page, *parts), fields)

    def trail(self) -> list[str]:
        """What the patient's audit trail says, oldest first."""
        events = AuditEvent.objects.filter(patient=self.patient).order_by("number")
        return list(events.values_list("action", flat=True))


def open_ward(patient: Patient | None = None) -> Ward:
    desk, other = open_desk(), open_desk(name="Ben Ito")
    users = []
    for name, which in [("doctor", desk), ("colleague", other)]:
        user = make_account(f"{name}@example.org", role=Role.DOCTOR, is_staff=True)
        which.doctor.user = user
        which.doctor.save(update_fields=["user"])
        users.append(user)
    patient = patient or make_patient("Nora Ames")
    visit = make_visit(
        patient,
        NOW + timedelta(hours=1),
        hospital=desk.hospital,
        doctor=desk.doctor,
        service_name="Check-up",
        reason=REASON,
    )
    start_for_visit(visit, now=NOW - timedelta(days=10))
    return Ward(desk, users[0], users[1], patient, visit, signed_in(users[0]))
