"""Emergency access for administrators, who look at each: who, whose record, when, and why.

The list names nobody: administrators know no patients. Whose record it was, and what the doctor
typed, stands on a page per patient, and looking at that is written into the patient's trail.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.audit import record
from accounts.models import Role, User
from appointments.emergency import given_since

LOOKED_BACK = timedelta(days=365)
RECENT = timedelta(days=30)  # counted on the front page
PER_PAGE = 50


def _administrator_or_404(request: HttpRequest) -> User:
    user = cast(User, request.user)  # the admin's guard was passed
    if not (user.is_active and user.role == Role.ADMINISTRATOR):
        raise Http404
    return user


@require_safe
def emergencies(request: HttpRequest) -> HttpResponse:
    """The accesses of the last 12 months, newest first."""
    user, now = _administrator_or_404(request), timezone.now()
    given = given_since(now - LOOKED_BACK)
    page = Paginator(given, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        **admin.site.each_context(request),
        "title": _("Emergency access"),
        "page_obj": page,
        "now": now,
        "zone": user.time_zone or "UTC",
    }
    return render(request, "workplace/emergencies.html", context)


@require_safe
def emergency_of(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The accesses to one patient's record, with name and reasons; one row in the trail."""
    user, now = _administrator_or_404(request), timezone.now()
    given = list(given_since(now - LOOKED_BACK).filter(patient__public_id=public_id)[:PER_PAGE])
    if not given:
        raise Http404
    patient = given[0].patient
    record("access.reviewed", actor=user, patient=patient, now=now)
    context = {
        **admin.site.each_context(request),
        "title": _("Emergency access to one record"),
        "patient": patient,
        "given": given,
        "now": now,
        "zone": user.time_zone or "UTC",
    }
    return render(request, "workplace/emergency.html", context)
