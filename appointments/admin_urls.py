"""Addresses of the workplace that are about visits and hours, behind the admin's guard."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from appointments import (
    views_desk_book,
    views_desk_carers,
    views_desk_patients,
    views_desk_visits,
)
from appointments import views_hours as hours


def guarded(view: Any) -> Any:
    """Only for staff who are signed in; the guard is looked up late, because apps replace it."""
    return admin.site.admin_view(view)


patients, visits = views_desk_patients, views_desk_visits

urlpatterns = [
    path("patients/", guarded(patients.desk_patients), name="desk_patients"),
    path("patients/new/", guarded(patients.desk_patient_new), name="desk_patient_new"),
    path("patients/<uuid:public_id>/", guarded(patients.desk_patient), name="desk_patient"),
    path(
        "patients/<uuid:public_id>/use/",
        guarded(patients.desk_patient_use),
        name="desk_patient_use",
    ),
    path(
        "patients/<uuid:public_id>/code/",
        guarded(patients.desk_patient_code),
        name="desk_patient_code",
    ),
    path(
        "patients/<uuid:public_id>/carers/<uuid:user_id>/",
        guarded(require_POST(views_desk_carers.desk_carer)),
        name="desk_carer",
    ),
    path("book/", guarded(views_desk_book.desk_book), name="desk_book"),
    path("call-off/", guarded(visits.call_off_page), name="call_off"),
    path("visits/<uuid:public_id>/", guarded(require_safe(visits.desk_visit)), name="desk_visit"),
    path("visits/<uuid:public_id>/move/", guarded(visits.desk_move), name="desk_move"),
    path("visits/<uuid:public_id>/cancel/", guarded(visits.desk_cancel), name="desk_cancel"),
    path("hours/", guarded(require_safe(hours.hours)), name="hours"),
    path("hours/<slug:slug>/", guarded(require_safe(hours.hours_doctor)), name="hours_doctor"),
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
