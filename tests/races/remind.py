"""What reminders' races are made of; runs inside the writers' program."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from appointments import reminders
from appointments.models import Appointment, Reminder
from clinic.jobs import outbox
from clinic.jobs.models import OutgoingMail

Outcome = dict[str, Any]


def due(visits: list[int]) -> datetime:
    """Makes the reminders of ``visits`` due half a day before the first of them."""
    first = Appointment.objects.filter(pk__in=visits).order_by("starts_at").first()
    assert first is not None
    moment = first.starts_at - timedelta(hours=12)
    Reminder.objects.filter(appointment__in=visits).update(
        due_at=moment, asked_at=moment - timedelta(days=30), closed_at=None, how=""
    )
    return moment


def mails(visits: list[int]) -> dict[str, int]:
    """How many reminders each visit got."""
    ids = Appointment.objects.filter(pk__in=visits).values_list("public_id", flat=True)
    found = Counter(
        key.split(":")[1]
        for key in OutgoingMail.objects.filter(key__startswith="visit-reminder").values_list(
            "key", flat=True
        )
    )
    return {str(public_id): found[str(public_id)] for public_id in ids}


def send(moment: datetime) -> Outcome:
    return {"result": "sent", "count": reminders.send_due(now=moment), "process": os.getpid()}


def send_without_claim(moment: datetime) -> Outcome:
    """The control: rows are read and not locked, and a mail's key does not name its occasion."""
    claim, enqueue = reminders.claim, outbox.enqueue_mails
    job: Any = reminders

    def read(now: datetime) -> list[Reminder]:
        rows = Reminder.objects.filter(closed_at=None, due_at__lte=now).order_by("due_at")
        return list(rows[: reminders.BATCH])

    def store(drafts: Any, *, now: datetime) -> int:
        own = [replace(draft, key=f"{draft.key}:{uuid.uuid4()}") for draft in drafts]
        return enqueue(own, now=now)

    job.claim, job.enqueue_mails = read, store
    try:
        return send(moment)
    finally:
        job.claim, job.enqueue_mails = claim, enqueue
