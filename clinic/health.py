"""Two questions of an orchestrator: does the process answer, and should it get traffic?

Both are answered before any other middleware, so that a probe may come by IP address (its Host is
in no list of ALLOWED_HOSTS), over plain HTTP, and without touching a session. The answers name
no version, host or error text; what is wrong stands in the log.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseNotFound,
    JsonResponse,
)

from clinic import metrics as measured

log = structlog.get_logger("clinic.health")

PROBE_KEY = "readyz"


def _answer(state: str, status: int = 200, **parts: str) -> JsonResponse:
    response = JsonResponse({"status": state, **parts}, status=status)
    response["Cache-Control"] = "no-store"
    return response


def livez(request: HttpRequest) -> HttpResponseBase:
    """200 as long as the process answers. MySQL or Redis down must not restart it."""
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET", "HEAD"])
    return _answer("ok")


def readyz(request: HttpRequest) -> HttpResponseBase:
    """503 only when the database is down; 200 ``degraded`` when only Redis is."""
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET", "HEAD"])
    cache_state = "ok" if cache_answers() else "down"
    if not database_answers():
        return _answer("down", 503, database="down", cache=cache_state)
    state = "ok" if cache_state == "ok" else "degraded"
    return _answer(state, database="ok", cache=cache_state)


def database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except DatabaseError as error:
        log.warning("database_down", error=type(error).__name__)
        connection.close()
        return False


def cache_answers() -> bool:
    """Whether the cache itself answers; a fallback that works does not count."""
    answers: Callable[[], bool] | None = getattr(cache, "answers", None)
    return answers() if answers is not None else True


def metrics(request: HttpRequest) -> HttpResponseBase:
    """The numbers of this server for Prometheus, which asks it directly.

    What came through a proxy finds nothing here, whatever the proxy was told.
    """
    if "HTTP_X_FORWARDED_FOR" in request.META or "HTTP_FORWARDED" in request.META:
        return HttpResponseNotFound()
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET", "HEAD"])
    response = HttpResponse(measured.exposition(), content_type=measured.CONTENT_TYPE)
    response["Cache-Control"] = "no-store"
    return response


PROBES = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}
