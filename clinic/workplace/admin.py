"""Mails and regular jobs in the admin, for administrators: what went wrong, never what was said."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ListedFilters, ShownOnly
from clinic.jobs.models import OutgoingMail, RegularJob


@admin.register(OutgoingMail)
class OutgoingMailAdmin(ShownOnly, ListedFilters, admin.ModelAdmin):
    """Subject and text stay out: they say when somebody sees a doctor."""

    list_display = ("message_id", "created_at", "attempts", "sent_at", "failed_at", "last_error")
    list_filter = (("failed_at", admin.EmptyFieldListFilter),)
    fields = ("message_id", "to", "created_at", "attempts", "next_attempt_at", "sent_at",
              "failed_at", "last_error")  # fmt: skip
    readonly_fields = fields
    ordering = ("-pk",)


@admin.register(RegularJob)
class RegularJobAdmin(ShownOnly, ListedFilters, admin.ModelAdmin):
    list_display = ("name", "due_at", "started_at", "finished_at", "last_error")
    fields = list_display
    readonly_fields = fields
    ordering = ("name",)
