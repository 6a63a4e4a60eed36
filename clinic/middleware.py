"""What holds for every answer: headers, request ids, probes, bounded bodies, outages."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django_structlog.middlewares import RequestMiddleware

from clinic import health, views
from clinic.bodies import in_foreign_charset, is_encoded, is_upload, too_large
from clinic.logs import frames_of, route_of, type_name
from clinic.metrics import RESPONSES
from clinic.outage import is_outage

GetResponse = Callable[[HttpRequest], HttpResponseBase]

log = structlog.get_logger("clinic.requests")

REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")

HEADERS = {
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Video visits come with a later release; until then no page may use any of these.
    "Permissions-Policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
        "magnetometer=(), microphone=(), midi=(), payment=(), usb=()"
    ),
}


class SecurityHeaders:
    """Outermost: every answer has the headers, also an error's, a redirect's or a file's.

    A header that a view has set on purpose (a document's own policy) stays as it is.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class RequestLog(RequestMiddleware):
    """One log line per request: method, route, status and milliseconds, with a request id.

    An id is taken over from our own proxy when it is well formed, never from a client that comes
    directly: it could write chosen text into logs and audit trail. The route stands in for the
    path, which may name people; queries and user agents are not logged at all.
    """

    def prepare(self, request: HttpRequest) -> None:
        sent = request.META.get("HTTP_X_REQUEST_ID", "") if settings.TRUSTED_PROXY_COUNT else ""
        request_id = sent if REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        request.request_id = request_id  # type: ignore[attr-defined]
        request._started = time.monotonic()  # type: ignore[attr-defined]

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        started: float = getattr(request, "_started", 0.0)
        RESPONSES.labels(response.status_code).inc()
        level = "warning" if response.status_code >= 500 else "info"
        if request.path.startswith(settings.STATIC_URL) and response.status_code < 400:
            level = "debug"  # dozens per page where no NGINX serves them
        getattr(log, level)(
            "request",
            method=request.method,
            route=route_of(request),
            status=response.status_code,
            ms=round((time.monotonic() - started) * 1000),
        )
        response.headers.setdefault("X-Request-ID", getattr(request, "request_id", ""))
        structlog.contextvars.clear_contextvars()

    def _process_exception(self, request: HttpRequest, exception: BaseException) -> None:
        # The signal reaches every instance of a process (a test has several).
        if getattr(request, "_exception_logged", None) is exception:
            return
        request._exception_logged = exception  # type: ignore[attr-defined]
        if is_outage(exception):
            log.warning("database_unavailable", route=route_of(request), error=type_name(exception))
        else:
            log.error("request_failed", route=route_of(request), exc_info=exception)


class Probes:
    """Answers /livez and /readyz before Host checks, redirects and sessions (see health.py)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        probe = health.PROBES.get(request.path_info)
        return probe(request) if probe is not None else self.get_response(request)


class BodyLimit:
    """413 for a body over its limit, 400 for one that is compressed or whose texts are not UTF-8,
    and a file only from people who are signed in.

    All before anything reads the body: the check of the form's token would.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if too_large(request):
            return views.too_large(request)
        if in_foreign_charset(request) or is_encoded(request):
            return views.bad_request(request)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponseBase | None:
        if is_upload(request) and not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return None


class DatabaseOutage:
    """503 with Retry-After when a view finds the database away (middleware: views.server_error)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> Any:
        if not is_outage(exception):
            return None
        log.warning(
            "database_unavailable",
            route=route_of(request),
            error=type_name(exception),
            at=frames_of(exception)[-1:],
        )
        for connection in connections.all(initialized_only=True):
            # A connection that lost its server would fail the next request as well.
            if not connection.in_atomic_block:
                connection.close()
        return views.unavailable(request)
