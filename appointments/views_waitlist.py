"""The waiting list: the own entries, adding and removing one, and the link of a mail."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.audit import record_refusal
from accounts.models import Patient, User
from appointments import waitlist as rules
from appointments.book_page import charts_of
from appointments.forms import own_chart
from appointments.forms_waitlist import WaitlistForm
from appointments.models import Appointment, Status, WaitlistEntry
from appointments.refusals import Refusal
from appointments.waitlist_offers import read_token
from appointments.waitlist_page import (
    Asked,
    address_of,
    asked,
    initial,
    lines_of,
    services_in_words,
    what_words,
)
from clinic.directory.models import Doctor, Service


@require_safe
@login_required
@cache_control(no_store=True, private=True)
def waitlist(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    context = {
        "lines": lines_of(request.user, now),
        "names": Patient.objects.in_care_of(request.user, now).current().count() > 1,
    }
    return render(request, "waitlist/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@cache_control(no_store=True, private=True)
def waitlist_add(request: HttpRequest) -> HttpResponse:
    user, now = cast(User, request.user), timezone.now()
    wish = asked(request.GET, user, now)
    if not wish.can_be_waited_for:
        problem = rules.NothingToWaitFor()
        context = {"wish": wish, "problems": [(problem.message, "")], "has_errors": True}
        return render(request, "waitlist/add.html", context, status=problem.status)
    visit = wish.earlier_than
    charts = [visit.patient] if visit is not None else charts_of(user, now)
    given = request.POST if request.method == "POST" else None
    form = WaitlistForm(
        given,
        initial=initial(wish, now),
        charts=charts,
        user=user,
        services=services_in_words(wish.services),
        kinds=wish.specialty is not None,
    )
    problems: list[tuple[str, str]] = []
    status = HTTPStatus.OK
    if given is not None:
        chart = _chosen(given.get("patient", ""), charts, user)
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if chart is None and not charts:
            problems.append((_("Add the person first for whom you wait."), ""))
        elif form.is_valid() and chart is not None:
            try:
                return _join(request, form, wish, chart)
            except rules.WrongDays as refusal:
                form.add_error(refusal.field, refusal.message)
            except Refusal as refusal:
                problems.append((refusal.message, ""))
                status = HTTPStatus(refusal.status)
    context = {
        "wish": wish,
        "what": what_words(wish),
        "form": form,
        "takes_charts": bool(charts),
        "person_add": f"{reverse('person_add')}?{urlencode({'next': wish.address})}",
        "back": _back(wish),
        "problems": problems,
        "has_errors": bool(problems),
    }
    return render(request, "waitlist/add.html", context, status=status)


def _join(request: HttpRequest, form: WaitlistForm, wish: Asked, chart: Patient) -> HttpResponse:
    earliest, latest = form.days()
    given = form.cleaned_data
    rules.join(
        patient=chart,
        wish=wish.wish(given.get("service", ""), given.get("visit", "")),
        earliest=earliest,
        latest=latest,
        parts=given["parts"],
        by=request.user,
        now=timezone.now(),
    )
    messages.success(
        request, _("You are on the waiting list. We mail you when a time becomes free.")
    )
    return redirect("waitlist")


def _chosen(public_id: str, charts: list[Patient], user: Any) -> Patient | None:
    """The chart that the form names. Somebody else's does not exist here."""
    if not public_id:
        return own_chart(charts, user)
    for chart in charts:
        if str(chart.public_id) == public_id:
            return chart
    raise Http404


def _back(wish: Asked) -> str:
    if wish.earlier_than is not None:
        return reverse("appointment", args=[wish.earlier_than.public_id])
    if wish.specialty is not None:
        query = {"specialty": wish.specialty.slug, "hospital": wish.hospital.slug}
        return f"{reverse('doctors')}?{urlencode(query)}"
    first = wish.services[0]
    query = {"service": first.code}
    return f"{reverse('doctor', args=[first.doctor.slug])}?{urlencode(query)}#times"


@require_POST
@login_required
def waitlist_remove(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    now = timezone.now()
    entries = WaitlistEntry.objects.select_related("patient")
    entry = entries.in_care_of(request.user, now).filter(public_id=public_id).first()
    if entry is None:
        other = entries.filter(public_id=public_id).first()
        if other is not None:
            record_refusal(
                "waitlist.leave",
                actor=request.user,
                patient=other.patient,
                subject=other,
                reason="not theirs",
            )
        raise Http404
    rules.leave(entry=entry, by=request.user, now=now)
    messages.success(request, _("The entry is removed from the waiting list."))
    return redirect("waitlist")


@require_safe
@cache_control(no_store=True, private=True)
def waitlist_offer(request: HttpRequest, token: str) -> HttpResponse:
    """From the mail to the ordinary page of booking or moving, which says whether it is free."""
    link = read_token(token)
    if link is None:
        raise Http404
    service = get_object_or_404(
        Service.objects.filter(doctor__in=Doctor.objects.public()).select_related("doctor"),
        code=link.code,
    )
    visit = None
    if link.visit:
        # A visit that was cancelled since cannot be moved; the time may still be wanted.
        booked = Appointment.objects.filter(status=Status.BOOKED)
        visit = booked.filter(public_id=link.visit).first()
    address = address_of(service, link.starts_at, visit, slug=service.doctor.slug)
    return HttpResponseRedirect(address)
