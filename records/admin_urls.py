"""Addresses of a doctor's charts, under /admin/ and in front of the admin's own.

Each is guarded as the admin's pages are: who is no staff is sent to the sign-in.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from records import (
    views_care,
    views_charts,
    views_deletion,
    views_documents,
    views_facts,
    views_measurements,
    views_medications,
    views_notes,
)


def page(part: str, view: Any, name: str, **options: Any) -> URLPattern:
    return path(f"charts/{part}", admin.site.admin_view(view), options, name=name)


CHART = "<uuid:public_id>/"
ENTRY = "<uuid:entry_id>/"
NOTE = f"{CHART}notes/<uuid:note_id>/"

urlpatterns = [
    page("", views_charts.charts, "charts"),
    page("emergency/", views_care.emergency, "chart_emergency"),
    page(CHART, views_charts.chart, "chart"),
    page(f"{CHART}encounters/new/", views_charts.encounter_new, "chart_encounter_new"),
    page(f"{CHART}notes/", views_notes.note_start, "chart_note_start"),
    page(NOTE, views_notes.note, "chart_note"),
    page(f"{NOTE}sign/", views_notes.note_sign, "chart_note_sign"),
    page(f"{NOTE}amend/", views_notes.note_amend, "chart_note_amend"),
    page(f"{CHART}allergies/", views_facts.allergies, "chart_allergies"),
    page(f"{CHART}allergies/{ENTRY}end/", views_facts.allergy_end, "chart_allergy_end"),
    page(f"{CHART}conditions/", views_facts.conditions, "chart_conditions"),
    page(
        f"{CHART}conditions/{ENTRY}resolve/",
        views_facts.condition_resolve,
        "chart_condition_resolve",
    ),
    page(f"{CHART}medications/", views_medications.medications, "chart_medications"),
    page(
        f"{CHART}medications/{ENTRY}stop/",
        views_medications.stop,
        "chart_medication_stop",
        kind="medication",
    ),
    page(f"{CHART}prescriptions/new/", views_medications.prescription_new, "chart_prescribe"),
    page(f"{CHART}prescriptions/{ENTRY}", views_medications.prescription, "chart_prescription"),
    page(
        f"{CHART}prescriptions/{ENTRY}stop/",
        views_medications.stop,
        "chart_prescription_stop",
        kind="prescription",
    ),
    page(f"{CHART}measurements/", views_measurements.measurements, "chart_measurements"),
    page(f"{CHART}documents/", views_documents.documents, "chart_documents"),
    page(f"{CHART}documents/{ENTRY}", views_documents.document, "chart_document"),
    page(
        f"{CHART}documents/{ENTRY}thumbnail/",
        views_documents.document_thumbnail,
        "chart_document_thumbnail",
    ),
    page(f"{CHART}retract/<str:kind>/{ENTRY}", views_facts.entry_retract, "chart_retract"),
    page(f"{CHART}referrals/", views_care.referrals, "chart_referrals"),
    page(
        f"{CHART}referrals/<uuid:referral_id>/withdraw/",
        views_care.referral_withdraw,
        "chart_referral_withdraw",
    ),
    path(
        "deletions/",
        admin.site.admin_view(require_safe(views_deletion.deletions)),
        name="deletions",
    ),
    path(
        "deletions/<uuid:public_id>/",
        admin.site.admin_view(views_deletion.deletion_decide),
        name="deletion_decide",
    ),
]
