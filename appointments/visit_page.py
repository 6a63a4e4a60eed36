"""What the pages of a visit say: when, where, in which state, and what can be done about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import User
from appointments.book_page import free_until_words, where_words
from appointments.booking import cancel_deadline
from appointments.mails import recipient
from appointments.models import Appointment, Status
from appointments.reminders import expected
from appointments.templatetags.times import duration, price
from appointments.visit_words import When, clock_words, own_zone, when_words


@dataclass(frozen=True)
class Card:
    """A visit as a person reads it. ``manages``: the reader may move and cancel for the patient."""

    visit: Appointment
    when: When
    where: str
    status: str
    status_kind: str
    whose: str
    for_whom: str
    manages: bool
    can_change: bool
    book_again: bool

    @property
    def deadline(self) -> datetime:
        return cancel_deadline(self.visit)


def card_of(visit: Appointment, user: Any, now: datetime, *, manages: bool = True) -> Card:
    """``visit`` must be loaded with its parts (`AppointmentQuerySet.with_parts`)."""
    zone = visit.hospital.time_zone
    status, kind = status_words(visit, now)
    patient = visit.patient
    own = isinstance(user, User) and patient.account_id == user.pk
    return Card(
        visit=visit,
        when=when_words(visit.starts_at, visit.ends_at, zone, own_zone(user)),
        where=where_words(visit.hospital, visit.visit),
        status=status,
        status_kind=kind,
        for_whom=(_("For you (%(name)s)") if own else _("For %(name)s")) % {"name": patient.name},
        whose=_("You (%(name)s)") % {"name": patient.name} if own else patient.name,
        manages=manages,
        can_change=manages and is_open(visit, now),
        book_again=manages
        and visit.service is not None
        and visit.service.is_active
        and visit.doctor.is_public,
    )


def is_open(visit: Appointment, now: datetime) -> bool:
    """Whether the visit is still ahead, so that moving and cancelling make sense."""
    return visit.status == Status.BOOKED and visit.starts_at > now


def closed_words(visit: Appointment) -> str:
    """Why a visit that is not open can be neither moved nor cancelled."""
    if visit.is_cancelled:
        return _("This visit is cancelled. Book a new one instead.")
    return _("This visit has begun or is over, so it cannot be changed here. Call the clinic.")


def status_words(visit: Appointment, now: datetime) -> tuple[str, str]:
    """The state in words, and the kind that the style sheet knows."""
    if visit.is_cancelled:
        if visit.cancelled_late:
            return _("Cancelled late"), "late"
        return _("Cancelled"), "cancelled"
    if visit.status == Status.BOOKED and visit.ends_at <= now:
        return _("Past"), "past"
    return visit.get_status_display(), visit.status


def cost_words(visit: Appointment) -> str:
    parts = [visit.service_name, duration(visit.minutes), price(visit.price_cents)]
    return ", ".join(part for part in parts if part)


def cancel_rule(visit: Appointment, now: datetime) -> str:
    return free_until_words(visit.doctor, visit.starts_at, visit.hospital.time_zone, now)


def reminder_words(visit: Appointment, user: Any, now: datetime) -> str:
    """When a reminder goes out, said to who receives it or to somebody beside them."""
    if not is_open(visit, now):
        return ""
    account, address = recipient(visit, now=now)
    at = expected(visit, account, now=now) if address else None
    if at is None:
        return ""
    zone = visit.hospital.time_zone
    when = {"when": f"{when_words(at, at, zone).date}, {clock_words(at, zone)}"}
    if account is not None and account.pk == user.pk:
        return _("We will remind you by mail on %(when)s.") % when
    return _("A reminder is mailed on %(when)s.") % when


def deadline_words(visit: Appointment) -> str:
    """``"Sunday, November 29, 2026, 9:10 am EST"``."""
    zone, deadline = visit.hospital.time_zone, cancel_deadline(visit)
    date = when_words(deadline, deadline, zone).date
    return f"{date}, {clock_words(deadline, zone)}"


def dialed(phone: str) -> str:
    """A phone number as a ``tel:`` address takes it; an extension is left for the person."""
    return re.sub(r"[^0-9+]", "", re.split(r"(?i)x|ext", phone)[0])
