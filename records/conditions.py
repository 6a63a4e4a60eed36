"""Diagnoses and problems: a category of ICD-10-CM, or the doctor's own words."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.audit import record
from accounts.models import Patient, User
from clinic.directory.text import fold
from records.models import ICD_10_CM, Condition, Encounter, IcdCategory
from records.refusals import AlreadyRecorded, NoLongerActive
from records.writing import doctor_of, encounter_or_none, entry_in, in_chart, past, words

NAME_LENGTH = 300
ACTIVE = (Condition.Status.ACTIVE, Condition.Status.RECURRENCE)


def find_categories(q: str, limit: int = 20) -> list[IcdCategory]:
    """Categories whose code begins with ``q``, or whose name has all its words."""
    parts = fold(q).split()
    if not parts:
        return []
    wanted = Q()
    for part in parts:
        wanted &= Q(search_text__contains=part)
    found = IcdCategory.objects.filter(wanted | Q(code__startswith=parts[0].upper()))
    # A name that begins with what was typed comes before one that has it somewhere.
    joined = " ".join(parts)
    return sorted(
        found,
        key=lambda category: (
            not category.search_text.startswith(joined),
            not f" {category.search_text}".startswith(f" {category.code.lower()} {joined}"),
            category.code,
        ),
    )[:limit]


def add_condition(
    *,
    patient: Patient,
    category: IcdCategory | None,
    text: str,
    onset_at: datetime | None,
    encounter: Encounter | None,
    by: User,
    now: datetime,
) -> Condition:
    """Records an active condition; ``text`` may say more than the category, or stand alone.

    Raises `AlreadyRecorded` when an active one has the same name and category.
    """

    def work(chart: Patient) -> Condition:
        doctor_of(by)
        required = "" if category else _("Choose a diagnosis or type one.")
        name = words(text, NAME_LENGTH, field="text", required=required)
        name = name or (category.name if category else "")
        code = category.code if category else ""
        same = Condition.objects.filter(patient=chart, status__in=ACTIVE, code=code).standing()
        if any(fold(other.name) == fold(name) for other in same):
            raise AlreadyRecorded(name, field="text")
        condition = Condition.objects.create(
            patient=chart,
            name=name,
            code_system=ICD_10_CM if category else "",
            code=code,
            onset_at=past(onset_at, now, field="onset_at") if onset_at else None,
            encounter=encounter_or_none(chart, encounter),
            recorded_by=by,
            recorded_at=now,
        )
        record("condition.added", actor=by, patient=chart, subject=condition, now=now)
        return condition

    return in_chart(work, action="condition.added", patient=patient, by=by, now=now)


def resolve_condition(*, condition: Condition, by: User, now: datetime) -> Condition:
    """The patient has it no longer; an error is retracted instead."""

    def work(chart: Patient) -> Condition:
        found = entry_in(chart, condition)
        if found.is_retracted or found.status == Condition.Status.RESOLVED:
            raise NoLongerActive
        found.status, found.abated_at = Condition.Status.RESOLVED, now
        found.save(update_fields=["status", "abated_at"])
        record("condition.resolved", actor=by, patient=chart, subject=found, now=now)
        return found

    return in_chart(
        work,
        action="condition.resolved",
        patient=condition.patient,
        by=by,
        now=now,
        subject=condition,
    )
