"""Measurements as they are typed in: all vital signs of one moment, or one finding of any name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from records.forms import PastDateField, at_midnight, line, longest
from records.models import Observation
from records.observations import BLOOD_PRESSURE, VITAL_SIGNS, Kind, unit_words

LOWER = "diastolic"
NUMBER = {"inputmode": "decimal", "autocomplete": "off", "class": "govuk-input--width-4"}


def number(label: Any, **options: Any) -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=False,
        max_digits=12,
        decimal_places=4,
        widget=forms.TextInput(attrs=NUMBER),
        error_messages={"invalid": gettext_lazy("Enter a number, for example 72 or 98.6.")},
        **options,
    )


class Measured(NamedTuple):
    """One vital sign as `record_observation` takes it, and the field that its refusals are at."""

    kind: str
    value: Decimal | None
    diastolic: Decimal | None
    unit: str


class WhenField(forms.DateTimeField):
    """The moment at which the form was opened, so that a form sent twice is one measurement."""

    widget = forms.HiddenInput


class VitalSignsForm(forms.Form):
    """Whatever was measured; the rest stays empty. Plausible values are the rule's business too:
    here they are asked first, so that of several values either all are stored or none."""

    at = WhenField(widget=forms.HiddenInput)
    day = PastDateField(label=gettext_lazy("Measured on another day"))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        fields: dict[str, forms.Field] = {"at": self.fields["at"]}
        for kind in VITAL_SIGNS.values():
            fields |= _fields_of(kind)
        self.fields = fields | {"day": self.fields["day"]}

    def rows(self) -> Iterator[list[forms.BoundField]]:
        """The fields of each vital sign, side by side."""
        for kind in VITAL_SIGNS.values():
            yield [self[name] for name in _fields_of(kind)]

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        for kind in VITAL_SIGNS.values():
            self._check(kind, found)
        if not self.errors and not self.measured():
            raise ValidationError(_("Enter at least one measurement."), code="empty")
        return found

    def _check(self, kind: Kind, found: dict[str, Any]) -> None:
        names = [kind.key, LOWER] if kind.key == BLOOD_PRESSURE else [kind.key]
        values = [found.get(name) for name in names]
        if all(value is None for value in values):
            return
        for name, part, value in zip(names, kind.parts, values, strict=True):
            if name in self.errors:
                continue
            if value is None:
                self.add_error(name, _("Enter both values of the blood pressure."))
                continue
            unit = found.get(f"{kind.key}_unit") or part.unit
            low, high = part.ranges.get(unit, part.ranges[part.unit])
            if not low <= value <= high:
                words = _("Enter a number between %(low)d and %(high)d.")
                self.add_error(name, words % {"low": low, "high": high})
        if set(names) & set(self.errors):
            return
        upper, lower = values[0], values[-1]
        if len(values) == 2 and upper is not None and lower is not None and upper <= lower:
            self.add_error(LOWER, _("The upper value must be higher than the lower one."))

    def measured(self) -> list[Measured]:
        given = self.cleaned_data
        return [
            Measured(
                kind.key,
                given[kind.key],
                given.get(LOWER) if kind.key == BLOOD_PRESSURE else None,
                given.get(f"{kind.key}_unit") or "",
            )
            for kind in VITAL_SIGNS.values()
            if given.get(kind.key) is not None
        ]

    def moment(self, zone: str) -> datetime:
        return at_midnight(self.cleaned_data["day"], zone) or self.cleaned_data["at"]


def _fields_of(kind: Kind) -> dict[str, forms.Field]:
    if kind.key == BLOOD_PRESSURE:
        return {
            kind.key: number(gettext_lazy("Blood pressure, upper (mmHg)")),
            LOWER: number(gettext_lazy("Blood pressure, lower (mmHg)")),
        }
    units = kind.units
    if len(units) == 1:
        words = unit_words(units[0]) if kind.key != "breathing" else ""
        label = f"{kind.label} ({words})" if words else str(kind.label)
        return {kind.key: number(label)}
    return {
        kind.key: number(kind.label),
        f"{kind.key}_unit": forms.ChoiceField(
            label=_("Unit of %(what)s") % {"what": str(kind.label).lower()},
            required=False,
            choices=[(unit, unit_words(unit)) for unit in units],
        ),
    }


class FindingForm(forms.Form):
    """Anything else that was measured or found."""

    at = WhenField(widget=forms.HiddenInput)
    name = line(
        gettext_lazy("What was measured or found?"),
        most=longest(Observation, "name"),
        missing=gettext_lazy("Enter what was measured or found."),
        hint=gettext_lazy("For example: Peak flow, or Skin of the left arm"),
    )
    value = number(gettext_lazy("Value"))
    unit = line(
        gettext_lazy("Unit"),
        most=longest(Observation, "unit"),
        hint=gettext_lazy("For example: L/min"),
    )
    text = line(gettext_lazy("Finding in words"), most=longest(Observation, "value_text"))
