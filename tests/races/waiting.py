"""What the waiting list's race is made of; runs inside the writers' program."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from accounts.models import User
from appointments.booking import book, cancel
from appointments.models import WaitlistEntry
from appointments.waitlist import AFTERNOON, EVENING, MORNING, Wish, join
from appointments.waitlist_offers import offer_due
from clinic.directory.models import Service
from clinic.jobs.models import OutgoingMail

WAIT_FOR_EACH = 3


def free_and_wait(services: list[int], users: list[int], now: datetime) -> list[int]:
    """For each service somebody gives a time up, for which three others wait; their entries."""
    people = iter(User.objects.filter(pk__in=users).order_by("pk"))
    at = now + timedelta(days=11)  # the hour does not matter: the ward is open from 8 to 6
    entries = []
    for pk in services:
        service = Service.objects.select_related("doctor", "hospital").get(pk=pk)
        first = next(people)
        visit = book(service=service, patient=first.chart, starts_at=at, by=first,
                     key=f"waiting-{pk}", now=now)  # fmt: skip
        cancel(appointment=visit, by=first, now=now)
        for _number in range(WAIT_FOR_EACH):
            user = next(people)
            entry = join(
                patient=user.chart,
                wish=Wish(service.hospital, service=service),
                earliest=at.date(),
                latest=at.date(),
                parts=[MORNING, AFTERNOON, EVENING],
                by=user,
                now=now,
            )
            entries.append(entry.pk)
    return entries


def offer(now: datetime) -> dict[str, Any]:
    return {"result": "offered", "count": offer_due(now=now), "process": os.getpid()}


def told(entries: list[int]) -> list[int]:
    """How many mails the entries of each doctor got altogether, and how many offers are noted."""
    rows = WaitlistEntry.objects.filter(pk__in=entries)
    doctors = dict(rows.values_list("public_id", "doctor"))
    found: Counter[int] = Counter()
    for key in OutgoingMail.objects.filter(key__startswith="waitlist:").values_list(
        "key", flat=True
    ):
        public_id = key.split(":")[1]
        found.update(pk for known, pk in doctors.items() if str(known) == public_id)
    noted = sum(row.offers.count() for row in rows)
    return [*(found[pk] for pk in sorted(set(doctors.values()))), noted]
