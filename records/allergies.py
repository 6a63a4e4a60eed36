"""Allergies, and the answer "No known allergies", which is not the same as "Not asked"."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from accounts.audit import record
from accounts.models import Patient, User
from clinic.directory.text import fold
from records.models import Allergy, AllergyStatement, Encounter
from records.refusals import AllergyStands, AlreadyRecorded, NoLongerActive
from records.writing import doctor_of, encounter_or_none, entry_in, in_chart, words

NAME_LENGTH = 300
REACTION_LENGTH = 200


def active_allergies(chart: Patient) -> list[Allergy]:
    """Allergies that count, the dangerous ones first."""
    found = Allergy.objects.filter(patient=chart, status=Allergy.Status.ACTIVE).standing()
    high = Allergy.Criticality.HIGH
    return sorted(found, key=lambda allergy: (allergy.criticality != high, allergy.name.lower()))


def record_allergy(
    *,
    patient: Patient,
    name: str,
    reaction: str,
    criticality: str,
    code_system: str = "",
    code: str = "",
    encounter: Encounter | None = None,
    by: User,
    now: datetime,
) -> Allergy:
    """Records an active allergy; "No known allergies" no longer stands.

    Raises `AlreadyRecorded` when an active one has the same name.
    """

    def work(chart: Patient) -> Allergy:
        doctor_of(by)
        what = words(
            name, NAME_LENGTH, field="name", required=_("Say what the patient is allergic to.")
        )
        if any(fold(other.name) == fold(what) for other in active_allergies(chart)):
            raise AlreadyRecorded(what)
        allergy = Allergy.objects.create(
            patient=chart,
            name=what,
            reaction=words(reaction, REACTION_LENGTH, field="reaction"),
            criticality=Allergy.Criticality(criticality),
            code_system=words(code_system, 120, field="code"),
            code=words(code, 60, field="code"),
            encounter=encounter_or_none(chart, encounter),
            recorded_by=by,
            recorded_at=now,
        )
        note_asked(chart, none_known=False, by=by, now=now)
        record("allergy.recorded", actor=by, patient=chart, subject=allergy, now=now)
        return allergy

    return in_chart(work, action="allergy.recorded", patient=patient, by=by, now=now)


def state_no_known_allergies(*, patient: Patient, by: User, now: datetime) -> AllergyStatement:
    """Records that the patient was asked and knows of none; raises `AllergyStands`."""

    def work(chart: Patient) -> AllergyStatement:
        doctor_of(by)
        standing = active_allergies(chart)
        if standing:
            raise AllergyStands(standing)
        statement = note_asked(chart, none_known=True, by=by, now=now)
        record("allergies.none_known", actor=by, patient=chart, now=now)
        return statement

    return in_chart(work, action="allergies.none_known", patient=patient, by=by, now=now)


def end_allergy(*, allergy: Allergy, by: User, now: datetime) -> Allergy:
    """An allergy that the patient has no longer; an error is retracted instead."""

    def work(chart: Patient) -> Allergy:
        found = entry_in(chart, allergy)
        if found.is_retracted or found.status != Allergy.Status.ACTIVE:
            raise NoLongerActive
        found.status = Allergy.Status.RESOLVED
        found.save(update_fields=["status"])
        record("allergy.ended", actor=by, patient=chart, subject=found, now=now)
        return found

    return in_chart(
        work, action="allergy.ended", patient=allergy.patient, by=by, now=now, subject=allergy
    )


def note_asked(
    chart: Patient, *, none_known: bool, by: User | None, now: datetime
) -> AllergyStatement:
    """Keeps the answer; the caller holds the chart's lock and writes the audit row."""
    statement, _made = AllergyStatement.objects.update_or_create(
        patient=chart, defaults={"none_known": none_known, "asked_by": by, "asked_at": now}
    )
    return statement
