"""How forms look and speak: govuk markup from Django's own form rendering, and a typed-in date.

``settings.FORM_RENDERER`` names ``GovukRenderer``, so ``{{ form }}`` and
``{{ field.as_field_group }}`` give label, hint, error message and the ARIA that ties them together.
Widgets keep Django's templates: the admin shares them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from django import forms
from django.forms.renderers import TemplatesSetting
from django.utils.dates import MONTHS, MONTHS_3
from django.utils.translation import gettext_lazy as _


class GovukRenderer(TemplatesSetting):
    """Forms and fields in govuk markup, with templates from the project's own folder."""

    form_template_name = "django/forms/govuk/form.html"
    field_template_name = "django/forms/govuk/field.html"


class DateInput3(forms.MultiWidget):
    """Month, day and year as three boxes, the order people in the US write a date in.

    ``birth`` adds the autocomplete names with which browsers fill in a birth date.
    """

    template_name = "django/forms/govuk/date.html"
    parts = ("month", "day", "year")

    def __init__(self, *, birth: bool = False, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({part: forms.TextInput() for part in self.parts}, attrs)
        self.birth = birth

    def decompress(self, value: Any) -> list[Any]:
        if isinstance(value, dt.date):
            return [value.month, value.day, value.year]
        return [None, None, None]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        labels = (_("Month"), _("Day"), _("Year"))
        for part, label, box in zip(
            self.parts, labels, context["widget"]["subwidgets"], strict=True
        ):
            box["label"] = label
            box["width"] = 4 if part == "year" else 2
            # A month may be typed in letters, so only the others ask for the number keys.
            if part != "month":
                box["attrs"]["inputmode"] = "numeric"
            if self.birth:
                box["attrs"]["autocomplete"] = f"bday-{part}"
            box["invalid"] = bool(box["attrs"].get("aria-invalid"))
        return context


class DateField3(forms.Field):
    """A calendar date typed as month, day and year; the month also in letters ("Nov").

    ``earliest`` and ``latest`` are asked at each validation, because "today" moves on. What was
    typed stays in the boxes when it is refused, and the refusal says which box is wrong.
    """

    widget: Any = DateInput3
    default_error_messages = {
        "required": _("Enter the date as month, day and year, for example 3 27 1985."),
        "month": _("The month must be a number from 1 to 12, or its name."),
        "day": _("The day must be a number from 1 to 31."),
        "year": _("The year must have 4 digits, for example 1985."),
        "missing": _("The date must also have a %(part)s."),
        "impossible": _("There is no such date. Check the month, the day and the year."),
        "too_early": _("The date is too long ago. Check the year."),
        "too_late": _("The date must not be in the future."),
    }

    def __init__(
        self,
        *,
        birth: bool = False,
        earliest: Callable[[], dt.date] | None = None,
        latest: Callable[[], dt.date] | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("widget", DateInput3(birth=birth))
        super().__init__(**options)
        self.earliest, self.latest = earliest, latest

    def to_python(self, value: Any) -> dt.date | None:
        if value in self.empty_values or isinstance(value, dt.date):
            return value or None
        month, day, year = ((part or "").strip() for part in value)
        if not (month or day or year):
            return None
        for typed, part in ((month, _("month")), (day, _("day")), (year, _("year"))):
            if not typed:
                raise self._refusal("missing", part=part)
        numbers = (_month_number(month), _number(day), _number(year))
        if not 1 <= numbers[0] <= 12:
            raise self._refusal("month")
        if not 1 <= numbers[1] <= 31:
            raise self._refusal("day")
        if not 1000 <= numbers[2] <= 9999:
            raise self._refusal("year")
        try:
            return dt.date(numbers[2], numbers[0], numbers[1])
        except ValueError as error:
            raise self._refusal("impossible") from error

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value is None:
            return
        if self.latest is not None and value > self.latest():
            raise self._refusal("too_late")
        if self.earliest is not None and value < self.earliest():
            raise self._refusal("too_early")

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except forms.ValidationError:
            return True

    def _refusal(self, code: str, **facts: Any) -> forms.ValidationError:
        return forms.ValidationError(self.error_messages[code], code=code, params=facts)


def first_control_id(field: forms.BoundField) -> str:
    """The id an error summary links to: a group of controls is reached by its first one."""
    if field.is_hidden:
        return ""
    own = str(field.field.widget.attrs.get("id") or field.auto_id)
    return f"{own}_0" if own and field.use_fieldset else own


def sentences(field: forms.BoundField) -> list[str]:
    """The error messages at a field. Django's bare "This field is required." becomes what to do."""
    bare = str(forms.Field.default_error_messages["required"])
    found = []
    for error in field.errors.as_data():
        for message in error.messages:
            found.append(_what_is_missing(field) if message == bare else str(message))
    return found


def _what_is_missing(field: forms.BoundField) -> str:
    widget = field.field.widget
    if isinstance(widget, forms.CheckboxInput):
        sentence = _("Tick “%(label)s” to go on.")
    elif isinstance(widget, forms.Select | forms.RadioSelect | forms.CheckboxSelectMultiple):
        sentence = _("Choose an answer for “%(label)s”.")
    else:
        sentence = _("Fill in “%(label)s”.")
    return str(sentence) % {"label": field.label}


def problems_of(form: forms.BaseForm) -> list[tuple[str, str]]:
    """Each error of a form as (sentence, id of the control it is about or "")."""
    found = [(str(message), "") for message in form.non_field_errors()]
    for field in form:
        if field.errors:
            found += [(sentence, first_control_id(field)) for sentence in sentences(field)]
    return found


def _number(typed: str) -> int:
    """The number typed, or 0, which no part of a date may be."""
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) <= 4 else 0


def _month_number(typed: str) -> int:
    word = typed.rstrip(".").casefold()
    for names in (MONTHS, MONTHS_3):
        for number, name in names.items():
            if str(name).rstrip(".").casefold() == word:
                return number
    return _number(typed)
