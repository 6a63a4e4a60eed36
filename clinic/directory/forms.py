"""The form with which a doctor signs up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.fields import NameField
from accounts.forms import AccountSignupForm
from accounts.models import Role, User
from clinic.directory.models import Specialty
from clinic.directory.npi import clean_npi
from clinic.directory.signup import add_waiting_doctor


class DoctorSignupForm(AccountSignupForm):
    """Only these fields are read: what else is posted (a role, an approval) is ignored."""

    role = Role.DOCTOR

    name = NameField(help_text=_("As patients know you, without “Dr.”"))
    credentials = forms.CharField(
        label=_("Degree"),
        max_length=40,
        help_text=_("As patients know it, for example MD or DO"),
        error_messages={"required": _("Enter your degree, for example MD.")},
        widget=forms.TextInput(attrs={"class": "govuk-input--width-10"}),
    )
    npi = forms.CharField(
        label=_("NPI"),
        max_length=20,
        help_text=_("Your National Provider Identifier, 10 digits, which we check"),
        error_messages={"required": _("Enter your NPI.")},
        widget=forms.TextInput(
            attrs={"class": "govuk-input--width-10", "inputmode": "numeric", "autocomplete": "off"}
        ),
    )
    specialty = forms.ModelChoiceField(
        label=_("Specialty"),
        queryset=Specialty.objects.order_by("name"),
        empty_label=_("Choose one"),
        error_messages={"required": _("Choose your specialty.")},
    )

    field_order = [
        "name", "credentials", "specialty", "npi", "email", "phone", "password1", "accept",
    ]  # fmt: skip

    def clean_npi(self) -> str:
        return clean_npi(self.cleaned_data["npi"])

    def complete(self, user: User, now: datetime) -> None:
        data: dict[str, Any] = self.cleaned_data
        add_waiting_doctor(
            user=user,
            npi=data["npi"],
            credentials=data["credentials"],
            specialties=[data["specialty"]],
            now=now,
        )
