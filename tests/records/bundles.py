"""Bundles for the tests: the shipped ones of Synthea's people, and counts made without our code."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from accounts.models import Patient
from tests.cast import make_patient

FOLDER = Path(__file__).resolve().parent.parent / "data" / "fhir"
FILES = sorted(FOLDER.glob("*.json"))
TAKEN = {
    "Encounter",
    "Condition",
    "AllergyIntolerance",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Immunization",
    "Procedure",
}


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(), parse_float=Decimal)
    return found


def counted(bundle: dict[str, Any]) -> Counter[str]:
    return Counter(entry["resource"]["resourceType"] for entry in bundle["entry"])


def subject_of(bundle: dict[str, Any]) -> Patient:
    """A chart of the person whom ``bundle`` is about."""
    [found] = [
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "Patient"
    ]
    name = found["name"][0]
    return make_patient(
        f"{name['given'][0]} {name['family']}", birth_date=date.fromisoformat(found["birthDate"])
    )


# --- Made here ----------------------------------------------------------------------------------

WHEN = "2026-01-05T15:00:00Z"
ABOUT: dict[str, dict[str, Any]] = {
    "Encounter": {
        "status": "finished",
        "class": {"code": "AMB"},
        "type": [{"text": "Visit"}],
        "period": {"start": WHEN},
    },
    "Condition": {"code": {"text": "Asthma"}},
    "AllergyIntolerance": {"code": {"text": "Penicillin"}},
    "MedicationRequest": {
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "Metformin 500 mg"},
        "authoredOn": WHEN,
    },
    "Observation": {
        "status": "final",
        "code": {"text": "Glucose"},
        "effectiveDateTime": WHEN,
        "valueQuantity": {"value": 5, "unit": "mmol/L"},
    },
    "Immunization": {
        "status": "completed",
        "vaccineCode": {"text": "Influenza"},
        "occurrenceDateTime": WHEN,
    },
    "Procedure": {
        "status": "completed",
        "code": {"text": "Appendectomy"},
        "performedDateTime": WHEN,
    },
}
NORA = {"reference": "Patient/nora"}


def fact(kind: str, name: str = "", **changes: Any) -> dict[str, Any]:
    """A resource of Nora's; ``changes`` set elements, None takes one away in `bundle_of`."""
    whose = "patient" if kind in {"AllergyIntolerance", "Immunization"} else "subject"
    basics = {"resourceType": kind, "id": name or kind.lower(), whose: NORA}
    return basics | ABOUT[kind] | changes


def document(
    name: str = "file",
    *,
    data: bytes | None,
    content_type: str = "text/plain",
    title: str = "",
    **changes: Any,
) -> dict[str, Any]:
    file = {"contentType": content_type}
    if title:
        file["title"] = title
    if data is not None:
        file["data"] = base64.b64encode(data).decode()
    return {
        "resourceType": "DocumentReference",
        "id": name,
        "status": "current",
        "subject": NORA,
        "date": WHEN,
        "description": "A file",
        "content": [{"attachment": file}],
        **changes,
    }


def bundle_of(*resources: dict[str, Any]) -> dict[str, Any]:
    """A bundle of Nora Ames with these resources."""
    nora = {
        "resourceType": "Patient",
        "id": "nora",
        "identifier": [{"system": "urn:oid:1.2.3", "value": "1"}],
        "name": [{"family": "Ames", "given": ["Nora"]}],
        "birthDate": "1951-08-02",
    }
    found = json.loads(json.dumps([nora, *resources]))
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": resource} for resource in found],
    }
