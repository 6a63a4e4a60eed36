"""A person's visits: the list, one visit, and cancelling it.

Access is part of each lookup: somebody else's visit does not exist here.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_safe

from accounts.audit import record
from accounts.models import Patient
from appointments.booking import cancel, cancel_deadline
from appointments.edges import visit_or_404
from appointments.forms import CancelForm
from appointments.models import Appointment, Status
from appointments.refusals import Refusal
from appointments.visit_page import (
    cancel_rule,
    card_of,
    closed_words,
    cost_words,
    deadline_words,
    dialed,
    is_open,
    reminder_words,
)

PAST_PER_PAGE = 20


@require_safe
@login_required
@cache_control(no_store=True, private=True)
def appointments(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    mine = Appointment.objects.in_care_of(request.user, now).with_parts()
    upcoming = [
        card_of(visit, request.user, now)
        for visit in mine.upcoming(now).order_by("starts_at", "pk")
    ]
    past = mine.exclude(status=Status.BOOKED, ends_at__gt=now).order_by("-starts_at", "-pk")
    page = Paginator(past, PAST_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "next": upcoming[0] if upcoming else None,
        "later": upcoming[1:],
        "past": [card_of(visit, request.user, now) for visit in page],
        "page_obj": page,
        # Whose visit it is goes without saying for somebody with the own chart alone.
        "names": Patient.objects.in_care_of(request.user, now).current().count() > 1,
    }
    return render(request, "visits/list.html", context)


@require_safe
@login_required
@cache_control(no_store=True, private=True)
def appointment(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """One visit. The patient's side can change it; the doctor's reading is written down."""
    now = timezone.now()
    visible = Appointment.objects.visible_to(request.user, now).with_parts()
    visit = visit_or_404(visible, public_id=public_id, user=request.user)
    manages = Appointment.objects.in_care_of(request.user, now).filter(pk=visit.pk).exists()
    if not manages:
        # The one thing a GET writes: who opened a patient's data belongs in the patient's trail.
        record("visit.read", actor=request.user, patient=visit.patient, subject=visit, now=now)
    context = {
        "card": card_of(visit, request.user, now, manages=manages),
        "visit": visit,
        "hospital": visit.hospital,
        "open": is_open(visit, now),
        "cost": cost_words(visit),
        "cancel_rule": cancel_rule(visit, now) if is_open(visit, now) else "",
        "reminder": reminder_words(visit, request.user, now) if manages else "",
        "phone": visit.hospital.phone,
        "dialed": dialed(visit.hospital.phone),
        "mailed_to": visit.booked_by.email
        if visit.booked_by is not None and visit.booked_by_id == request.user.pk
        else "",
    }
    return render(request, "visits/visit.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@cache_control(no_store=True, private=True)
def appointment_cancel(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    now = timezone.now()
    mine = Appointment.objects.in_care_of(request.user, now).with_parts()
    visit = visit_or_404(mine, public_id=public_id, user=request.user)
    if visit.is_cancelled:
        return redirect("appointment", public_id=public_id)
    form = CancelForm(request.POST if request.method == "POST" else None)
    context = {
        "card": card_of(visit, request.user, now),
        "visit": visit,
        "form": form,
        "late": now > cancel_deadline(visit),
        "deadline": deadline_words(visit),
        "hours": visit.doctor.cancel_hours,
        "phone": visit.hospital.phone,
        "dialed": dialed(visit.hospital.phone),
    }
    status = HTTPStatus.OK
    if request.method == "POST":
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            try:
                visit = cancel(
                    appointment=visit,
                    by=request.user,
                    now=now,
                    reason=form.cleaned_data["reason"],
                )
            except Refusal as refusal:
                context |= {"problems": [(refusal.message, "")], "has_errors": True}
                status = HTTPStatus(refusal.status)
            else:
                messages.success(request, _cancelled_words(visit))
                return redirect("appointment", public_id=public_id)
    elif not is_open(visit, now):
        context |= {"problems": [(closed_words(visit), "")], "has_errors": True}
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    context["open"] = is_open(visit, now)
    return render(request, "visits/cancel.html", context, status=status)


def _cancelled_words(visit: Appointment) -> str:
    if visit.cancelled_late:
        return _("Your visit is cancelled. It is marked as cancelled late.")
    return _("Your visit is cancelled.")
