"""An account's own pages: thin edges around `accounts.signup` and `accounts.people`."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus
from typing import Any, cast

from allauth.account import views as allauth_views
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import people
from accounts.forms import LinkChartForm, PersonForm, ProfileForm, TermsForm
from accounts.models import Carer, Patient, User
from accounts.signup import accept_terms, terms_are_current

LOCK_SECONDS = 300  # how long failures count (ACCOUNT_RATE_LIMITS["login_failed"])

form_page = require_http_methods(["GET", "HEAD", "POST"])


# --- allauth's pages with the status that a refused form has everywhere on this site ------------
class RefusalStatus:
    """A form with errors answers 422, and 429 when what it hit was a limit."""

    # Django's form views take a PUT for a POST.
    http_method_names = ["get", "head", "post", "options"]

    def form_invalid(self, form: Form) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]
        if response.status_code == HTTPStatus.OK:
            response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
            if form.has_error("__all__", "too_many_login_attempts"):
                response.status_code = HTTPStatus.TOO_MANY_REQUESTS
                response.headers["Retry-After"] = str(LOCK_SECONDS)
        return response


class SignInView(RefusalStatus, allauth_views.LoginView):
    pass


class AccountSignupView(RefusalStatus, allauth_views.SignupView):
    """Sign-up with a mailed code. For a form of its own a subclass sets ``signup_form_class`` (an
    `accounts.forms.AccountSignupForm`) and ``template_name``."""

    signup_form_class: type[Form] | None = None

    def get_form_class(self) -> type[Form]:
        return self.signup_form_class or super().get_form_class()

    def form_valid(self, form: Form) -> HttpResponse:
        """The account and the mail with its code are stored together; a limit that stops the mail
        undoes the account, and there is one commit whether the address is new or known."""
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                transaction.set_rollback(True)
        return response


class ConfirmAddressView(RefusalStatus, allauth_views.ConfirmEmailVerificationCodeView):
    pass


class ResetPasswordView(RefusalStatus, allauth_views.PasswordResetView):
    pass


class ConfirmResetView(RefusalStatus, allauth_views.ConfirmPasswordResetCodeView):
    pass


class NewPasswordView(RefusalStatus, allauth_views.CompletePasswordResetView):
    pass


class ChangePasswordView(RefusalStatus, allauth_views.PasswordChangeView):
    pass


class AddressView(RefusalStatus, allauth_views.EmailView):
    pass


class ReauthenticateView(RefusalStatus, allauth_views.ReauthenticateView):
    pass


# --- Own pages ----------------------------------------------------------------------------------
def _answer(request: HttpRequest, template: str, form: Form, **context: Any) -> HttpResponse:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, template, {"form": form, **context}, status=status)


def _account(request: HttpRequest) -> User:
    return cast(User, request.user)  # the views that ask are behind login_required


@form_page
@login_required
def profile(request: HttpRequest) -> HttpResponse:
    user = _account(request)
    names = ["name", "phone", "time_zone", "language"]
    initial = {name: getattr(user, name) for name in names}
    form = ProfileForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        people.update_profile(user=user, now=timezone.now(), **form.cleaned_data)
        messages.success(request, _("Your profile is saved."))
        return redirect("profile")
    return _answer(
        request, "accounts/profile.html", form, chart=Patient.objects.filter(account=user).first()
    )


@require_safe
@login_required
def people_list(request: HttpRequest) -> HttpResponse:
    user, now = _account(request), timezone.now()
    carers = Carer.objects.running(now).with_reads(now).filter(user=user)
    carers = carers.select_related("patient")
    return render(
        request,
        "accounts/people.html",
        {
            "chart": Patient.objects.filter(account=user).first(),
            "carers": carers.order_by("patient__name", "pk"),
        },
    )


@form_page
@login_required
def person_add(request: HttpRequest) -> HttpResponse:
    form = PersonForm(request.POST or None)
    back = _safe_next(request) or reverse("people")
    if request.method == "POST" and form.is_valid():
        try:
            person = people.add_person_in_care(
                by=_account(request), now=timezone.now(), **form.cleaned_data
            )
        except people.Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(
                request, _("You can now book visits for %(name)s.") % {"name": person.name}
            )
            return HttpResponseRedirect(back)
    return _answer(request, "accounts/person_add.html", form, next=_safe_next(request))


@form_page
@login_required
def person_end(request: HttpRequest, public_id: str) -> HttpResponse:
    user, now = _account(request), timezone.now()
    running = Carer.objects.running(now).filter(user=user).select_related("patient")
    carer = get_object_or_404(running, patient__public_id=public_id)
    if request.method == "POST":
        people.end_care(by=user, patient=carer.patient, now=now)
        messages.success(
            request, _("%(name)s is no longer in your list.") % {"name": carer.patient.name}
        )
        return redirect("people")
    return render(request, "accounts/person_end.html", {"person": carer.patient})


@form_page
@login_required
def link_chart(request: HttpRequest) -> HttpResponse:
    form = LinkChartForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            patient = people.redeem_link_code(
                code=form.cleaned_data["code"], by=_account(request), now=timezone.now()
            )
        except people.Refused as refusal:
            form.add_error("code", str(refusal))
        else:
            messages.success(
                request, _("The chart of %(name)s is linked.") % {"name": patient.name}
            )
            return redirect("people")
    return _answer(request, "accounts/link_chart.html", form)


def _safe_next(request: HttpRequest) -> str:
    """The ``next`` address of this request if it is on this site, or nothing."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    own = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if own else ""


@form_page
@login_required
def terms_accept(request: HttpRequest) -> HttpResponse:
    """Asks for the terms that changed; whoever does not accept can still sign out or go on."""
    user = _account(request)
    target = _safe_next(request)
    if terms_are_current(user):
        return HttpResponseRedirect(target or reverse(settings.LOGIN_REDIRECT_URL))
    form = TermsForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        accept_terms(user=user, now=timezone.now())
        return HttpResponseRedirect(target or reverse(settings.LOGIN_REDIRECT_URL))
    return _answer(request, "accounts/terms_accept.html", form, next=target)


@require_safe
def privacy(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/privacy.html", {"terms_date": _terms_date()})


@require_safe
def terms(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/terms.html", {"terms_date": _terms_date()})


def _terms_date() -> date:
    return date.fromisoformat(settings.TERMS_VERSION)
