"""A record without what differs between two charts on purpose, to compare it with another one's.

Keys, public ids, who recorded it and where it was imported from are left out; an encounter is told
by what it is. Doctors and hospitals of ours are names elsewhere. FHIR has no element for when an
encounter or procedure was recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from accounts.models import Patient
from clinic.uploads.keeping import open_bytes
from records.documents import place_of
from records.entries import ENTRIES
from records.models import AllergyStatement, Document, Encounter, Entry, Note, Prescription
from records.notes import signature

NOT_COMPARED = {
    "id",
    "public_id",
    "patient",
    "source",
    "source_digest",
    "recorded_by",
    "retracted_at",
    "retracted_by",
    "retracted_why",
    "appointment",
    "doctor",
    "hospital",
    "performer_name",
    "place_name",
    "prescriber_name",
    "stored_as",
    "thumbnail_as",
    "kept_at",
}
# Pictures are encoded anew whenever they are taken in.
OF_PICTURES = {"size", "sha256"}


def meaning(patient: Patient) -> dict[str, list[str]]:
    """What a record says, as sorted texts by kind; what was entered in error is no part of it."""
    said: dict[str, list[str]] = {}
    for model in ENTRIES:
        found = model.objects.filter(patient=patient).standing()
        if model is Document:
            found = found.kept()
        said[model.__name__] = sorted(_entry(entry) for entry in found)
    notes = Note.objects.filter(patient=patient).signed()
    said["Note"] = sorted(_note(note) for note in notes)
    answers = AllergyStatement.objects.filter(patient=patient)
    said["AllergyStatement"] = [f"{answer.none_known} {answer.asked_at}" for answer in answers]
    return said


def _entry(entry: Entry) -> str:
    left_out = NOT_COMPARED | (
        {"recorded_at"} if entry._meta.model_name in {"encounter", "procedure"} else set()
    )
    is_picture = isinstance(entry, Document) and entry.content_type.startswith("image/")
    said: dict[str, Any] = {}
    for field in entry._meta.fields:
        if field.name in left_out or (is_picture and field.name in OF_PICTURES):
            continue
        value = getattr(entry, field.name)
        if isinstance(value, Encounter):
            value = _entry(value)
        if field.name == "value" and value is not None:
            value = float(value)
        if field.name == "components":
            value = json.dumps(value, sort_keys=True)  # a database orders keys as it likes
        said[field.name] = value
    said |= {name: name_of(entry) for name, name_of in NAMES.items() if hasattr(entry, name)}
    if isinstance(entry, Document) and not is_picture:
        with open_bytes(place_of(entry)) as file:
            said["bytes"] = b"".join(file.chunks())
    return repr(said)


def _note(note: Note) -> str:
    amended = _note(note.amends) if note.amends else None
    return repr((note.body, note.signed_at, note.signed_name, _entry(note.encounter), amended))


def _performer(entry: Any) -> str:
    return signature(entry.doctor) if entry.doctor else str(entry.performer_name)


def _place(entry: Any) -> str:
    return entry.hospital.name if entry.hospital else str(entry.place_name)


def _prescriber(entry: Prescription) -> str:
    return signature(entry.doctor) if entry.doctor else entry.prescriber_name


NAMES: dict[str, Callable[[Any], str]] = {
    "performer_name": _performer,
    "place_name": _place,
    "prescriber_name": _prescriber,
}
