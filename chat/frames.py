"""The frames of `clinic.chat.v1`: what a client may send, parsed in one place, and what it gets.

docs/chat-protocol.md describes the protocol. Ids are strings; characters are code points.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

BODY_LIMIT = 4_000  # code points
FRAME_LIMIT = 64 * 1024  # bytes
SYNC_LIMIT = 200  # events in one `history`
SYNC_DEFAULT = 100
# Larger than any conversation grows, small enough for a database's integer.
SEQ_LIMIT = 2**31 - 1

BAD_FRAME = "bad_frame"
NOT_FOUND = "not_found"
FORBIDDEN = "forbidden"
TOO_LONG = "too_long"
TOO_FAST = "too_fast"
CONFLICT = "conflict"
CLOSED = "closed"
UNAVAILABLE = "unavailable"


class FrameError(Exception):
    """A frame that cannot be acted on; the socket goes on."""

    def __init__(self, code: str, detail: str, *, client_id: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.client_id = client_id


@dataclass(frozen=True)
class Send:
    conversation: UUID
    client_id: str
    body: str
    attachment: UUID | None = None
    reply_to: int | None = None


@dataclass(frozen=True)
class Edit:
    conversation: UUID
    client_id: str
    target: int
    body: str


@dataclass(frozen=True)
class Delete:
    conversation: UUID
    client_id: str
    target: int


@dataclass(frozen=True)
class Delivered:
    conversation: UUID
    seq: int


@dataclass(frozen=True)
class Read:
    conversation: UUID
    seq: int


@dataclass(frozen=True)
class Typing:
    conversation: UUID


@dataclass(frozen=True)
class Sync:
    conversation: UUID
    after: int
    limit: int


@dataclass(frozen=True)
class Ping:
    pass


Frame = Send | Edit | Delete | Delivered | Read | Typing | Sync | Ping

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


_SURROGATE = re.compile("[\ud800-\udfff]")
# Unicode's category Cc, apart from tab and line feed.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def parse(text: str) -> Frame:
    """The frame in ``text``. Raises `FrameError` with a sentence that says what is wrong."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise FrameError(BAD_FRAME, "A frame must be one JSON object.") from None
    if not isinstance(data, dict):
        raise FrameError(BAD_FRAME, "A frame must be one JSON object.")
    kind = data.get("type")
    parser = PARSERS.get(kind) if isinstance(kind, str) else None
    if parser is None:
        raise FrameError(BAD_FRAME, "This type of frame is not one that clients send.")
    try:
        return parser(data)
    except FrameError as error:
        # A client finds its message by its client_id, when that much could be read.
        given = data.get("client_id")
        if isinstance(given, str) and _UUID.fullmatch(given):
            error.client_id = given.lower()
        raise


def clean_body(value: object) -> str:
    """A message's text as it is stored. Raises `FrameError`."""
    if not isinstance(value, str):
        raise FrameError(BAD_FRAME, "body must be a text.")
    if len(value) > BODY_LIMIT:
        raise FrameError(
            TOO_LONG, f"A message may have {BODY_LIMIT:,} characters; this one has {len(value):,}."
        )
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    if _SURROGATE.search(value):
        raise FrameError(BAD_FRAME, "body holds half of a character (a lone surrogate).")
    if _CONTROL.search(value):
        raise FrameError(BAD_FRAME, "body holds a control character. Remove it and send again.")
    if not value.strip():
        raise FrameError(BAD_FRAME, "body is empty. Write something, then send.")
    return value


def read_client_id(value: object) -> str:
    """A client id in lower case. Raises `FrameError`."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise FrameError(BAD_FRAME, "client_id must be a UUID.")
    return value.lower()


def read_conversation(value: object) -> UUID:
    return _uuid(value, "conversation")


def _uuid(value: object, name: str) -> UUID:
    if not isinstance(value, str):
        raise FrameError(BAD_FRAME, f"{name} must be an id (a text).")
    if not _UUID.fullmatch(value):
        raise FrameError(NOT_FOUND, f"There is no such {name}.")
    return UUID(value)


def _number(data: dict[str, Any], name: str, *, least: int = 1) -> int:
    value = data.get(name)
    # bool is an int in Python, and no seq is true.
    if type(value) is not int or not least <= value <= SEQ_LIMIT:
        raise FrameError(BAD_FRAME, f"{name} must be a whole number from {least}.")
    return value


def _send(data: dict[str, Any]) -> Send:
    conversation = read_conversation(data.get("conversation"))
    client_id = read_client_id(data.get("client_id"))
    attachment = data.get("attachment")
    with_file = attachment is not None
    body = data.get("body", "") if with_file else data.get("body")
    # A photo needs no words; everything else does.
    text = "" if with_file and body == "" else clean_body(body)
    return Send(
        conversation,
        client_id,
        text,
        attachment=_uuid(attachment, "attachment") if with_file else None,
        reply_to=_number(data, "reply_to") if data.get("reply_to") is not None else None,
    )


def _edit(data: dict[str, Any]) -> Edit:
    return Edit(
        read_conversation(data.get("conversation")),
        read_client_id(data.get("client_id")),
        _number(data, "target"),
        clean_body(data.get("body")),
    )


def _delete(data: dict[str, Any]) -> Delete:
    return Delete(
        read_conversation(data.get("conversation")),
        read_client_id(data.get("client_id")),
        _number(data, "target"),
    )


def _sync(data: dict[str, Any]) -> Sync:
    limit = _number(data, "limit") if data.get("limit") is not None else SYNC_DEFAULT
    return Sync(
        read_conversation(data.get("conversation")),
        _number(data, "after", least=0),
        min(limit, SYNC_LIMIT),
    )


# Each type that a client may send. A test has a row for each, and fails for one without.
PARSERS: dict[str, Callable[[dict[str, Any]], Frame]] = {
    "send": _send,
    "edit": _edit,
    "delete": _delete,
    "delivered": lambda data: Delivered(
        read_conversation(data.get("conversation")), _number(data, "seq")
    ),
    "read": lambda data: Read(read_conversation(data.get("conversation")), _number(data, "seq")),
    "typing": lambda data: Typing(read_conversation(data.get("conversation"))),
    "sync": _sync,
    "ping": lambda data: Ping(),
}


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dump(frame: dict[str, Any]) -> str:
    """Compact JSON; text beyond ASCII is sent as it is, which keeps frames small."""
    return _encode(frame)


def error_frame(
    code: str, detail: str, *, client_id: str | None = None, retry_after_ms: int | None = None
) -> dict[str, Any]:
    frame: dict[str, Any] = {"type": "error", "code": code, "detail": detail}
    if client_id is not None:
        frame["client_id"] = client_id
    if retry_after_ms is not None:
        frame["retry_after_ms"] = retry_after_ms
    return frame
