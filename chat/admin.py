"""Conversations in the admin: that they exist and wait, without patient, words or files.

What people wrote is read in the conversation, by those who take part in it.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.models import Role
from chat.models import Conversation


@admin.register(Conversation)
class ConversationAdmin(admin.ModelAdmin):
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

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        user: Any = request.user
        return bool(user.is_active and user.is_staff and user.role == Role.ADMINISTRATOR)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        return False
