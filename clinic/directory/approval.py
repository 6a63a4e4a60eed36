"""Approving doctors: nobody is shown or booked before staff have looked at the sign-up.

Guarantee: a doctor is public only through `approve`, which stores who looked at what and when, and
the audit trail has a row for every approval and withdrawal, and for every account that became or
ceased to be a doctor's. An approved doctor's account may open the workplace; a withdrawn one's, and
one that is no longer the doctor's, may not.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import sessions
from accounts.audit import record
from accounts.models import User
from accounts.roles import Role
from clinic.directory.models import Doctor, bump_schedules

WHAT_MAX = 120  # characters of Doctor.verified_what


class NotApprovable(Exception):
    """An approval without saying what was checked, or of a doctor nobody could book anything at."""


def approve(*, doctor: Doctor, by: Any, what: str, now: datetime) -> Doctor:
    """Makes ``doctor`` public; ``what`` is what ``by`` looked at, in words that visitors read.

    Approving again stores the newer check. Raises `NotApprovable`.
    """
    what = " ".join(what.split())
    if not what:
        raise NotApprovable(_("Say what was checked, for example “License and identity”."))
    if len(what) > WHAT_MAX:
        raise NotApprovable(_("Say it in at most %(count)d characters.") % {"count": WHAT_MAX})
    with transaction.atomic():
        doctor = Doctor.objects.select_for_update().get(pk=doctor.pk)
        doctor.verified_at, doctor.verified_by, doctor.verified_what = now, by, what
        doctor.withdrawn_at = None
        doctor.save(update_fields=["verified_at", "verified_by", "verified_what", "withdrawn_at"])
        _let_in(doctor, True)
        bump_schedules([doctor.pk])
        record("doctor.approved", actor=by, subject=doctor, detail=what, now=now)
    return doctor


def withdraw(*, doctor: Doctor, by: Any, why: str = "", now: datetime) -> Doctor:
    """Takes ``doctor`` out of every public page; visits already booked stay as they are."""
    with transaction.atomic():
        doctor = Doctor.objects.select_for_update().get(pk=doctor.pk)
        if doctor.withdrawn_at is None:
            doctor.withdrawn_at = now
            doctor.save(update_fields=["withdrawn_at"])
            _let_in(doctor, False)
            bump_schedules([doctor.pk])
            record("doctor.withdrawn", actor=by, subject=doctor, detail=why, now=now)
    return doctor


def change_account(*, doctor: Doctor, before: int | None, by: Any, now: datetime) -> None:
    """What follows when the account of ``doctor`` is another one than ``before`` (a key).

    The former account is signed out and stays outside; the new one gets in if the doctor may.
    The caller has stored ``doctor.user``, in the same transaction.
    """
    with transaction.atomic():
        former = User.objects.filter(pk=before).first() if before is not None else None
        ids = [str(user.public_id) if user else "nobody" for user in (former, doctor.user)]
        record("doctor.account", actor=by, subject=doctor, detail=" to ".join(ids), now=now)
        if former is not None:
            User.objects.filter(pk=former.pk, role=Role.DOCTOR).update(is_staff=False)
            sessions.end_all(user=former, by=by, why="no longer the doctor's account", now=now)
        _let_in(doctor, doctor.is_public)


def _let_in(doctor: Doctor, is_staff: bool) -> None:
    if doctor.user_id is not None:
        User.objects.filter(pk=doctor.user_id, role=Role.DOCTOR).update(is_staff=is_staff)
