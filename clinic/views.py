"""Pages for requests that cannot be answered. None of them touches the database or a session,
because a broken one may be the reason why they are shown."""

from __future__ import annotations

import re
import sys

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.translation import gettext as _

from clinic.outage import RETRY_AFTER_SECONDS, is_outage

log = structlog.get_logger("clinic.pages")


def page(status: int, title: str, text: str) -> HttpResponse:
    """The page of ``status``: its own template, or the shared ``error.html``."""
    context = {
        "status": status,
        "title": title,
        "text": text,
        "clinic_name": settings.CLINIC_NAME,
        "emergency_number": settings.EMERGENCY_NUMBER,
    }
    try:
        # Without the request no context processor runs, so nothing is read from the session.
        html = loader.select_template([f"{status}.html", "error.html"]).render(context)
    except Exception:
        # Static files that were not collected, say. An error page that breaks helps nobody.
        log.error("error_page_broken", exc_info=True)
        html = format_html(
            "<!doctype html><html lang=en><title>{}</title><h1>{}</h1><p>{}</p></html>",
            title,
            title,
            text,
        )
    response = HttpResponse(html, status=status)
    response["Cache-Control"] = "no-store"
    return response


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return too_large(request)
    return page(
        400,
        _("That request could not be read"),
        _("Go back, load the page again and repeat what you did."),
    )


def too_large(request: HttpRequest) -> HttpResponse:
    """413, also from `clinic.middleware.BodyLimit`; where files are taken, about the file."""
    if request.method == "POST" and re.fullmatch(settings.UPLOAD_PATHS, request.path_info):
        text = _("A file may have %(limit)s at most. Go back and choose a smaller one.") % {
            "limit": filesizeformat(settings.UPLOAD_MAX_BYTES)
        }
        if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
            frame = {"type": "error", "code": "too_long", "detail": text}
            return JsonResponse(frame, status=413)
        return page(413, _("What you sent is too large"), text)
    return page(
        413,
        _("What you sent is too large"),
        _("Go back, shorten the text you entered and send it again."),
    )


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return page(
        403,
        _("You cannot open this page"),
        _("Sign in with the account that may open it, or go back to the first page."),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return page(
        403,
        _("This form is too old"),
        _(
            "For your safety a form works only in the browser that loaded it, with cookies on. "
            "Go back, load the page again and send the form once more."
        ),
    )


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return page(
        404,
        _("Page not found"),
        _("Check the address, or start from the first page. If you followed a link, it is old."),
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 when what broke is the database being away."""
    if is_outage(sys.exc_info()[1]):
        return unavailable(request)
    return page(
        500,
        _("Something went wrong on our side"),
        _("Nothing was changed by this request unless a page said so. Try again in a minute."),
    )


def unavailable(request: HttpRequest) -> HttpResponse:
    response = page(
        503,
        _("We are busy for a moment"),
        _("Nothing was changed. Wait a few seconds and try again."),
    )
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
