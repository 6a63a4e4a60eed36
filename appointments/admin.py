"""Visits in the admin: to be read, not changed. Changes go through the rules of `booking`."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin import ListedFilters
from accounts.models import Role
from appointments.models import Appointment
from appointments.zones import date_words, time_words, zone_short

SEE_ALL = {Role.RECEPTION, Role.ADMINISTRATOR}


@admin.register(Appointment)
class AppointmentAdmin(ListedFilters, admin.ModelAdmin):
    """Who sees what when, without whose visit it is and why: that is what records are for.

    Reception and administrators see all visits, a doctor the own ones, others none.
    """

    list_display = ("reference", "doctor", "starts", "ends", "status")
    list_filter = ("status",)
    list_select_related = ("doctor", "hospital")
    search_fields = ("=reference", "doctor__search_text")
    ordering = ("-starts_at", "-pk")
    show_full_result_count = False  # counting all visits would read them all
    list_per_page = 50
    actions = None
    fields = ("reference", "doctor", "hospital", "starts", "ends", "status", "created_at")
    readonly_fields = fields

    @admin.display(description=_("starts"), ordering="starts_at")
    def starts(self, visit: Appointment) -> str:
        zone = visit.hospital.time_zone
        short = zone_short(visit.starts_at, zone)
        return f"{date_words(visit.starts_at, zone)}, {time_words(visit.starts_at, zone)} {short}"

    @admin.display(description=_("ends"))
    def ends(self, visit: Appointment) -> str:
        return time_words(visit.ends_at, visit.hospital.time_zone)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Appointment]:
        visits: QuerySet[Appointment] = super().get_queryset(request)
        user: Any = request.user
        if user.role in SEE_ALL:
            return visits
        if user.role == Role.DOCTOR:
            return visits.filter(doctor__user=user)
        return visits.none()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Appointment | None = None) -> bool:
        user: Any = request.user
        return bool(user.is_active and user.is_staff and user.role in SEE_ALL | {Role.DOCTOR})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Appointment | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Appointment | None = None) -> bool:
        return False
