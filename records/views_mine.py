"""A patient's own record: what is in it, who opened it, taking it along, asking for deletion.

Carers with the right read the record of whom they care for; each of their looks is audited. Only
the patient downloads it and asks for deletion, and downloading asks for the password again.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.audit import record, record_refusal, record_shown
from accounts.models import Patient, User
from appointments import referrals
from appointments.models import Referral
from appointments.refusals import Refusal
from clinic.uploads.refusals import UploadRefused
from clinic.uploads.serving import POLICY, download, thumbnail
from records import deletion
from records.access import own_records
from records.charts import own_chart, summary, timeline
from records.documents import open_document, own_document, store
from records.fhir.exporting import export_bundle
from records.forms_mine import DeletionForm, UploadForm
from records.models import Document
from records.refusals import RecordRefused
from records.who import events_of, looks

PER_PAGE = 50
WHOLE = 100_000  # items of a timeline that is printed: all there are

page_or_form = require_http_methods(["GET", "HEAD", "POST"])


@dataclass(frozen=True)
class Mine:
    """Whose record is read, by whom."""

    patient: Patient
    by: User
    now: datetime

    @property
    def is_own(self) -> bool:
        return self.patient.account_id == self.by.pk

    @property
    def zone(self) -> str:
        return self.by.time_zone or _home_zone(self.patient) or "UTC"

    def address(self, name: str, *parts: Any) -> str:
        query = "" if self.is_own else f"?person={self.patient.public_id}"
        return reverse(name, args=parts) + query


def _home_zone(patient: Patient) -> str:
    """The zone of the clinic that the patient saw last."""
    zones = patient.appointments.order_by("-starts_at")
    return zones.values_list("hospital__time_zone", flat=True).first() or ""


def _mine(request: HttpRequest, *, own_only: str = "") -> Mine:
    """The record that the address names, the own one without a name; 404 for anybody else's.

    ``own_only``: an act of the patient alone, by its name in the trail, where a carer's try stands.
    """
    user, now = request.user, timezone.now()
    assert isinstance(user, User)  # noqa: S101  (login_required stands in front)
    given = request.POST if request.method == "POST" else request.GET
    chart: Patient | None
    if asked := given.get("person", ""):
        try:
            chart = own_chart(public_id=uuid.UUID(asked), by=user, now=now)
        except (ValueError, Patient.DoesNotExist) as error:
            raise Http404 from error
    else:
        charts = own_records(user, now)
        chart = charts.filter(account=user).first() or charts.order_by("name", "pk").first()
    if chart is None:
        raise Http404
    if own_only and chart.account_id != user.pk:
        record_refusal(own_only, actor=user, patient=chart, reason="not_found", now=now)
        raise Http404
    return Mine(chart, user, now)


def _page(
    request: HttpRequest, template: str, mine: Mine, *, status: int = HTTPStatus.OK, **more: Any
) -> HttpResponse:
    context = {
        "mine": mine,
        "patient": mine.patient,
        "zone": mine.zone,
        "person": "" if mine.is_own else str(mine.patient.public_id),
        "people": list(own_records(mine.by, mine.now).order_by("name", "pk")),
    }
    return render(request, template, context | more, status=status)


@require_safe
@login_required
def record_page(request: HttpRequest) -> HttpResponse:
    try:
        mine = _mine(request)
    except Http404:
        if request.GET.get("person"):
            raise
        return render(request, "records/mine/none.html")
    if not mine.is_own:
        record("record.viewed", actor=mine.by, patient=mine.patient, now=mine.now)
    return _record_page(request, mine, UploadForm())


def _record_page(request: HttpRequest, mine: Mine, form: UploadForm) -> HttpResponse:
    page = timeline(
        mine.patient, by=mine.by, now=mine.now, before=_moment(request.GET.get("before", ""))
    )
    return _page(
        request,
        "records/mine/record.html",
        mine,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK,
        facts=summary(mine.patient, by=mine.by, now=mine.now),
        page=page,
        form=form,
        before=request.GET.get("before", ""),
        documents=Document.objects.visible_to(mine.by, mine.now)
        .standing()
        .filter(patient=mine.patient)
        .order_by("-recorded_at", "-pk")[:PER_PAGE],
        questions=referrals.of_patients_side(mine.by, mine.now).filter(
            patient=mine.patient, answer=Referral.Answer.OPEN
        ),
        agreed=referrals.agreed_by_patients_side(mine.by, mine.now).filter(patient=mine.patient),
    )


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Http404 from error
    if moment.tzinfo is None:
        raise Http404
    return moment


@require_POST
@login_required
def record_upload(request: HttpRequest) -> HttpResponse:
    """Takes a file from the patient's side into the record."""
    mine = _mine(request)
    form = UploadForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            store(
                patient=mine.patient,
                upload=form.cleaned_data["file"],
                title=form.cleaned_data["title"],
                by=mine.by,
                now=mine.now,
                by_patient=True,
            )
        except UploadRefused as refusal:
            form.add_error("file", refusal.message)
        except RecordRefused as refusal:
            form.add_error("file" if refusal.field == "file" else None, refusal.message)
        else:
            messages.success(request, _("The file is in the record. Your doctors can see it."))
            return redirect(mine.address("record"))
    if not mine.is_own:
        record_shown("record.viewed", actor=mine.by, patient=mine.patient, now=mine.now)
    return _record_page(request, mine, form)


@require_safe
@login_required
def record_document(
    request: HttpRequest, public_id: uuid.UUID, small: bool = False
) -> HttpResponseBase:
    """A file of the record as a download, or its small picture."""
    user, now = request.user, timezone.now()
    assert isinstance(user, User)  # noqa: S101
    try:
        document = own_document(public_id=public_id, by=user, now=now)
    except Document.DoesNotExist as error:
        raise Http404 from error
    if small and not document.thumbnail_as:
        raise Http404
    try:
        file = open_document(document=document, by=user, now=now, thumbnail=small)
    except (FileNotFoundError, RecordRefused) as error:
        raise Http404 from error
    if small:
        return thumbnail(request, file)
    return download(request, file, name=document.name, content_type=document.content_type)


@page_or_form
@login_required
@reauthentication_required
def record_download(request: HttpRequest) -> HttpResponse:
    """Everything as an HL7 FHIR R4 bundle, for another clinic or an own archive."""
    mine = _mine(request, own_only="record.exported")
    if request.method != "POST":
        return _page(request, "records/mine/download.html", mine)
    bundle = export_bundle(patient=mine.patient, by=mine.by, now=mine.now)
    response = HttpResponse(
        json.dumps(bundle, ensure_ascii=False, default=str), content_type="application/fhir+json"
    )
    response["Content-Disposition"] = 'attachment; filename="record-fhir-r4.json"'
    response["Content-Security-Policy"] = POLICY
    return response


@require_safe
@login_required
@reauthentication_required
def record_summary(request: HttpRequest) -> HttpResponse:
    """The whole record on one page, to be printed."""
    mine = _mine(request, own_only="record.exported")
    record("record.exported", actor=mine.by, patient=mine.patient, detail="summary", now=mine.now)
    return _page(
        request,
        "records/mine/summary.html",
        mine,
        facts=summary(mine.patient, by=mine.by, now=mine.now),
        page=timeline(mine.patient, by=mine.by, now=mine.now, limit=WHOLE),
    )


@require_safe
@login_required
def record_who(request: HttpRequest) -> HttpResponse:
    """Who opened the record, when, and what they did."""
    mine = _mine(request)
    page = Paginator(events_of(mine.patient), PER_PAGE).get_page(request.GET.get("page"))
    return _page(
        request, "records/mine/who.html", mine, page_obj=page, looks=looks(list(page.object_list))
    )


@page_or_form
@login_required
def record_deletion(request: HttpRequest) -> HttpResponse:
    """Asks for deletion, shows the answers, takes an open request back."""
    mine = _mine(request, own_only="deletion.asked")
    form = DeletionForm(request.POST if request.method == "POST" else None)
    status: int = HTTPStatus.OK
    if request.method == "POST":
        try:
            if request.POST.get("action") == "withdraw":
                asked = mine.patient.deletion_requests.filter(decision="open").first()
                if asked is None:
                    raise deletion.Decided
                deletion.withdraw(request=asked, by=mine.by, now=mine.now)
                messages.success(request, _("Your request is withdrawn."))
                return redirect("record_deletion")
            if form.is_valid():
                deletion.ask(
                    patient=mine.patient, what=form.cleaned_data["words"], by=mine.by, now=mine.now
                )
                messages.success(request, _("Reception has your request and will answer here."))
                return redirect("record_deletion")
            status = HTTPStatus.UNPROCESSABLE_ENTITY
        except RecordRefused as refusal:
            form.add_error(None, refusal.message)
            status = refusal.status
    return _page(
        request,
        "records/mine/deletion.html",
        mine,
        status=status,
        form=form,
        requests=mine.patient.deletion_requests.order_by("-asked_at", "-pk"),
    )


@require_POST
@login_required
def record_referral(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The patient's answer to a doctor who asks that a colleague may read the record, or that what
    was agreed to is taken back."""
    user, now = request.user, timezone.now()
    assert isinstance(user, User)  # noqa: S101
    try:
        referral = referrals.asked_of(public_id=public_id, by=user, now=now)
    except Referral.DoesNotExist as error:
        raise Http404 from error
    answer = request.POST.get("answer", "")
    if answer not in {"agree", "decline", "withdraw"}:
        raise Http404
    try:
        if answer == "withdraw":
            referrals.withdraw(referral=referral, by=user, now=now)
        else:
            referrals.answer(referral=referral, agreed=answer == "agree", by=user, now=now)
    except Refusal as refusal:
        messages.error(request, refusal.message)
    else:
        messages.success(
            request,
            _("%(doctor)s may now read the record.") % {"doctor": referral.to_doctor.display_name}
            if answer == "agree"
            else _("%(doctor)s may not read the record.")
            % {"doctor": referral.to_doctor.display_name},
        )
    query = (
        "" if referral.patient.account_id == user.pk else f"?person={referral.patient.public_id}"
    )
    return redirect(reverse("record") + query)
