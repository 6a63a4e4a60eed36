"""Notes: drafts that save themselves, a signature that happens once, amendments.

Guarantee: a text that somebody saved is never overwritten by an older copy of it, and a signed note
never changes. Both are one conditional UPDATE: it names the version the writer had before them and
that the note is still a draft, so of two writers with the same version one finds no row. The author
of a draft may save, sign and discard it for a day after their access to the record ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from accounts.audit import record
from accounts.models import Patient, User
from clinic.directory.models import Doctor
from records.access import treated_lately
from records.models import Encounter, Note
from records.refusals import (
    AlreadySigned,
    DraftGone,
    EmptyNote,
    NotInRecord,
    NotSigned,
    NotTheAuthor,
    StaleDraft,
    TooLong,
)
from records.writing import doctor_of, encounter_in, in_chart, says_something

T = TypeVar("T")

BODY_LENGTH = 20_000  # characters, about ten printed pages


def start_note(*, encounter: Encounter, by: User, now: datetime) -> Note:
    """The draft of ``by`` in this encounter: the one already begun, or a new one."""

    def work(chart: Patient) -> Note:
        doctor_of(by)
        here = encounter_in(chart, encounter)
        draft = Note.objects.drafts().filter(encounter=here, author=by).order_by("pk").first()
        if draft is not None:
            return draft
        note = Note.objects.create(
            patient=chart, encounter=here, author=by, created_at=now, saved_at=now
        )
        record("note.begun", actor=by, patient=chart, subject=note, now=now)
        return note

    return in_chart(
        work,
        action="note.begun",
        patient=encounter.patient,
        by=by,
        now=now,
        subject=encounter,
    )


def save_draft(*, note: Note, body: str, version: int, by: User, now: datetime) -> Note:
    """Stores the text of a draft whose version ``version`` the writer had before them.

    Raises `StaleDraft` when it was saved elsewhere since, `AlreadySigned`, `DraftGone`, `TooLong`.
    """
    body = _text(body)

    def work(chart: Patient) -> Note:
        if len(body) > BODY_LENGTH:
            raise TooLong(BODY_LENGTH, field="body")
        stored = _own(chart, note, by)
        if stored.status == Note.Status.DRAFT and stored.body == body:
            # Nothing to store; also the repeated save whose answer was lost.
            if stored.version in {version, version + 1}:
                return stored
            raise StaleDraft(stored)
        changed = (
            Note.objects.drafts()
            .filter(pk=stored.pk, version=version)
            .update(body=body, version=version + 1, saved_at=now)
        )
        if not changed:
            _refuse(stored)
        record("note.saved", actor=by, patient=chart, subject=stored, now=now)
        stored.refresh_from_db()
        return stored

    return _in_lately(work, action="note.saved", note=note, by=by, now=now)


def sign(*, note: Note, body: str, version: int, by: User, now: datetime) -> Note:
    """Stores the text and signs it, both at once.

    Raises `AlreadySigned` the second time, `StaleDraft`, `EmptyNote`, `DraftGone`, `TooLong`.
    """
    body = _text(body)

    def work(chart: Patient) -> Note:
        if len(body) > BODY_LENGTH:
            raise TooLong(BODY_LENGTH, field="body")
        doctor = doctor_of(by)
        stored = _own(chart, note, by)
        if stored.is_signed:
            raise AlreadySigned
        if not says_something(body):
            raise EmptyNote
        changed = (
            Note.objects.drafts()
            .filter(pk=stored.pk, version=version)
            .update(
                body=body,
                version=version + 1,
                saved_at=now,
                status=Note.Status.SIGNED,
                signed_at=now,
                signed_name=signature(doctor),
            )
        )
        if not changed:
            _refuse(stored)
        record("note.signed", actor=by, patient=chart, subject=stored, now=now)
        stored.refresh_from_db()
        return stored

    return _in_lately(work, action="note.signed", note=note, by=by, now=now)


def amend(*, note: Note, body: str, by: User, now: datetime) -> Note:
    """Adds an amendment to a note of ``by``, signed at once. The same text again is the same one.

    An amendment to an amendment belongs to the note that began it. Raises `NotTheAuthor`,
    `NotSigned`, `EmptyNote`, `TooLong`.
    """
    body = _text(body)

    def work(chart: Patient) -> Note:
        doctor = doctor_of(by)
        first = (
            Note.objects.select_for_update()
            .select_related("amends")
            .filter(pk=note.pk, patient=chart)
            .first()
        )
        if first is None or (not first.is_signed and first.author_id != by.pk):
            raise NotInRecord
        if not first.is_signed:
            raise NotSigned
        if first.author_id != by.pk:
            raise NotTheAuthor(first.signed_name)
        first = first.amends or first
        if not says_something(body):
            raise EmptyNote
        if len(body) > BODY_LENGTH:
            raise TooLong(BODY_LENGTH, field="body")
        last = first.amendments.order_by("-signed_at", "-pk").first()
        if last is not None and last.body == body:
            return last
        amendment = Note.objects.create(
            patient=chart,
            encounter_id=first.encounter_id,
            author=by,
            amends=first,
            body=body,
            status=Note.Status.SIGNED,
            created_at=now,
            saved_at=now,
            signed_at=now,
            signed_name=signature(doctor),
        )
        record("note.amended", actor=by, patient=chart, subject=amendment, now=now)
        return amendment

    return in_chart(work, action="note.amended", patient=note.patient, by=by, now=now, subject=note)


def discard_draft(*, note: Note, by: User, now: datetime) -> None:
    """Deletes a draft of ``by``, which nobody else has seen. Again: nothing happens."""

    def work(chart: Patient) -> None:
        stored = Note.objects.select_for_update().filter(pk=note.pk, patient=chart).first()
        if stored is None:
            return
        if stored.author_id != by.pk:
            raise NotInRecord
        if stored.is_signed:
            raise AlreadySigned
        record("note.discarded", actor=by, patient=chart, subject=stored, now=now)
        stored.delete()

    _in_lately(work, action="note.discarded", note=note, by=by, now=now)


def _in_lately(
    work: Callable[[Patient], T], *, action: str, note: Note, by: User, now: datetime
) -> T:
    return in_chart(
        work,
        action=action,
        patient=note.patient,
        by=by,
        now=now,
        charts=treated_lately,
        subject=note,
    )


def author_of(*, public_id: uuid.UUID, note_id: uuid.UUID) -> int | None:
    """The key of the account that wrote the note ``note_id`` in the chart ``public_id``."""
    found = Note.objects.filter(public_id=note_id, patient__public_id=public_id)
    return found.values_list("author_id", flat=True).first()


def same_text(typed: str, stored: str) -> bool:
    """Whether a form's text is the stored one, whatever ends its lines."""
    return _text(typed) == stored


def signature(doctor: Doctor) -> str:
    """How a doctor's name stands under a note."""
    return f"{doctor.name}, {doctor.credentials}" if doctor.credentials else doctor.name


def _own(chart: Patient, note: Note, by: User) -> Note:
    stored = Note.objects.filter(pk=note.pk, patient=chart).first()
    if stored is None:
        raise DraftGone
    if stored.author_id != by.pk:
        raise NotInRecord
    return stored


def _refuse(stored: Note) -> None:
    """Says why the conditional update found no row."""
    current = Note.objects.filter(pk=stored.pk).first()
    if current is None:
        raise DraftGone
    if current.is_signed:
        raise AlreadySigned
    raise StaleDraft(current)


def _text(body: str) -> str:
    """With the same ends of lines whether a form or a script sent it."""
    return body.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
