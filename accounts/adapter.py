"""Where django-allauth meets this project: addresses, mails, redirects, the audit trail."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext_lazy as _

from accounts import kept_text, sessions
from accounts.audit import record
from accounts.fields import refuse_unwritable
from accounts.models import User
from accounts.signup import terms_are_current
from clinic.jobs.outbox import enqueue_mail
from clinic.net import counted_address

logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": _(
            "The e-mail address or the password is not right. Check both and try again."
        ),
        "too_many_login_attempts": _(
            "Too many attempts. Wait 5 minutes and try again, or set a new password."
        ),
        "incorrect_code": _(
            "That is not the code we sent. Check the newest mail and enter its code."
        ),
        "enter_current_password": _("That is not your current password. Try again."),
        "incorrect_password": _("That is not your password. Try again."),
        "duplicate_email": _("You use this e-mail address already."),
        "email_taken": _(
            "This e-mail address cannot be used. Enter another one, or sign in with it."
        ),
        "rate_limited": _("That was too fast. Wait a moment and try again."),
    }

    def get_client_ip(self, request: HttpRequest) -> str:
        address = counted_address(request)
        if not address:
            raise PermissionDenied("the client's address is not known")
        return address

    def is_safe_url(self, url: str) -> bool:
        """Only this very host: `ALLOWED_HOSTS` may name others that are not the person's."""
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={self.request.get_host()}, require_https=self.request.is_secure()
        )

    # --- Mail -------------------------------------------------------------------------------
    def clean_email(self, email: str) -> str:
        refuse_unwritable(email)
        return str(super().clean_email(email))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Puts the mail in the outbox: the answer takes the same time whether one is sent or not,
        and a worker that dies does not lose it."""
        details = {
            **context,
            "email": email,
            "clinic_name": settings.CLINIC_NAME,
            "sign_in_url": settings.PUBLIC_URL + reverse("account_login"),
            "signup_url": settings.PUBLIC_URL + reverse("account_signup"),
            "password_reset_url": settings.PUBLIC_URL + reverse("account_reset_password"),
        }
        mail = self.render_mail(template_prefix, email, details)
        html = ""
        if isinstance(mail, EmailMultiAlternatives):
            html = next((str(a[0]) for a in mail.alternatives if a[1] == "text/html"), "")
        with transaction.atomic():  # allauth calls this with and without one
            enqueue_mail(
                to=email,
                subject=mail.subject,
                text=str(mail.body),
                html=html,
                key=f"account-{uuid4().hex}",
                now=timezone.now(),
            )

    # --- Signing in -------------------------------------------------------------------------
    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        # Never the address that was typed: people type passwords into the wrong field.
        logger.info("sign-in refused")

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        super().login(request, user)
        kept_text.forget_of_others(request, user)
        record("sign_in", actor=user)

    def post_login(
        self, request: HttpRequest, user: AbstractBaseUser, **kwargs: Any
    ) -> HttpResponse:
        """After signing in, asks once for terms that changed since the person accepted them."""
        response = super().post_login(request, user, **kwargs)
        if isinstance(user, User) and not terms_are_current(user):
            ask = reverse("terms_accept") + "?" + urlencode({"next": response.headers["Location"]})
            return HttpResponseRedirect(ask)
        return response

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Who confirms another address takes the account along, so the trail says so."""
        with transaction.atomic():
            confirmed = bool(super().confirm_email(request, email_address))
            if confirmed:
                record("address.confirmed", actor=email_address.user, subject=email_address.user)
        return confirmed

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        super().set_password(user, password)
        record("password.changed", actor=user)
        if isinstance(user, User):
            request = self.request
            own = request is not None and request.user.pk == user.pk
            keep = sessions.sign_in_id(request.session) if own else None
            sessions.end_all(user=user, keep=keep, by=user, why="new password", now=timezone.now())
