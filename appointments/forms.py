"""What people fill in when they book, move or cancel. The rules judge; forms only read."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.models import Patient, User
from appointments.models import Appointment
from appointments.templatetags.times import utc_iso, when_at

ALLOWED_CONTROLS = {"\n", "\t"}


class PlainTextField(forms.CharField):
    """Free text in lines. Line ends count as one character however the browser sends them."""

    default_error_messages = {
        "control": _("Remove the characters that cannot be shown; they may come from copying."),
    }

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return text.replace("\r\n", "\n").replace("\r", "\n") if isinstance(text, str) else text

    def validate(self, value: Any) -> None:
        super().validate(value)
        for character in value or "":
            # Surrogates cannot be stored, controls cannot be seen.
            if (
                unicodedata.category(character) in {"Cc", "Cs"}
                and character not in ALLOWED_CONTROLS
            ):
                raise ValidationError(self.error_messages["control"], code="control")


class ReasonField(PlainTextField):
    """Why somebody wants to be seen: for the doctor's eyes, never in a mail or an address."""

    def __init__(self, **options: Any) -> None:
        limit = Appointment._meta.get_field("reason").max_length
        options.setdefault("label", _("Reason for visit"))
        options.setdefault("help_text", _("For your doctor. It is not in our mails."))
        options.setdefault("widget", forms.Textarea(attrs={"rows": 2}))
        super().__init__(required=False, max_length=limit, **options)
        self.error_messages["max_length"] = _(
            "The reason for visit must have %(limit_value)d characters or fewer; it has "
            "%(show_value)d."
        )
        for validator in self.validators:
            if validator.code == "max_length":  # type: ignore[attr-defined]
                validator.message = self.error_messages["max_length"]  # type: ignore[attr-defined]


def who_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        label=_("Who is the visit for?"),
        widget=forms.RadioSelect,
        error_messages={"required": _("Select who the visit is for.")},
    )


def offer_charts(form: forms.Form, charts: Sequence[Patient], user: User | None) -> Patient | None:
    """Gives the field ``patient`` its choices, with the account's own chart chosen beforehand, as
    most people come for themselves. With one chart there is nothing to choose, and no field.

    Returns the own chart when it is among several.
    """
    if len(charts) < 2:
        del form.fields["patient"]
        return None
    field: Any = form.fields["patient"]
    field.choices = [(str(chart.public_id), who_words(chart, user)) for chart in charts]
    own = own_chart(charts, user)
    if own is not None and not form.initial.get("patient"):
        form.initial["patient"] = str(own.public_id)
    return own


class BookingForm(forms.Form):
    """Who the visit is for and why; after a refusal also which other time, or what to do with the
    visit that is in the way.

    ``charts`` are those the account may act for. With one there is nothing to choose.
    """

    use_required_attribute = False  # our sentences, not the browser's

    patient = who_field()
    reason = ReasonField()

    def __init__(
        self,
        *args: Any,
        charts: Sequence[Patient] = (),
        user: User | None = None,
        patient_required: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        own = offer_charts(self, charts, user)
        if "patient" in self.fields:  # a form that leaves it out means the own chart
            self.fields["patient"].required = patient_required and own is None

    def offer_times(self, times: Sequence[datetime], zone: str) -> None:
        """Shows ``times`` to choose from, none chosen: nobody books a time they did not pick."""
        field = forms.ChoiceField(
            label=_("Nearest free times"),
            widget=forms.RadioSelect,
            choices=[(utc_iso(moment), when_at(moment, zone)) for moment in times],
        )
        self.fields = {"at": field, **self.fields}

    def ask_about_clash(self) -> None:
        """Asks what to do with the visit that is in the way, nothing chosen."""
        field = forms.ChoiceField(
            label=_("What should happen?"),
            widget=forms.RadioSelect,
            choices=[
                ("replace", _("Cancel the other visit and book this one")),
                ("both", _("Keep the other visit and book this one too")),
            ],
        )
        self.fields = {"clash": field, **self.fields}


def own_chart(charts: Sequence[Patient], user: User | None) -> Patient | None:
    """The account's own chart among ``charts``, or the only one there is."""
    if len(charts) == 1:
        return charts[0]
    return next((c for c in charts if user is not None and c.account_id == user.pk), None)


def who_words(chart: Patient, user: User | None) -> str:
    if user is not None and chart.account_id == user.pk:
        return str(_("%(name)s (you)") % {"name": chart.name})
    return chart.name


class CancelForm(forms.Form):
    """Why a visit is cancelled, if people want to say so."""

    use_required_attribute = False

    reason = PlainTextField(
        label=_("Reason for cancelling"),
        required=False,
        max_length=Appointment._meta.get_field("cancel_reason").max_length,
        widget=forms.TextInput(),
    )
