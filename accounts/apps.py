from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest
from django.utils import timezone


class AccountsConfig(AppConfig):
    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Every way in and out ends in Django's login() and logout(), so none can be forgotten.
        user_logged_in.connect(note_sign_in, dispatch_uid="accounts.note_sign_in")
        user_logged_out.connect(forget_sign_in, dispatch_uid="accounts.forget_sign_in")


def note_sign_in(request: HttpRequest, user: Any, **_: Any) -> None:
    from accounts import sessions
    from clinic.net import client_address

    sessions.begin(
        session=request.session,
        user=user,
        now=timezone.now(),
        address=client_address(request),
        agent=request.META.get("HTTP_USER_AGENT", ""),
    )


def forget_sign_in(request: HttpRequest, user: Any, **_: Any) -> None:
    from accounts import sessions
    from accounts.models import SignIn

    public_id = sessions.sign_in_id(request.session)
    if public_id is not None and user is not None:
        SignIn.objects.filter(public_id=public_id, user=user.pk).delete()
