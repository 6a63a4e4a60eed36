"""Measurements and findings, with their units.

Codes are LOINC, units UCUM, as the vital signs profile of FHIR R4 has them
(http://hl7.org/fhir/R4/observation-vitalsigns.html). The ranges are no norms: what lies outside is
a typing error, not a patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.audit import record
from accounts.models import Patient, User
from records.models import LOINC, UCUM, Encounter, Observation
from records.refusals import MissingWords, NotPossible
from records.writing import doctor_of, encounter_or_none, in_chart, past, words

NAME_LENGTH = 300
TEXT_LENGTH = 300
UNIT_LENGTH = 40
PLACES = 4  # decimals that a measurement typed in here may have
LARGEST = Decimal(10) ** 12
FREE = "other"  # a finding of any name, with a value or in words
BLOOD_PRESSURE = "blood_pressure"


@dataclass(frozen=True)
class Part:
    """A measured quantity; ``ranges`` are the plausible values by UCUM unit, the usual unit first.

    The bounds themselves are plausible.
    """

    code: str
    name: str
    ranges: dict[str, tuple[int, int]]

    @property
    def unit(self) -> str:
        return next(iter(self.ranges))


@dataclass(frozen=True)
class Kind:
    """A vital sign: ``parts`` has one quantity, or the two of a blood pressure."""

    key: str
    label: str | Promise
    code: str
    name: str
    parts: tuple[Part, ...]

    @property
    def units(self) -> list[str]:
        return list(self.parts[0].ranges)


def _single(
    key: str, label: str | Promise, code: str, name: str, ranges: dict[str, tuple[int, int]]
) -> Kind:
    return Kind(key, label, code, name, (Part(code, name, ranges),))


_VITAL_SIGNS = [
    Kind(
        BLOOD_PRESSURE,
        gettext_lazy("Blood pressure"),
        "85354-9",
        "Blood pressure",
        (
            Part("8480-6", "Systolic blood pressure", {"mm[Hg]": (40, 300)}),
            Part("8462-4", "Diastolic blood pressure", {"mm[Hg]": (10, 200)}),
        ),
    ),
    _single("pulse", gettext_lazy("Pulse"), "8867-4", "Heart rate", {"/min": (20, 300)}),
    _single(
        "temperature",
        gettext_lazy("Temperature"),
        "8310-5",
        "Body temperature",
        {"[degF]": (77, 113), "Cel": (25, 45)},
    ),
    _single(
        "weight",
        gettext_lazy("Weight"),
        "29463-7",
        "Body weight",
        {"[lb_av]": (1, 1_400), "kg": (0, 635)},
    ),
    _single(
        "height",
        gettext_lazy("Height"),
        "8302-2",
        "Body height",
        {"[in_i]": (8, 110), "cm": (20, 280)},
    ),
    _single(
        "breathing",
        gettext_lazy("Breaths per minute"),
        "9279-1",
        "Respiratory rate",
        {"/min": (2, 120)},
    ),
    _single(
        "oxygen",
        gettext_lazy("Oxygen saturation"),
        "59408-5",
        "Oxygen saturation",
        {"%": (30, 100)},
    ),
]
VITAL_SIGNS: dict[str, Kind] = {kind.key: kind for kind in _VITAL_SIGNS}
# What people read instead of UCUM.
UNIT_WORDS = {
    "mm[Hg]": "mmHg",
    "/min": gettext_lazy("a minute"),
    "{score}": "",
    "[degF]": "°F",
    "Cel": "°C",
    "[lb_av]": "lb",
    "[in_i]": "in",
    "kg/m2": "kg/m²",
}


def unit_words(unit: str) -> str:
    return str(UNIT_WORDS.get(unit, unit))


def record_observation(
    *,
    patient: Patient,
    kind: str,
    value: Decimal | None = None,
    diastolic: Decimal | None = None,
    unit: str = "",
    name: str = "",
    text: str = "",
    observed_at: datetime,
    encounter: Encounter | None = None,
    by: User,
    now: datetime,
) -> Observation:
    """Records a vital sign (a key of `VITAL_SIGNS`), or with `FREE` anything with a ``name``.

    ``value`` is in ``unit`` (the kind's usual one when empty); a blood pressure has its upper value
    in ``value`` and its lower one in ``diastolic``. A free one has a value with its unit, or
    ``text``. The same measurement at the same moment is one. Raises `NotPossible`, `MissingWords`.
    """

    def work(chart: Patient) -> Observation:
        doctor_of(by)
        facts = (
            _free(value=value, unit=unit, name=name, text=text)
            if kind == FREE
            else _vital_sign(VITAL_SIGNS[kind], value=value, diastolic=diastolic, unit=unit)
        )
        at = past(observed_at, now, field="observed_at")
        # Compared here: how a database compares JSON is its own affair.
        there = Observation.objects.filter(patient=chart, observed_at=at, name=facts["name"])
        for same in there.standing():
            if all(getattr(same, field) == wanted for field, wanted in facts.items()):
                return same
        observation = Observation.objects.create(
            patient=chart,
            observed_at=at,
            encounter=encounter_or_none(chart, encounter),
            recorded_by=by,
            recorded_at=now,
            **facts,
        )
        record("observation.recorded", actor=by, patient=chart, subject=observation, now=now)
        return observation

    return in_chart(work, action="observation.recorded", patient=patient, by=by, now=now)


def _vital_sign(
    kind: Kind, *, value: Decimal | None, diastolic: Decimal | None, unit: str
) -> dict[str, Any]:
    facts: dict[str, Any] = {"code_system": LOINC, "code": kind.code, "name": kind.name}
    if kind.key != BLOOD_PRESSURE:
        part = kind.parts[0]
        chosen = unit or part.unit
        return facts | {
            "value": _plausible(part, value, chosen, field="value"),
            "unit": chosen,
            "value_code_system": UCUM,
        }
    upper, lower = kind.parts
    pair = (
        (upper, _plausible(upper, value, upper.unit, field="value")),
        (lower, _plausible(lower, diastolic, lower.unit, field="diastolic")),
    )
    if pair[0][1] <= pair[1][1]:
        raise NotPossible(
            _("The first value must be higher than the second one."), field="diastolic"
        )
    facts["components"] = [
        {
            "code_system": LOINC,
            "code": part.code,
            "name": part.name,
            "value": plain(amount),
            "unit": part.unit,
            "unit_system": UCUM,
        }
        for part, amount in pair
    ]
    return facts


def _plausible(part: Part, value: Decimal | None, unit: str, *, field: str) -> Decimal:
    if unit not in part.ranges:
        raise NotPossible(_("Choose one of the units offered."), field="unit")
    low, high = part.ranges[unit]
    amount = _number(value, field=field)
    if not low <= amount <= high:
        raise NotPossible(
            _("Enter a number between %(low)d and %(high)d.") % {"low": low, "high": high},
            field=field,
        )
    return amount


def _number(value: Decimal | None, *, field: str) -> Decimal:
    if value is None:
        raise MissingWords(_("Enter a number."), field=field)
    if not value.is_finite() or abs(value) > LARGEST:
        raise NotPossible(_("Enter a number."), field=field)
    return round(value, PLACES).normalize()


def _free(*, value: Decimal | None, unit: str, name: str, text: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": words(name, NAME_LENGTH, field="name", required=_("Say what was measured.")),
        "category": Observation.Category.OTHER,
        "value_text": words(text, TEXT_LENGTH, field="text"),
    }
    if value is None:
        if not facts["value_text"]:
            raise MissingWords(_("Enter a number, or what was found."), field="text")
        return facts
    facts["value"] = _number(value, field="value")
    # UCUM's sign for a number without a unit.
    facts["unit"] = words(unit, UNIT_LENGTH, field="unit") or "1"
    return facts


def plain(value: Decimal) -> str:
    """``value`` without exponent and without zeros at its end: "120", "36.6"."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
