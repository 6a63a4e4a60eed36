"""Forms of the pages around a conversation; the composer's rules are the protocol's parser."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from clinic.directory.models import Doctor, ReplyTime
from clinic.forms import DateField3


class ColleagueForm(forms.Form):
    """A doctor of the same hospital."""

    doctor = forms.ModelChoiceField(
        label=_("Colleague"),
        queryset=Doctor.objects.none(),
        to_field_name="slug",
        empty_label=_("Choose a colleague"),
        error_messages={
            "required": _("Choose a colleague first."),
            "invalid_choice": _("Choose a colleague from the list."),
        },
    )

    def __init__(self, colleagues: QuerySet[Doctor], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields["doctor"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101
        field.queryset = colleagues


class ChatSettingsForm(forms.Form):
    """What a doctor decides about messages."""

    show_seen = forms.BooleanField(
        label=_("Show patients when I have seen a message"), required=False
    )
    reply_days = forms.TypedChoiceField(
        label=_("You answer within"),
        help_text=_("Patients read it beside the box in which they write."),
        choices=[("", _("As the hospital says")), *ReplyTime.choices],
        coerce=int,
        empty_value=None,
        required=False,
        error_messages={"invalid_choice": _("Choose a time from the list.")},
    )
    away_from = DateField3(label=_("First day away"), required=False)
    away_until = DateField3(
        label=_("Back on"), help_text=_("The first day on which you answer again."), required=False
    )
    cover = forms.ModelChoiceField(
        label=_("Who covers for you"),
        help_text=_(
            "Patients who write while you are away are told the name, and the colleague can answer "
            "in their conversation."
        ),
        queryset=Doctor.objects.none(),
        to_field_name="slug",
        required=False,
        empty_label=_("Nobody"),
    )

    def __init__(self, colleagues: QuerySet[Doctor], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields["cover"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101
        field.queryset = colleagues

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        first, back = cleaned.get("away_from"), cleaned.get("away_until")
        if back and not first and "away_from" not in self.errors:
            self.add_error("away_from", _("Enter the first day away as well."))
        if first and back and back <= first:
            self.add_error(
                "away_until", _("The day you are back must be after the first day away.")
            )
        return cleaned
