"""What changes a conversation besides sending: edits, marks, closing, colleagues. POST only."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_POST

from accounts.models import User
from appointments.refusals import Refusal
from chat.edges import conversation_or_404, number, person, thread_page
from chat.forms import ColleagueForm
from chat.marks import Mark, mark_all
from chat.membership import add_colleague, hand_over, possible_colleagues, remove_colleague
from chat.models import Conversation, Participant
from chat.opening import close, reopen
from chat.publishing import publish_moved
from chat.sending import Problem, perform, problem_json, usable_client_id, wants_json


@require_POST
@login_required
@cache_control(no_store=True, private=True)
def edit(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _change(
        request,
        public_id,
        {"type": "edit", "body": request.POST.get("body", "").replace("\r\n", "\n")},
    )


@require_POST
@login_required
@cache_control(no_store=True, private=True)
def delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _change(request, public_id, {"type": "delete"})


def _change(request: HttpRequest, public_id: uuid.UUID, what: dict[str, object]) -> HttpResponse:
    now = timezone.now()
    found = conversation_or_404(request, public_id, now)
    target = number(request.POST.get("target"))
    frame = what | {
        "conversation": str(found.public_id),
        "client_id": request.POST.get("client_id", ""),
        "target": target,
    }
    try:
        done = perform(person(request), frame, now=now)
    except Problem as problem:
        if wants_json(request):
            return problem_json(problem)
        typed = {
            "client_id": usable_client_id(request, problem),
            str(what["type"]): str(target or ""),
        }
        if "body" in what:
            typed["body"] = request.POST.get("body", "")
        return thread_page(
            request, found, now, problem=problem.detail, typed=typed, status=problem.status
        )
    if wants_json(request):
        return JsonResponse(done.ack())
    return _back(found, target)


@require_POST
@login_required
@cache_control(no_store=True, private=True)
def marks(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Read and delivered without a socket; as a form it is "Check for new messages"."""
    now, user = timezone.now(), person(request)
    found = conversation_or_404(request, public_id, now)
    read_seq, delivered = (number(request.POST.get(name)) or 0 for name in ("read", "delivered"))
    if read_seq or delivered:
        wanted = Mark(found.public_id, user.pk, delivered=delivered, read=read_seq)
        publish_moved(mark_all([wanted], now=now))
    if wants_json(request):
        mine = Participant.objects.filter(conversation=found, user=user).first()
        return JsonResponse(
            {
                "read_seq": mine.read_seq if mine else 0,
                "delivered_seq": mine.delivered_seq if mine else 0,
            }
        )
    return redirect(f"{reverse('conversation', args=[public_id])}#latest")


@require_POST
@login_required
@cache_control(no_store=True, private=True)
def close_it(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    now = timezone.now()
    found = conversation_or_404(request, public_id, now)
    try:
        close(conversation=found, by=person(request), now=now)
    except Refusal as refusal:
        return _refused(request, found, refusal)
    return _back(found)


@require_POST
@login_required
@cache_control(no_store=True, private=True)
def reopen_it(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    now = timezone.now()
    found = conversation_or_404(request, public_id, now)
    try:
        reopen(conversation=found, by=person(request), now=now)
    except Refusal as refusal:
        return _refused(request, found, refusal)
    return _back(found)


@require_POST
@login_required
@cache_control(no_store=True, private=True)
def colleagues(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """``action=add|hand_over`` with ``doctor``, or ``action=remove`` with ``user``."""
    now, by = timezone.now(), person(request)
    found = conversation_or_404(request, public_id, now)
    action = request.POST.get("action", "")
    try:
        if action == "remove":
            user = _user(request.POST.get("user", ""))
            remove_colleague(conversation=found, user=user, by=by, now=now)
            if user.pk == by.pk:
                messages.success(request, _("You left the conversation."))
                return redirect("messages")
        elif action in {"add", "hand_over"}:
            form = ColleagueForm(possible_colleagues(found), request.POST)
            if not form.is_valid():
                problem = str(form.errors["doctor"][0])
                status = HTTPStatus.UNPROCESSABLE_ENTITY
                return thread_page(request, found, now, problem=problem, status=status)
            rule = add_colleague if action == "add" else hand_over
            rule(conversation=found, doctor=form.cleaned_data["doctor"], by=by, now=now)
        else:
            return thread_page(
                request,
                found,
                now,
                problem=_("Choose what to do, then try again."),
                status=HTTPStatus.UNPROCESSABLE_ENTITY,
            )
    except Refusal as refusal:
        return _refused(request, found, refusal)
    return _back(found)


def _user(public_id: str) -> User:
    """The colleague named in a form; nobody (who is no member of anything) when there is none."""
    try:
        return User.objects.get(public_id=uuid.UUID(public_id))
    except (ValueError, User.DoesNotExist):
        return User()


def _refused(request: HttpRequest, found: Conversation, refusal: Refusal) -> HttpResponse:
    return thread_page(
        request, found, timezone.now(), problem=refusal.message, status=refusal.status
    )


def _back(found: Conversation, seq: int | None = None) -> HttpResponse:
    place = f"#m{seq}" if seq else "#latest"
    return redirect(f"{reverse('conversation', args=[found.public_id])}{place}")
