"""A patient's record: encounters and notes, what is known, documents."""

from records.models.base import ICD_10_CM, LOINC, UCUM, Coded, Entry
from records.models.documents import DeletionRequest, Document
from records.models.encounters import Encounter, Note
from records.models.facts import (
    Allergy,
    AllergyStatement,
    Condition,
    IcdCategory,
    Immunization,
    Medication,
    MedicationStatus,
    Observation,
    Prescription,
    Procedure,
)

__all__ = [
    "ICD_10_CM",
    "LOINC",
    "UCUM",
    "Allergy",
    "AllergyStatement",
    "Coded",
    "Condition",
    "DeletionRequest",
    "Document",
    "Encounter",
    "Entry",
    "IcdCategory",
    "Immunization",
    "Medication",
    "MedicationStatus",
    "Note",
    "Observation",
    "Prescription",
    "Procedure",
]
