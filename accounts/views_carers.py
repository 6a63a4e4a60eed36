"""Who acts for me: the patient says what each carer may do, and a guardian says so of a child."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import carers as rules
from accounts.models import Carer, User
from accounts.people import Refused


@require_safe
@login_required
def carers(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    chart = getattr(user, "chart", None)
    found = rules.carers_of(chart, timezone.now()) if chart is not None else []
    return render(request, "accounts/carers.html", {"carers": found, "chart": chart})


@require_POST
@login_required
def carer_rights(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Stores what one carer may do, or ends it (``action=end``)."""
    user, now = request.user, timezone.now()
    chart = getattr(user, "chart", None)
    if not isinstance(user, User) or chart is None:
        raise Http404
    carer = get_object_or_404(rules.carers_of(chart, now), user__public_id=public_id)
    name = {"name": carer.user.display_name}
    if request.POST.get("action") == "end":
        rules.end_carer(carer=carer, by=user, now=now)
        messages.success(request, _("%(name)s no longer acts for you.") % name)
    else:
        rules.set_rights(
            carer=carer,
            may_message="may_message" in request.POST,
            may_read_record="may_read_record" in request.POST,
            by=user,
            now=now,
        )
        messages.success(request, _("What %(name)s may do is stored.") % name)
    return redirect("carers")


@require_POST
@login_required
def person_guardian(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """A carer says to be parent or guardian of a child, and may then read the child's record."""
    user, now = request.user, timezone.now()
    assert isinstance(user, User)  # noqa: S101  (login_required stands in front)
    running = Carer.objects.running(now).filter(user=user).select_related("patient")
    carer = get_object_or_404(running, patient__public_id=public_id)
    try:
        rules.share_as_guardian(carer=carer, by=user, now=now)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(
            request, _("You can now read the record of %(name)s.") % {"name": carer.patient.name}
        )
    return redirect("people")
