"""Pages that everybody may read, at the top of the site."""

from __future__ import annotations

from django.urls import path

from accounts import views

urlpatterns = [
    path("privacy/", views.privacy, name="privacy"),
    path("terms/", views.terms, name="terms"),
]
