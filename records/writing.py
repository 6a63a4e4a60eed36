"""How everything in a record is written: one transaction, the chart looked up again inside.

A rule never trusts the patient it is handed. It locks the chart's row, asks `records.access`
whether ``by`` may write in that chart at that moment, and works on what that returned. The lock
serializes what is checked before it is written ("No known allergies" and an allergy). What was
refused is written to the audit trail after the rollback.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import models
from django.utils.translation import gettext as _

from accounts.audit import record_refusal
from accounts.models import Patient, PatientQuerySet
from appointments.transactions import in_one_transaction, lock_patient
from clinic.directory.models import Doctor
from clinic.uploads.refusals import UploadRefused
from records.access import treated_by
from records.models import Encounter, Entry
from records.refusals import (
    MissingWords,
    NotInRecord,
    NotPossible,
    NotYourPatient,
    RecordRefused,
    TooLong,
)

T = TypeVar("T")
E = TypeVar("E", bound=Entry)

# A form that was sent twice (a double click, a reload after a lost answer) is one entry.
SENT_TWICE = timedelta(minutes=2)
CLOCKS_DIFFER = timedelta(minutes=5)  # how far ahead a device's clock may be
_SPACE = re.compile(r"\s+")


def in_chart(
    work: Callable[[Patient], T],
    *,
    action: str,
    patient: Patient,
    by: Any,
    now: datetime,
    charts: Callable[[Any, datetime], PatientQuerySet] = treated_by,
    subject: models.Model | None = None,
) -> T:
    """Runs ``work`` on the chart if ``by`` may write in it; raises `NotYourPatient` otherwise."""

    def guarded() -> T:
        lock_patient(patient.pk)
        chart = charts(by, now).filter(pk=patient.pk).first()
        if chart is None:
            raise NotYourPatient
        return work(chart)

    try:
        return in_one_transaction(guarded)
    except RecordRefused as refusal:
        audit_refusal(action, refusal.code, patient=patient, by=by, now=now, subject=subject)
        raise
    except UploadRefused as refusal:
        reason = f"upload {refusal.status}"
        audit_refusal(action, reason, patient=patient, by=by, now=now, subject=subject)
        raise


def audit_refusal(
    action: str,
    reason: str,
    *,
    patient: Patient,
    by: Any,
    now: datetime,
    subject: models.Model | None = None,
) -> None:
    record_refusal(action, actor=by, patient=patient, subject=subject, reason=reason, now=now)


def doctor_of(user: Any) -> Doctor:
    """The approved doctor who signed in as ``user``."""
    doctor = Doctor.objects.filter(
        user=user.pk, verified_at__isnull=False, withdrawn_at=None
    ).first()
    if doctor is None:
        raise NotYourPatient
    return doctor


def encounter_or_none(chart: Patient, encounter: Encounter | None) -> Encounter | None:
    return None if encounter is None else encounter_in(chart, encounter)


def encounter_in(chart: Patient, encounter: Encounter) -> Encounter:
    """The encounter as it is in this record; raises `NotInRecord` for one that is not."""
    found = Encounter.objects.filter(pk=encounter.pk, patient=chart).standing().first()
    if found is None:
        raise NotInRecord
    return found


def entry_in(chart: Patient, entry: E) -> E:
    """The entry as it is stored in this record now, locked; raises `NotInRecord`."""
    objects: Any = type(entry)._default_manager
    found: E | None = objects.select_for_update().filter(pk=entry.pk, patient=chart).first()
    if found is None:
        raise NotInRecord
    return found


def says_something(text: str) -> bool:
    """Whether there is a letter, digit or sign in it.

    Spaces, control characters and accents alone say nothing, and MySQL's collations take a text of
    nothing else (also in its compatibility forms, and of the one sign named here) for an empty one.
    """
    return any(
        unicodedata.category(letter)[0] in "LNPS" and letter != "\u06de"
        for letter in unicodedata.normalize("NFKD", text)
    )


def words(text: str, limit: int, *, field: str, required: str = "") -> str:
    """``text`` on one line; raises `MissingWords` (with ``required`` as its sentence), `TooLong`.

    ``limit`` counts characters.
    """
    text = _SPACE.sub(" ", text.replace("\x00", "")).strip()
    if not says_something(text):
        text = ""
    if required and not text:
        raise MissingWords(required, field=field)
    if len(text) > limit:
        raise TooLong(limit, field=field)
    return text


def past(moment: datetime, now: datetime, *, field: str) -> datetime:
    """``moment``, unless it has not come yet."""
    if moment > now + CLOCKS_DIFFER:
        raise NotPossible(_("This lies in the future. Enter when it happened."), field=field)
    return moment
