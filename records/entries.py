"""Entries of every kind: marking one as entered in error."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from accounts.audit import record
from accounts.models import Patient, User
from appointments.models import Status
from records.models import (
    Allergy,
    AllergyStatement,
    Condition,
    Document,
    Encounter,
    Immunization,
    Medication,
    Note,
    Observation,
    Prescription,
    Procedure,
)
from records.refusals import AlreadyRetracted, HasEntries
from records.writing import E, entry_in, in_chart, words

# What may belong to an encounter, beside its notes. (Untyped: these have an encounter, which their
# common base lacks.)
FACTS: list[Any] = [
    Allergy,
    Condition,
    Medication,
    Prescription,
    Observation,
    Immunization,
    Procedure,
    Document,
]
ENTRIES: list[Any] = [Encounter, *FACTS]
WHY_LENGTH = 200


def retract(*, entry: E, why: str, by: User, now: datetime) -> E:
    """Marks ``entry`` as entered in error; it stays, struck out, with who said so and why.

    Raises `AlreadyRetracted`, `HasEntries` for an encounter that something was recorded in.
    """

    def work(chart: Patient) -> E:
        found = entry_in(chart, entry)
        if found.is_retracted:
            raise AlreadyRetracted
        reason = words(why, WHY_LENGTH, field="why", required=_("Say what is wrong with it."))
        if isinstance(found, Encounter) and _is_used(found):
            raise HasEntries
        found.retracted_at, found.retracted_by, found.retracted_why = now, by, reason
        found.save(update_fields=["retracted_at", "retracted_by", "retracted_why"])
        if isinstance(found, Allergy):
            forget_answer(chart)
        record(
            f"{entry._meta.model_name}.retracted", actor=by, patient=chart, subject=found, now=now
        )
        return found

    return in_chart(
        work,
        action=f"{entry._meta.model_name}.retracted",
        patient=entry.patient,
        by=by,
        now=now,
        subject=entry,
    )


def forget_answer(chart: Patient) -> None:
    """Without the allergy that was an error, nothing says that the patient was asked."""
    if not Allergy.objects.filter(patient=chart).standing().exists():
        AllergyStatement.objects.filter(patient=chart).delete()


def took_place() -> Q:
    """Encounters but those of a cancelled visit in which nothing was signed or recorded: a note was
    begun for it, and nobody met."""
    here = {"encounter": OuterRef("pk")}
    found = ~Q(appointment__status=Status.CANCELLED) | Q(
        Exists(Note.objects.signed().filter(**here))
    )
    for model in FACTS:
        found |= Q(Exists(model.objects.filter(**here)))
    return found


def _is_used(encounter: Encounter) -> bool:
    if Note.objects.filter(encounter=encounter).exists():
        return True
    return any(
        model.objects.filter(encounter=encounter, retracted_at=None).exists() for model in FACTS
    )
