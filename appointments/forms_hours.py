"""What is filled in to change hours: a week, one day, time off, a hospital's day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from appointments.zones import zone_info, zone_words
from clinic.directory.hours import WEEKDAYS, Span
from clinic.directory.models import Hospital, OpeningHours, TimeOff

PARTS = 2  # runs of hours on a day, around a break


class DayInput(forms.DateInput):
    input_type = "date"


class ClockInput(forms.TimeInput):
    input_type = "time"


def day_field(**options: Any) -> forms.DateField:
    options.setdefault("error_messages", {"required": _("Enter a date.")})
    # The browser's date field knows no other form than ISO 8601.
    return forms.DateField(widget=DayInput(format="%Y-%m-%d"), **options)


def clock_field(label: Any, **options: Any) -> forms.TimeField:
    return forms.TimeField(
        label=label, required=False, widget=ClockInput(format="%H:%M"), **options
    )


class ClockForm(forms.Form):
    """Times by the clock of a hospital: its zone stands beside them. Where the zones of the
    hospitals differ, it is asked whose clock is meant."""

    clocks: Sequence[str] = ()  # the fields of times

    def __init__(self, *args: Any, hospitals: Sequence[Hospital], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hospitals = list(hospitals)
        words = {h.time_zone: _zone_name(h) for h in self.hospitals}
        if len(words) > 1:
            self.fields["hospital"] = forms.ChoiceField(
                label=_("By the clock of"),
                choices=[(h.slug, f"{h.name}, {words[h.time_zone]}") for h in self.hospitals],
                error_messages={"required": _("Choose whose clock is meant.")},
            )
            self.order_fields(["doctor", "hospital"])
            return
        for name in self.clocks:
            field = self.fields[name]
            hints = [*words.values(), field.help_text]
            field.help_text = " · ".join(str(hint) for hint in hints if hint)

    def hospital(self) -> Hospital | None:
        """Whose clock counts; None where there is no hospital to ask."""
        slug = self.cleaned_data.get("hospital")
        return next((h for h in self.hospitals if slug in (None, h.slug)), None)

    def zone(self) -> str:
        hospital = self.hospital()
        return hospital.time_zone if hospital else "UTC"


def _zone_name(hospital: Hospital) -> str:
    return zone_words(timezone.now(), hospital.time_zone).partition(" (")[0]


class HoursForm(forms.Form):
    """Begins with the days to fill in; each day has two runs of hours."""

    use_required_attribute = False
    days: Sequence[int] = range(7)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for day in self.days:
            for part in range(PARTS):
                for end, words in (("opens", _("from")), ("closes", _("until"))):
                    field = clock_field(self.line_label(day, part, words))
                    # The template shows a day's fields in a row, without a group of their own each.
                    field.widget.attrs["class"] = "govuk-input govuk-input--width-10"
                    self.fields[_name(day, part, end)] = field

    def line_label(self, day: int, part: int, words: Any) -> str:
        run = _("first hours") if part == 0 else _("second hours")
        return f"{WEEKDAYS[day]}, {run}, {words}"

    def lines(self) -> Iterator[tuple[str, list[tuple[forms.BoundField, forms.BoundField]]]]:
        """For the template: each day's name with its pairs of fields."""
        for day in self.days:
            pairs = [
                (self[_name(day, part, "opens")], self[_name(day, part, "closes")])
                for part in range(PARTS)
            ]
            yield WEEKDAYS[day], pairs

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        spans = []
        for day in self.days:
            for part in range(PARTS):
                opens, closes = (data.get(_name(day, part, end)) for end in ("opens", "closes"))
                if opens is None and closes is None:
                    continue
                for end, given in (("opens", opens), ("closes", closes)):
                    name = _name(day, part, end)
                    if given is None and name not in self.errors:
                        self.add_error(
                            name,
                            _("%(day)s: enter both times, or none.") % {"day": WEEKDAYS[day]},
                        )
                if opens is not None and closes is not None:
                    spans.append(Span(day, opens, closes))
        data["spans"] = spans
        return data


def _name(day: int, part: int, end: str) -> str:
    return f"{end}_{day}_{part}"


class WeekForm(HoursForm):
    """A doctor's week at one hospital, valid from a day on."""

    hospital = forms.ChoiceField(label=_("Where"), error_messages={"required": _("Choose where.")})
    valid_from = day_field(label=_("Valid from"))
    valid_until = day_field(
        label=_("First day on which it is no longer valid"),
        required=False,
        help_text=_("Leave empty for a week that stays."),
    )
    field_order = ("hospital", "valid_from", "valid_until")

    def __init__(self, *args: Any, hospitals: Sequence[Hospital], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["hospital"]
        field.choices = [(hospital.slug, hospital.name) for hospital in hospitals]

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        first, until = data.get("valid_from"), data.get("valid_until")
        if first and until and until <= first:
            self.add_error("valid_until", _("Enter a day after “Valid from”, or leave it empty."))
        return data


def week_initial(lines: Sequence[OpeningHours]) -> dict[str, Any]:
    """The form's entries for the hours of a week as they stand."""
    entries: dict[str, Any] = {}
    parts = dict.fromkeys(range(7), 0)
    for line in sorted(lines, key=lambda line: (line.weekday, line.opens)):
        part = parts[line.weekday]
        if part < PARTS:
            entries[_name(line.weekday, part, "opens")] = line.opens
            entries[_name(line.weekday, part, "closes")] = line.closes
            parts[line.weekday] += 1
    return entries


class OneDayForm(forms.Form):
    """Other hours on one day: a doctor who comes later, or on a Saturday."""

    use_required_attribute = False

    hospital = forms.ChoiceField(label=_("Where"), error_messages={"required": _("Choose where.")})
    day = day_field(label=_("Day"))
    opens = clock_field(_("From"))
    closes = clock_field(_("Until"))
    again_opens = clock_field(_("And again from"))
    again_closes = clock_field(_("Until then"))

    def __init__(self, *args: Any, hospitals: Sequence[Hospital], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["hospital"]
        field.choices = [(hospital.slug, hospital.name) for hospital in hospitals]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        day: date | None = data.get("day")
        spans = []
        for start, end in (("opens", "closes"), ("again_opens", "again_closes")):
            opens, closes = data.get(start), data.get(end)
            if (opens is None) != (closes is None):
                self.add_error(end if closes is None else start, _("Enter both times, or none."))
            elif opens is not None and closes is not None and day is not None:
                spans.append(Span(day.weekday(), opens, closes))
        data["spans"] = spans
        if day is not None:
            data["valid_from"], data["valid_until"] = day, day + timedelta(days=1)
        return data


class TimeOffForm(ClockForm):
    """From when until when a doctor sees nobody, by the clock of a hospital."""

    use_required_attribute = False
    clocks = ("first_time", "last_time")

    first_day = day_field(label=_("First day"))
    first_time = clock_field(_("From"), help_text=_("Leave empty for the whole day."))
    last_day = day_field(label=_("Last day"))
    last_time = clock_field(_("Until"), help_text=_("Leave empty for the whole day."))
    why = forms.CharField(
        label=_("Note for staff"),
        required=False,
        max_length=TimeOff._meta.get_field("why").max_length,
        help_text=_("Patients never see it."),
    )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        first, last = data.get("first_day"), data.get("last_day")
        if first is None or last is None or "hospital" in self.errors:
            return data
        zone = zone_info(self.zone())
        starts_at = datetime.combine(first, data.get("first_time") or time(), tzinfo=zone)
        if data.get("last_time"):
            ends_at = datetime.combine(last, data["last_time"], tzinfo=zone)
        else:
            after = date.fromordinal(last.toordinal() + 1)
            ends_at = datetime.combine(after, time(), tzinfo=zone)
        if ends_at <= starts_at:
            self.add_error("last_day", _("The time off ends before it begins. Check both days."))
        data["starts_at"], data["ends_at"] = starts_at, ends_at
        return data


class HospitalDayForm(forms.Form):
    """A day on which a hospital is closed, or open although it is a public holiday."""

    use_required_attribute = False

    day = day_field(label=_("Day"))
    state = forms.ChoiceField(
        label=_("On this day"),
        widget=forms.RadioSelect,
        choices=[("closed", _("Closed")), ("open", _("Open, although it is a public holiday"))],
        error_messages={"required": _("Choose whether the hospital is open.")},
    )
    name = forms.CharField(label=_("Reason"), required=False, max_length=80)


class WhatForm(forms.Form):
    """What becomes of the visits that a change hits; nothing is chosen beforehand."""

    use_required_attribute = False

    what = forms.ChoiceField(
        label=_("What should happen to these visits?"),
        widget=forms.RadioSelect,
        choices=[
            ("keep", _("Keep them as they are")),
            ("tell", _("Cancel them: patients are told and led to new times")),
        ],
        error_messages={"required": _("Choose what happens to these visits.")},
    )


def refuse(form: forms.Form, error: ValidationError) -> None:
    """Shows what the rules refused at the form, where its entries are kept."""
    form.add_error(None, error)
