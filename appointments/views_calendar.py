"""Visits for calendar programs: a file of one visit, and the feed with its secret address."""

from __future__ import annotations

import uuid
from typing import cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.audit import record
from accounts.models import User
from appointments import feeds
from appointments.calendars import feed_ics, visit_ics
from appointments.edges import visit_or_404
from appointments.models import Appointment, CalendarFeed
from clinic.links import absolute


@require_safe
@login_required
def appointment_ics(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The visit as a file for a calendar program; the doctor's taking it is written down."""
    now = timezone.now()
    visible = Appointment.objects.visible_to(request.user, now).with_parts()
    appointment = visit_or_404(visible, public_id=public_id, user=request.user)
    if not Appointment.objects.in_care_of(request.user, now).filter(pk=appointment.pk).exists():
        record(
            "visit.export",
            actor=request.user,
            patient=appointment.patient,
            subject=appointment,
            now=now,
        )
    body = visit_ics(appointment, method="PUBLISH", now=now, viewer_id=request.user.pk)
    return calendar_answer(body, filename="visit.ics")


@require_safe
def feed(request: HttpRequest, secret: str) -> HttpResponse:
    """The calendar behind a secret address; no session, because calendar programs have none."""
    user = feeds.owner(secret)
    if user is None:
        raise Http404
    now = timezone.now()
    name = _("Visits, %(clinic)s") % {"clinic": settings.CLINIC_NAME}
    body = feed_ics(feeds.visits(user, now=now), name=name, now=now, viewer_id=user.pk)
    return calendar_answer(body, filename="visits.ics")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def feed_settings(request: HttpRequest) -> HttpResponse:
    """Shows the secret address; a POST makes one, or a new one in place of it."""
    user = cast(User, request.user)
    if request.method == "POST":
        feeds.make_address(user=user, now=timezone.now())
        return redirect("feed_settings")
    mine = CalendarFeed.objects.filter(user=user).first()
    address = absolute(reverse("feed", args=[mine.secret])) if mine else ""
    return render(
        request,
        "appointments/feed_settings.html",
        {"feed": mine, "address": address, "webcal": webcal(address)},
    )


def webcal(address: str) -> str:
    """``address`` with the scheme that phones and desktops hand to their calendar program."""
    return f"webcal://{address.partition('://')[2]}" if address else ""


def calendar_answer(body: bytes, *, filename: str) -> HttpResponse:
    response = HttpResponse(body, content_type="text/calendar; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    response.headers["Cache-Control"] = "no-store, private"
    return response
