"""Documents of a record: taken in, opened, and removed when their bytes never came.

`clinic.uploads.keeping` says how a file is kept. Here the row belongs to a patient; it is seen by
nobody until ``kept_at`` says that its bytes are stored.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.core.files.base import File
from django.core.files.uploadedfile import UploadedFile
from django.db import DatabaseError
from django.utils import timezone

from accounts.audit import record
from accounts.models import AuditEvent, Patient, User
from appointments.transactions import in_one_transaction
from clinic.logs import type_name
from clinic.uploads import keeping
from clinic.uploads.checking import Checked
from clinic.uploads.refusals import UploadRefused
from records.access import own_records, treated_by
from records.models import Document, Encounter
from records.refusals import AlreadyRecorded, NotInRecord
from records.writing import audit_refusal, encounter_or_none, in_chart, words

TITLE_LENGTH = 120
PAGE_COUNTS_FOR = timedelta(hours=1)  # longer than a page's pictures take to load, on any line

log = structlog.get_logger("records.documents")


def store(
    *,
    patient: Patient,
    upload: UploadedFile,
    title: str,
    encounter: Encounter | None = None,
    by: User,
    now: datetime,
    by_patient: bool = False,
) -> Document:
    """Takes a file into the record, by its doctor or, with ``by_patient``, from the patient's side.

    Raises `UploadRefused` with a sentence (empty, too large, not what may be sent, too many on one
    day), `NotYourPatient`, `AlreadyRecorded` for the same file under the same title.
    """
    charts = own_records if by_patient else treated_by

    def write(work: Callable[[Patient], Any]) -> Any:
        return in_chart(
            work, action="document.stored", patient=patient, by=by, now=now, charts=charts
        )

    # Nobody makes this process look at a file for a chart that is not theirs.
    title = write(lambda chart: words(title, TITLE_LENGTH, field="title"))
    try:
        file = keeping.take(upload, user=by.pk, now=now)
    except UploadRefused as refusal:
        reason = f"upload {refusal.status}"
        audit_refusal("document.stored", reason, patient=patient, by=by, now=now)
        raise
    title = title or file.name
    document = row_for(file, patient=patient, title=title, by=by, now=now)
    document.by_patient = by_patient

    def reserve(chart: Patient) -> Document:
        known = Document.objects.filter(public_id=document.public_id).first()
        if known is not None:  # a COMMIT whose answer was lost is repeated
            return known
        # The lock under which the day's files of this person are counted, in any chart.
        User.objects.select_for_update().values_list("pk", flat=True).get(pk=by.pk)
        same = Document.objects.filter(patient=chart, sha256=document.sha256, title=title)
        if same.kept().standing().exists():
            raise AlreadyRecorded(title, field="file")
        sent = Document.objects.filter(
            recorded_by=by, source=None, recorded_at__gt=now - keeping.DAY
        )
        keeping.refuse_full_day(sent, size=document.size)
        document.pk = None
        document.encounter = encounter_or_none(chart, encounter)
        document.save(force_insert=True)
        return document

    def finish(chart: Patient) -> Document:
        kept = Document.objects.filter(pk=document.pk, kept_at=None).update(kept_at=now)
        document.kept_at = now
        if kept:
            record("document.stored", actor=by, patient=chart, subject=document, now=now)
        return document

    write(reserve)
    with keeping.refused_when_away():
        keeping.keep_bytes(
            place_of(document),
            file,
            undo=lambda bytes_too: _remove(document.pk, bytes_too=bytes_too),
        )
    stored: Document = write(finish)
    return stored


def row_for(
    file: Checked, *, patient: Patient, title: str, by: User | None, now: datetime
) -> Document:
    """An unsaved row of a checked file."""
    place = keeping.place_for(file)
    return Document(
        patient=patient,
        title=title,
        name=file.name,
        content_type=file.content_type,
        size=len(file.data),
        sha256=hashlib.sha256(file.data).hexdigest(),
        stored_as=place.stored_as,
        thumbnail_as=place.thumbnail_as,
        recorded_by=by,
        recorded_at=now,
    )


def place_of(document: Document) -> keeping.Place:
    return keeping.Place(document.stored_as, document.thumbnail_as)


def open_document(*, document: Document, by: User, now: datetime, thumbnail: bool = False) -> File:
    """The bytes, opened for reading by ``chunks()``, with an audit row unless it is the patient.

    A small picture belongs to the page it stands on, whose opening was written down: it has a row
    of its own only when its reader has not opened the record within `PAGE_COUNTS_FOR`. Raises
    `NotInRecord` for somebody who may not read the record, FileNotFoundError without bytes.
    """
    found = (
        Document.objects.visible_to(by, now)
        .select_related("patient")
        .filter(pk=document.pk)
        .first()
    )
    if found is None:
        audit_refusal(
            "document.opened", "not_found", patient=document.patient, by=by, now=now,
            subject=document,
        )  # fmt: skip
        raise NotInRecord
    file = keeping.open_bytes(place_of(found), thumbnail=thumbnail)
    is_own = found.patient.account_id == by.pk
    if not (is_own or (thumbnail and _has_opened_record(found.patient, by, now))):
        record("document.opened", actor=by, patient=found.patient, subject=found, now=now)
    return file


def _has_opened_record(patient: Patient, by: User, now: datetime) -> bool:
    """Whether ``by`` has a page of this record open, as far as the trail says."""
    return AuditEvent.objects.filter(
        patient=patient, actor_id=by.pk, action="record.viewed", at__gt=now - PAGE_COUNTS_FOR
    ).exists()


def own_document(*, public_id: uuid.UUID, by: User, now: datetime) -> Document:
    """A file of a record that ``by`` reads as the patient, or as a carer with that right.

    Raises `Document.DoesNotExist` for anybody else's, and audits that.
    """
    mine = own_records(by, now)
    try:
        return readable_documents(by, now).filter(patient__in=mine).get(public_id=public_id)
    except Document.DoesNotExist:
        other = Document.objects.select_related("patient").filter(public_id=public_id).first()
        if other is not None and not mine.filter(pk=other.patient_id).exists():
            audit_refusal(
                "document.opened", "not_found", patient=other.patient, by=by, now=now,
                subject=other,
            )  # fmt: skip
        raise


def readable_documents(by: User, now: datetime) -> Any:
    """Documents that ``by`` may open."""
    return Document.objects.visible_to(by, now).standing()


def remove_unfinished(*, now: datetime | None = None) -> int:
    """Removes rows whose bytes did not come within a day, with what came; returns how many."""
    before = (now or timezone.now()) - keeping.KEEP_UNFINISHED
    old = Document.objects.filter(kept_at=None, recorded_at__lt=before).order_by("pk")
    removed = 0
    for pk in list(old.values_list("pk", flat=True)[: keeping.REMOVED_AT_ONCE]):
        try:
            removed += _remove(pk)
        except (DatabaseError, OSError) as error:
            # The others go on; this one is tried again by the next run.
            log.warning("document_not_removed", error=type_name(error))
    return removed


def _remove(pk: int, *, bytes_too: bool = True) -> bool:
    """Removes a row and its bytes unless it was finished meanwhile."""

    def work() -> keeping.Place | None:
        found = Document.objects.select_for_update().filter(pk=pk, kept_at=None).first()
        if found is None:
            return None
        keeping.remove_bytes(place_of(found), committed=False)
        found.delete()
        return place_of(found)

    place = in_one_transaction(work)
    if place is not None and bytes_too:
        keeping.remove_bytes(place, committed=True)
    return place is not None
