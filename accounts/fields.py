"""Form fields for facts about people, shared by every form that asks for them."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, timedelta
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.core.mail.message import sanitize_address
from django.core.validators import RegexValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from clinic.forms import DateField3

LONGEST_LIFE = 125  # years; the longest documented life was 122

US_TIME_ZONES = [
    ("America/New_York", _("Eastern Time")),
    ("America/Chicago", _("Central Time")),
    ("America/Denver", _("Mountain Time")),
    ("America/Phoenix", _("Mountain Time, Arizona")),
    ("America/Los_Angeles", _("Pacific Time")),
    ("America/Anchorage", _("Alaska Time")),
    ("Pacific/Honolulu", _("Hawaii Time")),
    ("America/Puerto_Rico", _("Atlantic Time, Puerto Rico")),
]


class NameField(forms.CharField):
    """A person's name: anything people are called, on one line."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Full name"))
        kwargs.setdefault("max_length", 150)
        kwargs.setdefault("error_messages", {"required": _("Enter a name.")})
        kwargs.setdefault("widget", forms.TextInput(attrs={"autocomplete": "name"}))
        super().__init__(**kwargs)

    def clean(self, value: Any) -> str:
        name = re.sub(r"\s+", " ", super().clean(value) or "").strip()
        if any(unicodedata.category(character) in {"Cc", "Cs", "Co"} for character in name):
            raise ValidationError(_("Enter a name with visible characters."), code="invalid_name")
        return name


def refuse_unwritable(address: str) -> None:
    """Refuses an address that looks right and to which no mail can be written.

    A part of a domain has at most 63 characters as name servers know it, where it may be longer
    than what was typed.
    """
    try:
        sanitize_address(address, "utf-8")
    except ValueError as error:
        raise ValidationError(
            _("No mail can be sent to this address. Check what stands after the @."),
            code="unwritable",
        ) from error


class PhoneField(forms.CharField):
    """A phone number as people write it; kept as typed, since it is only read and dialed."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Phone number"))
        kwargs.setdefault("max_length", 32)
        kwargs.setdefault("error_messages", {"required": _("Enter a phone number.")})
        kwargs.setdefault("widget", forms.TextInput(attrs={"type": "tel", "autocomplete": "tel"}))
        super().__init__(**kwargs)
        self.validators.append(
            RegexValidator(
                r"^\+?[0-9 ().\-]{7,24}( ?(x|ext\.?) ?[0-9]{1,6})?$",
                _("Enter a phone number, such as 207-555-0142."),
                code="invalid_phone",
            )
        )


def latest_birth_date() -> date:
    """Tomorrow in UTC: somewhere on earth it is that day already, and children are born there."""
    return timezone.now().date() + timedelta(days=1)


def earliest_birth_date() -> date:
    return timezone.now().date() - timedelta(days=round(LONGEST_LIFE * 365.25))


class BirthDateField(DateField3):
    """A date of birth; refuses the future and more than 125 years ago."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Date of birth"))
        kwargs.setdefault("help_text", _("For example 3 31 1980"))
        super().__init__(
            birth=True, earliest=earliest_birth_date, latest=latest_birth_date, **kwargs
        )


def time_zone_choices() -> list[tuple[Any, Any]]:
    """The US zones by the names people use, then all others by their IANA name."""
    common = {name for name, _label in US_TIME_ZONES}
    others = sorted(
        name
        for name in available_timezones()
        if "/" in name
        and name not in common
        and not name.startswith(("Etc/", "SystemV/", "posix/", "right/"))
    )
    return [
        ("", pgettext_lazy("time zone", "Same as the clinic I visit")),
        (_("United States"), US_TIME_ZONES),
        (_("Other"), [(name, name.replace("_", " ")) for name in others]),
    ]


class TimeZoneField(forms.ChoiceField):
    """An IANA time zone; empty means that times are shown in each clinic's own zone only."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Time zone"))
        kwargs.setdefault("required", False)
        kwargs.setdefault("choices", time_zone_choices)
        super().__init__(**kwargs)
