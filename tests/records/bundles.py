"""Bundles for the tests: the shipped ones of Synthea's people, and counts made without our code."""

from __future__ import annotations

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
