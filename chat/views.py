"""Reading messages: the list, a conversation, its events as JSON, its transcript. And sending.

Access is part of each lookup: somebody else's conversation does not exist here. A GET marks nothing
as read; sending and "Check for new messages" do.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_safe

from accounts.audit import record
from accounts.models import User
from chat.attachments import UploadRefused, code_of, store
from chat.edges import LISTED, conversation_or_404, list_context, number, person, thread_page
from chat.folding import lines_after
from chat.frames import (
    BAD_FRAME,
    SYNC_DEFAULT,
    SYNC_LIMIT,
    UNAVAILABLE,
)
from chat.history import events_after
from chat.listing import other_side
from chat.marks import Mark, mark_all
from chat.models import Conversation, Event
from chat.publishing import publish_moved
from chat.sending import (
    Done,
    Problem,
    perform,
    problem_json,
    usable_client_id,
    wants_json,
)
from chat.thread import thread_of, transcript_lines
from chat.unread import heads_for, unread_conversations

TRANSCRIPT_PAGE = 1_000  # messages and notices


@require_safe
@login_required
@cache_control(no_store=True, private=True)
def messages_page(request: HttpRequest) -> HttpResponse:
    return render(request, "chat/messages.html", list_context(request, timezone.now()))


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@cache_control(no_store=True, private=True)
def conversation(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """One conversation; POST sends a message."""
    now = timezone.now()
    found = conversation_or_404(request, public_id, now)
    if request.method != "POST":
        return thread_page(request, found, now)
    try:
        done = _send(request, found)
    except Problem as problem:
        if wants_json(request):
            return problem_json(problem)
        if problem.code == UNAVAILABLE and isinstance(problem.__cause__, DatabaseError):
            raise problem.__cause__ from None  # the outage's own page: ours would need the database
        return thread_page(
            request,
            found,
            now,
            problem=problem.detail,
            typed={
                "body": request.POST.get("body", ""),
                "client_id": usable_client_id(request, problem),
                "reply_to": request.POST.get("reply_to", ""),
            },
            status=problem.status,
        )
    if wants_json(request):
        return JsonResponse(done.ack())
    _mark_shown(request, found, done.entry.seq)
    return redirect(f"{reverse('conversation', args=[public_id])}#m{done.entry.seq}")


def _send(request: HttpRequest, found: Conversation) -> Done:
    user, now = person(request), timezone.now()
    data: dict[str, Any] = {
        "type": "send",
        "conversation": str(found.public_id),
        "client_id": request.POST.get("client_id", ""),
        # Browsers send the ends of lines as two characters, which would count twice.
        "body": request.POST.get("body", "").replace("\r\n", "\n"),
    }
    if request.POST.get("reply_to"):
        data["reply_to"] = number(request.POST["reply_to"]) or -1
    if request.POST.get("attachment"):
        data["attachment"] = request.POST["attachment"]
    elif isinstance(upload := request.FILES.get("file"), UploadedFile):
        # The form without a script, sent twice: the file is there already.
        known = (
            Event.objects.filter(sender=user, client_id=data["client_id"].lower())
            .select_related("attachment")
            .first()
        )
        data["attachment"] = (
            str(known.attachment.public_id)
            if known is not None and known.attachment is not None
            else _store_file(upload, user, found, now)
        )
    return perform(user, data, now=now)


def _store_file(upload: UploadedFile, user: User, found: Conversation, now: datetime) -> str:
    try:
        stored = store(conversation=found, by=user, upload=upload, now=now)
    except UploadRefused as refusal:
        raise Problem(code_of(refusal), refusal.message) from refusal
    return str(stored.public_id)


def _mark_shown(request: HttpRequest, found: Conversation, sent: int) -> None:
    """Who answers has read what stood on the page: all of it, unless something came in since."""
    shown = number(request.POST.get("shown"))
    if shown is None:
        return
    upto = sent if shown == sent - 1 else shown
    mark = Mark(found.public_id, person(request).pk, read=upto)
    publish_moved(mark_all([mark], now=timezone.now()))


@require_safe
@login_required
@cache_control(no_store=True, private=True)
def events(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The log after a number, as the socket's `history` has it."""
    found = conversation_or_404(request, public_id, timezone.now())
    given = request.GET.get("after", "0")
    after = 0 if given == "0" else number(given)
    limit = number(request.GET.get("limit", str(SYNC_DEFAULT)))
    if after is None or limit is None:
        return problem_json(Problem(BAD_FRAME, _("after and limit must be whole numbers.")))
    entries, more = events_after(found, after=after, limit=min(limit, SYNC_LIMIT))
    return JsonResponse({"events": [entry.frame() for entry in entries], "more": more})


@require_safe
@login_required
@cache_control(no_store=True, private=True)
def unread(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"unread": unread_conversations(person(request))})


@require_safe
@login_required
@cache_control(no_store=True, private=True)
def heads(request: HttpRequest) -> HttpResponse:
    """Where the newest conversations end, as the socket's `pong` has it."""
    user = person(request)
    return JsonResponse({"heads": heads_for(user, timezone.now(), most=LISTED)})


@require_safe
@login_required
@cache_control(no_store=True, private=True)
def transcript(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """All of a conversation to be printed, in parts of 1,000 messages."""
    now, user = timezone.now(), person(request)
    found = conversation_or_404(request, public_id, now)
    thread = thread_of(found, user, now)
    if thread is None:
        return HttpResponse(status=HTTPStatus.NOT_FOUND)
    if not thread.is_patient_side:
        # Like opening a visit: who takes a patient's data out is written down.
        record("conversation.transcript", actor=user, patient=found.patient, subject=found, now=now)
    after = number(request.GET.get("after")) or 0
    lines, more = lines_after(found, after=after, limit=TRANSCRIPT_PAGE)
    context = {
        "thread": thread,
        "conversation": found,
        "title": other_side(found, is_patient_side=thread.is_patient_side),
        "lines": transcript_lines(lines, thread),
        "next": lines[-1].seq if more else None,
        "now": now,
    }
    return render(request, "chat/transcript.html", context)
