"""What every request carries for the audit trail, and which answers may be kept by whom."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control

from accounts.audit import Origin, current_origin
from clinic.net import client_address

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestFacts:
    """Gives the audit trail the client's address and the id that the request's log line carries."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = getattr(request, "request_id", "")  # clinic.middleware.RequestLog
        token = current_origin.set(Origin(client_address(request), request_id))
        try:
            return self.get_response(request)
        finally:
            current_origin.reset(token)


class PersonalPages:
    """Nobody keeps a copy of a personal page: not a shared cache, not the Back button.

    Personal is every answer to somebody signed in, every answer to a visitor whose session holds
    something (a half-made booking), and every answer to a form. Other pages may be kept by the
    visitor's own browser, which asks again before it shows them.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if (
            request.user.is_authenticated
            or not request.session.is_empty()
            or request.method not in {"GET", "HEAD"}
        ):
            response.headers["Cache-Control"] = "no-store, private"
        elif not response.has_header("Cache-Control"):
            patch_cache_control(response, private=True, no_cache=True)
        return response
