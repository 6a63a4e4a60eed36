"""Booking for somebody at the desk or on the phone: who, what with whom, when, confirm.

Every step is an address that can be opened again; only the last one, a POST, writes. A limit that
stands in the way is named with the choice to set it aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from itertools import groupby
from typing import Any, cast, get_args

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.models import Patient, Role, User
from appointments import asked as read
from appointments.availability import why_not
from appointments.clashes import Clash
from appointments.desk import NoReason, NotAtYourDesk, book_at_desk, services_at_desk, walk_in
from appointments.desk_pages import desk_page, patient_or_404, service_or_404, staff_or_404
from appointments.doctor_page import month_of_times
from appointments.forms_desk import LIMITS, DeskForm, OtherTimeForm
from appointments.refusals import PatientBusy, Refusal, SecondVisit
from clinic.directory.models import Service
from clinic.directory.text import fold

SERVICES_SHOWN = 60


@dataclass
class Wish:
    """What has been chosen so far."""

    user: User
    patient: Patient
    service: Service
    now: datetime

    def address(self, **more: str) -> str:
        """The page with these choices, and ``more`` of them."""
        chosen = {"patient": str(self.patient.public_id), "service": self.service.code}
        return f"{reverse('desk_book')}?{urlencode(chosen | more)}"


def desk_book(request: HttpRequest) -> HttpResponse:
    user = staff_or_404(request)
    try:
        given = request.POST if request.method == "POST" else request.GET
        if "patient" not in given:
            if user.role == Role.DOCTOR:
                return redirect("charts")
            return redirect("desk_patients")
        patient = patient_or_404(user, given.get("patient"))
        if "service" not in given:
            return _choose_service(request, user, patient)
        service = service_or_404(user, given.get("service", ""))
        wish = Wish(user, patient, service, timezone.now())
        if request.method == "POST":
            return _answer(request, wish)
        if "at" in given:
            return _confirm(request, wish, read.moment(given["at"]), DeskForm())
        return _choose_time(request, wish)
    except read.Unreadable as problem:
        return desk_page(
            request, "desk/problem.html", title=_("Book for a patient"),
            status=HTTPStatus.BAD_REQUEST, problems=[(problem.message, "")],
        )  # fmt: skip


def _choose_service(request: HttpRequest, user: User, patient: Patient) -> HttpResponse:
    words = request.GET.get("q", "")[:100]
    services = services_at_desk(user).order_by(
        "doctor__search_text", "doctor_id", "hospital__name", "position", "pk"
    )
    for word in fold(words).split():
        services = services.filter(doctor__search_text__contains=word)
    shown = list(services[: SERVICES_SHOWN + 1])
    return desk_page(
        request,
        "desk/services.html",
        title=_("Book for %(name)s") % {"name": patient.name},
        patient=patient,
        q=words,
        is_cut=len(shown) > SERVICES_SHOWN,
        doctors=[
            (doctor, list(rows))
            for doctor, rows in groupby(shown[:SERVICES_SHOWN], key=lambda row: row.doctor)
        ],
    )


def _choose_time(request: HttpRequest, wish: Wish) -> HttpResponse:
    """The doctor's free times, a time typed by hand, and "is here now"."""
    other = OtherTimeForm(request.GET if "clock" in request.GET else None)
    if other.is_bound:
        moment = other.moment(wish.service.hospital.time_zone)
        if moment is not None:
            stamp = moment.astimezone(wish.now.tzinfo).strftime("%Y-%m-%dT%H:%M:%SZ")
            return HttpResponseRedirect(wish.address(at=stamp))
        if not other.errors:
            other.add_error("clock", _("Enter a time."))
    times = month_of_times(
        wish.service,
        month=request.GET.get("month", ""),
        day=request.GET.get("date", ""),
        now=wish.now,
        address=wish.address,
    )
    return desk_page(
        request,
        "desk/times.html",
        **times,
        title=_("Choose a time for %(name)s") % {"name": wish.patient.name},
        status=HTTPStatus.UNPROCESSABLE_ENTITY if other.errors else HTTPStatus.OK,
        wish=wish,
        service=wish.service,
        doctor=wish.service.doctor,
        move_url=wish.address(),
        other=other,
        key=read.new_key(),
    )


def _answer(request: HttpRequest, wish: Wish) -> HttpResponse:
    action = read.word(request.POST.get("action"), {"book", "walk_in"})
    key = read.key(request.POST.get("key"))
    form = DeskForm(request.POST)
    if action == "walk_in":
        return _walk_in(request, wish, key)
    at = read.moment(request.POST.get("at"))
    clash = cast(Clash, read.word(request.POST.get("clash", ""), get_args(Clash)))
    chosen = [limit for limit in request.POST.getlist("limits") if limit in LIMITS.values()]
    if chosen:
        form.ask_about_limits(chosen)
    if not form.is_valid():
        return _confirm(request, wish, at, form, key=key)
    try:
        visit = book_at_desk(
            service=wish.service,
            patient=wish.patient,
            starts_at=at,
            by=wish.user,
            key=key,
            now=wish.now,
            reason=form.cleaned_data["reason"],
            clash=clash,
            override=form.override(),
        )
    except NotAtYourDesk as error:
        raise Http404 from error
    except Refusal as refusal:
        return _confirm(request, wish, at, form, key=key, refusal=refusal, chosen=chosen)
    messages.success(request, _("The visit is booked. Reference %s.") % visit.reference)
    return redirect("desk_visit", public_id=visit.public_id)


def _walk_in(request: HttpRequest, wish: Wish, key: str) -> HttpResponse:
    try:
        visit = walk_in(
            service=wish.service, patient=wish.patient, by=wish.user, key=key, now=wish.now
        )
    except NotAtYourDesk as error:
        raise Http404 from error
    except Refusal as refusal:
        return _confirm(request, wish, None, DeskForm(), key=key, refusal=refusal)
    messages.success(request, _("%(name)s is here.") % {"name": wish.patient.name})
    return redirect("desk_visit", public_id=visit.public_id)


def _confirm(
    request: HttpRequest,
    wish: Wish,
    at: datetime | None,
    form: DeskForm,
    *,
    key: str = "",
    refusal: Refusal | None = None,
    chosen: list[str] | None = None,
) -> HttpResponse:
    """The summary with the form that books; what stands in the way is asked about here."""
    shown = refusal
    if shown is None and at is not None and not form.is_bound:
        shown = why_not(wish.service, at, now=wish.now)
    status: int = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    problems: list[tuple[str, str]] = []
    if shown is not None:
        status = shown.status
        problems.append((shown.message, _ask_about(form, shown, chosen or [])))
    zone = wish.service.hospital.time_zone
    context: dict[str, Any] = {
        "wish": wish,
        "service": wish.service,
        "form": form,
        "at": at,
        "zone": zone,
        "key": key or read.new_key(),
        "nearest": [] if shown is None else shown.nearest,
        "times_address": wish.address(),
        "clashing": shown.clashing if isinstance(shown, PatientBusy) else (
            shown.existing if isinstance(shown, SecondVisit) else None
        ),
    }  # fmt: skip
    return desk_page(
        request, "desk/confirm.html", title=_("Check and book"), status=status,
        problems=problems, **context,
    )  # fmt: skip


def _ask_about(form: DeskForm, refusal: Refusal, chosen: list[str]) -> str:
    """Adds to the form what answers the refusal; where the error summary leads."""
    if isinstance(refusal, (PatientBusy, SecondVisit)):
        form.ask_about_clash(both=isinstance(refusal, SecondVisit))
        return "#id_clash_0"
    limit = LIMITS.get(refusal.code)
    if limit is not None:
        form.ask_about_limits([*chosen, limit])
        return "#id_limits_0"
    if isinstance(refusal, NoReason):
        form.ask_about_limits(chosen)
        return "#id_why"
    return "#nearest" if refusal.nearest else ""
