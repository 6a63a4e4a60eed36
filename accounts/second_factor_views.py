"""The pages of the second factor, at allauth's addresses: its flows, our look and audit rows."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.base import views as base_views
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes import views as recovery_views
from allauth.mfa.recovery_codes.internal import flows as recovery_flows
from allauth.mfa.totp import views as totp_views
from allauth.mfa.webauthn import views as webauthn_views
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.forms import Form
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe
from django.views.generic import TemplateView

from accounts import second_factor, sessions
from accounts.audit import record
from accounts.models import User
from accounts.views import LOCK_SECONDS, RefusalStatus


class Refusing(RefusalStatus):
    """422 for a refused form; 429 when a limit is behind it, which these forms say at the field."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        # Before allauth looks who asks, or a method that no page takes would answer with a page.
        if (request.method or "").lower() not in self.http_method_names:
            return HttpResponseNotAllowed(name.upper() for name in self.http_method_names)
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]

    def form_invalid(self, form: Form) -> HttpResponse:
        response = super().form_invalid(form)
        limits = {"too_many_login_attempts", "rate_limited"}
        found = {error.code for errors in form.errors.as_data().values() for error in errors}
        if response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY and found & limits:
            response.status_code = HTTPStatus.TOO_MANY_REQUESTS
            response.headers["Retry-After"] = str(LOCK_SECONDS)
        return response


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # the views that ask are behind login_required


def _passkeys(user: User) -> Any:
    return Authenticator.objects.filter(user=user.pk, type=Authenticator.Type.WEBAUTHN)


def _added(request: HttpRequest, kind: str) -> None:
    """A factor was added: this session counts as having shown it, every other one is over."""
    user, now = _user(request), timezone.now()
    record_authentication(request, user, method="mfa", type=kind)
    request.session.cycle_key()
    sessions.end_all(
        user=user,
        keep=sessions.sign_in_id(request.session),
        by=user,
        why="second factor added",
        now=now,
    )
    record("second_factor.added", actor=user, subject=user, detail=kind, now=now)


class EnterFactorView(Refusing, base_views.AuthenticateView):
    """Between the password and being signed in."""

    def _build_forms(self) -> Any:
        posted = super()._build_forms()
        if not _passkeys(self.stage.login.user).exists():
            # No challenge for somebody without a passkey: it would be a write for nothing.
            self.webauthn_form = None
        return posted if posted is not None else self.auth_form

    def form_valid(self, form: Form) -> HttpResponse:
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
        return response


class EnterFactorAgainView(Refusing, base_views.ReauthenticateView):
    def form_valid(self, form: Form) -> HttpResponse:
        self.request.session.cycle_key()
        response: HttpResponse = super().form_valid(form)
        return response


class PasskeyAgainView(Refusing, webauthn_views.ReauthenticateWebAuthnView):
    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not _passkeys(_user(request)).exists():
            raise Http404
        response: HttpResponse = super().get(request, *args, **kwargs)
        return response

    def form_invalid(self, form: Form) -> HttpResponse:
        for error in form.errors.get("credential", []):
            messages.error(self.request, str(error))
        return HttpResponseRedirect(self.request.get_full_path())

    def form_valid(self, form: Form) -> HttpResponse:
        self.request.session.cycle_key()
        response: HttpResponse = super().form_valid(form)
        return response


class FactorsView(base_views.IndexView):
    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = _user(self.request)
        factors = kwargs | super().get_context_data(**kwargs)
        return factors | {
            "demanded": second_factor.demanded_of(user),
            "missing": second_factor.need_of(self.request.session, user),
            "has_factor": second_factor.has_factor(user),
            "onward": reverse("admin:index") if user.is_staff else reverse("appointments"),
        }


class AddAppView(Refusing, totp_views.ActivateTOTPView):
    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        secret = context["form"].secret
        groups = [secret[at : at + 4] for at in range(0, len(secret), 4)]
        return context | {
            "qr": second_factor.qr_of(context["totp_url"]),
            "secret_words": " ".join(groups),
        }

    def form_valid(self, form: Any) -> HttpResponse:
        user = _user(self.request)
        with transaction.atomic():
            # MySQL has no partial unique keys: two forms at once would add two apps.
            User.objects.select_for_update().get(pk=user.pk)
            apps = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP)
            if apps.exists():
                return redirect("mfa_index")
            response: HttpResponse = super().form_valid(form)
            # The code that was just typed is used up: it does not sign anybody in.
            second_factor.use_up(apps.get(), form.cleaned_data["code"])
            _added(self.request, "totp")
        return response


class RemoveAppView(Refusing, totp_views.DeactivateTOTPView):
    def form_valid(self, form: Form) -> HttpResponse:
        user = _user(self.request)
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
            record("second_factor.removed", actor=user, subject=user, detail="totp")
        return response


class AddPasskeyView(Refusing, webauthn_views.AddWebAuthnView):
    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # allauth drops what the refused form says.
        return kwargs | super().get_context_data(**kwargs) | kwargs

    def form_valid(self, form: Form) -> HttpResponse:
        with transaction.atomic():
            User.objects.select_for_update().get(pk=_user(self.request).pk)
            response: HttpResponse = super().form_valid(form)
            _added(self.request, "webauthn")
        return response


class PasskeysView(webauthn_views.ListWebAuthnView):
    http_method_names = ["get", "head", "options"]


class RemovePasskeyView(Refusing, webauthn_views.RemoveWebAuthnView):
    def form_valid(self, form: Form) -> HttpResponse:
        user, adapter = _user(self.request), second_factor.FactorAdapter()
        with transaction.atomic():
            User.objects.select_for_update().get(pk=user.pk)
            if not adapter.can_delete_authenticator(self.get_object()):
                messages.error(
                    self.request, str(adapter.error_messages["cannot_delete_authenticator"])
                )
                return redirect("mfa_index")
            response: HttpResponse = super().form_valid(form)
            record("second_factor.removed", actor=user, subject=user, detail="webauthn")
        return response


class RenamePasskeyView(Refusing, webauthn_views.EditWebAuthnView):
    pass


def _codes_of(request: HttpRequest) -> list[str]:
    """The unused recovery codes, after the password was asked again; allauth's own function also
    writes down that they were seen."""
    recovery_flows.raise_if_reauthentication_required(request, app="allauth.mfa")
    authenticator = Authenticator.objects.filter(
        user=_user(request).pk, type=Authenticator.Type.RECOVERY_CODES
    ).first()
    if authenticator is None:
        raise Http404
    found: list[str] = authenticator.wrap().get_unused_codes()
    return found


@method_decorator(login_required, name="dispatch")
class RecoveryCodesView(recovery_views.ViewRecoveryCodesView):
    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = _user(self.request)
        return kwargs | {
            "unused_codes": _codes_of(self.request),
            "onward": reverse("admin:index") if user.is_staff else reverse("mfa_index"),
        }


@method_decorator([require_safe, login_required], name="dispatch")
class DownloadCodesView(recovery_views.DownloadRecoveryCodesView):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        self.unused_codes = _codes_of(request)
        return TemplateView.dispatch(self, request, *args, **kwargs)


class NewCodesView(Refusing, recovery_views.GenerateRecoveryCodesView):
    def form_valid(self, form: Form) -> HttpResponse:
        user = _user(self.request)
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
            record("second_factor.new_codes", actor=user, subject=user)
        return response
