"""Conversations in the admin: that they exist and wait, without patient, words or files.

What people wrote is read in the conversation, by those who take part in it.
"""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from chat.models import Conversation


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    """For administrators: which doctors and clinics leave questions unanswered."""

    list_display = ("hospital", "doctor", "last_event_at", "waiting_since", "closed_at")
    list_filter = (("closed_at", admin.EmptyFieldListFilter),)
    list_select_related = ("hospital", "doctor")
    search_fields = ("doctor__search_text", "hospital__search_text")
    ordering = ("-last_event_at", "-pk")
    show_full_result_count = False  # counting all conversations would read them all
    list_per_page = 50
    actions = None
    fields = (
        "public_id", "hospital", "doctor", "handed_to", "created_at", "last_event_at",
        "waiting_since", "closed_at",
    )  # fmt: skip
    readonly_fields = fields
