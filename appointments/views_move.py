"""Moving a visit: choose among the same doctor's times, compare old and new, confirm in one step.

The old time stays until the new one is confirmed.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods

from appointments import asked as read
from appointments.availability import why_not
from appointments.booking import reschedule
from appointments.doctor_page import month_of_times
from appointments.edges import visit_or_404
from appointments.models import Appointment
from appointments.offers import service_of
from appointments.refusals import NotMovable, PatientBusy, Refusal
from appointments.visit_page import card_of, closed_words, dialed, is_open
from appointments.visit_words import own_zone, when_words
from appointments.zones import local


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@cache_control(no_store=True, private=True)
def appointment_move(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    now = timezone.now()
    mine = Appointment.objects.in_care_of(request.user, now).with_parts()
    visit = visit_or_404(mine, public_id=public_id, user=request.user)
    try:
        if request.method == "POST":
            return _move(request, visit, now)
        if not is_open(visit, now):
            return _closed(request, visit, now)
        if "at" in request.GET:
            return _compare(request, visit, read.moment(request.GET["at"]), now)
    except read.Unreadable as problem:
        return _choose(request, visit, now, problem=problem.message, status=HTTPStatus.BAD_REQUEST)
    return _choose(request, visit, now)


def _move(request: HttpRequest, visit: Appointment, now: datetime) -> HttpResponse:
    at = read.moment(request.POST.get("at"))
    key = read.key(request.POST.get("key"))
    before = visit.starts_at
    try:
        visit = reschedule(appointment=visit, starts_at=at, by=request.user, key=key, now=now)
    except NotMovable as refusal:
        return _closed(request, visit, now, refusal)
    except Refusal as refusal:
        return _choose(request, visit, now, refusal=refusal)
    if visit.starts_at != before:
        messages.success(request, _("Your visit is moved. The old time is free for others again."))
    return redirect("appointment", public_id=visit.public_id)


def _compare(request: HttpRequest, visit: Appointment, at: datetime, now: datetime) -> HttpResponse:
    """The old and the new time side by side, with the form that confirms."""
    service = service_of(visit)
    if at == visit.starts_at:
        return _choose(request, visit, now, problem=_("Your visit is at that time already."))
    refusal = why_not(service, at, now=now, ignore_visit=visit.pk)
    if refusal is not None:
        return _choose(request, visit, now, refusal=refusal)
    context = _context(request, visit, now) | {
        "new": when_words(
            at,
            at + timedelta(minutes=visit.minutes),
            visit.hospital.time_zone,
            own_zone(request.user),
        ),
        "at": at,
        "key": read.new_key(),
    }
    return render(request, "visits/move_confirm.html", context)


def _choose(
    request: HttpRequest,
    visit: Appointment,
    now: datetime,
    *,
    refusal: Refusal | None = None,
    problem: str = "",
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    """The doctor's times to choose from; after a refusal with the nearest ones on top."""
    service, zone = service_of(visit), visit.hospital.time_zone
    page = reverse("appointment_move", args=[visit.public_id])
    day = request.GET.get("date", "")
    if not day and refusal is not None and refusal.nearest:
        day = local(refusal.nearest[0], zone).date().isoformat()
    context = _context(request, visit, now) | month_of_times(
        service,
        month=request.GET.get("month", ""),
        day=day,
        now=now,
        address=lambda **choice: f"{page}?{urlencode(choice)}",
    )
    if refusal is not None:
        problem, status = refusal.message, refusal.status
    context |= {
        "service": service,
        "doctor": visit.doctor,
        "move_url": page,
        "problems": [(problem, "#nearest" if refusal and refusal.nearest else "")]
        if problem
        else [],
        "has_errors": bool(problem),
        "nearest": refusal.nearest if refusal is not None else [],
        "clashing": refusal.clashing if isinstance(refusal, PatientBusy) else None,
    }
    return render(request, "visits/move.html", context, status=status)


def _closed(
    request: HttpRequest, visit: Appointment, now: datetime, refusal: NotMovable | None = None
) -> HttpResponse:
    """A visit that cannot be moved: why, and whom to call."""
    message = refusal.message if refusal is not None else closed_words(visit)
    context = _context(request, visit, now) | {"problems": [(message, "")], "has_errors": True}
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return render(request, "visits/move_closed.html", context, status=status)


def _context(request: HttpRequest, visit: Appointment, now: datetime) -> dict[str, Any]:
    return {
        "card": card_of(visit, request.user, now),
        "visit": visit,
        "hospital": visit.hospital,
        "phone": visit.hospital.phone,
        "dialed": dialed(visit.hospital.phone),
    }
