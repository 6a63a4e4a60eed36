"""Meetings of a patient with a doctor, as the record has them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.audit import record
from accounts.models import Patient, User
from appointments.models import Appointment
from clinic.directory.models import Visit
from records.models import Encounter
from records.refusals import NotHeld, NotInRecord
from records.writing import SENT_TWICE, doctor_of, in_chart, words

# HL7 v3-ActCode: where the two of them were.
CLASS_OF = {
    Encounter.Kind.VISIT: "AMB",
    Encounter.Kind.PHONE: "VR",
    Encounter.Kind.VIDEO: "VR",
    Encounter.Kind.MESSAGES: "VR",
    Encounter.Kind.OTHER: "AMB",
}
TITLE_LENGTH = 300


def encounter_for(*, appointment: Appointment, by: User, now: datetime) -> Encounter:
    """The encounter of a visit to ``by``, made when something is first recorded about it.

    Raises `NotYourPatient`, `NotInRecord` for a colleague's visit, `NotHeld` for a cancelled one.
    """

    def work(chart: Patient) -> Encounter:
        visit = (
            Appointment.objects.select_for_update()
            .filter(pk=appointment.pk, patient=chart, doctor__user=by)
            .first()
        )
        if visit is None:
            raise NotInRecord
        found = Encounter.objects.filter(appointment=visit).first()
        if found is not None and not found.is_retracted:
            return found
        if visit.is_cancelled:
            raise NotHeld
        if found is not None:  # called an error before, and begun again
            found.retracted_at, found.retracted_by, found.retracted_why = None, None, ""
            found.save(update_fields=["retracted_at", "retracted_by", "retracted_why"])
            encounter = found
        else:
            encounter = Encounter.objects.create(
                patient=chart,
                appointment=visit,
                **_facts_of(visit),
                recorded_by=by,
                recorded_at=now,
            )
        record("encounter.begun", actor=by, patient=chart, subject=encounter, now=now)
        return encounter

    return in_chart(work, action="encounter.begun", patient=appointment.patient, by=by, now=now)


def _facts_of(visit: Appointment) -> dict[str, Any]:
    """When, where and with whom, as the visit has it."""
    kind = Encounter.Kind.VIDEO if visit.visit == Visit.VIDEO else Encounter.Kind.VISIT
    return {
        "doctor_id": visit.doctor_id,
        "hospital_id": visit.hospital_id,
        "kind": kind,
        "class_code": CLASS_OF[kind],
        "title": visit.service_name,
        "starts_at": visit.starts_at,
        "ends_at": visit.ends_at,
    }


def follow_visit(*, appointment: Appointment, **_signal: Any) -> None:
    """The encounter of a visit that is moved is where and when the visit is.

    Called inside the transaction of the move, which locks the patient.
    """
    Encounter.objects.filter(appointment=appointment).update(**_facts_of(appointment))


def begin(*, patient: Patient, kind: str, title: str, by: User, now: datetime) -> Encounter:
    """An encounter without a visit: a call, messages, somebody met on the ward.

    Sent twice (`SENT_TWICE`) it is one.
    """

    def work(chart: Patient) -> Encounter:
        chosen = Encounter.Kind(kind)
        facts = {
            "patient": chart,
            "doctor": doctor_of(by),
            "kind": chosen,
            "title": words(
                title,
                TITLE_LENGTH,
                field="title",
                required=_("Say in a few words what this is about."),
            ),
        }
        again = Encounter.objects.filter(
            appointment=None, recorded_by=by, recorded_at__gt=now - SENT_TWICE, **facts
        )
        same = again.standing().first()
        if same is not None:
            return same
        encounter = Encounter.objects.create(
            **facts,
            class_code=CLASS_OF[chosen],
            starts_at=now,
            recorded_by=by,
            recorded_at=now,
        )
        record("encounter.begun", actor=by, patient=chart, subject=encounter, now=now)
        return encounter

    return in_chart(work, action="encounter.begun", patient=patient, by=by, now=now)
