"""Where an account is signed in, and when a sign-in is over.

Guarantee: a session that carries a sign-in lives only while the row exists, so ending one works at
once, whatever a cache still holds. A clinic's session is over after STAFF_IDLE_MINUTES without a
request that the person made, and after STAFF_SESSION_HOURS in any case; the server decides, also
for open sockets. What pages do by themselves (polling, autosave, pings) is no activity.

GET writes here, and only here without an audit row: the moment somebody was last active, at most
once a minute for staff and once an hour for others. It cannot be had in another way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts.audit import record
from accounts.models import Role, SignIn, User
from clinic.jobs.upkeep import delete_in_chunks

SESSION_KEY = "sign_in"  # holds SignIn.public_id
STORED_EVERY_STAFF = timedelta(minutes=1)
STORED_EVERY = timedelta(hours=1)


class Over(StrEnum):
    """Why a session is over."""

    ENDED = "ended"
    IDLE = "idle"
    TOO_OLD = "too_old"
    ROLE = "role"


def works_here(*, role: str, is_staff: bool) -> bool:
    """Whether the limits and the second factor of staff count for an account."""
    return is_staff or role != Role.PATIENT


def idle_limit() -> timedelta:
    return timedelta(minutes=settings.STAFF_IDLE_MINUTES)


def age_limit() -> timedelta:
    return timedelta(hours=settings.STAFF_SESSION_HOURS)


# --- The life of a sign-in ----------------------------------------------------------------------
def begin(
    *, session: Any, user: User, now: datetime, address: str | None = None, agent: str = ""
) -> SignIn:
    """Notes that ``user`` has just signed in with ``session``; replaces what it was before."""
    former = sign_in_id(session)
    if former is not None:
        SignIn.objects.filter(public_id=former).delete()
    row = SignIn.objects.create(
        user=user,
        role=user.role,
        was_staff=user.is_staff,
        since=now,
        seen_at=now,
        address=address,
        device=device_of(agent),
    )
    session[SESSION_KEY] = str(row.public_id)
    return row


def sign_in_id(session: Mapping[str, Any]) -> UUID | None:
    """Which sign-in a session carries; None for one that carries none."""
    try:
        return UUID(str(session.get(SESSION_KEY)))
    except ValueError:
        return None


def sign_in_of(session: Mapping[str, Any]) -> SignIn | None:
    """The sign-in that a session carries, with its account, in one query."""
    public_id = sign_in_id(session)
    if public_id is None:
        return None
    return SignIn.objects.select_related("user").filter(public_id=public_id).first()


def why_over(
    sign_in: SignIn | None, *, carried: bool, role: str, is_staff: bool, now: datetime
) -> Over | None:
    """Why a session is over; None while it holds. ``carried``: it names a sign-in.

    A session that names none was begun in another way than by signing in here; nobody who works
    here gets in with one.
    """
    staff = works_here(role=role, is_staff=is_staff)
    if sign_in is None:
        return Over.ENDED if staff or carried else None
    if sign_in.role != role or (sign_in.was_staff and not is_staff):
        return Over.ROLE
    if staff:
        if now - sign_in.seen_at >= idle_limit():
            return Over.IDLE
        if now - sign_in.since >= age_limit():
            return Over.TOO_OLD
    return None


def note_activity(sign_in: SignIn, *, now: datetime) -> None:
    """Stores that the person just did something, unless that was stored a moment ago."""
    staff = works_here(role=sign_in.role, is_staff=sign_in.was_staff)
    every = STORED_EVERY_STAFF if staff else STORED_EVERY
    if now - sign_in.seen_at >= every:
        SignIn.objects.filter(pk=sign_in.pk, seen_at__lt=now).update(seen_at=now)


# --- The list -----------------------------------------------------------------------------------
def running(user: User, now: datetime) -> list[SignIn]:
    """Where ``user`` is signed in, the latest first."""
    rows = _not_forgotten(now).filter(user=user.pk).order_by("-seen_at", "-pk")
    return [
        row
        for row in rows
        if why_over(row, carried=True, role=user.role, is_staff=user.is_staff, now=now) is None
    ]


def end(*, user: User, public_id: UUID, now: datetime) -> bool:
    """Ends one of the own sign-ins at once; whether there was one."""
    with transaction.atomic():
        ended, _rows = SignIn.objects.filter(user=user.pk, public_id=public_id).delete()
        if ended:
            record("session.ended", actor=user, subject=user, now=now)
    return bool(ended)


def end_all(*, user: User, keep: UUID | None = None, by: Any, why: str, now: datetime) -> int:
    """Ends all sign-ins of ``user`` but ``keep``; returns how many. ``why`` is for the trail."""
    with transaction.atomic():
        others = SignIn.objects.filter(user=user.pk)
        if keep is not None:
            others = others.exclude(public_id=keep)
        ended, _rows = others.delete()
        if ended:
            record("sessions.ended", actor=by, subject=user, detail=why, now=now)
    return ended


def _not_forgotten(now: datetime) -> QuerySet[SignIn]:
    return SignIn.objects.filter(seen_at__gt=now - timedelta(seconds=settings.SESSION_COOKIE_AGE))


def forget_old(*, now: datetime) -> int:
    """Regular job: removes sign-ins whose session nobody can use any more."""
    oldest = now - timedelta(seconds=settings.SESSION_COOKIE_AGE) - STORED_EVERY
    return delete_in_chunks(SignIn.objects.filter(seen_at__lt=oldest))


# --- In words -----------------------------------------------------------------------------------
BROWSERS = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
]
SYSTEMS = [
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("CrOS", "Chromebook"),
    ("Linux", "Linux"),
]


def device_of(agent: str) -> str:
    """``"Firefox, Windows"``, as far as a browser says; nothing of what it says is kept."""
    browser = next((name for sign, name in BROWSERS if sign in agent), "")
    system = next((name for sign, name in SYSTEMS if sign in agent), "")
    return ", ".join(part for part in (browser, system) if part)
