"""What a row of the CMS file "Hospital General Information" says, release by release."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.utils.translation import gettext as _

from clinic.directory.importing.title_case import title_case
from clinic.directory.states import STATES

COLUMNS = {
    "cms_id": ["Facility ID", "Provider ID", "Provider Number", "CCN"],
    "name": ["Facility Name", "Hospital Name"],
    "address": ["Address", "Address 1"],
    "city": ["City/Town", "City"],
    "state": ["State"],
    "zip_code": ["ZIP Code", "ZIP"],
    "county": ["County/Parish", "County Name", "County"],
    "phone": ["Telephone Number", "Phone Number"],
    "kind": ["Hospital Type"],
    "ownership": ["Hospital Ownership"],
    "emergency_care": ["Emergency Services"],
    "rating": ["Hospital overall rating"],
}
REQUIRED = [
    "cms_id", "name", "address", "city", "state", "zip_code", "phone", "kind", "emergency_care",
]  # fmt: skip

KINDS = {
    "Acute Care Hospitals": "Acute care hospital",
    "Critical Access Hospitals": "Critical access hospital",
    "Psychiatric": "Psychiatric hospital",
    "Acute Care - Veterans Administration": "Veterans hospital",
    "Childrens": "Children's hospital",
    "Rural Emergency Hospital": "Rural emergency hospital",
    "Acute Care - Department of Defense": "Military hospital",
    "Long-term": "Long-term care hospital",
}
_ID = re.compile(r"[0-9A-Z]{6}")
_ANSWERS = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}


class RowRefused(Exception):
    """A row that cannot be taken over; the message is the reason."""


@dataclass(frozen=True)
class HospitalFacts:
    """One hospital as the file has it, in our words. ``rating`` None: not available."""

    cms_id: str
    name: str
    kind: str
    ownership: str
    address: str
    city: str
    state: str
    zip_code: str
    county: str
    phone: str
    emergency_care: bool
    rating: int | None


def clean_id(text: str) -> str:
    """Six characters; spreadsheets drop leading zeros from the purely numeric ones."""
    identifier = text.upper()
    if identifier.isdecimal():
        identifier = identifier.zfill(6)
    if not _ID.fullmatch(identifier):
        raise RowRefused(_("facility ID “%(text)s” is not six letters and digits") % {"text": text})
    return identifier


def clean_zip(text: str) -> str:
    """Five digits of a ZIP or ZIP+4 code, with the leading zeros that spreadsheets drop."""
    digits = text.replace("-", "").replace(" ", "")
    if not digits.isdecimal() or not 3 <= len(digits) <= 9:
        raise RowRefused(_("ZIP code “%(text)s” is not one") % {"text": text})
    return digits.zfill(5) if len(digits) <= 5 else digits.zfill(9)[:5]


def clean_phone(text: str) -> str:
    digits = re.sub(r"\D", "", text)
    if len(digits) == 11 and digits[0] == "1":
        digits = digits[1:]
    if len(digits) != 10:
        return ""  # no number is better than a wrong one
    return f"({digits[:3]}) {digits[3:6]}-{digits[6:]}"


def clean_rating(text: str) -> int | None:
    """1 to 5 stars, or None for "Not Available"."""
    if text.casefold() in {"", "not available", "n/a"}:
        return None
    if text not in {"1", "2", "3", "4", "5"}:
        raise RowRefused(_("rating “%(text)s” is not 1 to 5") % {"text": text})
    return int(text)


def read_hospital(values: dict[str, str]) -> HospitalFacts:
    """The facts of a row; raises `RowRefused` with the first thing that is wrong."""
    cms_id = clean_id(values["cms_id"])
    for name, longest in {"name": 200, "address": 200, "city": 80}.items():
        if not values[name]:
            raise RowRefused(_("%(column)s is empty") % {"column": COLUMNS[name][0]})
        if len(values[name]) > longest:
            raise RowRefused(
                _("%(column)s is longer than %(longest)d characters")
                % {"column": COLUMNS[name][0], "longest": longest}
            )
    state = values["state"].upper()
    if state not in STATES:
        raise RowRefused(_("“%(text)s” is no US state or territory") % {"text": values["state"]})
    answer = values["emergency_care"].casefold()
    if answer not in _ANSWERS:
        raise RowRefused(
            _("emergency services “%(text)s” is neither Yes nor No")
            % {"text": values["emergency_care"]}
        )
    return HospitalFacts(
        cms_id=cms_id,
        name=title_case(values["name"]),
        kind=KINDS.get(values["kind"], values["kind"])[:60],
        ownership=values.get("ownership", "")[:60],
        address=title_case(values["address"]),
        city=title_case(values["city"]),
        state=state,
        zip_code=clean_zip(values["zip_code"]),
        county=title_case(values.get("county", ""))[:60],
        phone=clean_phone(values["phone"]),
        emergency_care=_ANSWERS[answer],
        rating=clean_rating(values.get("rating", "")),
    )
