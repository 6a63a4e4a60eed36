"""The secret address of a calendar that follows an account's own visits.

Whoever knows the address reads the calendar without signing in, since calendar programs cannot.
So it says little (see calendars.py), and a new address ends the old one at once.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from django.db import transaction
from django.utils.crypto import constant_time_compare

from accounts import audit
from accounts.models import Patient, User
from appointments.models import Appointment, CalendarFeed, new_token

PAST_SHOWN = timedelta(days=90)
MOST_VISITS = 2000  # keeps one answer under a second, and is a full year of a busy doctor
SECRET = re.compile(r"[A-Za-z0-9_-]{20,40}")


def make_address(*, user: User, now: datetime) -> CalendarFeed:
    """Gives ``user`` a new secret address; one they had stops working at once."""
    with transaction.atomic():
        feed, _created = CalendarFeed.objects.update_or_create(
            user=user, defaults={"secret": new_token(), "created_at": now}
        )
        audit.record(
            "calendar_feed.address",
            actor=user,
            patient=Patient.objects.current().filter(account=user).first(),
            subject=feed,
            now=now,
        )
    return feed


def owner(secret: str) -> User | None:
    """The account whose visits ``secret`` shows; None for a wrong one and for a closed account."""
    if not SECRET.fullmatch(secret):
        return None
    feed = CalendarFeed.objects.select_related("user").filter(secret=secret).first()
    # MySQL compares without regard to case: the index finds the row, this decides.
    if feed is None or not constant_time_compare(feed.secret, secret):
        return None
    return feed.user if feed.user.is_active else None


def visits(user: User, *, now: datetime) -> list[Appointment]:
    """What the calendar of ``user`` shows: coming visits and those of the last 90 days."""
    return list(
        Appointment.objects.visible_to(user, now)
        .active()
        .filter(starts_at__gte=now - PAST_SHOWN)
        .select_related("doctor", "hospital")
        .order_by("-starts_at")[:MOST_VISITS]
    )
