"""What can be done over the socket, done over HTTP: the same parser, the same rule, the same codes.

`perform` raises `Problem` with a code of the protocol; the views answer it as a page or as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _

from accounts.models import User
from chat.announcing import publish_now
from chat.frames import (
    BAD_FRAME,
    CLOSED,
    CONFLICT,
    FORBIDDEN,
    NOT_FOUND,
    TOO_FAST,
    TOO_LONG,
    UNAVAILABLE,
    FrameError,
    dump,
    error_frame,
    parse,
    read_client_id,
)
from chat.frames import Delete as DeleteFrame
from chat.frames import Edit as EditFrame
from chat.frames import Send as SendFrame
from chat.log import Act, Entry, Refused, append, iso
from chat.models import Kind
from chat.office import answers_when_closed, to_look_at
from clinic.metrics import MESSAGES
from clinic.outage import is_outage

logger = structlog.get_logger("clinic.chat")

STATUS = {
    BAD_FRAME: HTTPStatus.UNPROCESSABLE_ENTITY,
    TOO_LONG: HTTPStatus.UNPROCESSABLE_ENTITY,
    NOT_FOUND: HTTPStatus.NOT_FOUND,
    FORBIDDEN: HTTPStatus.FORBIDDEN,
    CONFLICT: HTTPStatus.CONFLICT,
    CLOSED: HTTPStatus.CONFLICT,
    TOO_FAST: HTTPStatus.TOO_MANY_REQUESTS,
    UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
MINUTE = 60
RETRY_SECONDS = 5  # after an outage


class Problem(Exception):
    """Why something was not done, with a code of the protocol and a sentence."""

    def __init__(
        self, code: str, detail: str, *, client_id: str | None = None, retry_after_s: int = 0
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.client_id = code, detail, client_id
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> HTTPStatus:
        return STATUS[self.code]


@dataclass(frozen=True)
class Done:
    entry: Entry
    live: bool

    def ack(self) -> dict[str, Any]:
        return {
            "type": "ack",
            "client_id": self.entry.client_id,
            "conversation": str(self.entry.conversation),
            "seq": self.entry.seq,
            "at": iso(self.entry.at),
            "live": self.live,
        }


def perform(user: User, data: dict[str, Any], *, now: datetime) -> Done:
    """Does what the frame ``data`` (send, edit or delete) says; publishes what was stored."""
    _count(user, now)
    try:
        frame = parse(dump(data))
    except FrameError as error:
        raise Problem(error.code, _words(error), client_id=error.client_id) from error
    assert isinstance(frame, SendFrame | EditFrame | DeleteFrame)  # noqa: S101  (by the callers)
    try:
        outcome = append([Act(user.pk, frame)], now=now)[0]
    except DatabaseError as error:
        if is_outage(error):
            raise Problem(
                UNAVAILABLE,
                _("We could not store this just now. Try again in a few seconds."),
                client_id=frame.client_id,
                retry_after_s=RETRY_SECONDS,
            ) from error
        raise
    if isinstance(outcome, Refused):
        raise Problem(outcome.code, outcome.detail, client_id=frame.client_id)
    assert isinstance(outcome, Entry)  # noqa: S101  (append waits, so nothing is busy)
    if not outcome.is_new:
        return Done(outcome, live=True)
    MESSAGES.inc()
    live = publish_now([outcome])
    if outcome.kind == Kind.MESSAGE:
        _answer_when_closed(outcome, now)
    return Done(outcome, live)


def _answer_when_closed(entry: Entry, now: datetime) -> None:
    """The automatic answer. The message is stored: whatever fails here, its sender must not be told
    that it was not."""
    try:
        answers = answers_when_closed(to_look_at([entry], now=now), now=now)
        if answers:
            publish_now(answers)
    except Exception:
        logger.exception("chat_automatic_answer_failed", conversation=entry.conversation_id)


def _count(user: User, now: datetime) -> None:
    """As many a minute as a socket may send; "limit:" keys are counted without Redis as well."""
    key = f"limit:chat:{user.pk}:{int(now.timestamp()) // MINUTE}"
    cache.add(key, 0, timeout=2 * MINUTE)
    try:
        number = cache.incr(key)
    except ValueError:  # gone between the two calls
        return
    if number > settings.CHAT_FRAMES_PER_MINUTE:
        raise Problem(
            TOO_FAST,
            _("You are sending too fast. Wait a minute, then send again."),
            retry_after_s=MINUTE - int(now.timestamp()) % MINUTE,
        )


def _words(error: FrameError) -> str:
    """The parser speaks to programmers; the commonest mistakes get a sentence for people."""
    if error.code == BAD_FRAME and error.detail.startswith("body is empty"):
        return _("Write a message, then choose Send.")
    if error.code == BAD_FRAME and "control character" in error.detail:
        return _("The message holds a character that cannot be shown. Type it again without it.")
    return error.detail


def usable_client_id(request: HttpRequest, problem: Problem) -> str:
    """The id of a refused form for its next try; empty when it needs a new one: it was no id, or
    it belongs to what was sent before the text was changed."""
    try:
        given = read_client_id(request.POST.get("client_id"))
    except FrameError:
        return ""
    return "" if problem.code == CONFLICT else given


def wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def problem_json(problem: Problem) -> JsonResponse:
    """The protocol's `error` frame with its HTTP status."""
    retry = problem.retry_after_s
    response = JsonResponse(
        error_frame(
            problem.code,
            problem.detail,
            client_id=problem.client_id,
            retry_after_ms=retry * 1000 if retry else None,
        ),
        status=problem.status,
    )
    if retry:
        response["Retry-After"] = str(retry)
    return response
