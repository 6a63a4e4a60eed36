"""How a record becomes readable for somebody else: in an emergency, and by referral."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.models import User
from appointments.emergency import (
    LASTS,
    YourPatientAlready,
    find_patient,
    open_in_emergency,
)
from appointments.models import Referral
from appointments.referrals import of_doctor, refer, withdraw
from appointments.refusals import Refusal
from clinic.directory.models import Doctor
from clinic.directory.text import fold
from records.forms import EmergencyForm, ReferralForm
from records.views_common import (
    Sheet,
    chart_page,
    doctor_or_404,
    done,
    refused,
    sheet_of,
    told,
    zone_of,
)

COLLEAGUES = 20  # hits of a search by name


def emergency(request: HttpRequest) -> HttpResponse:
    """Finds a patient by full name and date of birth, and opens the record with a typed reason."""
    user, now = doctor_or_404(request), timezone.now()
    form = EmergencyForm(request.POST if request.method == "POST" else None)
    status: int = HTTPStatus.OK
    if form.is_bound:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            try:
                return _opened(request, user, form.cleaned_data)
            except Refusal as refusal:
                form.add_error(None, refusal.message)
                # Nobody found is an answer to the form, not a page that does not exist.
                if refusal.status != HTTPStatus.NOT_FOUND:
                    status = refusal.status
    context = {
        **admin.site.each_context(request),
        "title": _("Open a record in an emergency"),
        "form": form,
        "minutes": int(LASTS.total_seconds()) // 60,
        "zone": zone_of(user),
        "now": now,
    }
    return render(request, "records/emergency.html", context, status=status)


def _opened(request: HttpRequest, user: User, given: dict[str, Any]) -> HttpResponse:
    now = timezone.now()
    patient = find_patient(name=given["name"], birth_date=given["birth_date"], by=user, now=now)
    doctor = Doctor.objects.public().get(user=user)
    try:
        open_in_emergency(doctor=doctor, patient=patient, reason=given["reason"], by=user, now=now)
    except YourPatientAlready as refusal:
        messages.info(request, refusal.message)
    return redirect("chart", public_id=patient.public_id)


def referrals(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """``action``: find a colleague by name, or ask the patient about the chosen one."""
    sheet = sheet_of(request, public_id)
    form, status, found = ReferralForm(), int(HTTPStatus.OK), None
    if request.method == "POST":
        found = _colleagues(request.POST.get("colleague", ""), sheet)
        if request.POST.get("action") == "find":
            form = ReferralForm(initial=request.POST.dict(), colleagues=found)
        else:
            form = ReferralForm(request.POST, colleagues=_with_chosen(request, found))
            status = HTTPStatus.UNPROCESSABLE_ENTITY
            if form.is_valid():
                try:
                    made = _refer(sheet, form.cleaned_data)
                except Refusal as refusal:
                    status = refused(form, refusal)
                else:
                    return done(request, sheet, _words(made), "chart_referrals")
    made_before = of_doctor(sheet.by).filter(patient=sheet.patient).order_by("-asked_at", "-pk")
    return chart_page(
        request,
        "records/referrals.html",
        sheet,
        title=_("Colleagues"),
        section="referrals",
        status=status,
        form=form,
        found=found,
        referrals=made_before,
    )


def _colleagues(name: str, sheet: Sheet) -> list[Doctor]:
    """Approved doctors whose name has all the words; they can all read the records they may."""
    words = fold(name[:100]).split()
    if not words:
        return []
    others = Doctor.objects.public().filter(user__is_active=True).exclude(user=sheet.by)
    for word in words:
        others = others.filter(search_text__contains=word)
    return list(others.order_by("name", "pk")[:COLLEAGUES])


def _with_chosen(request: HttpRequest, found: list[Doctor]) -> list[Doctor]:
    """Those found for the name, and the chosen one if the name was changed since."""
    chosen = request.POST.get("to", "")
    if any(each.slug == chosen for each in found):
        return found
    return [*Doctor.objects.public().filter(slug=chosen[:120]), *found]


def _refer(sheet: Sheet, given: dict[str, Any]) -> Referral:
    return refer(
        patient=sheet.patient,
        to_doctor=Doctor.objects.public().get(slug=given["to"]),
        reason=given["reason"],
        in_person=given["in_person"],
        by=sheet.by,
        now=sheet.now,
    )


def _words(made: Referral) -> str:
    words = (
        _("%(doctor)s can read this record now.")
        if made.answer == Referral.Answer.AGREED
        else _("The patient is asked whether %(doctor)s may read this record.")
    )
    return words % {"doctor": made.to_doctor.display_name}


@require_POST
def referral_withdraw(
    request: HttpRequest, public_id: uuid.UUID, referral_id: uuid.UUID
) -> HttpResponse:
    sheet = sheet_of(request, public_id)
    mine = of_doctor(sheet.by).filter(patient=sheet.patient)
    referral = mine.filter(public_id=referral_id).first()
    if referral is None:
        raise Http404
    try:
        withdraw(referral=referral, by=sheet.by, now=sheet.now)
    except Refusal as refusal:
        return told(request, sheet, refusal, "chart_referrals")
    return done(request, sheet, _("The referral is withdrawn."), "chart_referrals")
