"""What reception fills in: whom a visit is for, which limits are set aside, what is called off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from django import forms
from django.utils import formats
from django.utils.translation import gettext_lazy as _

from accounts.fields import BirthDateField, NameField, PhoneField, refuse_unwritable
from accounts.models import Patient, Sex
from appointments.forms import PlainTextField, ReasonField
from appointments.forms_hours import ClockForm, clock_field, day_field
from appointments.overrides import Limit, Override
from appointments.zones import zone_info
from clinic.directory.models import Doctor, Hospital

# Which limit stands behind a refusal of the booking rules.
LIMITS = {
    "too_soon": Limit.LEAD,
    "too_far": Limit.HORIZON,
    "off_grid": Limit.GRID,
    "closed": Limit.HOURS,
    "too_many_open": Limit.OPEN_BOOKINGS,
    "no_new_patients": Limit.NEW_PATIENTS,
}


class ChartForm(forms.Form):
    """Who a patient is and how the clinic reaches them."""

    use_required_attribute = False

    name = NameField()
    birth_date = BirthDateField()
    sex = forms.ChoiceField(
        label=_("Sex"), choices=Sex.choices, required=False, initial=Sex.UNKNOWN
    )
    phone = PhoneField(required=False)
    email = forms.EmailField(
        label=_("E-mail address"),
        required=False,
        validators=[refuse_unwritable],
        help_text=_("Confirmations go there. Leave it empty if the patient has none."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            # What the browser knows is about whoever sits at the desk.
            field.widget.attrs["autocomplete"] = "off"

    def facts(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {
            "name": data["name"],
            "birth_date": data["birth_date"],
            "sex": data["sex"] or Sex.UNKNOWN,
            "phone": data["phone"],
            "email": data["email"],
        }


class CorrectionForm(ChartForm):
    """Contact data to correct, with the marks of what was shown (`registering.marks_of`)."""

    shown = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)

    def show_changed(self, chart: Patient, fields: Iterable[str], marks: str) -> None:
        """Says what others stored meanwhile, so that saving again is a decision."""
        for field in fields:
            value = getattr(chart, f"get_{field}_display", lambda: None)() or getattr(chart, field)
            if isinstance(value, date):
                value = formats.date_format(value)
            words = (
                _("Meanwhile changed to “%(value)s”. Save again to replace it.") % {"value": value}
                if value
                else _("Meanwhile removed. Save again to store yours.")
            )
            self.add_error(field, words)
        sent: Any = self.data
        again = sent.copy()
        again["shown"] = marks
        self.data = again


class NewPatientForm(ChartForm):
    """A new chart; `looked` are the likely duplicates that were shown before."""

    def __init__(self, *args: Any, hospitals: Sequence[Hospital], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hospitals = hospitals
        if len(hospitals) > 1:
            self.fields["hospital"] = forms.ChoiceField(
                label=_("Registered at"),
                choices=[(hospital.slug, hospital.name) for hospital in hospitals],
            )

    def hospital(self) -> Hospital:
        slug = self.cleaned_data.get("hospital", self.hospitals[0].slug)
        return next(hospital for hospital in self.hospitals if hospital.slug == slug)


class OtherTimeForm(forms.Form):
    """A time that is not among the free ones, for bookings with a limit set aside."""

    use_required_attribute = False

    day = day_field(label=_("Day"))
    clock = clock_field(_("Time"))

    def moment(self, zone: str) -> datetime | None:
        """By the clock of the hospital; None when the entries make none."""
        if not self.is_valid() or self.cleaned_data["clock"] is None:
            return None
        return datetime.combine(
            self.cleaned_data["day"], self.cleaned_data["clock"], tzinfo=zone_info(zone)
        )


class DeskForm(forms.Form):
    """The reason for a visit, and what staff answer to a refusal."""

    use_required_attribute = False

    reason = ReasonField(help_text=_("For the doctor. It is not in our mails."))

    def ask_about_limits(self, limits: Iterable[str]) -> None:
        """Offers to set ``limits`` aside, none chosen, with a reason that is kept."""
        labels = dict(Limit.choices)
        self.fields["limits"] = forms.MultipleChoiceField(
            label=_("Book all the same"),
            required=False,
            choices=[(limit, labels[limit]) for limit in sorted(set(limits))],
            widget=forms.CheckboxSelectMultiple,
        )
        self.fields["why"] = PlainTextField(
            label=_("Why"),
            required=False,
            max_length=120,
            help_text=_("Kept with the visit and in the audit trail. No health details."),
        )

    def ask_about_clash(self, *, both: bool) -> None:
        """Asks what to do with the visit that is in the way, nothing chosen."""
        choices: list[tuple[str, Any]] = [
            ("replace", _("Cancel the other visit and book this one"))
        ]
        if both:
            choices.append(("both", _("Keep the other visit and book this one too")))
        self.fields["clash"] = forms.ChoiceField(
            label=_("What should happen?"),
            widget=forms.RadioSelect,
            required=False,
            choices=choices,
        )

    def override(self) -> Override:
        data = self.cleaned_data
        return Override(frozenset(data.get("limits") or ()), (data.get("why") or "").strip())


class CallOffForm(ClockForm):
    """A part of a doctor's day, by the clock of a hospital."""

    use_required_attribute = False
    clocks = ("opens", "closes")

    doctor = forms.ChoiceField(
        label=_("Doctor"), error_messages={"required": _("Choose a doctor.")}
    )
    day = day_field(label=_("Day"))
    opens = clock_field(_("From"))
    closes = clock_field(_("Until"))
    why = forms.CharField(
        label=_("Note for staff"),
        required=False,
        max_length=80,
        help_text=_("Patients never see it."),
    )

    def __init__(self, *args: Any, doctors: Sequence[Doctor], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["doctor"]
        field.choices = [(doctor.slug, doctor.display_name) for doctor in doctors]
        for name in ("opens", "closes"):
            self.fields[name].required = True
            self.fields[name].error_messages["required"] = _("Enter a time.")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        opens, closes = data.get("opens"), data.get("closes")
        if opens and closes and closes <= opens:
            self.add_error("closes", _("The time ends before it begins. Check both times."))
        return data

    def period(self) -> tuple[datetime, datetime]:
        data, info = self.cleaned_data, zone_info(self.zone())
        return (
            datetime.combine(data["day"], data["opens"], tzinfo=info),
            datetime.combine(data["day"], data["closes"], tzinfo=info),
        )


def chart_initial(patient: Patient) -> dict[str, Any]:
    return {
        "name": patient.name,
        "birth_date": patient.birth_date,
        "sex": patient.sex,
        "phone": patient.phone,
        "email": patient.email,
    }
