"""Addresses of a patient's own record, under /record/."""

from __future__ import annotations

from django.urls import path

from records import views_mine

urlpatterns = [
    path("", views_mine.record_page, name="record"),
    path("documents/", views_mine.record_upload, name="record_upload"),
    path("documents/<uuid:public_id>/", views_mine.record_document, name="record_document"),
    path(
        "documents/<uuid:public_id>/thumbnail/",
        views_mine.record_document,
        {"small": True},
        name="record_thumbnail",
    ),
    path("download/", views_mine.record_download, name="record_download"),
    path("summary/", views_mine.record_summary, name="record_summary"),
    path("who/", views_mine.record_who, name="record_who"),
    path("deletion/", views_mine.record_deletion, name="record_deletion"),
    path("referrals/<uuid:public_id>/", views_mine.record_referral, name="record_referral"),
]
