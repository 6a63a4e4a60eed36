"""Request bodies are bounded before Django reads them.

Django compares only the declared Content-Length with its limit: over ASGI it first spools a body
of any length to disk, and over WSGI it takes a chunked body, which declares no length, for an
empty one. Here a body is counted while it arrives. A chunked one within the limit works like any
other; a longer one is marked, and the middleware `BodyLimit` answers 413.

Texts are UTF-8. Django decodes addresses and forms by whichever codec the Content-Type's charset
names, also by ``zlib``, ``idna`` and ``unicode_escape``, and does so before any middleware could
catch the error. So the parameter is taken away here, and one that names another charset is marked
for 400.

The addresses that take a file have a larger limit, for bodies that declare their length, as
browsers' forms do.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.http import parse_header_parameters

MOST_DISCARDED = 12 * 1024 * 1024  # bytes: more than NGINX lets through
PIECE = 64 * 1024
MARK = "clinic.body_too_large"
FOREIGN = "clinic.foreign_charset"

# Also as RFC 2231 writes it (charset*=), which Django understands.
_CHARSET = re.compile(r""";\s*charset\s*\*?\s*=\s*("[^"]*"|[^;]*)""", re.IGNORECASE)

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


def declared_length(text: str | None) -> int:
    try:
        return max(0, int(text or 0))
    except ValueError:
        return 0


def plain_type(content_type: str) -> tuple[str, bool]:
    """A Content-Type without its charset, and whether that named anything but UTF-8."""
    named = [found.strip(" \t\"'").lower() for found in _CHARSET.findall(content_type)]
    plain = _CHARSET.sub("", content_type)
    try:
        left = "charset" in parse_header_parameters(plain)[1]
    except ValueError:  # longer than Django reads
        left = True
    if left:
        return "", True
    return plain, any(name not in {"utf-8", "utf8"} for name in named)


def limit_for(method: str | None, path: str, length: int) -> int:
    """Bytes that the body of a request to ``path`` may have, which declares ``length``."""
    takes_file = method == "POST" and length and re.fullmatch(settings.UPLOAD_PATHS, path)
    limit: int = settings.MAX_UPLOAD_BODY_BYTES if takes_file else settings.MAX_BODY_BYTES
    return limit


def discard(body: Any, length: int) -> None:
    """Reads what is not wanted, up to what NGINX lets through. Answered without, it would find the
    connection closed while it still sends, and say 502 instead of what we say."""
    left = min(length, MOST_DISCARDED)
    while left > 0 and (piece := body.read(min(left, PIECE))):
        left -= len(piece)


def limited_wsgi(app: WsgiApp) -> WsgiApp:
    def limited(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = declared_length(environ.get("CONTENT_LENGTH"))
        limit = limit_for(environ.get("REQUEST_METHOD"), environ.get("PATH_INFO", ""), length)
        if environ.get("CONTENT_TYPE"):
            environ["CONTENT_TYPE"], environ[FOREIGN] = plain_type(environ["CONTENT_TYPE"])
        if length > limit:
            environ[MARK] = True
            discard(environ["wsgi.input"], length)
        elif "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read(limit + 1)
            environ[MARK] = len(body) > limit
            if environ[MARK]:
                discard(environ["wsgi.input"], MOST_DISCARDED)
                body = b""
            environ["CONTENT_LENGTH"] = str(len(body))
            environ["wsgi.input"] = BytesIO(body)
        return app(environ, start_response)

    return limited


def limited_asgi(app: AsgiApp) -> AsgiApp:
    async def limited(scope: Any, receive: Any, send: Any) -> None:
        sent = dict(scope.get("headers", ()))
        length = declared_length(sent.get(b"content-length", b"").decode("latin-1"))
        limit = limit_for(scope.get("method"), scope.get("path", ""), length)
        seen = 0
        headers = []
        for name, value in scope.get("headers", ()):
            if name.lower() == b"content-type":
                text, foreign = plain_type(value.decode("latin-1"))
                value = text.encode("latin-1")
                scope[FOREIGN] = scope.get(FOREIGN) or foreign
            headers.append((name, value))
        scope["headers"] = headers

        async def counted() -> Any:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    scope[MARK] = True
                    return {"type": "http.request", "body": b"", "more_body": False}
            return message

        await app(scope, counted, send)

    return limited


def too_large(request: HttpRequest) -> bool:
    """Whether the request's body was longer than its limit, or says that it will be."""
    length = declared_length(request.META.get("CONTENT_LENGTH"))
    scope = getattr(request, "scope", None) or {}
    return bool(
        request.META.get(MARK)
        or scope.get(MARK)
        or length > limit_for(request.method, request.path_info, length)
    )


def in_foreign_charset(request: HttpRequest) -> bool:
    """Whether the request names another charset than UTF-8."""
    scope = getattr(request, "scope", None) or {}
    return bool(request.META.get(FOREIGN) or scope.get(FOREIGN))


def is_encoded(request: HttpRequest) -> bool:
    """Whether the body is compressed. No page sends one, and nothing here would unpack it."""
    named = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    return named not in {"", "identity"}


def is_upload(request: HttpRequest) -> bool:
    """Whether the request's body is longer than any that carries no file."""
    return declared_length(request.META.get("CONTENT_LENGTH")) > settings.MAX_BODY_BYTES
