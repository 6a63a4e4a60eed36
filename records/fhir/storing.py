"""A bundle's resources sorted by what becomes of them, and stored.

Runs inside the import's transaction; `records.fhir.importing` states the guarantee.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from accounts.models import Patient, User
from clinic.uploads import keeping
from clinic.uploads.checking import Checked, check
from clinic.uploads.refusals import UploadRefused
from records.allergies import active_allergies, note_asked
from records.documents import TITLE_LENGTH, place_of, row_for
from records.entries import forget_answer
from records.fhir.codes import ALLERGY_LIST, NIL_KNOWN, codes_of, moment
from records.fhir.known import keys, known, own
from records.fhir.reading import Entry, Parsed
from records.fhir.refusals import LeftOut, TwiceInBundle
from records.fhir.taking import ERROR, TAKERS, Fields
from records.fhir.taking_files import Inline, appended_to, context_of, inline_file, note
from records.models import Allergy, AllergyStatement, Document, Encounter, Note

ROWS_AT_ONCE = 500
NAMES_ONLY = "read for names only"
NOT_KEPT = "not part of the record"
NO_ID = "without an id"
TOO_LONG = "longer than the record holds"
CHANGED_NOTE = "a changed version of a signed note, which stays as it is"
NO_ENCOUNTER = "without an encounter of this bundle"
NAMERS = {"Practitioner", "PractitionerRole", "Organization", "Location", "Medication"}
EXTENSIONS = {"application/pdf": "pdf", "image/jpeg": "jpg", "image/png": "png"}


@dataclass
class Report:
    """What came of a bundle: counts of resources by type, and of what was left out also by reason.

    The patient is only compared. The four add up to all resources of the bundle.
    """

    created: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    compared: int = 0
    without_resource: int = 0

    def words(self) -> str:
        """For the audit trail: counts and nothing else."""
        return (
            f"{self.created.total()} created, {self.updated.total()} updated, "
            f"{self.unchanged.total()} unchanged, {self.left_out.total()} left out"
        )


class Plan:
    """What is to be stored: resources turned into fields, before the database is asked anything.

    `store` may run more than once, when the database asks for it.
    """

    def __init__(
        self,
        parsed: Parsed,
        *,
        by: User | None,
        now: datetime,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.parsed, self.by, self.now = parsed, by, now
        self.progress = progress
        self.report = Report()
        self.facts: dict[Any, list[tuple[Entry, Fields]]] = {}
        self.texts: list[tuple[Entry, Fields]] = []
        self.files: list[tuple[Entry, Inline]] = []
        self.errors: list[Entry] = []
        self.lists: list[Entry] = []
        self.kept: list[Document] = []
        self._left: Counter[tuple[str, str]] = Counter()
        self._sort()

    def _sort(self) -> None:
        seen: set[str] = set()
        for entry in self.parsed.entries:
            if entry is self.parsed.patient:
                continue
            if entry.source and entry.source in seen:
                raise TwiceInBundle(entry.source)
            seen.add(entry.source)
            try:
                self._place(entry)
            except LeftOut as why:
                self._left[(entry.kind, why.reason)] += 1
                if why.reason == ERROR and entry.source:
                    self.errors.append(entry)

    def _place(self, entry: Entry) -> None:
        if entry.kind in NAMERS:
            raise LeftOut(NAMES_ONLY)
        if entry.kind == "List" and ALLERGY_LIST in codes_of(entry.resource.get("code")):
            self.lists.append(entry)
            return
        if entry.kind not in TAKERS and entry.kind != "DocumentReference":
            raise LeftOut(NOT_KEPT)
        if not entry.source:
            raise LeftOut(NO_ID)
        if entry.kind == "DocumentReference":
            file = inline_file(entry.resource)
            self.parsed.need(context_of(entry.resource), holder=entry.resource)
            if file.is_note:
                self.texts.append((entry, _fitting(Note, note(self.parsed, entry, file))))
            else:
                self.files.append((entry, file))
            return
        taker = TAKERS[entry.kind]
        fields = _fitting(taker.model, taker.take(self.parsed, entry))
        if taker.encounter:  # a reference that leads nowhere is refused before anything is stored
            self.parsed.need(entry.resource.get(taker.encounter), holder=entry.resource)
        self.facts.setdefault(taker.model, []).append((entry, fields))

    # --- Storing --------------------------------------------------------------------------------

    def store(self, chart: Patient, *, keep_files: bool) -> Report:
        self.report = Report(
            left_out=Counter(self._left),
            compared=1,
            without_resource=self.parsed.without_resource,
        )
        self.drop_files()  # of an attempt that was rolled back
        self._tell()
        meetings = self.facts.pop(Encounter, [])
        self.facts = {Encounter: meetings, **self.facts}
        encounters: dict[str, int] = {}
        for model, found in self.facts.items():
            rows = [(entry, self._filled(entry, fields, encounters)) for entry, fields in found]
            self._store_rows(chart, model, rows)
            if model is Encounter:
                encounters = keys(Encounter, chart, [entry for entry, _fields in found])
        self._store_notes(chart, encounters)
        self._store_files(chart, encounters, keep_files=keep_files)
        for entry in self.errors:
            self._retract(chart, entry)
        self._store_answer(chart)
        return self.report

    def _filled(self, entry: Entry, fields: Fields, encounters: dict[str, int]) -> Fields:
        filled = dict(fields)
        if filled.get("recorded_at") is None:
            filled["recorded_at"] = self.now
        taker = TAKERS[entry.kind]
        if taker.encounter:
            filled["encounter_id"] = self._encounter(
                entry.resource.get(taker.encounter), encounters
            )
        return filled

    def _encounter(self, reference: Any, encounters: dict[str, int]) -> int | None:
        """None also when the encounter itself was left out."""
        found = self.parsed.entry(reference)
        return None if found is None else encounters.get(found.source)

    def _store_rows(
        self, chart: Patient, model: Any, rows: list[tuple[Entry, Fields]]
    ) -> dict[str, int]:
        """Creates and updates rows of one model; returns the keys by source."""
        entries = [entry for entry, _fields in rows]
        before, ours = known(model, chart, entries), own(model, chart, entries)
        fresh = []
        for entry, fields in rows:
            there = before.get(entry.source)
            if entry.source in ours:
                self.report.unchanged[entry.kind] += 1
            elif there is None:
                origin: Fields = {"source": entry.source, "source_digest": entry.digest}
                if model is not Note:
                    origin["recorded_by"] = self.by
                fresh.append(model(patient=chart, **fields, **origin))
                self.report.created[entry.kind] += 1
            elif there.digest == entry.digest or there.is_retracted:
                self.report.unchanged[entry.kind] += 1
            elif model is Note:
                # Somebody may have acted on the text that stands; what is new comes as a note of
                # its own that amends it.
                self.report.left_out[(entry.kind, CHANGED_NOTE)] += 1
            else:
                changed = {**fields, "source_digest": entry.digest}
                model.objects.filter(pk=there.pk).update(**changed)
                self.report.updated[entry.kind] += 1
            self._tell()
        model.objects.bulk_create(fresh, batch_size=ROWS_AT_ONCE)
        return keys(model, chart, entries)

    def _store_notes(self, chart: Patient, encounters: dict[str, int]) -> None:
        """Notes, then what amends them."""
        first, later = [], []
        for entry, fields in self.texts:
            encounter = self._encounter(context_of(entry.resource), encounters)
            if encounter is None:
                self._leave_out(entry, NO_ENCOUNTER)
                continue
            filled = fields | {"encounter_id": encounter, "status": Note.Status.SIGNED}
            amended = appended_to(self.parsed, entry)
            if amended is None:
                first.append((entry, filled))
            else:
                later.append((entry, filled, amended))
        keys = self._store_rows(chart, Note, first)
        rows = []
        for entry, filled, amended in later:
            if amended.source in keys:
                rows.append((entry, filled | {"amends_id": keys[amended.source]}))
            else:
                self._leave_out(entry, "amends something that was left out")
        self._store_rows(chart, Note, rows)

    def _store_files(self, chart: Patient, encounters: dict[str, int], *, keep_files: bool) -> None:
        entries = [entry for entry, _file in self.files]
        before, ours = known(Document, chart, entries), own(Document, chart, entries)
        for entry, file in self.files:
            there = before.get(entry.source)
            if entry.source in ours or (
                there and (there.digest == entry.digest or there.is_retracted)
            ):
                self.report.unchanged[entry.kind] += 1
                continue
            if there is not None:
                # A file that changed is a new document elsewhere too; the old one stays.
                self._leave_out(entry, "a changed file of a document that is there already")
                continue
            try:
                checked = check(_file_name(file), file.data, limit=settings.UPLOAD_MAX_BYTES)
            except UploadRefused:
                self._leave_out(entry, "a file that may not be kept")
                continue
            try:
                self._keep(chart, entry, checked, encounters, keep_files=keep_files)
            except LeftOut as why:
                self._leave_out(entry, why.reason)

    def _keep(
        self,
        chart: Patient,
        entry: Entry,
        file: Checked,
        encounters: dict[str, int],
        *,
        keep_files: bool,
    ) -> None:
        resource = entry.resource
        title = resource.get("description") or (resource.get("type") or {}).get("text") or file.name
        if len(title) > TITLE_LENGTH:
            raise LeftOut(TOO_LONG)
        document = row_for(file, patient=chart, title=title, by=self.by, now=self.now)
        document.recorded_at = moment(resource.get("date")) or self.now
        document.encounter_id = self._encounter(context_of(resource), encounters)
        document.source, document.source_digest = entry.source, entry.digest
        document.kept_at = self.now
        document.by_patient = any(
            self.parsed.entry(author) is self.parsed.patient
            for author in resource.get("author", ())
        )
        document.save(force_insert=True)
        self.report.created[entry.kind] += 1
        self._tell()
        if keep_files:
            # Inside the transaction: the document is complete at its commit. What was kept for
            # nothing because the transaction failed is removed by `drop_files`.
            self.kept.append(document)
            keeping.keep_bytes(place_of(document), file, undo=lambda _: None)

    def drop_files(self) -> None:
        for document in self.kept:
            # What cannot be removed now has no row that names it: an orphan, for the nightly job.
            with contextlib.suppress(DatabaseError, OSError):
                keeping.remove_bytes(place_of(document), committed=True)
        self.kept.clear()

    def _retract(self, chart: Patient, entry: Entry) -> None:
        """What the sender calls an error now was taken earlier: it is one here too."""
        model: Any = TAKERS[entry.kind].model if entry.kind in TAKERS else Document
        changed = model.objects.filter(
            patient=chart, source=entry.source, retracted_at=None
        ).update(retracted_at=self.now, retracted_by=self.by, source_digest=entry.digest)
        if changed:
            self.report.left_out[(entry.kind, ERROR)] -= 1
            self.report.updated[entry.kind] += 1
            if model is Allergy:
                forget_answer(chart)

    def _store_answer(self, chart: Patient) -> None:
        """Whether the patient was asked about allergies, by lists and by the allergies taken."""
        has_active = bool(active_allergies(chart))
        there = AllergyStatement.objects.filter(patient=chart).first()
        for entry in self.lists:
            none_known = NIL_KNOWN in codes_of(entry.resource.get("emptyReason"))
            asked = moment(entry.resource.get("date")) or self.now
            if none_known and has_active:
                self._leave_out(entry, "says that no allergy is known, but one is recorded")
            elif there is not None and (there.none_known == none_known or there.asked_at >= asked):
                self.report.unchanged[entry.kind] += 1
                self._tell()
            else:
                kind = self.report.created if there is None else self.report.updated
                kind[entry.kind] += 1
                there = note_asked(chart, none_known=none_known, by=self.by, now=asked)
                self._tell()
        if has_active and (there is None or there.none_known):
            note_asked(chart, none_known=False, by=self.by, now=self.now)

    def _leave_out(self, entry: Entry, why: str) -> None:
        self.report.left_out[(entry.kind, why)] += 1
        self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            report = self.report
            self.progress(
                report.compared
                + report.created.total()
                + report.updated.total()
                + report.unchanged.total()
                + report.left_out.total()
            )


def _fitting(model: Any, fields: Fields) -> Fields:
    """``fields``, none of which is longer than its column."""
    for name, value in fields.items():
        limit = getattr(model._meta.get_field(name), "max_length", None)
        if isinstance(value, str) and limit is not None and len(value) > limit:
            raise LeftOut(TOO_LONG)
    return fields


def _file_name(file: Inline) -> str:
    """The name with the ending that its content type has, if it has none."""
    ending = EXTENSIONS.get(file.content_type, "")
    if not file.name:
        return f"document.{ending}" if ending else "document"
    return file.name if "." in file.name or not ending else f"{file.name}.{ending}"
