"""Conversations in the admin: that they exist and wait, without patient, words or files.

What people wrote is read in the conversation, by those who take part in it.
"""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import LargeList, ShownOnly
from chat.models import Conversation


@admin.register(Conversation)
class ConversationAdmin(ShownOnly, LargeList, admin.ModelAdmin):
    """For administrators: which doctors and clinics leave questions unanswered."""

    list_display = ("hospital", "doctor", "last_event_at", "waiting_since", "closed_at")
    list_filter = (("closed_at", admin.EmptyFieldListFilter),)
    list_select_related = ("hospital", "doctor")
    search_fields = ("doctor__search_text", "hospital__search_text")
    ordering = ("-last_event_at", "-pk")
    fields = (
        "public_id", "hospital", "doctor", "handed_to", "created_at", "last_event_at",
        "waiting_since", "closed_at",
    )  # fmt: skip
    readonly_fields = fields
