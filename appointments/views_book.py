"""Booking: the page that shows what will be booked, and the form that holds a time or confirms it.

A GET writes nothing. `action=hold` keeps the time for some minutes, `action=confirm` books it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast, get_args

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods

from accounts.models import Patient, User
from appointments import asked as read
from appointments.availability import why_not
from appointments.book_page import Asked, Page, charts_of, context_of
from appointments.booking import book as book_visit
from appointments.clashes import Clash
from appointments.forms import BookingForm, own_chart
from appointments.holding import current_hold, hold
from appointments.models import Appointment, SlotHold
from appointments.refusals import PatientBusy, Refusal, SecondVisit
from appointments.visit_words import clock_words, when_words
from clinic.directory.models import Doctor, Service
from clinic.net import counted_address

HOLD_SESSION_KEY = "slot_hold"


@require_http_methods(["GET", "HEAD", "POST"])
@cache_control(no_store=True, private=True)
def book(request: HttpRequest, slug: str) -> HttpResponse:
    doctor = get_object_or_404(Doctor.objects.public(), slug=slug)
    try:
        if request.method == "POST":
            return _answer_form(request, doctor)
        return _show(request, _asked(request.GET, doctor))
    except read.Unreadable as problem:
        context = {"doctor": doctor, "problem": problem.message, "has_errors": True}
        return render(request, "booking/unreadable.html", context, status=HTTPStatus.BAD_REQUEST)


def _asked(given: QueryDict, doctor: Doctor) -> Asked:
    """What the address or the form asks for. 404 for a service this doctor does not offer."""
    at = read.moment(given.get("at"))
    code = given.get("service")
    if not code:
        raise read.Unreadable(_("The address names no kind of visit."))
    services = Service.objects.filter(doctor=doctor, is_active=True)
    service = get_object_or_404(services.select_related("hospital"), code=code)
    service.doctor = doctor
    return Asked(service, at)


def _show(request: HttpRequest, asked: Asked) -> HttpResponse:
    now = timezone.now()
    last = current_hold(_token(request))
    own = last if last is not None and _holds(last, asked) else None
    charts = charts_of(request.user, now)
    page = Page(
        asked=asked,
        form=_form(request, charts, initial=_typed_before(last, asked)),
        key=read.new_key(),
        charts=charts,
        now=now,
        hold=own,
        refusal=why_not(asked.service, asked.at, now=now, ignore_hold=own.pk if own else None),
    )
    return _render(request, page)


def _answer_form(request: HttpRequest, doctor: Doctor) -> HttpResponse:
    given = request.POST
    asked = _asked(given, doctor)
    key = read.key(given.get("key"))
    action = read.word(given.get("action"), {"hold", "confirm"})
    clash = cast(Clash, read.word(given.get("clash", ""), get_args(Clash)))
    if action == "confirm" and not request.user.is_authenticated:
        return HttpResponseRedirect(_with_next("account_login", asked))
    now = timezone.now()
    charts = charts_of(request.user, now)
    chart = _chosen(given.get("patient", ""), charts, request)
    page = Page(
        asked=asked,
        form=_form(request, charts, given=given, patient_required=action == "confirm"),
        key=key,
        charts=charts,
        now=now,
        hold=_own_hold(request, asked),
    )
    if not page.form.is_valid():
        return _render(request, page, HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        if action == "hold":
            return _keep(request, page)
        if chart is None:
            page.problems.append((_no_chart_sentence(), ""))
            return _render(request, page, HTTPStatus.UNPROCESSABLE_ENTITY)
        return _confirm(request, page, chart, clash)
    except Refusal as refusal:
        page.refusal = refusal
        return _render(request, page)


def _keep(request: HttpRequest, page: Page) -> HttpResponse:
    """Keeps the time, and everything typed with it, for this session."""
    asked = page.asked
    kept = hold(
        service=asked.service,
        starts_at=asked.at,
        token=_token(request),
        reason=page.form.cleaned_data["reason"],
        patient_choice=page.form.cleaned_data.get("patient", ""),
        address=counted_address(request),
        now=page.now,
    )
    request.session[HOLD_SESSION_KEY] = kept.token
    if request.user.is_authenticated:
        return HttpResponseRedirect(asked.address)
    when = when_words(asked.at, asked.ends_at, asked.zone)
    messages.info(
        request,
        _(
            "We keep %(when)s for you until %(until)s. "
            "Create an account or sign in to confirm the visit."
        )
        % {
            "when": f"{when.date}, {clock_words(asked.at, asked.zone)},",
            "until": clock_words(kept.held_until, asked.zone),
        },
    )
    return HttpResponseRedirect(_with_next("account_signup", asked))


def _confirm(request: HttpRequest, page: Page, chart: Patient, clash: Clash) -> HttpResponse:
    visit = book_visit(
        service=page.asked.service,
        patient=chart,
        starts_at=page.asked.at,
        by=request.user,
        key=page.key,
        now=page.now,
        reason=page.form.cleaned_data["reason"],
        clash=clash,
        hold_token=_token(request),
    )
    request.session.pop(HOLD_SESSION_KEY, None)  # the rule has used the hold up
    return redirect("appointment", public_id=visit.public_id)


# --- Parts ----------------------------------------------------------------------------------
def _render(request: HttpRequest, page: Page, status: int = HTTPStatus.OK) -> HttpResponse:
    """The page; after a refusal with its sentence, its status and the way on."""
    refusal, form = page.refusal, page.form
    if refusal is not None:
        status = refusal.status
        if isinstance(refusal, SecondVisit):
            form.ask_about_clash()
            _explain(page, "clash", refusal.message)
        elif isinstance(refusal, PatientBusy) or refusal.code == "hold_used_up":
            # The time itself can be had, so no other one is offered.
            page.problems.append((refusal.message, ""))
        elif not refusal.nearest:
            page.problems.append((refusal.message, ""))
        else:
            page.own_visit = _already_booked(request, page)
            message = _already_booked_words() if page.own_visit else refusal.message
            form.offer_times(refusal.nearest, page.asked.zone)
            _explain(page, "at", message)
    return render(request, "booking/book.html", context_of(page, request), status=status)


def _explain(page: Page, field: str, message: str) -> None:
    """Says the refusal in the error summary and, on a sent form, at the field that answers it."""
    if page.form.is_bound:
        page.form.add_error(field, message)
    else:
        page.problems.append((message, f"#id_{field}_0"))


def _already_booked(request: HttpRequest, page: Page) -> Appointment | None:
    """The visit that this very account has at the time asked for, as after a reload."""
    if not isinstance(request.user, User):
        return None
    mine = Appointment.objects.in_care_of(request.user, page.now).active()
    return mine.filter(doctor=page.asked.doctor, starts_at=page.asked.at).first()


def _already_booked_words() -> str:
    return _("You have a visit with this doctor at that time. Open it, or choose another time.")


def _form(
    request: HttpRequest,
    charts: list[Patient],
    *,
    given: QueryDict | None = None,
    initial: dict[str, Any] | None = None,
    patient_required: bool = True,
) -> BookingForm:
    return BookingForm(
        given,
        initial=initial,
        charts=charts,
        user=request.user if isinstance(request.user, User) else None,
        patient_required=patient_required,
    )


def _chosen(text: str, charts: list[Patient], request: HttpRequest) -> Patient | None:
    """The chart the form names; the account's own when it names none. 404 for anybody else's."""
    if not isinstance(request.user, User):
        return None
    if not text:
        return own_chart(charts, request.user)
    for chart in charts:
        if str(chart.public_id) == text:
            return chart
    raise Http404


def _no_chart_sentence() -> str:
    return _("Add the person the visit is for, then come back to book.")


def _token(request: HttpRequest) -> str:
    return str(request.session.get(HOLD_SESSION_KEY, ""))


def _own_hold(request: HttpRequest, asked: Asked) -> SlotHold | None:
    last = current_hold(_token(request))
    return last if last is not None and _holds(last, asked) else None


def _holds(hold: SlotHold, asked: Asked) -> bool:
    return hold.service_id == asked.service.pk and hold.starts_at == asked.at


def _typed_before(hold: SlotHold | None, asked: Asked) -> dict[str, Any]:
    """What this browser typed for the same doctor, also when the time has changed since."""
    if hold is None or hold.doctor_id != asked.doctor.pk:
        return {}
    return {"reason": hold.reason, "patient": hold.patient_choice}


def _with_next(name: str, asked: Asked) -> str:
    return f"{reverse(name)}?{urlencode({'next': asked.address})}"
