"""Addresses of the workplace that are about accounts, behind the admin's guard."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import path

from accounts import second_factor_admin


def guarded(view: Any) -> Any:
    """Only for staff who are signed in; the guard is looked up late, because apps replace it."""
    return admin.site.admin_view(view)


urlpatterns = [
    path(
        "accounts/<uuid:public_id>/second-factor/",
        guarded(second_factor_admin.reset_page),
        name="second_factor_reset",
    ),
]
