"""What every request carries for the audit trail, and which answers may be kept by whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY, get_user, logout
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.functional import SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import kept_text, second_factor, sessions
from accounts.audit import Origin, current_origin
from accounts.backends import came_along
from accounts.models import SignIn, User
from accounts.second_factor import Need
from accounts.sessions import Over
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


def _user_of(request: HttpRequest) -> Any:
    """Django's answer. A session that only a former SECRET_KEY vouches for keeps its name.

    Django would rename it and delete the old one, so that what a page fetches at the same moment,
    under the old cookie, would be signed out.
    """
    session = request.session
    session.cycle_key = lambda: None  # type: ignore[method-assign]
    try:
        return get_user(request)
    finally:
        del session.cycle_key


class WhoAsks(AuthenticationMiddleware):
    """As Django's; account and sign-in of a session are read together, in one query."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: self._user(request))  # type: ignore[assignment]

    def _user(self, request: HttpRequest) -> Any:
        if not hasattr(request, "_cached_user"):
            carried = SESSION_KEY in request.session
            sign_in = sessions.sign_in_of(request.session) if carried else None
            token = came_along.set(sign_in.user if sign_in else None)
            try:
                request._cached_user = _user_of(request)  # type: ignore[attr-defined]
            finally:
                came_along.reset(token)
            request.sign_in = sign_in  # type: ignore[attr-defined]
        return request._cached_user  # type: ignore[attr-defined]


# What answers while a second factor is still to be added: adding one, and leaving.
ENROLMENT = frozenset(
    {
        "mfa_index",
        "mfa_activate_totp",
        "mfa_add_webauthn",
        "mfa_view_recovery_codes",
        "mfa_download_recovery_codes",
        "account_reauthenticate",
        "account_logout",
        "terms_accept",
        "terms",
        "privacy",
    }
)


def is_background(request: HttpRequest) -> bool:
    """Whether a page asked by itself; that is no sign of somebody sitting there."""
    if request.headers.get("X-Background-Request"):
        return True
    return re.fullmatch(settings.BACKGROUND_PATHS, request.path_info) is not None


class SignInLimits:
    """Ends sessions that are over, and keeps staff without a second factor at its pages.

    A session that is over is signed out before any view sees it. A page then leads to the sign-in
    page and from there back to where the person was; what a script asked for is answered with 401,
    so that what was typed stays on the screen.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated:
            over = self._look(request, request.user)
            if over is not None:
                logout(request)
                if kept_text.is_kept_form(request) and not is_background(request):
                    # Its token is checked first; `process_view` goes on from there.
                    request.sign_in_over = over  # type: ignore[attr-defined]
                    return self.get_response(request)
                return self._signed_out(request, over)
        return self.get_response(request)

    def _look(self, request: HttpRequest, user: User) -> Over | None:
        """Why this session is over; None, and the activity noted, while it is not."""
        now = timezone.now()
        sign_in: SignIn | None = getattr(request, "sign_in", None)
        if sign_in is not None and sign_in.user_id != user.pk:
            sign_in = None
        over = sessions.why_over(
            sign_in,
            carried=sessions.sign_in_id(request.session) is not None,
            role=user.role,
            is_staff=user.is_staff,
            now=now,
        )
        if over is None and second_factor.need_of(request.session, user) == Need.PASS:
            over = Over.ENDED
        if over is None and sign_in is not None and not is_background(request):
            sessions.note_activity(sign_in, now=now)
        return over

    def _signed_out(self, request: HttpRequest, over: Over) -> HttpResponseBase:
        login = reverse("account_login")
        if request.path_info in {login, reverse("account_logout")}:
            return self.get_response(request)
        where = self._sign_in_page(came_from(request))
        if is_background(request) or request.headers.get("Accept") == "application/json":
            return JsonResponse({"code": "signed_out", "sign_in": where}, status=401)
        if request.headers.get("HX-Request"):
            return HttpResponse(status=401, headers={"HX-Redirect": where})
        messages.info(request, words_for(over))
        return HttpResponseRedirect(where)

    def _sign_in_page(self, here: str) -> str:
        return f"{reverse('account_login')}?{urlencode({'next': here})}"

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponseBase | None:
        """Only enrolment pages answer to staff who must have a second factor and have none. What
        was typed into a form that comes after its sign-in has ended is kept for its page."""
        user = request.user
        match = request.resolver_match
        over: Over | None = getattr(request, "sign_in_over", None)
        if not user.is_authenticated and not is_background(request) and kept_text.keep(request):
            messages.info(request, words_for(over or Over.ENDED))
            return HttpResponseRedirect(self._sign_in_page(request.path_info))
        if over is not None:
            return self._signed_out(request, over)
        if not isinstance(user, User) or (match is not None and match.view_name in ENROLMENT):
            return None
        if second_factor.need_of(request.session, user) == Need.NOTHING:
            return None
        if is_background(request) or request.headers.get("Accept") == "application/json":
            return JsonResponse({"code": "second_factor"}, status=403)
        return redirect("mfa_index")


def came_from(request: HttpRequest) -> str:
    """The page a person was at: this one, or the one whose form was sent, to return to later."""
    if request.method in {"GET", "HEAD"} and not is_background(request):
        return request.get_full_path()
    referer = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(
        referer, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        parts = urlsplit(referer)
        return f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    return "/"


def words_for(over: Over) -> str:
    """Why somebody was signed out, and what to do."""
    if over == Over.IDLE:
        minutes = settings.STAFF_IDLE_MINUTES
        return ngettext(
            "You were signed out after %(count)d minute without activity. Sign in to go on where "
            "you were; drafts are kept.",
            "You were signed out after %(count)d minutes without activity. Sign in to go on where "
            "you were; drafts are kept.",
            minutes,
        ) % {"count": minutes}
    if over == Over.TOO_OLD:
        return _("You have been signed in for a whole working day. Sign in again to go on.")
    if over == Over.ROLE:
        return _("What you may do here has changed. Sign in again.")
    return _("You were signed out. Sign in to go on.")


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
