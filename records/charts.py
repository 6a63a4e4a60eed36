"""Opening a chart, and what is read in it: the summary and the timeline.

`open_chart`, `peek_chart` and `own_chart` are the only ways from an id to a patient in this app,
and each takes who is asking.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.audit import record
from accounts.models import Patient, PatientQuerySet, User
from records.access import own_records, readable_by, treated_by
from records.allergies import active_allergies
from records.conditions import ACTIVE
from records.entries import FACTS, took_place
from records.medications import CURRENT
from records.models import (
    Allergy,
    AllergyStatement,
    Condition,
    Document,
    Encounter,
    Entry,
    Medication,
    Note,
    Observation,
    Prescription,
)
from records.observations import VITAL_SIGNS
from records.refusals import NotYourPatient
from records.writing import audit_refusal

# When an entry of each kind happened: what the timeline is ordered by.
HAPPENED = {
    "encounter": "starts_at",
    "prescription": "issued_at",
    "observation": "observed_at",
    "immunization": "given_at",
    "procedure": "performed_at",
}
RECORDED = "recorded_at"


def open_chart(*, public_id: uuid.UUID, by: User, now: datetime) -> Patient:
    """The chart of an own patient, with an audit row for this opening.

    Raises `Patient.DoesNotExist` for anybody else's, and audits that too.
    """
    chart = peek_chart(public_id=public_id, by=by, now=now)
    record("record.viewed", actor=by, patient=chart, now=now)
    return chart


def peek_chart(*, public_id: uuid.UUID, by: User, now: datetime) -> Patient:
    """The chart of an own patient, for a form's answer: the rule it calls writes the audit row.

    Raises `Patient.DoesNotExist` for anybody else's, and audits that.
    """
    return _among(treated_by(by, now), public_id, by, now)


def own_chart(*, public_id: uuid.UUID, by: User, now: datetime) -> Patient:
    """The chart of a record that ``by`` reads as the patient, or as a carer with that right.

    Raises `Patient.DoesNotExist` for anybody else's, and audits that.
    """
    return _among(own_records(by, now), public_id, by, now)


def _among(charts: PatientQuerySet, public_id: uuid.UUID, by: User, now: datetime) -> Patient:
    try:
        return charts.get(public_id=public_id)
    except Patient.DoesNotExist:
        stranger = Patient.objects.filter(public_id=public_id).first()
        if stranger is not None:
            audit_refusal("record.viewed", "not_found", patient=stranger, by=by, now=now)
        raise


def same_name(patient: Patient) -> bool:
    """Whether another patient has the same name, so that pages show the birth date large."""
    others = Patient.objects.current().exclude(pk=patient.pk)
    return others.filter(name=patient.name).exists()


# --- Summary ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChartSummary:
    """``vital_signs`` are the latest of each kind, in the order of `VITAL_SIGNS`."""

    allergies: list[Allergy]
    allergy_words: str
    medications: list[Medication]
    prescriptions: list[Prescription]
    conditions: list[Condition]
    vital_signs: list[Observation]


def summary(patient: Patient, *, by: User, now: datetime) -> ChartSummary:
    """What to know before anything else. Raises `NotYourPatient`."""
    chart = _readable(patient, by, now)
    allergies = active_allergies(chart)
    return ChartSummary(
        allergies=allergies,
        allergy_words=allergy_words(chart, allergies),
        medications=list(
            Medication.objects.filter(patient=chart, status__in=CURRENT)
            .standing()
            .order_by("name", "pk")
        ),
        prescriptions=list(
            Prescription.objects.filter(patient=chart, status__in=CURRENT)
            .standing()
            .select_related("doctor")
            .order_by("name", "-issued_at", "pk")
        ),
        conditions=list(
            Condition.objects.filter(patient=chart, status__in=ACTIVE)
            .standing()
            .order_by("name", "pk")
        ),
        vital_signs=_latest_vital_signs(chart),
    )


def allergy_words(chart: Patient, allergies: list[Allergy]) -> str:
    """What is known about allergies, in words; "No known allergies" is an answer, no gap."""
    if allergies:
        count = len(allergies)
        return ngettext("%(count)d allergy", "%(count)d allergies", count) % {"count": count}
    statement = AllergyStatement.objects.filter(patient=chart).first()
    if statement is None:
        return _("Not asked")
    return _("No known allergies") if statement.none_known else _("No active allergies")


def _latest_vital_signs(chart: Patient) -> list[Observation]:
    found = []
    for kind in VITAL_SIGNS.values():
        series = Observation.objects.filter(patient=chart, code=kind.code).standing()
        latest = series.order_by("-observed_at", "-pk").first()
        if latest is not None:
            found.append(latest)
    return found


# --- Timeline -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoteThread:
    """A note and its amendments, the first one first. Amendments have been signed."""

    note: Note
    amendments: list[Note]


@dataclass(frozen=True)
class TimelineItem:
    """An encounter with what was written and recorded in it, or one entry without an encounter."""

    at: datetime
    encounter: Encounter | None = None
    notes: list[NoteThread] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class TimelinePage:
    """``next_before`` asks for the following, older page; None on the last one."""

    items: list[TimelineItem]
    next_before: datetime | None


def happened(entry: Entry) -> datetime:
    moment: datetime = getattr(entry, HAPPENED.get(entry._meta.model_name or "", RECORDED))
    return moment


def timeline(
    patient: Patient, *, by: User, now: datetime, before: datetime | None = None, limit: int = 30
) -> TimelinePage:
    """What happened, newest first, in a constant number of queries. Raises `NotYourPatient`.

    A page has ``limit`` items, and more when several happened at the moment where it ends. Doctors
    also see what was entered in error (as such) and their own drafts; patients see neither.
    """
    chart = _readable(patient, by, now)
    as_doctor = treated_by(by, now).filter(pk=chart.pk).exists()

    def rows(model: Any) -> Any:
        found = model.objects.filter(patient=chart)
        found = found.filter(took_place() if model is Encounter else Q(encounter=None))
        if model is Document:
            found = found.filter(kept_at__isnull=False)
        if not as_doctor:
            found = found.filter(retracted_at=None)
        if before is not None:
            found = found.filter(**{f"{_moment_of(model)}__lt": before})
        return found

    models: list[Any] = [Encounter, *FACTS]
    # First only the moments, to find where the page ends; then everything down to there.
    moments = sorted(
        chain.from_iterable(
            rows(model)
            .order_by(f"-{_moment_of(model)}")
            .values_list(_moment_of(model), flat=True)[: limit + 1]
            for model in models
        ),
        reverse=True,
    )
    if not moments:
        return TimelinePage([], None)
    last = moments[min(limit, len(moments)) - 1]
    on_page: list[Entry] = []
    for model in models:
        found = rows(model).filter(**{f"{_moment_of(model)}__gte": last})
        on_page.extend(_with_parts(model, found))
    more = any(moment < last for moment in moments)
    encounters = [entry for entry in on_page if isinstance(entry, Encounter)]
    notes = _notes_of(encounters, by=by, now=now, as_doctor=as_doctor)
    entries = _entries_of(encounters, as_doctor=as_doctor)
    items = [
        TimelineItem(happened(entry), entry, notes[entry.pk], entries[entry.pk])
        if isinstance(entry, Encounter)
        else TimelineItem(happened(entry), entries=[entry])
        for entry in on_page
    ]
    items.sort(key=lambda item: item.at, reverse=True)
    return TimelinePage(items, last if more else None)


def _moment_of(model: Any) -> str:
    return HAPPENED.get(model._meta.model_name or "", RECORDED)


def _with_parts(model: Any, found: Any) -> Any:
    if model is Encounter:
        return found.select_related("doctor", "hospital", "appointment", "recorded_by")
    if model is Prescription:
        return found.select_related("doctor", "recorded_by")
    return found.select_related("recorded_by")


def _notes_of(
    encounters: Iterable[Encounter], *, by: User, now: datetime, as_doctor: bool
) -> dict[int, list[NoteThread]]:
    threads: dict[int, list[NoteThread]] = defaultdict(list)
    found = Note.objects.visible_to(by, now).filter(encounter__in=[e.pk for e in encounters])
    if not as_doctor:
        found = found.signed()
    by_note: dict[int, NoteThread] = {}
    for note in found.select_related("author").order_by("created_at", "pk"):
        if note.amends_id is None:
            by_note[note.pk] = NoteThread(note, [])
            threads[note.encounter_id].append(by_note[note.pk])
        elif note.amends_id in by_note:
            by_note[note.amends_id].amendments.append(note)
    return threads


def _entries_of(encounters: Iterable[Encounter], *, as_doctor: bool) -> dict[int, list[Entry]]:
    entries: dict[int, list[Entry]] = defaultdict(list)
    keys = [encounter.pk for encounter in encounters]
    for model in FACTS:
        found = model.objects.filter(encounter__in=keys)
        if model is Document:
            found = found.filter(kept_at__isnull=False)
        if not as_doctor:
            found = found.filter(retracted_at=None)
        for entry in _with_parts(model, found).order_by("pk"):
            entries[entry.encounter_id].append(entry)
    return entries


def _readable(patient: Patient, by: Any, now: datetime) -> Patient:
    chart = readable_by(by, now).filter(pk=patient.pk).first()
    if chart is None:
        raise NotYourPatient
    return chart
