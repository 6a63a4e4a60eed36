"""Addresses of the workplace that belong to no app below it, behind the admin's guard."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from clinic.workplace import emergencies, status, views

urlpatterns = [
    path(
        "visits/<uuid:public_id>/status/",
        admin.site.admin_view(views.visit_status),
        name="visit_status",
    ),
    path("status/", admin.site.admin_view(status.operator_status), name="operator_status"),
    path("emergencies/", admin.site.admin_view(emergencies.emergencies), name="emergencies"),
    path(
        "emergencies/<uuid:public_id>/",
        admin.site.admin_view(emergencies.emergency_of),
        name="emergency_of",
    ),
]
