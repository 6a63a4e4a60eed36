"""What a patient sends in, and asks for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from records.deletion import WORDS_AT_MOST
from records.documents import TITLE_LENGTH


class UploadForm(forms.Form):
    use_required_attribute = False

    file = forms.FileField(
        label=_("File"),
        help_text=_("A photo (JPEG or PNG) or a PDF, at most 10 MB."),
        error_messages={"required": _("Choose a file.")},
    )
    title = forms.CharField(
        label=_("What it is"),
        max_length=TITLE_LENGTH,
        help_text=_("For example: letter of Dr. Ames, March 2026"),
        error_messages={"required": _("Say in a few words what it is.")},
    )


class DeletionForm(forms.Form):
    use_required_attribute = False

    words = forms.CharField(
        label=_("What should be deleted?"),
        max_length=WORDS_AT_MOST,
        widget=forms.Textarea(attrs={"rows": 4}),
        error_messages={"required": _("Write what should be deleted.")},
    )


class DecisionForm(forms.Form):
    """Reception's decision about a request."""

    use_required_attribute = False

    decision = forms.ChoiceField(
        label=_("Decision"),
        widget=forms.RadioSelect,
        choices=[
            ("grant", _("Delete what may go, keep what the law requires")),
            ("refuse", _("Delete nothing")),
        ],
        error_messages={"required": _("Choose a decision.")},
    )
    answer: Any = forms.CharField(
        label=_("Answer to the patient"),
        max_length=WORDS_AT_MOST,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Say what was deleted, what is kept, and for how long."),
        error_messages={"required": _("Write what the patient should know.")},
    )
