"""Files of a conversation over HTTP: sent, listed, and handed out to those who take part.

A file goes out as a download with a policy that lets it do nothing, never as a part of the site.
Only the small pictures, which this site made itself, are shown in place.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Self

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.core.files.base import File
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.audit import record
from chat.attachments import UploadRefused, code_of, open_bytes, store, visible_attachments
from chat.edges import conversation_or_404, number, person
from chat.frames import error_frame
from chat.log import attachment_frame

LISTED = 50  # files of one answer
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
CHUNK = 256 * 1024  # bytes


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
            frame = error_frame(code_of(refusal), refusal.message)
            return JsonResponse(frame, status=refusal.status)
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


@require_safe
@login_required
def attachment(request: HttpRequest, public_id: uuid.UUID) -> HttpResponseBase:
    """One file as a download; with ``?thumbnail=1`` the small picture of it."""
    now, user = timezone.now(), person(request)
    found = get_object_or_404(
        visible_attachments(user, now).select_related("conversation__patient"),
        public_id=public_id,
    )
    is_thumbnail = request.GET.get("thumbnail") == "1"
    try:
        file = open_bytes(found, thumbnail=is_thumbnail)
    except FileNotFoundError as error:
        raise Http404 from error
    if is_thumbnail:
        response = _streamed(request, file, "image/jpeg")
        response["Content-Disposition"] = "inline"
    else:
        if found.uploaded_by_id != user.pk:
            patient = found.conversation.patient
            record("attachment.read", actor=user, patient=patient, subject=found, now=now)
        response = _streamed(request, file, found.content_type)
        response["Content-Disposition"] = content_disposition_header(True, found.name) or ""
    response["Content-Security-Policy"] = POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store, private"
    return response


def _streamed(request: HttpRequest, file: File, content_type: str) -> StreamingHttpResponse:
    """The file piece by piece; under ASGI in a way that does not gather the pieces first."""
    pieces = AsyncPieces(file) if hasattr(request, "scope") else Pieces(file)
    response = StreamingHttpResponse(pieces, content_type=content_type)
    response["Content-Length"] = str(file.size)
    return response


class Pieces:
    """A file in pieces. The response closes it, also when nobody asked for a piece (HEAD)."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.close = file.close

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._file.read(CHUNK)
        if not piece:
            raise StopIteration
        return piece


class AsyncPieces:
    """The same for ASGI."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.close = file.close

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece: bytes = await sync_to_async(self._file.read)(CHUNK)
        if not piece:
            raise StopAsyncIteration
        return piece
