"""Django's admin as the place where people work: who may come in, and what they see first."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.roles import STAFF_ROLES


class WorkplaceSite(admin.AdminSite):
    enable_nav_sidebar = False  # the header's links are those of the role

    def has_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.is_active and user.is_staff and user.role in STAFF_ROLES)

    def index(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Loaded late: the apps' admin modules make this site before all apps are there.
        from clinic.workplace.pages import front_page

        frame = self.each_context(request) | (extra_context or {})
        page: HttpResponse = require_safe(front_page)(request, frame)
        return page

    def app_index(  # type: ignore[override]
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Nobody thinks in Django's apps: their pages lead to the front page."""
        if not self.get_app_list(request, app_label):
            raise Http404
        return HttpResponseRedirect(reverse("admin:index"))
