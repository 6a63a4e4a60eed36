"""The people of the tests of a record: Dr. Okafor treats Nora, Dr. Lefebvre does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from accounts.audit import verify_chain
from accounts.models import AuditEvent, Patient, Role, User
from appointments.models import Appointment, CareRelation
from clinic.directory.models import Doctor, Hospital
from records.encounters import encounter_for
from records.entries import ENTRIES
from records.models import AllergyStatement, Encounter, Note
from records.refusals import RecordRefused
from tests.appointments.visits import make_doctor, make_hospital, make_visit
from tests.cast import make_account, make_patient_user

NOW = datetime(2026, 11, 3, 15, 0, tzinfo=UTC)  # a Tuesday, 10 am in Portland
BORN = date(1951, 8, 2)


@dataclass
class Ward:
    hospital: Hospital
    doctor: Doctor
    colleague: Doctor
    patient: Patient
    visit: Appointment

    @property
    def by(self) -> User:
        assert self.doctor.user is not None
        return self.doctor.user

    @property
    def stranger(self) -> User:
        """A doctor whom the patient has never met."""
        assert self.colleague.user is not None
        return self.colleague.user

    @property
    def owner(self) -> User:
        """The patient's own account."""
        assert self.patient.account is not None
        return self.patient.account

    def encounter(self) -> Encounter:
        return encounter_for(appointment=self.visit, by=self.by, now=NOW)

    def treat(self, patient: Patient, doctor: Doctor | None = None) -> CareRelation:
        return treat(patient, doctor or self.doctor)

    def end_care(self) -> None:
        CareRelation.objects.filter(patient=self.patient).update(until=NOW - timedelta(seconds=1))


def treat(patient: Patient, doctor: Doctor) -> CareRelation:
    return CareRelation.objects.create(
        doctor=doctor,
        patient=patient,
        why=CareRelation.Why.VISIT,
        since=NOW - timedelta(days=30),
        until=NOW + timedelta(days=365),
    )


def make_doctor_user(name: str, **fields: Any) -> Doctor:
    user = make_account(
        f"{name.split()[0].lower()}@example.org", name=name, role=Role.DOCTOR, is_staff=True
    )
    return make_doctor(name=name, user=user, verified_at=NOW - timedelta(days=99), **fields)


def open_ward() -> Ward:
    hospital = make_hospital()
    doctor, colleague = make_doctor_user("Amara Okafor"), make_doctor_user("Matthieu Lefebvre")
    patient = make_patient_user("nora@example.org", name="Nora Ames", birth_date=BORN).chart
    visit = make_visit(patient, NOW - timedelta(hours=1), hospital=hospital, doctor=doctor)
    treat(patient, doctor)
    return Ward(hospital, doctor, colleague, patient, visit)


def trail(patient: Patient) -> list[str]:
    """The actions on the patient's audit trail, in their order; the chain is checked."""
    assert verify_chain(patient) == []
    events = AuditEvent.objects.filter(patient=patient).order_by("number")
    return list(events.values_list("action", flat=True))


def rows_of(patient: Patient) -> dict[str, list[dict[str, Any]]]:
    """Everything stored in a record, to compare before and after."""
    models: list[Any] = [*ENTRIES, Note, AllergyStatement]
    return {
        model.__name__: list(model.objects.filter(patient=patient).order_by("pk").values())
        for model in models
    }


@contextmanager
def refused(
    kind: type[RecordRefused], patient: Patient, action: str
) -> Iterator[pytest.ExceptionInfo[RecordRefused]]:
    """The block is refused, changes nothing in the record, and leaves exactly one audit row."""
    before, said = rows_of(patient), trail(patient)
    with pytest.raises(kind) as caught:
        yield caught
    assert rows_of(patient) == before
    assert trail(patient) == [*said, f"{action}.refused"]
    last = AuditEvent.objects.filter(patient=patient).latest("number")
    assert last.detail == caught.value.code
    assert caught.value.message
