"""What doctors fill in about a patient. The rules judge; forms only read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.validators import MaxLengthValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.fields import BirthDateField, earliest_birth_date
from appointments.emergency import REASON_AT_LEAST, REASON_AT_MOST
from appointments.forms import PlainTextField
from appointments.referrals import REASON_AT_MOST as REFERRAL_REASON
from appointments.zones import zone_info
from clinic.directory.models import Doctor
from clinic.forms import DateField3
from records.models import Allergy, Document, Encounter, IcdCategory, Medication, Note, Prescription

NO_CATEGORY = "-"  # the answer "none of these" to the pick list


def at_midnight(day: date | None, zone: str) -> datetime | None:
    """The beginning of a day on the clinic's clock."""
    return None if day is None else datetime.combine(day, time(), zone_info(zone))


def longest(model: Any, name: str) -> int:
    """How much a column takes: forms refuse more with a sentence, the database without one."""
    return int(model._meta.get_field(name).max_length)


def tomorrow() -> date:
    """Somewhere on earth it is that day already."""
    return timezone.now().date() + timedelta(days=1)


class PastDateField(DateField3):
    """A day that has been, such as the one on which something began."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", False)
        options.setdefault("help_text", _("For example 3 31 2021"))
        super().__init__(earliest=earliest_birth_date, latest=tomorrow, **options)


def line(label: Any, *, most: int, missing: Any = None, hint: Any = "", **options: Any) -> Any:
    """One line of text; optional unless ``missing`` says what to do about an empty one."""
    field = PlainTextField(
        label=label,
        required=missing is not None,
        max_length=most,
        help_text=hint,
        widget=options.pop("widget", forms.TextInput(attrs={"autocomplete": "off"})),
        **options,
    )
    if missing is not None:
        field.error_messages["required"] = missing
    return field


class ChartSearchForm(forms.Form):
    """Posted, not asked by an address: names of patients stay out of addresses and logs."""

    name = line(_("Name"), most=150, hint=_("Or a part of it"))
    birth_date = BirthDateField(required=False)

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        if not self.errors and not found.get("name") and not found.get("birth_date"):
            self.add_error("name", _("Enter a name or a date of birth."))
        return found


class EncounterForm(forms.Form):
    """A meeting without a booked visit."""

    kind = forms.ChoiceField(
        label=_("What was it?"),
        choices=[
            (kind.value, kind.label) for kind in Encounter.Kind if kind is not Encounter.Kind.VISIT
        ],
        initial=Encounter.Kind.PHONE,
        widget=forms.RadioSelect,
    )
    title = line(
        _("What was it about?"),
        most=longest(Encounter, "title"),
        missing=_("Enter in a few words what it was about."),
        hint=_("For example: Results of the blood test"),
    )


class NoteForm(forms.Form):
    """The text of a note and which save of it the writer saw last."""

    body = PlainTextField(
        label=_("Text of the note"),
        required=False,
        # Not max_length: a count of what is left of ten pages only disturbs.
        validators=[MaxLengthValidator(longest(Note, "body"))],
        widget=forms.Textarea(attrs={"rows": 16, "spellcheck": "true"}),
        strip=False,
    )
    version = forms.IntegerField(min_value=1, widget=forms.HiddenInput)


class AmendForm(forms.Form):
    body = PlainTextField(
        label=_("What do you add or correct?"),
        help_text=_("The signed note stays as it is; this is shown below it."),
        validators=[MaxLengthValidator(longest(Note, "body"))],
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "true"}),
    )
    body.error_messages["required"] = _("Write what you add or correct.")


class RetractForm(forms.Form):
    why = line(
        _("Why was this entered in error?"),
        most=200,
        missing=_("Enter why, for example: Wrong patient."),
        hint=_("The entry stays in the record, struck through, with your reason."),
    )


class AllergyForm(forms.Form):
    name = line(
        _("Substance"),
        most=longest(Allergy, "name"),
        missing=_("Enter what the patient is allergic to."),
        hint=_("For example: Penicillin"),
    )
    reaction = line(_("Reaction"), most=longest(Allergy, "reaction"), hint=_("For example: Hives"))
    criticality = forms.ChoiceField(
        label=_("Risk"),
        choices=Allergy.Criticality.choices,
        initial=Allergy.Criticality.UNKNOWN,
        widget=forms.RadioSelect,
    )


class ConditionForm(forms.Form):
    """A diagnosis in the doctor's words, and the category of ICD-10-CM picked for it."""

    text = line(
        _("Diagnosis or problem"),
        most=250,
        missing=_("Enter the diagnosis or problem."),
        hint=_("In your words, or a code such as E11"),
    )
    category = forms.ChoiceField(
        label=_("Category of ICD-10-CM"), required=False, widget=forms.RadioSelect
    )
    onset = PastDateField(label=_("Since"))

    def __init__(self, *args: Any, categories: Sequence[IcdCategory] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        shown: list[tuple[str, Any]] = [(each.code, str(each)) for each in categories]
        shown.append((NO_CATEGORY, _("None of these: keep my words")))
        picked: Any = self.fields["category"]
        picked.choices = shown


class MedicationForm(forms.Form):
    """Something that was not prescribed here."""

    name = line(
        _("Medication"),
        most=longest(Medication, "name"),
        missing=_("Enter the name of the medication."),
        hint=_("With its strength, for example: Metformin 500 mg"),
    )
    dose = line(
        _("Dose and how to take it"),
        most=longest(Medication, "dose"),
        hint=_("For example: 1 tablet in the morning"),
    )


class StopForm(forms.Form):
    why = line(
        _("Why is it stopped?"),
        most=200,
        missing=_("Enter why it is stopped."),
        hint=_("For example: Course finished"),
    )


class PrescriptionForm(forms.Form):
    """``despite_allergy`` is only asked once the rule found a recorded allergy that matches."""

    name = line(
        _("Medication"),
        most=longest(Prescription, "name"),
        missing=_("Enter the name of the medication."),
        hint=_("With its strength and form, for example: Amoxicillin 500 mg capsules"),
    )
    dose = line(
        _("Dose and how to take it"),
        most=longest(Prescription, "dose"),
        missing=_("Enter the dose and how to take it."),
        hint=_("For example: 1 capsule 3 times a day for 7 days"),
    )
    quantity = line(
        _("Quantity"),
        most=longest(Prescription, "quantity"),
        missing=_("Enter how much the pharmacy gives out."),
        hint=_("For example: 21 capsules"),
    )
    refills = forms.IntegerField(
        label=_("Refills"),
        min_value=0,
        max_value=12,
        initial=0,
        widget=forms.TextInput(
            attrs={"inputmode": "numeric", "autocomplete": "off", "class": "govuk-input--width-2"}
        ),
        error_messages={"invalid": _("Enter a whole number of refills, for example 0.")},
    )
    despite_allergy = line(
        _("Why do you prescribe it despite the allergy?"),
        most=longest(Prescription, "despite_allergy"),
        hint=_("The reason is kept with the prescription."),
    )

    def __init__(self, *args: Any, about_allergy: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        if not about_allergy:
            del self.fields["despite_allergy"]


class DocumentForm(forms.Form):
    title = line(
        _("Title"),
        most=longest(Document, "title"),
        missing=_("Enter what it is, for example: Letter from the eye clinic."),
    )
    file = forms.FileField(
        label=_("File"),
        help_text=_("PDF, JPEG, PNG or WebP, up to 10 MB"),
        widget=forms.FileInput(attrs={"accept": ".pdf,.jpg,.jpeg,.png,.webp"}),
        error_messages={"required": _("Choose a file."), "empty": _("This file is empty.")},
    )


class EmergencyForm(forms.Form):
    """Exactly who, and why now."""

    name = line(
        _("Full name of the patient"),
        most=150,
        missing=_("Enter the full name of the patient."),
        hint=_("Exactly as in the record"),
    )
    birth_date = BirthDateField()
    reason = PlainTextField(
        label=_("Why do you need this record now?"),
        min_length=REASON_AT_LEAST,
        max_length=REASON_AT_MOST,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={
            "required": _("Type why you need the record now."),
            "min_length": _("Type why you need the record now, in at least %(limit_value)d "
                            "characters."),
        },
    )  # fmt: skip


class ReferralForm(forms.Form):
    colleague = line(
        _("Name of the colleague"), most=100, missing=_("Enter the name of the colleague.")
    )
    to = forms.ChoiceField(
        label=_("Who?"),
        widget=forms.RadioSelect,
        error_messages={"required": _("Find the colleague by name, then choose.")},
    )
    reason = line(
        _("Why do you refer?"),
        most=REFERRAL_REASON,
        missing=_("Enter why you refer."),
        hint=_("The patient reads this before saying yes or no."),
    )
    in_person = forms.BooleanField(
        label=_("The patient agreed in person"),
        help_text=_("Only for patients without an account, who cannot answer here."),
        required=False,
    )

    def __init__(self, *args: Any, colleagues: Sequence[Doctor] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        choice: Any = self.fields["to"]
        choice.choices = [
            (each.slug, f"{each.display_name}{each.credentials and f', {each.credentials}'}")
            for each in colleagues
        ]
