"""What the views share: who asks, which conversation, and the page of a thread."""

from __future__ import annotations

import uuid
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.audit import record_refusal
from accounts.models import Role, User
from chat.folding import lines_at, search
from chat.forms import ColleagueForm
from chat.frames import BODY_LIMIT
from chat.listing import conversations_at, other_side, rows_of
from chat.membership import possible_colleagues
from chat.models import Conversation
from chat.office import reply_words
from chat.thread import Thread, found_lines, thread_of
from chat.unread import ids_of

LISTED = 50  # conversations on a page of the list
FOUND = 50  # hits of a search
LONGEST_SEARCH = 100  # characters


def person(request: HttpRequest) -> User:
    """Who is signed in; the views that ask demand a sign-in first."""
    user = request.user
    if not isinstance(user, User):
        raise Http404
    return user


def conversation_or_404(request: HttpRequest, public_id: uuid.UUID, now: datetime) -> Conversation:
    """Somebody else's conversation does not exist here; who knows its id leaves a trace."""
    mine = Conversation.objects.visible_to(request.user, now).select_related(
        "patient", "hospital", "doctor__user", "handed_to__user"
    )
    found = mine.filter(public_id=public_id).first()
    if found is not None:
        return found
    other = Conversation.objects.select_related("patient").filter(public_id=public_id).first()
    if other is not None:
        record_refusal(
            "conversation.access",
            actor=request.user,
            patient=other.patient,
            subject=other,
            reason="not in it",
        )
    raise Http404


def number(text: str | None) -> int | None:
    """A whole number from 1 as an address or a form writes it; None for anything else."""
    if text and text.isascii() and text.isdigit() and len(text) <= 9 and int(text):
        return int(text)
    return None


def list_context(
    request: HttpRequest, now: datetime, current: Conversation | None = None
) -> dict[str, Any]:
    user = person(request)
    page = Paginator(ids_of(user, now), LISTED).get_page(
        request.GET.get("page") if current is None else None
    )
    return {
        "rows": rows_of(conversations_at([row["pk"] for row in page], user), user, now),
        "page_obj": page,
        "current": current,
        "is_reception": user.role == Role.RECEPTION,
        "is_doctor": user.role == Role.DOCTOR,
    }


def thread_page(
    request: HttpRequest,
    conversation: Conversation,
    now: datetime,
    *,
    problem: str = "",
    typed: dict[str, str] | None = None,
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    """The page of a conversation; with a ``problem``, what was ``typed`` stays in the composer."""
    user = person(request)
    thread = thread_of(conversation, user, now, before=number(request.GET.get("before")))
    if thread is None:
        raise Http404
    if request.headers.get("HX-Request") == "true" and request.method == "GET":
        return render(request, "chat/log.html", {"thread": thread, "conversation": conversation})
    context = list_context(request, now, conversation)
    context |= _head(thread, user, now)
    context |= _composer(request, thread, typed or {})
    context |= _search(request, thread)
    if problem:
        context |= {"problems": [(problem, "#id_body")], "has_errors": True}
    return render(request, "chat/thread.html", context, status=status)


def _head(thread: Thread, user: User, now: datetime) -> dict[str, Any]:
    conversation = thread.conversation
    about = []
    if conversation.doctor is not None:
        about = [specialty.name for specialty in conversation.doctor.specialties.all()]
    if thread.me.is_clinic:
        about = []
    candidates = possible_colleagues(conversation) if thread.me.is_clinic else None
    return {
        "thread": thread,
        "conversation": conversation,
        "title": other_side(conversation, is_patient_side=thread.is_patient_side),
        "about": about,
        "expected": reply_words(conversation, now) if thread.is_patient_side else "",
        "colleague_form": ColleagueForm(candidates) if candidates is not None else None,
        "body_limit": BODY_LIMIT,
    }


def _composer(request: HttpRequest, thread: Thread, typed: dict[str, str]) -> dict[str, Any]:
    """What the composer holds: a new message, a reply, an edit or the question before a deletion.

    The client's id is made here, so that the same form sent twice is one message.
    """
    given = request.GET if request.method == "GET" else request.POST
    wanted = {
        name: number(typed.get(name) or given.get(name)) for name in ("reply_to", "edit", "delete")
    }
    lines = lines_at(thread.conversation, [seq for seq in wanted.values() if seq])
    own = {seq: line for seq, line in lines.items() if line.sender_id == thread.me.user_id}
    replied = lines.get(wanted["reply_to"] or 0)
    editing, deleting = own.get(wanted["edit"] or 0), own.get(wanted["delete"] or 0)
    return {
        "client_id": typed.get("client_id") or str(uuid.uuid4()),
        "typed": typed.get("body", editing.body if editing else ""),
        "replied": replied if replied and not replied.deleted else None,
        "editing": editing if editing and not editing.deleted else None,
        "deleting": deleting if deleting and not deleting.deleted else None,
    }


def _search(request: HttpRequest, thread: Thread) -> dict[str, Any]:
    words = " ".join(request.GET.get("q", "").split())[:LONGEST_SEARCH]
    if not words or request.method != "GET":
        return {"q": ""}
    lines = search(thread.conversation, words, limit=FOUND)
    return {"q": words, "found": found_lines(lines, thread.me, thread.zone)}
