"""A visit in the hands of staff: looked at, moved, cancelled; a part of a day called off."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.audit import record, record_shown
from accounts.models import Role, User
from appointments import asked as read
from appointments.availability import why_not
from appointments.booking import is_walk_in_here
from appointments.care import patients_of
from appointments.desk import (
    NoReason,
    NotAtYourDesk,
    cancel_at_desk,
    clocks_for,
    move_at_desk,
    services_at_desk,
)
from appointments.desk_pages import (
    desk_page,
    hit_visits,
    service_or_404,
    staff_or_404,
    visit_or_404,
)
from appointments.doctor_page import month_of_times
from appointments.forms import CancelForm
from appointments.forms_desk import LIMITS, CallOffForm, DeskForm, OtherTimeForm
from appointments.forms_hours import refuse
from appointments.hours_changes import HitsChanged, hit_by_time_off, look_of, take_time_off
from appointments.models import Appointment
from appointments.offers import service_of
from appointments.refusals import Refusal
from appointments.visit_page import is_open
from clinic.directory.models import Doctor, Hospital, Service
from clinic.directory.staff import hospitals_of, works_at


def desk_visit(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """When, who, where, in which state; the reason only for the doctor whose visit it is, while
    the patient is in their care."""
    user = staff_or_404(request)
    visit = visit_or_404(user, public_id)
    now = timezone.now()
    record("visit.viewed", actor=user, patient=visit.patient, subject=visit, now=now)
    is_doctor = user.role == Role.DOCTOR
    return desk_page(
        request,
        "desk/visit.html",
        title=_("Visit %(reference)s") % {"reference": visit.reference},
        visit=visit,
        is_doctor=is_doctor,
        treats=is_doctor and patients_of(user, now).filter(patient=visit.patient_id).exists(),
        can_take_back=is_walk_in_here(visit),
        can_change=is_open(visit, now),
        now=now,
    )


def desk_move(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Another time, with the same doctor or with a colleague."""
    user = staff_or_404(request)
    visit = visit_or_404(user, public_id)
    now = timezone.now()
    given = request.POST if request.method == "POST" else request.GET
    code = given.get("service", "")
    to = service_or_404(user, code) if code else None
    try:
        if request.method == "POST":
            answer = _move(request, user, visit, to, now)
            if answer.status_code != HTTPStatus.FOUND:
                record_shown(
                    "visit.viewed", actor=user, patient=visit.patient, subject=visit, now=now
                )
            return answer
        record("visit.viewed", actor=user, patient=visit.patient, subject=visit, now=now)
        if not is_open(visit, now):
            return _closed(request, visit)
        if "at" in given:
            return _compare(request, visit, to, read.moment(given["at"]), now)
    except read.Unreadable as problem:
        return desk_page(
            request, "desk/problem.html", title=_("Move the visit"),
            status=HTTPStatus.BAD_REQUEST, problems=[(problem.message, "")],
        )  # fmt: skip
    return _choose(request, user, visit, to, now)


def _choose(
    request: HttpRequest, user: User, visit: Appointment, to: Service | None, now: datetime
) -> HttpResponse:
    service = to or service_of(visit)
    page = reverse("desk_move", args=[visit.public_id])
    chosen = {"service": to.code} if to else {}

    def address(**more: str) -> str:
        return f"{page}?{urlencode(chosen | more)}"

    other = OtherTimeForm(request.GET if "clock" in request.GET else None)
    if other.is_bound:
        moment = other.moment(service.hospital.time_zone)
        if moment is not None:
            stamp = moment.astimezone(now.tzinfo).strftime("%Y-%m-%dT%H:%M:%SZ")
            return HttpResponseRedirect(address(at=stamp))
        if not other.errors:
            other.add_error("clock", _("Enter a time."))
    times = month_of_times(
        service,
        month=request.GET.get("month", ""),
        day=request.GET.get("date", ""),
        now=now,
        address=address,
    )
    colleagues = (
        services_at_desk(user)
        .filter(hospital=visit.hospital)
        .exclude(doctor=visit.doctor)
        .order_by("doctor__search_text", "position", "pk")[:40]
    )
    return desk_page(
        request,
        "desk/move.html",
        **times,
        title=_("Move the visit"),
        status=HTTPStatus.UNPROCESSABLE_ENTITY if other.errors else HTTPStatus.OK,
        visit=visit,
        service=service,
        doctor=service.doctor,
        to=to,
        move_url=address() if chosen else page,
        other=other,
        colleagues=colleagues,
    )


def _compare(
    request: HttpRequest,
    visit: Appointment,
    to: Service | None,
    at: datetime,
    now: datetime,
    *,
    form: DeskForm | None = None,
    key: str = "",
    refusal: Refusal | None = None,
    limits: list[str] | None = None,
) -> HttpResponse:
    """Old and new side by side, with the form that confirms and what stands in the way."""
    service = to or service_of(visit)
    form = form or DeskForm()
    shown = refusal or (
        None if form.is_bound else why_not(service, at, now=now, ignore_visit=visit.pk)
    )
    status: int = HTTPStatus.OK
    problems: list[tuple[str, str]] = []
    if shown is not None:
        status = shown.status
        asked = [*(limits or []), *([LIMITS[shown.code]] if shown.code in LIMITS else [])]
        if asked:
            form.ask_about_limits(asked)
        place = "#id_why" if isinstance(shown, NoReason) else "#id_limits_0" if asked else ""
        problems.append((shown.message, place or ("#nearest" if shown.nearest else "")))
    page = reverse("desk_move", args=[visit.public_id])
    chosen = {"service": to.code} if to else {}
    return desk_page(
        request,
        "desk/move_confirm.html",
        title=_("Move the visit"),
        status=status,
        problems=problems,
        visit=visit,
        service=service,
        to=to,
        at=at,
        form=form,
        key=key or read.new_key(),
        nearest=shown.nearest if shown is not None else [],
        times_address=f"{page}?{urlencode(chosen)}" if chosen else page,
    )


def _move(
    request: HttpRequest, user: User, visit: Appointment, to: Service | None, now: datetime
) -> HttpResponse:
    at = read.moment(request.POST.get("at"))
    key = read.key(request.POST.get("key"))
    limits = [limit for limit in request.POST.getlist("limits") if limit in LIMITS.values()]
    form = DeskForm(request.POST)
    if limits:
        form.ask_about_limits(limits)
    if not form.is_valid():
        return _compare(request, visit, to, at, now, form=form, key=key)
    try:
        moved = move_at_desk(
            appointment=visit,
            starts_at=at,
            by=user,
            key=key,
            now=now,
            to=to,
            override=form.override(),
        )
    except NotAtYourDesk as error:
        raise Http404 from error
    except Refusal as refusal:
        return _compare(
            request, visit, to, at, now, form=form, key=key, refusal=refusal, limits=limits
        )
    messages.success(request, _("The visit is moved. The patient is told by mail if we have one."))
    return redirect("desk_visit", public_id=moved.public_id)


def desk_cancel(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    user = staff_or_404(request)
    visit = visit_or_404(user, public_id)
    now = timezone.now()
    if request.method != "POST":
        record("visit.viewed", actor=user, patient=visit.patient, subject=visit, now=now)
    if not (is_open(visit, now) or is_walk_in_here(visit)):
        return _closed(request, visit)
    form = CancelForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            cancel_at_desk(appointment=visit, by=user, now=now, reason=form.cleaned_data["reason"])
        except Refusal:
            visit.refresh_from_db()
            return _closed(request, visit)
        messages.success(request, _("The visit is cancelled. Its time can be booked again."))
        return redirect("desk_visit", public_id=public_id)
    record_shown("visit.viewed", actor=user, patient=visit.patient, subject=visit, now=now)
    return desk_page(
        request,
        "desk/cancel.html",
        title=_("Cancel the visit"),
        status=HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK,
        visit=visit,
        form=form,
    )


def _closed(request: HttpRequest, visit: Appointment) -> HttpResponse:
    words = _("This visit was cancelled, has begun, or is over, so it cannot be changed.")
    return desk_page(
        request,
        "desk/problem.html",
        title=_("Visit %(reference)s") % {"reference": visit.reference},
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        problems=[(words, "")],
        visit=visit,
    )


def call_off_page(request: HttpRequest) -> HttpResponse:
    """Calls a part of a doctor's day off, after showing whom it hits."""
    user = staff_or_404(request)
    doctors = list(_doctors(user))
    hospitals = _clocks(user, doctors)
    title = _("Call off a part of a day")
    if request.method != "POST":
        chosen = {"doctor": request.GET.get("doctor", "")}
        form = CallOffForm(doctors=doctors, hospitals=hospitals, initial=chosen)
        return desk_page(request, "desk/call_off.html", title=title, form=form)
    form = CallOffForm(request.POST, doctors=doctors, hospitals=hospitals)
    doctor = _doctor_called_off(form, doctors, user)
    if doctor is None:
        return desk_page(
            request, "desk/call_off.html", title=title, form=form,
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
        )  # fmt: skip
    now = timezone.now()
    starts_at, ends_at = form.period()
    period: dict[str, Any] = {"doctor": doctor, "starts_at": starts_at, "ends_at": ends_at}
    if "asked" not in request.POST:
        hits = hit_by_time_off(**period, now=now)
        return _call_off_check(request, user, form, doctor, hits, title)
    try:
        done = take_time_off(
            **period,
            why=form.cleaned_data["why"],
            what="tell",
            seen=request.POST.get("seen", ""),
            by=user,
            now=now,
        )
    except HitsChanged as refusal:
        return _call_off_check(request, user, form, doctor, refusal.visits, title, refusal)
    except NotAtYourDesk as error:
        raise Http404 from error
    except ValidationError as error:
        refuse(form, error)
        return desk_page(
            request, "desk/call_off.html", title=title, form=form,
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
        )  # fmt: skip
    count = len(done.called_off)
    messages.success(
        request,
        ngettext(
            "%(count)d visit is called off.", "%(count)d visits are called off.", count
        ) % {"count": count},
    )  # fmt: skip
    return desk_page(
        request,
        "desk/called_off.html",
        title=title,
        doctor=doctor,
        visits=hit_visits(user, done.called_off),
        to_phone=hit_visits(user, done.to_phone),
        kept=done.kept,
        is_under_way=done.is_under_way,
    )


def _call_off_check(
    request: HttpRequest,
    user: User,
    form: CallOffForm,
    doctor: Doctor,
    visits: Sequence[Appointment],
    title: str,
    refusal: HitsChanged | None = None,
) -> HttpResponse:
    """Whose visits are cancelled, with the form that does it."""
    lines = hit_visits(user, visits)
    return desk_page(
        request,
        "desk/call_off_check.html",
        title=title,
        form=form,
        doctor=doctor,
        visits=lines,
        called_off=sum(not line.is_kept for line in lines),
        look=look_of(visits),
        entries=[(name, form.data.get(name, "")) for name in form.fields],
        status=refusal.status if refusal else HTTPStatus.OK,
        problems=[(refusal.message, "#hits")] if refusal else [],
    )


def _doctors(user: User) -> list[Doctor]:
    doctors = Doctor.objects.public()
    if user.role == Role.DOCTOR:
        return list(doctors.filter(user=user))
    return list(doctors.filter(works_at(hospitals_of(user))).order_by("search_text", "pk"))


def _clocks(user: User, doctors: Sequence[Doctor]) -> list[Hospital]:
    """Hospitals whose clock may be meant: reception's own ones; a doctor's, where they work."""
    if user.role == Role.DOCTOR:
        return clocks_for(user, doctors[0]) if doctors else []
    return list(hospitals_of(user).filter(time_zone_confirmed=True).order_by("name", "pk"))


def _doctor_called_off(form: CallOffForm, doctors: Sequence[Doctor], user: User) -> Doctor | None:
    """The doctor of a form without errors, who works where the clock hangs that it goes by."""
    if not form.is_valid():
        return None
    doctor = next(doctor for doctor in doctors if doctor.slug == form.cleaned_data["doctor"])
    hospital = form.hospital()
    places = clocks_for(user, doctor)
    if "hospital" in form.fields and hospital not in places:
        words = _("This doctor does not work there. Choose one of these: %(places)s.")
        form.add_error("hospital", words % {"places": ", ".join(place.name for place in places)})
        return None
    return doctor
