"""Measurements: vital signs with their units, and findings of any name."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from records.forms_measurements import FindingForm, VitalSignsForm
from records.models import Observation
from records.observations import FREE, record_observation
from records.refusals import RecordRefused
from records.views_common import Sheet, chart_page, done, refused, sheet_of

PER_PAGE = 50
FINDING = "finding"


def measurements(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """All measurements, newest first; ``action``: vitals (several at once) or finding (one)."""
    sheet = sheet_of(request, public_id)
    start = {"at": sheet.now.isoformat()}
    vitals, finding = VitalSignsForm(initial=start), FindingForm(initial=start)
    form: VitalSignsForm | FindingForm | None = None
    status: int = HTTPStatus.OK
    if request.method == "POST":
        status, count = HTTPStatus.UNPROCESSABLE_ENTITY, 0
        if request.POST.get("action") == FINDING:
            form = finding = FindingForm(request.POST)
            record_all: Callable[[], int] = partial(_record_finding, sheet, finding)
        else:
            form = vitals = VitalSignsForm(request.POST)
            record_all = partial(_record_vitals, sheet, vitals)
        if form.is_valid():
            try:
                count = record_all()
            except RecordRefused as refusal:
                status = refused(form, refusal)
        if count:
            return done(request, sheet, _words(count), "chart_measurements")
    known = Observation.objects.visible_to(sheet.by, sheet.now).filter(patient=sheet.patient)
    newest = known.select_related("retracted_by").order_by("-observed_at", "-pk")
    page = Paginator(newest, PER_PAGE).get_page(request.GET.get("page"))
    return chart_page(
        request,
        "records/measurements.html",
        sheet,
        title=_("Measurements"),
        section="measurements",
        status=status,
        form=form,
        vitals=vitals,
        finding=finding,
        page_obj=page,
    )


def _words(count: int) -> str:
    words = ngettext(
        "%(count)d measurement is recorded.", "%(count)d measurements are recorded.", count
    )
    return words % {"count": count}


def _record_vitals(sheet: Sheet, form: VitalSignsForm) -> int:
    """How many measurements were recorded. Repeated, those that were stored already stay one."""
    moment = form.moment(sheet.zone)
    for one in form.measured():
        record_observation(
            patient=sheet.patient, observed_at=moment, by=sheet.by, now=sheet.now, **one._asdict()
        )
    return len(form.measured())


def _record_finding(sheet: Sheet, form: FindingForm) -> int:
    given = form.cleaned_data
    record_observation(
        patient=sheet.patient,
        kind=FREE,
        name=given["name"],
        value=given["value"],
        unit=given["unit"],
        text=given["text"],
        observed_at=given["at"],
        by=sheet.by,
        now=sheet.now,
    )
    return 1
