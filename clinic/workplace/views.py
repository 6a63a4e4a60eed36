"""The buttons at a visit: arrived, done, did not come, undo."""

from __future__ import annotations

import uuid
from typing import cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from accounts.models import User
from appointments.attendance import STEPS, mark, undo
from appointments.desk import NotAtYourDesk
from appointments.edges import visit_or_404
from appointments.models import Appointment
from appointments.refusals import Refusal


@require_POST
def visit_status(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Takes one step and goes back to the page with the button, at the row of the visit."""
    now, user = timezone.now(), cast(User, request.user)
    visits = Appointment.objects.handled_by(user).select_related("patient")
    visit = visit_or_404(visits, public_id=public_id, user=user)
    action = request.POST.get("action", "")
    if action != "undo" and action not in STEPS:
        return HttpResponseBadRequest()
    try:
        if action == "undo":
            undo(appointment=visit, by=user, now=now)
        else:
            mark(appointment=visit, status=action, by=user, now=now)
    except NotAtYourDesk as refusal:  # moved to another desk a moment ago
        raise Http404 from refusal
    except Refusal as refusal:
        messages.error(request, refusal.message)
    return redirect(f"{_back(request)}#visit-{visit.public_id}")


def _back(request: HttpRequest) -> str:
    target = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target.partition("#")[0] if is_ours else reverse("admin:index")
