"""Requests for deletion at reception."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit import record_shown
from accounts.models import Role
from appointments.desk_pages import desk_page, staff_or_404
from records import deletion
from records.forms_mine import DecisionForm
from records.models import DeletionRequest
from records.refusals import RecordRefused


def deletions(request: HttpRequest) -> HttpResponse:
    """Open requests first, then those that were decided last."""
    user = staff_or_404(request, Role.RECEPTION)
    known = deletion.open_at_desk(user)
    return desk_page(
        request,
        "records/deletions.html",
        title=_("Requests for deletion"),
        waiting=known.filter(decision=DeletionRequest.Decision.OPEN)[:100],
        decided=known.exclude(decision=DeletionRequest.Decision.OPEN).order_by("-decided_at")[:20],
    )


def deletion_decide(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    user = staff_or_404(request, Role.RECEPTION)
    try:
        asked = deletion.asked_at_desk(public_id=public_id, by=user, now=timezone.now())
    except DeletionRequest.DoesNotExist as error:
        raise Http404 from error
    form = DecisionForm(request.POST if request.method == "POST" else None)
    status: int = HTTPStatus.OK
    if request.method == "POST":
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            try:
                deletion.decide(
                    request=asked,
                    grant=form.cleaned_data["decision"] == "grant",
                    answer=form.cleaned_data["answer"],
                    by=user,
                    now=timezone.now(),
                )
            except RecordRefused as refusal:
                form.add_error(None, refusal.message)
                status = refusal.status
            else:
                messages.success(request, _("The decision is stored. The patient sees it."))
                return redirect("deletions")
    record_shown("deletion.viewed", actor=user, patient=asked.patient, now=timezone.now())
    return desk_page(
        request,
        "records/deletion_decide.html",
        title=_("Decide about a request"),
        status=status,
        asked=asked,
        form=form,
        may_go=deletion.what_may_go(asked.patient).count(),
    )
