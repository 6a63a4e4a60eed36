"""The second factor: of whom it is demanded, what counts as passed, and how it is reset.

Guarantee: while STAFF_MFA_REQUIRED is on, an account of somebody who works here opens nothing but
the pages for adding a factor until the same session has passed one; a session from before the
factor was added is over. A code works once, also while Redis is away: the last counter stands in
the database. Secrets are stored encrypted with a key made from SECRET_KEY.

The protocols are django-allauth's; here is what this clinic decides about them.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.internal.constants import LoginStageKey
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.utils import translation
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import sessions
from accounts.audit import record, record_refusal
from accounts.models import Role, User
from clinic.jobs.outbox import enqueue_mail

MFA_STAGE = LoginStageKey.MFA_AUTHENTICATE.value
MAIN_TYPES = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
REASON_AT_LEAST = 10


class Need(StrEnum):
    """What a session still lacks."""

    NOTHING = ""
    ENROL = "enrol"  # the account has no factor yet
    PASS = "pass"  # noqa: S105  (it has one, and this session never showed it)


# --- Of whom, and whether -----------------------------------------------------------------------
def demanded_of(user: User) -> bool:
    return settings.STAFF_MFA_REQUIRED and sessions.works_here(
        role=user.role, is_staff=user.is_staff
    )


def passed_in(session: Mapping[str, Any]) -> bool:
    """Whether a factor was shown, or added, in this session."""
    records = session.get(AUTHENTICATION_METHODS_SESSION_KEY)
    return isinstance(records, list) and any(one.get("method") == "mfa" for one in records)


def has_factor(user: User) -> bool:
    return Authenticator.objects.filter(user=user.pk, type__in=MAIN_TYPES).exists()


def need_of(session: Mapping[str, Any], user: User) -> Need:
    """What the session of ``user`` lacks before it opens anything."""
    if not demanded_of(user) or passed_in(session):
        return Need.NOTHING
    return Need.PASS if has_factor(user) else Need.ENROL


# --- A code works once --------------------------------------------------------------------------
def use_up(authenticator: Authenticator, code: str) -> bool:
    """Notes that this TOTP code was used; False if it, or a later one, was used before.

    allauth remembers used codes in the cache for one step, which is shorter than a code is valid
    here, and forgets them with the cache.
    """
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
        counter = counter_of(totp.decrypt(row.data["secret"]), code)
        if counter is None or counter <= row.data.get("last_counter", 0):
            return False
        row.data["last_counter"] = counter
        row.save(update_fields=["data"])
    authenticator.data = row.data
    return True


def counter_of(secret: str, code: str) -> int | None:
    """The newest time step whose code this is; None for a wrong code."""
    for counter in sorted(totp.yield_hotp_counters_from_time(), reverse=True):
        expected = totp.format_hotp_value(totp.hotp_value(secret, counter))
        if totp.compare_user_code(actual=code, expected=expected):
            return counter
    return None


# --- Secrets at rest ----------------------------------------------------------------------------
def _fernet(secret_key: str) -> Fernet:
    key = salted_hmac("accounts.second_factor", "", secret=secret_key, algorithm="sha256")
    return Fernet(base64.urlsafe_b64encode(key.digest()))


def _keys() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([_fernet(key) for key in keys])


SECRETS = {Authenticator.Type.TOTP: "secret", Authenticator.Type.RECOVERY_CODES: "seed"}


def encrypt_anew(*, now: datetime) -> int:
    """Regular job: encrypts with the newest key what an earlier one encrypted; returns how many.

    So the earlier key can leave SECRET_KEY_FALLBACKS a day after it was replaced.
    """
    newest, count = _fernet(settings.SECRET_KEY), 0
    for pk in Authenticator.objects.filter(type__in=SECRETS).values_list("pk", flat=True):
        with transaction.atomic():
            row = Authenticator.objects.select_for_update().filter(pk=pk).first()
            if row is None:
                continue
            name = SECRETS[Authenticator.Type(row.type)]
            token = str(row.data.get(name, "")).encode()
            try:
                newest.decrypt(token)
            except InvalidToken:
                try:
                    row.data[name] = _keys().rotate(token).decode()
                except InvalidToken:
                    continue  # of a key nobody has any more: an administrator resets this one
                row.save(update_fields=["data"])
                count += 1
    return count


class FactorAdapter(DefaultMFAAdapter):
    """How allauth's second factor speaks and stores here."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": _("That code is not right, or was used before. Enter the next one."),
        "unverified_email": _("Confirm your e-mail address first."),
        "cannot_delete_authenticator": _(
            "You must have a second factor. Add another one before you remove this one."
        ),
    }

    def get_totp_issuer(self) -> str:
        return settings.CLINIC_NAME

    def _get_site_name(self) -> str:
        return settings.CLINIC_NAME

    def build_totp_svg(self, url: str) -> str:
        return ""  # the page draws its own (`qr_of`): the policy forbids data: images

    def encrypt(self, text: str) -> str:
        return _keys().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _keys().decrypt(encrypted_text.encode()).decode()

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        user = authenticator.user
        if not isinstance(user, User) or not demanded_of(user):
            return True
        others = Authenticator.objects.filter(user=user, type__in=MAIN_TYPES)
        return others.exclude(pk=authenticator.pk).exists()

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Any) -> str:  # noqa: A002
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return gettext("Passkey %(number)d") % {"number": count + 1}


def qr_of(text: str) -> dict[str, Any]:
    """A QR code as the ``d`` of an SVG path and the side of its square, in modules."""
    import qrcode

    code = qrcode.QRCode(border=4)
    code.add_data(text)
    rows = code.get_matrix()
    path = "".join(
        f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
    )
    return {"path": path, "side": len(rows)}


# --- Taken away ---------------------------------------------------------------------------------
class Refused(Exception):
    """A reset that is not done; the message says why and what to do."""

    reason = "refused"
    sentence: Any = ""

    def __init__(self) -> None:
        super().__init__(str(self.sentence))
        self.message = str(self.sentence)


class NotAdministrator(Refused):
    reason = "not an administrator"
    sentence = _("Only administrators reset a second factor.")


class OwnFactor(Refused):
    reason = "own factor"
    sentence = _("Ask another administrator: nobody resets the own second factor.")


class NothingToReset(Refused):
    reason = "no factor"
    sentence = _("This account has no second factor.")


class NoReason(Refused):
    reason = "no reason"

    def __init__(self) -> None:
        self.sentence = ngettext(
            "Type how you know that it is this person, in at least %(count)d character.",
            "Type how you know that it is this person, in at least %(count)d characters.",
            REASON_AT_LEAST,
        ) % {"count": REASON_AT_LEAST}
        super().__init__()


def reset(*, user: User, by: User | None, reason: str, now: datetime) -> None:
    """Takes all factors of ``user`` away, ends their sign-ins and tells them by mail.

    The next sign-in asks for the password and then to add a factor. ``by`` None is an operator at
    the command line. Raises `NotAdministrator`, `OwnFactor`, `NothingToReset`, `NoReason`.
    """
    reason = " ".join(reason.split())
    try:
        with transaction.atomic():
            User.objects.select_for_update().get(pk=user.pk)
            if by is not None:
                if not (by.is_active and by.is_staff and by.role == Role.ADMINISTRATOR):
                    raise NotAdministrator
                if by.pk == user.pk:
                    raise OwnFactor
            if len(reason) < REASON_AT_LEAST:
                raise NoReason
            removed, _rows = Authenticator.objects.filter(user=user).delete()
            if not removed:
                raise NothingToReset
            record("second_factor.reset", actor=by, subject=user, detail=reason, now=now)
            sessions.end_all(user=user, by=by, why="second factor reset", now=now)
            _tell(user, now=now)
    except Refused as refusal:
        record_refusal(
            "second_factor.reset", actor=by, subject=user, reason=refusal.reason, now=now
        )
        raise


def _tell(user: User, *, now: datetime) -> None:
    wanted = user.language if user.language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
    with translation.override(wanted):
        enqueue_mail(
            to=user.email,
            subject=gettext("Your second factor was removed"),
            text=gettext(
                "An administrator removed the second factor of your account at %(clinic)s.\n\n"
                "Sign in with your password and add a new one. If you did not ask for this, "
                "call the clinic now.\n"
            )
            % {"clinic": settings.CLINIC_NAME},
            key=f"second-factor-reset:{user.public_id}:{time.time_ns()}",
            now=now,
        )
