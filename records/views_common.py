"""What the pages of a doctor's workplace share: who asks, whose chart, and its frame.

A page that is looked at goes through `open_chart`, which writes down who opened whose record; a
form goes through `peek_chart`, because the rule it calls writes its own row. Where a form is
answered with a page and no rule left a row, `chart_page` writes one. Neither way knows a chart that
is not in the care of who asks: it does not exist here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit import record_shown
from accounts.models import Patient, Role, User
from appointments.models import Appointment, Status
from appointments.refusals import Refusal
from appointments.zones import local, zone_info
from clinic.directory.models import Doctor, Service
from records.charts import ChartSummary, open_chart, peek_chart, same_name, summary


@dataclass(frozen=True)
class Sheet:
    """A chart that lies open before its doctor, and the clock on the doctor's wall.

    ``note_only``: the care has ended, and only an own draft is still to be finished.
    """

    patient: Patient
    by: User
    now: datetime
    zone: str
    note_only: bool = False

    def address(self, name: str, *parts: Any) -> str:
        if self.note_only and name == "chart":
            return reverse("charts")  # this chart is no longer open
        return reverse(name, args=[self.patient.public_id, *parts])


def doctor_or_404(request: HttpRequest) -> User:
    """Who is signed in, an approved doctor; for everybody else these pages do not exist."""
    user = request.user
    if not (isinstance(user, User) and user.is_active and user.role == Role.DOCTOR):
        raise Http404
    if not Doctor.objects.public().filter(user=user).exists():
        raise Http404
    return user


def sheet_of(request: HttpRequest, public_id: uuid.UUID, *, quiet: bool = False) -> Sheet:
    """The chart that the address names. ``quiet``: the view calls a rule that audits the reading.

    Anybody but the patient's doctors is refused by `peek_chart`, which writes that down too.
    Raises Http404.
    """
    user, now = cast(User, request.user), timezone.now()  # the admin's guard was passed
    look = peek_chart if quiet or request.method == "POST" else open_chart
    try:
        patient = look(public_id=public_id, by=user, now=now)
    except Patient.DoesNotExist as error:
        raise Http404 from error
    return Sheet(patient, user, now, zone_of(user))


def zone_of(user: User) -> str:
    """The zone of the clinic where the doctor works; without one the account's own, then UTC."""
    services = Service.objects.filter(doctor__user=user).order_by("-is_active", "position", "pk")
    zone = services.values_list("hospital__time_zone", flat=True).first()
    return zone or user.time_zone or "UTC"


def visits_today(sheet: Sheet) -> list[Appointment]:
    """The doctor's own visits of this patient on this day, in the order of time."""
    midnight = local(sheet.now, sheet.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight.replace(tzinfo=zone_info(sheet.zone))
    end = (midnight.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=start.tzinfo)
    return list(
        Appointment.objects.handled_by(sheet.by)
        .active()
        .filter(patient=sheet.patient, starts_at__gte=start, starts_at__lt=end)
        .select_related("hospital")
        .order_by("starts_at")
    )


def visit_of_now(visits: list[Appointment]) -> Appointment | None:
    """The visit the doctor is busy with: the first that is not over, else the day's last."""
    waiting = [visit for visit in visits if visit.status in {Status.BOOKED, Status.ARRIVED}]
    last = visits[-1] if visits else None
    return waiting[0] if waiting else last


def chart_page(
    request: HttpRequest,
    template: str,
    sheet: Sheet,
    *,
    title: str,
    section: str = "",
    status: int = HTTPStatus.OK,
    facts: ChartSummary | None = None,
    **context: Any,
) -> HttpResponse:
    """A page under the fixed head with name, birth date, allergies and today's reason."""
    if request.method == "POST":
        action = "note.viewed" if sheet.note_only else "record.viewed"
        record_shown(action, actor=sheet.by, patient=sheet.patient, now=sheet.now)
    if sheet.note_only:
        facts, visits = None, []
    else:
        facts = facts or summary(sheet.patient, by=sheet.by, now=sheet.now)
        visits = visits_today(sheet)
    here = {
        **admin.site.each_context(request),
        "title": f"{title}: {sheet.patient.name}" if section != "timeline" else title,
        "page_heading": title,
        "sheet": sheet,
        "patient": sheet.patient,
        "zone": sheet.zone,
        "now": sheet.now,
        "age": sheet.patient.age(local(sheet.now, sheet.zone).date()),
        "same_name": same_name(sheet.patient),
        "facts": facts,
        "visit": visit_of_now(visits),
        "section": section,
        "sections": sections_of(sheet, section),
    }
    return render(request, template, here | context, status=status)


def sections_of(sheet: Sheet, current: str) -> list[dict[str, Any]]:
    entries = [
        ("timeline", _("Timeline"), "chart"),
        ("allergies", _("Allergies"), "chart_allergies"),
        ("conditions", _("Conditions"), "chart_conditions"),
        ("medications", _("Medications"), "chart_medications"),
        ("measurements", _("Measurements"), "chart_measurements"),
        ("documents", _("Documents"), "chart_documents"),
        ("referrals", _("Colleagues"), "chart_referrals"),
    ]
    return [
        {"text": text, "href": sheet.address(name), "current": key == current}
        for key, text, name in entries
    ]


def refused(form: forms.Form, refusal: Refusal, field: str = "") -> int:
    """Shows a refusal at the form, where its entries are kept; the answer's status.

    What is refused as not found does not exist for the sender: raises Http404.
    """
    if refusal.status == HTTPStatus.NOT_FOUND:
        raise Http404
    field = field or getattr(refusal, "field", "")
    form.add_error(field if field in form.fields else None, refusal.message)
    return int(refusal.status)


def told(request: HttpRequest, sheet: Sheet, refusal: Refusal, name: str) -> HttpResponse:
    """The refusal of a form that is one button: a message on the page it stands on."""
    if refusal.status == HTTPStatus.NOT_FOUND:
        raise Http404
    messages.error(request, refusal.message)
    return redirect(sheet.address(name))


def done(request: HttpRequest, sheet: Sheet, words: str, name: str, *parts: Any) -> HttpResponse:
    """What was done is stored; the reader goes on to ``name``."""
    messages.success(request, words)
    return redirect(sheet.address(name, *parts))
