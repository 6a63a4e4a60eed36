"""Patients at reception: found, new charts without doubles, contact data, one-time codes."""

from __future__ import annotations

import uuid
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import people
from accounts.audit import record, record_shown
from accounts.carers import carers_of
from accounts.models import LinkCode, Patient, Role, User
from appointments.care import known_to_reception
from appointments.desk_pages import desk_page, patient_or_404, staff_or_404
from appointments.forms_desk import CorrectionForm, NewPatientForm, chart_initial
from appointments.models import Appointment
from appointments.refusals import Refusal
from appointments.registering import (
    ChangedMeanwhile,
    LikelyDuplicates,
    correct,
    last_digits,
    marks_of,
    register,
    take_over,
)
from appointments.views_desk_carers import relations
from clinic.directory.staff import hospitals_of

FOUND = 25  # of a search; whoever sees more than a page of namesakes asks for the birth date


def desk_patients(request: HttpRequest) -> HttpResponse:
    """Finds a known patient by name or phone number, and leads to booking.

    A search is a POST: names of patients belong in no address.
    """
    user = staff_or_404(request, Role.RECEPTION)
    words = request.POST.get("q", "").strip()[:100]
    found: list[Patient] = []
    if words:
        now = timezone.now()
        digits = "".join(character for character in words if character.isdecimal())
        wanted = Q(name__icontains=words)
        if len(digits) >= 4:
            wanted |= Q(phone__endswith=digits[-4:])
        known = known_to_reception(user).filter(wanted).order_by("name", "birth_date", "pk")
        found = list(known[: FOUND + 1])
        # One row for the search; whose chart is opened from it has a row of its own.
        record("patients.searched", actor=user, detail=f"{len(found[:FOUND])} shown", now=now)
    return desk_page(
        request,
        "desk/patients.html",
        title=_("Find a patient"),
        q=words,
        found=found[:FOUND],
        is_cut=len(found) > FOUND,
    )


def desk_patient_new(request: HttpRequest) -> HttpResponse:
    """A new chart. Likely duplicates are shown first, each with the way to use it instead."""
    user = staff_or_404(request, Role.RECEPTION)
    hospitals = list(hospitals_of(user).order_by("name", "pk"))
    title = _("New patient")
    if not hospitals:
        raise Http404
    if request.method != "POST" or "begin" in request.POST:
        # Comes with the name that was looked for and not found.
        name = request.POST.get("begin", "")[:150]
        form = NewPatientForm(hospitals=hospitals, initial={"name": name})
        return desk_page(request, "desk/patient_new.html", title=title, form=form)
    form = NewPatientForm(request.POST, hospitals=hospitals)
    if not form.is_valid():
        return desk_page(
            request, "desk/patient_new.html", title=title, form=form,
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
        )  # fmt: skip
    now = timezone.now()
    try:
        patient = register(
            **form.facts(),
            hospital=form.hospital(),
            by=user,
            now=now,
            looked=request.POST.getlist("looked")[:50],
        )
    except LikelyDuplicates as refusal:
        charts = [{"patient": chart, "phone": last_digits(chart.phone)} for chart in refusal.charts]
        for chart in refusal.charts:
            record("chart.compared", actor=user, patient=chart, now=now)
        return desk_page(
            request,
            "desk/patient_new.html",
            title=title,
            form=form,
            charts=charts,
            hospital=form.hospital(),
            status=refusal.status,
            problems=[(refusal.message, "#likely")],
        )
    messages.success(request, _("The chart is made."))
    return redirect("desk_patient", public_id=patient.public_id)


@require_POST
def desk_patient_use(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Makes a likely duplicate's chart known here: it is the same person.

    Only a chart that the same entries (name, date of birth, phone) find: the address alone gives
    nobody's chart away.
    """
    user = staff_or_404(request, Role.RECEPTION)
    hospitals = list(hospitals_of(user).order_by("name", "pk"))
    form = NewPatientForm(request.POST, hospitals=hospitals) if hospitals else None
    if form is None or not form.is_valid():
        raise Http404
    facts = form.facts()
    try:
        patient = take_over(
            public_id=public_id,
            name=facts["name"],
            birth_date=facts["birth_date"],
            phone=facts["phone"],
            hospital=form.hospital(),
            by=user,
            now=timezone.now(),
        )
    except Refusal as error:
        raise Http404 from error
    messages.success(
        request, _("This chart is used. Check the phone number and address with them.")
    )
    return redirect("desk_patient", public_id=patient.public_id)


def desk_patient(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Contact data, visits at the own hospital, who acts for the patient. No record."""
    user = staff_or_404(request, Role.RECEPTION)
    patient = patient_or_404(user, public_id)
    now = timezone.now()
    if request.method == "POST":
        form = CorrectionForm(request.POST)
        if form.is_valid() and _is_corrected(form, patient, user, now):
            messages.success(request, _("The contact data is stored."))
            return redirect("desk_patient", public_id=public_id)
    else:
        shown = {"shown": marks_of(patient)}
        form = CorrectionForm(initial=chart_initial(patient) | shown)
    record_shown("chart.viewed", actor=user, patient=patient, now=now)
    visits = Appointment.objects.handled_by(user).filter(patient=patient).with_parts()
    return desk_page(
        request,
        "desk/patient.html",
        title=patient.name,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK,
        patient=patient,
        age=patient.age(now.date()),
        form=form,
        upcoming=visits.upcoming(now).order_by("starts_at")[:20],
        past=visits.filter(starts_at__lte=now).order_by("-starts_at")[:10],
        carers=carers_of(patient, now),
        relations=relations(),
    )


def _is_corrected(form: CorrectionForm, patient: Patient, user: User, now: datetime) -> bool:
    shown = form.cleaned_data["shown"]
    try:
        correct(patient=patient, **form.facts(), by=user, now=now, shown=shown)
    except ChangedMeanwhile as refusal:
        form.show_changed(refusal.chart, refusal.fields, marks_of(refusal.chart))
        return False
    return True


@require_POST
def desk_patient_code(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """A one-time code with which an account is joined to this chart, shown once."""
    user = staff_or_404(request, Role.RECEPTION)
    patient = patient_or_404(user, public_id)
    purpose: Any = request.POST.get("purpose", "")
    if purpose not in LinkCode.Purpose.values:
        raise Http404
    now = timezone.now()
    try:
        code = people.issue_link_code(patient=patient, purpose=purpose, by=user, now=now)
    except people.Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("desk_patient", public_id=public_id)
    return desk_page(
        request,
        "desk/code.html",
        title=_("One-time code"),
        patient=patient,
        purpose=LinkCode.Purpose(purpose).label,
        code=f"{code[:5]} {code[5:]}",
        expires=now + people.CODE_LIVES,
    )
