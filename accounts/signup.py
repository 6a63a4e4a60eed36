"""Making an account.

Guarantee: an account, its unconfirmed e-mail address, its chart (for a patient) and the audit row
are stored together or not at all, and a new account always gets a *new* chart. Nobody is joined to
an existing chart by giving a name and a date of birth; that takes a code (`accounts.people`).
"""

from __future__ import annotations

from datetime import date, datetime

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.audit import record
from accounts.models import Patient, Role, User

SELF_SERVICE_ROLES = {Role.PATIENT, Role.DOCTOR}


class AddressTaken(Exception):
    """An account with this e-mail address exists already (perhaps since a moment ago)."""

    def __init__(self) -> None:
        super().__init__(_("There is an account with this e-mail address already."))


def register(
    *,
    email: str,
    password: str,
    name: str,
    role: Role = Role.PATIENT,
    birth_date: date | None = None,
    phone: str = "",
    time_zone: str = "",
    now: datetime,
) -> User:
    """Makes an account whose owner has accepted the current terms; hashes ``password`` once.

    The account cannot sign in before its address is confirmed by the mailed code. A patient gets a
    new chart; a doctor gets none (a doctor's public page is made by `clinic.directory`). Neither
    gets any right in the admin. Raises `AddressTaken`, and `ValueError` for a role that nobody may
    give themselves.
    """
    if role not in SELF_SERVICE_ROLES:
        raise ValueError(f"nobody signs up as {role}")
    with transaction.atomic():
        try:
            with transaction.atomic():  # a savepoint: the outer one survives a taken address
                user = User.objects.create_user(
                    email,
                    password,
                    name=name,
                    phone=phone,
                    time_zone=time_zone,
                    role=role,
                    date_joined=now,
                    terms_version=settings.TERMS_VERSION,
                    terms_accepted_at=now,
                )
        except IntegrityError as error:
            raise AddressTaken from error
        EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=False)
        chart = None
        if role == Role.PATIENT:
            chart = Patient.objects.create(
                account=user, name=name, birth_date=birth_date, phone=phone, created_at=now
            )
        record("account.created", actor=user, patient=chart, subject=user, now=now)
    return user


def confirm_address(*, user: User) -> None:
    """Marks the e-mail address of ``user`` as confirmed (accounts made by staff or a command)."""
    EmailAddress.objects.update_or_create(
        user=user, email=user.email, defaults={"primary": True, "verified": True}
    )


def accept_terms(*, user: User, now: datetime) -> None:
    """Stores that ``user`` accepts the terms as they are today, with the date."""
    with transaction.atomic():
        user.terms_version, user.terms_accepted_at = settings.TERMS_VERSION, now
        user.save(update_fields=["terms_version", "terms_accepted_at"])
        record("terms.accepted", actor=user, subject=user, detail=user.terms_version, now=now)


def terms_are_current(user: User) -> bool:
    return user.terms_version == settings.TERMS_VERSION
