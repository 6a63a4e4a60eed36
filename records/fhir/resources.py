"""What each entry of the record is as a FHIR R4 resource: the reverse of `records.fhir.taking`."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from accounts.models import Patient, Sex
from records.fhir import codes
from records.fhir.codes import OWN, Resource, concept, instant, number
from records.models import (
    LOINC,
    UCUM,
    Allergy,
    AllergyStatement,
    Condition,
    Document,
    Encounter,
    Immunization,
    Medication,
    MedicationStatus,
    Note,
    Observation,
    Prescription,
    Procedure,
)
from records.notes import signature
from records.observations import plain

GENDER = {Sex.FEMALE: "female", Sex.MALE: "male", Sex.OTHER: "other"}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?) (\S.*)")


def reference(public_id: Any, display: str = "") -> Resource:
    made = {"reference": f"urn:uuid:{public_id}"}
    return made | {"display": display} if display else made


def _named(name: str) -> Resource | None:
    return {"display": name} if name else None


def _filled(resource: Resource) -> Resource:
    """Without the elements that are empty, which FHIR does not allow."""
    return {name: value for name, value in resource.items() if value not in (None, "", [], {})}


def _basics(kind: str, entry: Any, patient: Patient) -> Resource:
    whose = "patient" if kind in {"AllergyIntolerance", "Immunization"} else "subject"
    return {
        "resourceType": kind,
        "id": str(entry.public_id),
        whose: reference(patient.public_id),
    }


def _met(entry: Any, given: set[int]) -> Resource | None:
    """The encounter of an entry, if that is in the bundle too."""
    if entry.encounter_id in given:
        return reference(entry.encounter.public_id)
    return None


def _at(moment: datetime | None) -> str | None:
    return instant(moment) if moment else None


def _name(entry: Any) -> Resource:
    return concept(entry.code_system, entry.code, entry.name)


def patient_of(patient: Patient) -> Resource:
    given, _space, family = patient.name.rpartition(" ")
    name = {"use": "official", "text": patient.name, "family": family, "given": given.split()}
    contacts = [("phone", patient.phone), ("email", patient.email)]
    return _filled(
        {
            "resourceType": "Patient",
            "id": str(patient.public_id),
            "name": [_filled(name)],
            "gender": GENDER.get(Sex(patient.sex), "unknown"),
            "birthDate": patient.birth_date.isoformat() if patient.birth_date else None,
            "telecom": [{"system": kind, "value": value} for kind, value in contacts if value],
        }
    )


def encounter(entry: Encounter, patient: Patient, *, now: datetime) -> Resource:
    over = entry.ends_at is not None and entry.ends_at <= now
    doctor = signature(entry.doctor) if entry.doctor else entry.performer_name
    place = entry.hospital.name if entry.hospital else entry.place_name
    kind = {"system": codes.ENCOUNTER_KIND, "code": entry.kind}
    about = concept(entry.code_system, entry.code, entry.title)
    return _filled(
        _basics("Encounter", entry, patient)
        | {
            "status": "finished" if over else "in-progress",
            "class": {"system": codes.V3_ACT_CODE, "code": entry.class_code or "AMB"},
            "type": [part for part in (about, {"coding": [kind]}) if part],
            "participant": [{"individual": {"display": doctor}}] if doctor else [],
            "period": _filled({"start": instant(entry.starts_at), "end": _at(entry.ends_at)}),
            "serviceProvider": _named(place),
        }
    )


def condition(entry: Condition, patient: Patient, given: set[int]) -> Resource:
    clinical = entry.status
    return _filled(
        _basics("Condition", entry, patient)
        | {
            "clinicalStatus": concept(codes.CONDITION_CLINICAL, clinical),
            "verificationStatus": concept(codes.CONDITION_VERIFICATION, entry.verification),
            "code": _name(entry),
            "encounter": _met(entry, given),
            "onsetDateTime": _at(entry.onset_at),
            "abatementDateTime": _at(entry.abated_at),
            "recordedDate": instant(entry.recorded_at),
        }
    )


def allergy(entry: Allergy, patient: Patient, given: set[int]) -> Resource:
    return _filled(
        _basics("AllergyIntolerance", entry, patient)
        | {
            "clinicalStatus": concept(codes.ALLERGY_CLINICAL, entry.status),
            "verificationStatus": concept(codes.ALLERGY_VERIFICATION, "confirmed"),
            "criticality": entry.criticality,
            "code": _name(entry),
            "encounter": _met(entry, given),
            "onsetDateTime": entry.onset_on.isoformat() if entry.onset_on else None,
            "recordedDate": instant(entry.recorded_at),
            "reaction": [{"manifestation": [{"text": entry.reaction}]}] if entry.reaction else [],
        }
    )


def allergy_list(
    statement: AllergyStatement, patient: Patient, allergies: list[Allergy]
) -> Resource:
    """That the patient was asked: a list of the allergies, or that none is known."""
    nothing = concept(codes.EMPTY_REASON, codes.NIL_KNOWN) if statement.none_known else None
    listed = [] if nothing else [{"item": reference(entry.public_id)} for entry in allergies]
    return _filled(
        {
            "resourceType": "List",
            "id": f"allergies-{patient.public_id}",
            "status": "current",
            "mode": "snapshot",
            "code": concept(LOINC, codes.ALLERGY_LIST, "Allergies and adverse reactions"),
            "subject": reference(patient.public_id),
            "date": instant(statement.asked_at),
            "entry": listed,
            "emptyReason": nothing,
        }
    )


def medication(entry: Medication, patient: Patient, given: set[int]) -> Resource:
    period = {
        "start": entry.started_on.isoformat() if entry.started_on else None,
        "end": entry.ended_on.isoformat() if entry.ended_on else None,
    }
    cancelled = entry.status == MedicationStatus.CANCELLED
    return _filled(
        _basics("MedicationStatement", entry, patient)
        | {
            "status": "not-taken" if cancelled else entry.status,
            "statusReason": [{"text": entry.stopped_why}] if entry.stopped_why else [],
            "medicationCodeableConcept": _name(entry),
            "context": _met(entry, given),
            "effectivePeriod": _filled(period),
            "dateAsserted": instant(entry.recorded_at),
            "dosage": [{"text": entry.dose}] if entry.dose else [],
        }
    )


def prescription(entry: Prescription, patient: Patient, given: set[int]) -> Resource:
    amount = _AMOUNT.fullmatch(entry.quantity)
    exact = amount is not None and plain(Decimal(amount[1])) == amount[1]
    dispensed: Resource = {"numberOfRepeatsAllowed": entry.refills}
    said = {"url": codes.DESPITE_ALLERGY, "valueString": entry.despite_allergy}
    extensions = [said] if entry.despite_allergy else []
    if amount and exact:
        dispensed["quantity"] = {"value": number(Decimal(amount[1])), "unit": amount[2]}
    elif entry.quantity:
        extensions.append({"url": codes.QUANTITY, "valueString": entry.quantity})
    doctor = signature(entry.doctor) if entry.doctor else entry.prescriber_name
    return _filled(
        _basics("MedicationRequest", entry, patient)
        | {
            "extension": extensions,
            "status": entry.status,
            "statusReason": {"text": entry.stopped_why} if entry.stopped_why else None,
            "intent": "order",
            "medicationCodeableConcept": _name(entry),
            "encounter": _met(entry, given),
            "authoredOn": instant(entry.issued_at),
            "requester": _named(doctor),
            "dosageInstruction": [{"text": entry.dose}] if entry.dose else [],
            "dispenseRequest": dispensed,
        }
    )


def _quantity(value: Decimal, unit: str, *, in_ucum: bool) -> Resource:
    made: Resource = {"value": number(value), "unit": unit}
    return made | {"system": UCUM, "code": unit} if in_ucum else made


def _part(part: Resource) -> Resource:
    """A component; without a unit its value is words."""
    made: Resource = {"code": concept(part["code_system"], part["code"], part["name"])}
    try:
        value = Decimal(part["value"]) if part["unit"] else None
    except InvalidOperation:
        value = None
    if value is None:
        return made | {"valueString": part["value"]}
    in_ucum = part.get("unit_system") == UCUM
    return made | {"valueQuantity": _quantity(value, part["unit"], in_ucum=in_ucum)}


def observation(entry: Observation, patient: Patient, given: set[int]) -> Resource:
    value: Resource = {}
    if entry.value is not None:
        in_ucum = entry.value_code_system == UCUM
        value["valueQuantity"] = _quantity(entry.value, entry.unit, in_ucum=in_ucum)
    elif entry.value_code:
        value["valueCodeableConcept"] = concept(
            entry.value_code_system, entry.value_code, entry.value_text
        )
    elif entry.value_text:
        value["valueString"] = entry.value_text
    return _filled(
        _basics("Observation", entry, patient)
        | {
            "status": "final",
            "category": [concept(codes.OBSERVATION_CATEGORY, entry.category)],
            "code": _name(entry),
            "encounter": _met(entry, given),
            "effectiveDateTime": instant(entry.observed_at),
            "issued": instant(entry.recorded_at),
            "component": [_part(part) for part in entry.components],
        }
        | value
    )


def immunization(entry: Immunization, patient: Patient, given: set[int]) -> Resource:
    return _filled(
        _basics("Immunization", entry, patient)
        | {
            "status": entry.status,
            "vaccineCode": _name(entry),
            "encounter": _met(entry, given),
            "occurrenceDateTime": instant(entry.given_at),
            "recorded": instant(entry.recorded_at),
        }
    )


def procedure(entry: Procedure, patient: Patient, given: set[int]) -> Resource:
    until = entry.performed_until
    start = instant(entry.performed_at)
    when: Resource = {"performedDateTime": start}
    if until is not None:
        when = {"performedPeriod": {"start": start, "end": instant(until)}}
    return _filled(
        _basics("Procedure", entry, patient)
        | {"status": entry.status, "code": _name(entry), "encounter": _met(entry, given)}
        | when
    )


def note(entry: Note, patient: Patient) -> Resource:
    """A signed note as a text document; an amendment appends to the note it amends."""
    text = {
        "contentType": f"{codes.TEXT}; charset=utf-8",
        "data": base64.b64encode(entry.body.encode()).decode(),
    }
    appends = []
    if entry.amends is not None:
        appends = [{"code": "appends", "target": reference(entry.amends.public_id)}]
    return _filled(
        _basics("DocumentReference", entry, patient)
        | {
            "status": "current",
            "docStatus": "amended" if appends else "final",
            "type": concept(LOINC, codes.PROGRESS_NOTE, "Progress note"),
            "date": _at(entry.signed_at),
            "author": [{"display": entry.signed_name}] if entry.signed_name else [],
            "relatesTo": appends,
            "content": [{"attachment": text}],
            "context": {"encounter": [reference(entry.encounter.public_id)]},
        }
    )


def document(entry: Document, patient: Patient, given: set[int], data: bytes | None) -> Resource:
    """A file; ``data`` None leaves it out, and an extension says so."""
    file: Resource = {"contentType": entry.content_type, "size": entry.size, "title": entry.name}
    if data is not None:
        file["data"] = base64.b64encode(data).decode()
    else:
        file["extension"] = [{"url": f"{OWN}file-left-out", "valueBoolean": True}]
    met = _met(entry, given)
    author = [reference(patient.public_id)] if entry.by_patient else []
    return _filled(
        _basics("DocumentReference", entry, patient)
        | {
            "status": "current",
            "description": entry.title,
            "date": instant(entry.recorded_at),
            "author": author,
            "content": [{"attachment": file}],
            "context": {"encounter": [met]} if met else None,
        }
    )
