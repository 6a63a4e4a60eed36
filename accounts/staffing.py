"""Accounts of those who work here: added, given another role, shut and opened by administrators.

Doctors come by signing up and being approved, patients by signing up; neither is made here, and no
account of theirs becomes one of the office. Whoever is shut out or given another role is signed out
everywhere at once.
"""

from __future__ import annotations

from datetime import datetime

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import sessions
from accounts.audit import record, record_refusal
from accounts.models import User
from accounts.roles import Role
from clinic.jobs.outbox import enqueue_mail
from clinic.links import absolute

OFFICE_ROLES = (Role.RECEPTION, Role.DIRECTORY, Role.ADMINISTRATOR)


class NotStaffed(Exception):
    """Why an account was not added or changed, in a sentence for people."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.message, self.code = message, code


def add_colleague(*, email: str, name: str, role: str, by: User, now: datetime) -> User:
    """Makes an account for somebody of the office and tells them by mail how to get in.

    It has no password: the owner sets one with a code mailed to the address, which proves that the
    address is theirs. Raises `NotStaffed`.
    """
    email = User.objects.normalize_email(email.strip()).lower()
    try:
        with transaction.atomic():
            _refuse_others(by)
            if role not in OFFICE_ROLES:
                raise NotStaffed(_("Choose a role of the office."), "no_office_role")
            if User.objects.filter(email=email).exists():
                raise NotStaffed(_("There is an account with this address already."), "known")
            user = User.objects.create_user(
                email, name=name, role=role, is_staff=True, date_joined=now
            )
            EmailAddress.objects.create(user=user, email=email, primary=True, verified=False)
            record("account.added", actor=by, subject=user, detail=str(role), now=now)
            enqueue_mail(
                to=email,
                subject=_("Your account at %(clinic)s") % {"clinic": settings.CLINIC_NAME},
                text=_(
                    "%(clinic)s has made an account for you.\n\n"
                    "Set your password here: %(link)s\n"
                    "A code is mailed to this address; enter it and choose a password.\n"
                )
                % {
                    "clinic": settings.CLINIC_NAME,
                    "link": absolute(reverse("account_reset_password")),
                },
                key=f"account-added:{user.public_id}",
                now=now,
            )
    except NotStaffed as refusal:
        record_refusal("account.added", actor=by, reason=refusal.code, now=now)
        raise
    return user


def change_colleague(*, user: User, role: str, is_active: bool, by: User, now: datetime) -> User:
    """Gives an account of the office another role, or shuts or opens any account.

    Raises `NotStaffed`; nobody changes the own account, so the last administrator stays one.
    """
    try:
        with transaction.atomic():
            user = User.objects.select_for_update().get(pk=user.pk)
            refuse_change(user=user, role=role, by=by)
            what = []
            if role != user.role:
                what.append(f"role {user.role} to {role}")
            if is_active != user.is_active:
                what.append("opened" if is_active else "shut")
            if not what:
                return user
            user.role, user.is_active = role, is_active
            user.save(update_fields=["role", "is_active"])
            record("account.changed", actor=by, subject=user, detail=", ".join(what), now=now)
            sessions.end_all(user=user, by=by, why="account changed", now=now)
    except NotStaffed as refusal:
        record_refusal("account.changed", actor=by, subject=user, reason=refusal.code, now=now)
        raise
    return user


def refuse_change(*, user: User, role: str, by: User) -> None:
    _refuse_others(by)
    if user.pk == by.pk:
        raise NotStaffed(
            _("Nobody changes the own role or access. Ask another administrator."), "own_account"
        )
    if role != user.role and not {role, user.role} <= set(OFFICE_ROLES):
        raise NotStaffed(
            _("Patients and doctors keep their role. Make an account of its own for the office."),
            "no_office_role",
        )


def _refuse_others(by: User) -> None:
    if not (by.is_active and by.is_staff and by.role == Role.ADMINISTRATOR):
        raise NotStaffed(_("Only administrators do this."), "not_administrator")
