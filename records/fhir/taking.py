"""What each kind of resource becomes: fields of an entry of the record, or `LeftOut` with a reason.

Nothing is cut: what is longer than the record holds is left out and reported. Nothing is made up:
without a moment there is no entry where the record needs one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from records.fhir import codes
from records.fhir.codes import Resource, codes_of, day, extension_of, moment
from records.fhir.reading import Entry, Parsed
from records.fhir.refusals import LeftOut
from records.models import (
    ICD_10_CM,
    UCUM,
    Allergy,
    Condition,
    Encounter,
    Immunization,
    Medication,
    MedicationStatus,
    Observation,
    Prescription,
    Procedure,
)
from records.observations import plain
from records.writing import says_something

Fields = dict[str, Any]

ERROR = "entered in error"
NO_DATE = "without a date"
NO_NAME = "without a name"
NO_VALUE = "without a value that can be kept"
DOSE_PARTS = "; "
MOST_REFILLS = 32_767
DECIMALS, DIGITS = 16, 32  # of Observation.value
# What an AllergyIntolerance says when there is none, and what is said of allergies altogether.
NONE_KNOWN = {"no known allergies", "no known allergy"}


@dataclass(frozen=True)
class Taker:
    model: Any
    take: Callable[[Parsed, Entry], Fields]
    encounter: str = "encounter"  # the element that refers to the encounter


# --- Parts --------------------------------------------------------------------------------------


def coded(found: Any) -> Fields:
    """Name, system and code of a CodeableConcept; of several codes ICD-10-CM, else the first."""
    found = found or {}
    codings = [coding for coding in found.get("coding", ()) if coding.get("code")]
    chosen = next(
        (coding for coding in codings if coding.get("system") == ICD_10_CM),
        codings[0] if codings else {},
    )
    named = (coding["display"] for coding in found.get("coding", ()) if coding.get("display"))
    name = found.get("text") or chosen.get("display") or next(named, "") or chosen.get("code", "")
    if not says_something(str(name)):
        raise LeftOut(NO_NAME)
    return {
        "name": str(name),
        "code_system": str(chosen.get("system", "")),
        "code": str(chosen.get("code", "")),
    }


def refuse_status(resource: Resource, *, taken: Iterable[str]) -> str:
    status = str(resource.get("status", ""))
    if status == "entered-in-error":
        raise LeftOut(ERROR)
    if status not in set(taken):
        raise LeftOut(f"status {status}" if status else "without a status")
    return status


def needed(*moments: datetime | None) -> datetime:
    found = next((at for at in moments if at is not None), None)
    if found is None:
        raise LeftOut(NO_DATE)
    return found


def who(parsed: Parsed, reference: Any, *, holder: Resource) -> str:
    """The name of a practitioner, organization or patient, resolved or as it is displayed."""
    found = parsed.find(reference, holder=holder)
    displayed = str((reference or {}).get("display", ""))
    if found is None:
        return displayed
    names = found.get("name")
    if isinstance(names, str):  # an organization, a location
        return names
    for name in names or ():
        if name.get("text"):
            return str(name["text"])
        parts = [*name.get("prefix", ()), *name.get("given", ()), name.get("family", "")]
        if any(parts):
            return " ".join(str(part) for part in parts if part)
    return displayed


def _medication(parsed: Parsed, resource: Resource) -> Fields:
    if "medicationCodeableConcept" in resource:
        return coded(resource["medicationCodeableConcept"])
    found = parsed.find(resource.get("medicationReference"), holder=resource)
    if found is None:
        return coded({"text": (resource.get("medicationReference") or {}).get("display", "")})
    return coded(found.get("code"))


def _doses(parts: Any) -> str:
    said = (part.get("text") or part.get("patientInstruction") or "" for part in parts or ())
    return DOSE_PARTS.join(text for text in said if text)


def _why(concepts: Any) -> str:
    """Of ``statusReason``: a list of a statement, one concept of a request."""
    listed = concepts if isinstance(concepts, list) else [concepts]
    return DOSE_PARTS.join(str(part["text"]) for part in listed if part and part.get("text"))


# --- Kinds --------------------------------------------------------------------------------------


def encounter(parsed: Parsed, entry: Entry) -> Fields:
    resource = entry.resource
    taken = ("finished", "in-progress", "arrived", "triaged", "onleave", "unknown")
    refuse_status(resource, taken=taken)
    period = resource.get("period") or {}
    starts, ends = needed(moment(period.get("start"))), moment(period.get("end"))
    if ends is not None and ends < starts:
        raise LeftOut("ends before it begins")
    class_code = str((resource.get("class") or {}).get("code", ""))
    about, kind = {"name": "", "code_system": "", "code": ""}, ""
    for found in resource.get("type", ()):
        systems = {coding.get("system") for coding in found.get("coding", ())}
        if codes.ENCOUNTER_KIND in systems:
            kind = codes_of(found)[0]
        elif not about["name"]:
            about = coded(found)
    people = resource.get("participant", ())
    names = [who(parsed, person.get("individual"), holder=resource) for person in people]
    places = resource.get("location", ())
    place = who(parsed, resource.get("serviceProvider"), holder=resource)
    if not place and places:
        place = who(parsed, places[0].get("location"), holder=resource)
    if kind not in Encounter.Kind.values:
        kind = Encounter.Kind.OTHER if class_code == "VR" else Encounter.Kind.VISIT
    return {
        "title": about["name"],
        "code_system": about["code_system"],
        "code": about["code"],
        "kind": kind,
        "class_code": class_code,
        "starts_at": starts,
        "ends_at": ends,
        "performer_name": ", ".join(name for name in names if name),
        "place_name": place,
    }


def condition(parsed: Parsed, entry: Entry) -> Fields:
    resource = entry.resource
    verification = next(iter(codes_of(resource.get("verificationStatus"))), "confirmed")
    if verification in {"entered-in-error", "refuted"}:
        raise LeftOut(ERROR if verification == "entered-in-error" else "refuted")
    status = next(iter(codes_of(resource.get("clinicalStatus"))), Condition.Status.ACTIVE.value)
    status = Condition.Status.RECURRENCE.value if status == "relapse" else status
    if status not in Condition.Status.values:
        raise LeftOut(f"status {status}")
    return coded(resource.get("code")) | {
        "status": status,
        "verification": verification,
        "onset_at": moment(resource.get("onsetDateTime"))
        or moment((resource.get("onsetPeriod") or {}).get("start")),
        "abated_at": moment(resource.get("abatementDateTime"))
        or moment((resource.get("abatementPeriod") or {}).get("start")),
        "recorded_at": moment(resource.get("recordedDate")),
    }


def allergy(parsed: Parsed, entry: Entry) -> Fields:
    resource = entry.resource
    verification = next(iter(codes_of(resource.get("verificationStatus"))), "confirmed")
    if verification in {"entered-in-error", "refuted"}:
        raise LeftOut(ERROR if verification == "entered-in-error" else "refuted")
    status = next(iter(codes_of(resource.get("clinicalStatus"))), Allergy.Status.ACTIVE.value)
    if status not in Allergy.Status.values:
        raise LeftOut(f"status {status}")
    about = coded(resource.get("code"))
    if about["name"].casefold().removesuffix(" (situation)") in NONE_KNOWN:
        raise LeftOut("says that no allergy is known; only an “Allergies” list is taken for that")
    felt = [
        str(shown.get("text") or shown["coding"][0].get("display", ""))
        for reaction in resource.get("reaction", ())
        for shown in reaction.get("manifestation", ())
        if shown.get("text") or shown.get("coding")
    ]
    return about | {
        "status": status,
        "criticality": resource.get("criticality", Allergy.Criticality.UNKNOWN.value),
        "reaction": DOSE_PARTS.join(text for text in felt if text),
        "onset_on": day(resource.get("onsetDateTime")),
        "recorded_at": moment(resource.get("recordedDate")),
    }


def medication(parsed: Parsed, entry: Entry) -> Fields:
    resource = entry.resource
    taken = ("active", "completed", "on-hold", "stopped", "not-taken")
    status = refuse_status(resource, taken=taken)
    status = MedicationStatus.CANCELLED.value if status == "not-taken" else status
    period = resource.get("effectivePeriod") or {}
    return _medication(parsed, resource) | {
        "status": status,
        "dose": _doses(resource.get("dosage")),
        "started_on": day(resource.get("effectiveDateTime") or period.get("start")),
        "ended_on": day(period.get("end")),
        "stopped_why": _why(resource.get("statusReason")),
        "recorded_at": moment(resource.get("dateAsserted")),
    }


def prescription(parsed: Parsed, entry: Entry) -> Fields:
    resource = entry.resource
    status = refuse_status(resource, taken=MedicationStatus.values)
    if not str(resource.get("intent", "")).endswith("order"):
        raise LeftOut("no order")
    given = resource.get("dispenseRequest") or {}
    refills = int(given.get("numberOfRepeatsAllowed", 0))
    if not 0 <= refills <= MOST_REFILLS:
        raise LeftOut("more refills than can be kept")
    amount = given.get("quantity") or {}
    quantity = extension_of(resource, codes.QUANTITY)
    if not quantity and amount.get("value") is not None:
        unit = amount.get("unit") or amount.get("code") or ""
        quantity = f"{plain(Decimal(str(amount['value'])))} {unit}".strip()
    issued = needed(moment(resource.get("authoredOn")))
    return _medication(parsed, resource) | {
        "status": status,
        "dose": _doses(resource.get("dosageInstruction")),
        "quantity": quantity,
        "refills": refills,
        "issued_at": issued,
        "prescriber_name": who(parsed, resource.get("requester"), holder=resource),
        "stopped_why": _why(resource.get("statusReason")),
        "despite_allergy": extension_of(resource, codes.DESPITE_ALLERGY),
        "recorded_at": issued,
    }


def observation(parsed: Parsed, entry: Entry) -> Fields:
    resource = entry.resource
    refuse_status(resource, taken=("final", "amended", "corrected", "unknown"))
    found = [code for part in resource.get("category", ()) for code in codes_of(part)]
    known = (code for code in found if code in Observation.Category.values)
    parts = [_component(part) for part in resource.get("component", ())]
    value = _value(resource)
    if not value and not parts:
        raise LeftOut(NO_VALUE)
    issued = moment(resource.get("issued"))
    period = resource.get("effectivePeriod") or {}
    at = moment(resource.get("effectiveDateTime") or resource.get("effectiveInstant"))
    return coded(resource.get("code")) | {
        "category": next(known, Observation.Category.OTHER.value),
        "observed_at": needed(at, moment(period.get("start")), issued),
        "components": parts,
        "recorded_at": issued,
        **({"value": None, "unit": "", "value_text": ""} | value),
    }


def _value(resource: Resource) -> Fields:
    """A quantity, a coded finding or words; {} for no value; `LeftOut` for one of another kind."""
    if "valueQuantity" in resource:
        return _quantity(resource["valueQuantity"])
    if "valueInteger" in resource:
        return {"value": Decimal(resource["valueInteger"]), "unit": "1"}
    if "valueCodeableConcept" in resource:
        about = coded(resource["valueCodeableConcept"])
        return {
            "value_text": about["name"],
            "value_code_system": about["code_system"],
            "value_code": about["code"],
        }
    for name in ("valueString", "valueDateTime", "valueTime"):
        if name in resource:
            return {"value_text": str(resource[name])}
    if "valueBoolean" in resource:
        return {"value_text": "true" if resource["valueBoolean"] else "false"}
    if any(name.startswith("value") for name in resource):
        raise LeftOut(NO_VALUE)
    return {}


def _quantity(quantity: Resource) -> Fields:
    if quantity.get("value") is None:
        raise LeftOut(NO_VALUE)
    in_ucum = quantity.get("system") == UCUM and quantity.get("code")
    unit = str(quantity["code"] if in_ucum else quantity.get("unit") or quantity.get("code") or "1")
    unit = unit if says_something(unit) else "1"
    value = Decimal(str(quantity["value"]))
    if quantity.get("comparator"):
        # "Less than 5" is no five.
        return {"value_text": f"{quantity['comparator']} {plain(value)} {unit}"}
    if not value.is_finite() or abs(value) >= Decimal(10) ** (DIGITS - DECIMALS):
        raise LeftOut(NO_VALUE)
    return {
        "value": round(value, DECIMALS),
        "unit": unit,
        "value_code_system": UCUM if in_ucum else "",
    }


def _component(part: Resource) -> Fields:
    value = _value(part)
    if not value:
        raise LeftOut(NO_VALUE)
    number = value.get("value")
    return coded(part.get("code")) | {
        "value": value["value_text"] if number is None else plain(number),
        "unit": value.get("unit", ""),
        "unit_system": value.get("value_code_system", "") if number is not None else "",
    }


def immunization(parsed: Parsed, entry: Entry) -> Fields:
    resource = entry.resource
    status = refuse_status(resource, taken=("completed",))
    return coded(resource.get("vaccineCode")) | {
        "status": status,
        "given_at": needed(moment(resource.get("occurrenceDateTime"))),
        "recorded_at": moment(resource.get("recorded")),
    }


def procedure(parsed: Parsed, entry: Entry) -> Fields:
    resource = entry.resource
    taken = ("completed", "in-progress", "on-hold", "stopped", "unknown")
    period = resource.get("performedPeriod") or {}
    status = refuse_status(resource, taken=taken)
    return coded(resource.get("code")) | {
        "status": status,
        "performed_at": needed(moment(resource.get("performedDateTime") or period.get("start"))),
        "performed_until": moment(period.get("end")),
    }


TAKERS: dict[str, Taker] = {
    "Encounter": Taker(Encounter, encounter, encounter=""),
    "Condition": Taker(Condition, condition),
    "AllergyIntolerance": Taker(Allergy, allergy),
    "MedicationStatement": Taker(Medication, medication, encounter="context"),
    "MedicationRequest": Taker(Prescription, prescription),
    "Observation": Taker(Observation, observation),
    "Immunization": Taker(Immunization, immunization),
    "Procedure": Taker(Procedure, procedure),
}
