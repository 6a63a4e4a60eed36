"""Addresses of the workplace that are about visits and hours, behind the admin's guard."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import path
from django.views.decorators.http import require_POST

from appointments import views_hours as hours


def guarded(view: Any) -> Any:
    """Only for staff who are signed in; the guard is looked up late, because apps replace it."""
    return admin.site.admin_view(view)


urlpatterns = [
    path("hours/", guarded(hours.hours), name="hours"),
    path("hours/<slug:slug>/", guarded(hours.hours_doctor), name="hours_doctor"),
    path("hours/<slug:slug>/week/", guarded(hours.hours_week), name="hours_week"),
    path("hours/<slug:slug>/day/", guarded(hours.hours_day), name="hours_day"),
    path("hours/<slug:slug>/off/", guarded(hours.hours_off), name="hours_off"),
    path(
        "hours/<slug:slug>/off/end/",
        guarded(require_POST(hours.hours_off_end)),
        name="hours_off_end",
    ),
    path("hospital-days/<slug:slug>/", guarded(hours.hospital_days), name="hospital_days"),
]
