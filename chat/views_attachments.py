"""Files of a conversation over HTTP: sent, listed, and handed out to those who take part.

A file goes out as a download with a policy that lets it do nothing (`clinic.uploads.serving`).
"""

from __future__ import annotations

import uuid
from datetime import datetime
from http import HTTPStatus

from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.audit import record, record_refusal
from accounts.models import User
from chat.attachments import UploadRefused, code_of, open_bytes, store, visible_attachments
from chat.edges import conversation_or_404, number, person
from chat.frames import error_frame
from chat.log import attachment_frame
from chat.models import Attachment
from clinic.uploads.serving import download, thumbnail

LISTED = 50  # files of one answer
RETRY_SECONDS = 60  # when there is nowhere to keep files


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def attachments(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """GET lists the files that were sent, newest first; POST takes one in as ``file``."""
    now = timezone.now()
    found = conversation_or_404(request, public_id, now)
    if request.method == "POST":
        upload = request.FILES.get("file")
        try:
            if not isinstance(upload, UploadedFile):
                raise UploadRefused(_("Choose a file first, then send it."))
            stored = store(conversation=found, by=person(request), upload=upload, now=now)
        except UploadRefused as refusal:
            return _refused(refusal)
        return JsonResponse(attachment_frame(stored), status=HTTPStatus.CREATED)
    files = visible_attachments(person(request), now).filter(
        conversation=found, sent_seq__isnull=False
    )
    if before := number(request.GET.get("before")):
        files = files.filter(sent_seq__lt=before)
    rows = list(files.order_by("-sent_seq")[: LISTED + 1])
    return JsonResponse(
        {
            "attachments": [attachment_frame(row) | {"seq": row.sent_seq} for row in rows[:LISTED]],
            "more": len(rows) > LISTED,
        }
    )


def _refused(refusal: UploadRefused) -> JsonResponse:
    """The protocol's `error` frame; with a time where the same file may pass later."""
    is_outage = refusal.status == HTTPStatus.SERVICE_UNAVAILABLE
    retry_ms = RETRY_SECONDS * 1000 if is_outage else None
    frame = error_frame(code_of(refusal), refusal.message, retry_after_ms=retry_ms)
    response = JsonResponse(frame, status=refusal.status)
    if is_outage:
        response["Retry-After"] = str(RETRY_SECONDS)
    return response


def _attachment_or_404(user: User, public_id: uuid.UUID, now: datetime) -> Attachment:
    """Somebody else's file does not exist here; who knows its id leaves a trace."""
    mine = visible_attachments(user, now).select_related("conversation__patient")
    found = mine.filter(public_id=public_id).first()
    if found is not None:
        return found
    files = Attachment.objects.select_related("conversation__patient")
    other = files.filter(public_id=public_id, sent_seq__isnull=False).first()
    if other is not None:
        patient = other.conversation.patient
        record_refusal(
            "attachment.read", actor=user, patient=patient, subject=other, reason="not in it"
        )
    raise Http404


@require_safe
@login_required
def attachment(request: HttpRequest, public_id: uuid.UUID) -> HttpResponseBase:
    """One file as a download; with ``?thumbnail=1`` the small picture of it."""
    now, user = timezone.now(), person(request)
    found = _attachment_or_404(user, public_id, now)
    is_thumbnail = request.GET.get("thumbnail") == "1"
    try:
        file = open_bytes(found, thumbnail=is_thumbnail)
    except FileNotFoundError as error:
        raise Http404 from error
    if is_thumbnail:
        return thumbnail(request, file)
    if found.uploaded_by_id != user.pk:
        patient = found.conversation.patient
        record("attachment.read", actor=user, patient=patient, subject=found, now=now)
    return download(request, file, name=found.name, content_type=found.content_type)
