"""What of a bundle the record has already: from an earlier import, or because it is its own."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from accounts.models import Patient
from records.fhir.reading import Entry
from records.models import Note

OWN_IDS = "urn:uuid|"  # how sources begin whose id may be one of ours


@dataclass(frozen=True)
class Row:
    """What was imported before."""

    pk: int
    digest: str
    is_retracted: bool


def known(model: Any, chart: Patient, entries: list[Entry]) -> dict[str, Row]:
    """By source."""
    found = model.objects.filter(patient=chart, source__in=[entry.source for entry in entries])
    if model is Note:  # never retracted
        rows = [(*row, None) for row in found.values_list("source", "pk", "source_digest")]
    else:
        rows = list(found.values_list("source", "pk", "source_digest", "retracted_at"))
    return {
        source: Row(pk, digest, retracted is not None) for source, pk, digest, retracted in rows
    }


def own(model: Any, chart: Patient, entries: list[Entry]) -> dict[str, int]:
    """Keys of entries that this very record gave out, by their source in the bundle."""
    by_id = {
        entry.source.rpartition("/")[2]: entry.source
        for entry in entries
        if entry.source.startswith(OWN_IDS)
    }
    wanted = [name for name in by_id if _is_uuid(name)]
    rows = model.objects.filter(patient=chart, public_id__in=wanted)
    return {by_id[str(name)]: pk for name, pk in rows.values_list("public_id", "pk")}


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def keys(model: Any, chart: Patient, entries: list[Entry]) -> dict[str, int]:
    imported = {source: row.pk for source, row in known(model, chart, entries).items()}
    return imported | own(model, chart, entries)
