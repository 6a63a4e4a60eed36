"""What people fill in to wait for a time, and to say when they are reminded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Patient, User
from appointments.forms import offer_charts, who_field
from appointments.models import Hours
from appointments.waitlist import AFTERNOON, EVENING, MORNING
from clinic.directory.models import Service, Visit
from clinic.forms import DateField3

PARTS = [
    (MORNING, _("Mornings, until noon")),
    (AFTERNOON, _("Afternoons, noon to 5 pm")),
    (EVENING, _("Evenings, from 5 pm")),
]


def day_field(label: Any, example: Any) -> DateField3:
    return DateField3(
        label=label,
        help_text=example,
        error_messages={
            "required": _("Enter the day as month, day and year, for example 11 30 2026."),
            "year": _("The year must have 4 digits, for example 2026."),
        },
    )


class WaitlistForm(forms.Form):
    """Who waits, for which of the doctor's ``services`` (or, without any, which kind of visit), on
    which days and at which times of the day."""

    use_required_attribute = False  # our sentences, not the browser's

    patient = who_field()
    service = forms.ChoiceField(
        label=_("What for?"),
        widget=forms.RadioSelect,
        error_messages={"required": _("Select what the visit is for.")},
    )
    visit = forms.ChoiceField(
        label=_("How?"),
        widget=forms.RadioSelect,
        required=False,
        choices=[("", _("In person or by video")), *Visit.choices],
    )
    earliest = day_field(_("First day that suits you"), _("For example 11 30 2026"))
    latest = day_field(_("Last day that suits you"), _("After this day we stop looking"))
    parts = forms.MultipleChoiceField(
        label=_("Times of the day"),
        choices=PARTS,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("On the clinic's clock"),
        error_messages={"required": _("Select at least one time of the day.")},
    )

    def __init__(
        self,
        *args: Any,
        charts: Sequence[Patient] = (),
        user: User | None = None,
        services: Sequence[tuple[Service, str]] = (),
        kinds: bool = False,
        **kwargs: Any,
    ) -> None:
        """``services`` with their words; ``kinds``: ask in person or by video."""
        super().__init__(*args, **kwargs)
        offer_charts(self, charts, user)
        if len(services) < 2:
            del self.fields["service"]
        else:
            chosen: Any = self.fields["service"]
            chosen.choices = [(service.code, words) for service, words in services]
        if not kinds:
            del self.fields["visit"]

    def days(self) -> tuple[date, date]:
        return self.cleaned_data["earliest"], self.cleaned_data["latest"]


class RemindersForm(forms.Form):
    use_required_attribute = False

    hours = forms.TypedChoiceField(
        label=_("When should we remind you of a visit?"),
        choices=[
            (str(hours.value), hours.label) for hours in (Hours.DAY, Hours.TWO_DAYS, Hours.OFF)
        ],
        coerce=lambda value: Hours(int(value)),
        widget=forms.RadioSelect,
        error_messages={"required": _("Select when we should remind you.")},
    )
