"""Systems and codes of FHIR R4 that the record speaks of, and the parts every resource is made of.

Codes of clinical systems are kept as they came. What FHIR has no element for is an extension under
`OWN`, which is a tag URI (RFC 4151): a name, not an address.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

Resource = dict[str, Any]

OWN = "tag:example.org,2026:clinic/"
ENCOUNTER_KIND = f"{OWN}encounter-kind"
QUANTITY = f"{OWN}quantity"
DESPITE_ALLERGY = f"{OWN}despite-allergy"

V3_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONDITION_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
ALLERGY_CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
EMPTY_REASON = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
NIL_KNOWN = "nilknown"  # "No known allergies"
ALLERGY_LIST = "48765-2"  # LOINC: Allergies and adverse reactions
PROGRESS_NOTE = "11506-3"  # LOINC
TEXT = "text/plain"

_WHEN = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(T.+)?)?)?")
# A day without a time is noon in UTC: the same day in every zone of the United States.
NOON = time(12, tzinfo=UTC)
# Databases keep no earlier year.
EARLIEST_YEAR = 1000


def moment(text: str | None) -> datetime | None:
    """A FHIR dateTime or instant in UTC; None for none, or one that cannot be kept."""
    found = _WHEN.fullmatch(text or "")
    if found is None or int(found[1]) < EARLIEST_YEAR:
        return None
    try:
        if found[4]:
            when = datetime.fromisoformat(found[0])
            return when.astimezone(UTC) if when.tzinfo else None
        return datetime.combine(_day(found), NOON)
    except (ValueError, OverflowError):  # a leap second, or the end of the calendar
        return None


def day(text: str | None) -> date | None:
    """The date of a FHIR date or dateTime as it is written, wherever that was."""
    found = _WHEN.fullmatch(text or "")
    if found is None or int(found[1]) < EARLIEST_YEAR:
        return None
    try:
        return _day(found)
    except ValueError:
        return None


def _day(found: re.Match[str]) -> date:
    return date(int(found[1]), int(found[2] or 1), int(found[3] or 1))


def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def number(value: Decimal) -> int | float:
    """For JSON. Whole numbers stay whole; seventeen digits of others are kept."""
    return int(value) if value == value.to_integral_value() else float(value)


def concept(system: str, code: str, text: str = "") -> Resource:
    """A CodeableConcept; without a code it has only its text."""
    made: Resource = {}
    if code:
        coding = {"system": system, "code": code, "display": text}
        made["coding"] = [{name: value for name, value in coding.items() if value}]
    if text:
        made["text"] = text
    return made


def codes_of(found: Any) -> list[str]:
    """The codes of a CodeableConcept."""
    return [coding["code"] for coding in (found or {}).get("coding", ()) if coding.get("code")]


def extension_of(resource: Resource, url: str) -> str:
    for part in resource.get("extension", ()):
        if part.get("url") == url:
            return str(part.get("valueString", ""))
    return ""
