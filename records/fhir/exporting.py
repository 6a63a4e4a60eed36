"""A patient's record as a FHIR R4 bundle: everything that stands in it, of nobody else.

Left out are drafts, which only their author knows, what was entered in error, and messages. Files
are in the bundle up to `FILES_LIMIT` bytes, the newest first; later ones are named in it.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from accounts.audit import record
from accounts.models import Patient, User
from clinic.uploads import keeping
from records.access import readable_by
from records.documents import place_of
from records.entries import took_place
from records.fhir import resources
from records.fhir.codes import Resource, instant
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
from records.writing import in_chart

# A process holds a bundle in memory, and a file takes a third more in it.
FILES_LIMIT = 50 * 1024 * 1024
FACTS: list[tuple[Any, Any]] = [
    (Condition, resources.condition),
    (Allergy, resources.allergy),
    (Medication, resources.medication),
    (Prescription, resources.prescription),
    (Observation, resources.observation),
    (Immunization, resources.immunization),
    (Procedure, resources.procedure),
]


def export_bundle(*, patient: Patient, by: User, now: datetime) -> Resource:
    """The record of ``patient`` for somebody who may read it, with an audit row.

    Raises `NotYourPatient`. The bundle is valid R4 of type ``collection`` and can be taken in by
    `records.fhir.importing`. Numbers are plain, so `json.dumps` writes it as it is.
    """

    def work(chart: Patient) -> Resource:
        bundle = _bundle(chart, now)
        record("record.exported", actor=by, patient=chart, now=now)
        return bundle

    return in_chart(
        work, action="record.exported", patient=patient, by=by, now=now, charts=readable_by
    )


def _bundle(chart: Patient, now: datetime) -> Resource:
    made = [resources.patient_of(chart), *_entries(chart, now)]
    return {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid.uuid4()}"},
        "type": "collection",
        "timestamp": instant(now),
        "entry": [{"fullUrl": _address(found), "resource": found} for found in made],
    }


def _address(resource: Resource) -> str:
    name = str(resource["id"])
    if resource["resourceType"] == "List":
        # There is one a patient, and it has no id of its own.
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    return f"urn:uuid:{name}"


def _entries(chart: Patient, now: datetime) -> Iterable[Resource]:
    meetings = list(
        Encounter.objects.filter(took_place(), patient=chart)
        .standing()
        .select_related("doctor", "hospital")
        .order_by("starts_at", "pk")
    )
    given = {meeting.pk for meeting in meetings}
    yield from (resources.encounter(meeting, chart, now=now) for meeting in meetings)
    for model, as_resource in FACTS:
        parts = ["encounter", "doctor"] if model is Prescription else ["encounter"]
        found = model.objects.filter(patient=chart).standing().select_related(*parts)
        yield from (as_resource(entry, chart, given) for entry in found.order_by("pk"))
    notes = Note.objects.filter(patient=chart, encounter__in=given).signed()
    for note in notes.select_related("encounter", "amends").order_by("signed_at", "pk"):
        yield resources.note(note, chart)
    yield from _documents(chart, given)
    statement = AllergyStatement.objects.filter(patient=chart).first()
    if statement is not None:
        allergies = list(Allergy.objects.filter(patient=chart).standing().order_by("pk"))
        yield resources.allergy_list(statement, chart, allergies)


def _documents(chart: Patient, given: set[int]) -> Iterable[Resource]:
    found = Document.objects.filter(patient=chart).kept().standing().select_related("encounter")
    room = FILES_LIMIT
    for document in found.order_by("-recorded_at", "-pk"):
        data = None
        if document.size <= room:
            # A file that its storage has lost is left out like one there is no room for.
            with (
                contextlib.suppress(FileNotFoundError),
                keeping.open_bytes(place_of(document)) as file,
            ):
                data = b"".join(file.chunks())
                room -= document.size
        yield resources.document(document, chart, given, data)
