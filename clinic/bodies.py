"""Request bodies are bounded before Django reads them.

Django compares only the declared Content-Length with its limit: over ASGI it first spools a body
of any length to disk, and over WSGI it takes a chunked body, which declares no length, for an
empty one. Here a body is counted while it arrives. A chunked one within the limit works like any
other; a longer one is marked, and the middleware `BodyLimit` answers 413.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.http import HttpRequest

MARK = "clinic.body_too_large"

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


def declared_length(text: str | None) -> int:
    try:
        return max(0, int(text or 0))
    except ValueError:
        return 0


def limited_wsgi(app: WsgiApp) -> WsgiApp:
    def limited(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        limit: int = settings.MAX_BODY_BYTES
        if declared_length(environ.get("CONTENT_LENGTH")) > limit:
            environ[MARK] = True
        elif "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read(limit + 1)
            environ[MARK] = len(body) > limit
            body = b"" if environ[MARK] else body
            environ["CONTENT_LENGTH"] = str(len(body))
            environ["wsgi.input"] = BytesIO(body)
        return app(environ, start_response)

    return limited


def limited_asgi(app: AsgiApp) -> AsgiApp:
    async def limited(scope: Any, receive: Any, send: Any) -> None:
        limit: int = settings.MAX_BODY_BYTES
        seen = 0

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
    """Whether the request's body was longer than MAX_BODY_BYTES, or says that it will be."""
    scope = getattr(request, "scope", None) or {}
    return bool(
        request.META.get(MARK)
        or scope.get(MARK)
        or declared_length(request.META.get("CONTENT_LENGTH")) > settings.MAX_BODY_BYTES
    )
