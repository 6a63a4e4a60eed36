"""Reminders: one mail some time before a visit, stored once.

Guarantee: a visit's row is written, moved and closed in the transaction that books, moves or
cancels the visit. The job locks the rows that are due, and stores their mails and closes the rows
in one transaction: a worker that is killed leaves them as they were, a second worker passes over
rows that another has locked, and each mail's key names the visit and its state besides. What
becomes of the mail is the outbox's guarantee (`clinic.jobs.outbox`). Nothing is stored once the
visit has begun, however late the worker is.

The patient's choice is read when a reminder falls due and not when somebody books, so that booking
asks nothing, and a choice that was changed holds for visits that are booked already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction

from accounts.models import Carer, User
from appointments import mails
from appointments.models import Appointment, Hours, Reminder, ReminderChoice, Status
from appointments.transactions import in_one_transaction
from clinic.jobs.outbox import Draft, enqueue_mails
from clinic.jobs.upkeep import delete_in_chunks
from clinic.logs import type_name

log = structlog.get_logger("clinic.reminders")

# When the job looks at a visit's row: at the earliest choice, and again at the last one.
FIRST = timedelta(hours=max(Hours.values))
LAST = timedelta(hours=Hours.DAY)
BATCH = 50  # visits per transaction, so that nobody who moves one of them waits for long
KEEP_CLOSED = timedelta(days=90)


# --- In the transactions of booking, moving and cancelling ------------------------------------
def booked(visit: Appointment, *, now: datetime) -> None:
    """Plans the reminder of a new visit; none when it begins within the shortest time."""
    row = planned(visit, now=now)
    if row is not None:
        row.save(force_insert=True)


def moved(visit: Appointment, *, now: datetime) -> None:
    """Plans the reminder anew for the visit's new time, also when the old one was sent."""
    row = planned(visit, now=now)
    old = Reminder.objects.filter(appointment=visit)
    if row is None:
        old.update(asked_at=now, closed_at=now, how=Reminder.How.NEAR)
    elif not old.update(asked_at=now, due_at=row.due_at, closed_at=None, how=""):
        row.save(force_insert=True)


def cancelled(visit: Appointment, *, now: datetime) -> None:
    Reminder.objects.filter(appointment=visit, closed_at=None).update(
        closed_at=now, how=Reminder.How.GONE
    )


def planned(visit: Appointment, *, now: datetime) -> Reminder | None:
    due_at = first_look(visit.starts_at, now)
    return None if due_at is None else Reminder(appointment=visit, asked_at=now, due_at=due_at)


def first_look(starts_at: datetime, now: datetime) -> datetime | None:
    """When the job first looks at a visit that was booked ``now``; None when it is too near."""
    for before in (FIRST, LAST):
        if starts_at - before > now:
            return starts_at - before
    return None


# --- What is said on pages --------------------------------------------------------------------
def choice_of(user: User) -> Hours:
    chosen = ReminderChoice.objects.filter(user=user).values_list("hours", flat=True).first()
    return Hours.DAY if chosen is None else Hours(chosen)


def choose(*, user: User, hours: Hours) -> None:
    with transaction.atomic():
        ReminderChoice.objects.update_or_create(user=user, defaults={"hours": hours})


def expected(visit: Appointment, account: User | None, *, now: datetime) -> datetime | None:
    """When the reminder of a visit goes out to ``account``, who is told about it; None: never."""
    row = Reminder.objects.filter(appointment=visit, closed_at=None).first()
    hours = Hours.DAY if account is None else choice_of(account)
    if row is None or not hours or visit.status != Status.BOOKED:
        return None
    at = visit.starts_at - timedelta(hours=hours)
    if at < row.asked_at or now >= visit.starts_at:
        return None
    return max(at, now)


# --- The job ----------------------------------------------------------------------------------
def send_due(*, now: datetime) -> int:
    """Regular job: stores the mails of all reminders that are due; returns how many."""
    stored = 0
    while True:
        looked_at, mailed = in_one_transaction(lambda: _batch(now))
        stored += mailed
        if looked_at < BATCH:
            return stored


def claim(now: datetime) -> list[Reminder]:
    """Locks the next rows that are due until the transaction ends, passing over locked ones."""
    rows = Reminder.objects.select_for_update(
        skip_locked=connection.features.has_select_for_update_skip_locked
    )
    return list(rows.filter(closed_at=None, due_at__lte=now).order_by("due_at")[:BATCH])


def _batch(now: datetime) -> tuple[int, int]:
    rows = claim(now)
    if not rows:
        return 0, 0
    # After the lock: who moves or cancels a visit changes its row here before the commit.
    visits = Appointment.objects.select_related(
        "doctor", "hospital", "patient__account", "booked_by"
    ).in_bulk([row.appointment_id for row in rows])
    told = recipients(visits.values(), now=now)
    accounts = {account.pk for account, _address in told.values() if account is not None}
    chosen = dict(ReminderChoice.objects.filter(user__in=accounts).values_list("user", "hours"))
    drafts: list[Draft] = []
    for row in rows:
        visit = visits[row.appointment_id]
        account, address = told[visit.pk]
        hours = chosen.get(account.pk, Hours.DAY) if account is not None else Hours.DAY
        draft = _judge(row, visit, account, address, Hours(hours), now)
        drafts += [draft] if draft is not None else []
    Reminder.objects.bulk_update(rows, ["due_at", "closed_at", "how"])
    enqueue_mails(drafts, now=now)
    return len(rows), len(drafts)


def _judge(
    row: Reminder,
    visit: Appointment,
    account: User | None,
    address: str,
    hours: Hours,
    now: datetime,
) -> Draft | None:
    """Closes or puts off ``row``, and returns its mail if this is the moment for it."""
    row.closed_at = now
    wanted, last = visit.starts_at - timedelta(hours=hours), visit.starts_at - LAST
    if visit.status != Status.BOOKED:
        row.how = Reminder.How.GONE
    elif visit.starts_at <= now:
        row.how = Reminder.How.LATE
    elif hours and row.asked_at <= wanted <= now:
        if not address:
            row.how = Reminder.How.NOBODY
            return None
        try:
            draft = mails.reminder(visit, account=account, address=address, now=now)
        except Exception as error:  # one visit must not keep all others from being told
            log.error("reminder_failed", number=row.pk, error=type_name(error), exc_info=True)
            row.how = Reminder.How.FAILED
            return None
        row.how = Reminder.How.MAILED
        return draft
    elif last > now:
        row.due_at, row.closed_at = last, None
    else:
        row.how = Reminder.How.NEAR if hours else Reminder.How.OFF
    return None


def recipients(
    visits: Iterable[Appointment], *, now: datetime
) -> dict[int, tuple[User | None, str]]:
    """Who is told about each visit (`mails.recipient`), in one query for all of them."""
    visits = list(visits)
    carers = carers_of({visit.patient_id for visit in visits}, now=now)
    return {
        visit.pk: mails.recipient_of(
            visit.patient, visit.booked_by, now=now, carers=carers.get(visit.patient_id, [])
        )
        for visit in visits
    }


def carers_of(patients: Iterable[int], *, now: datetime) -> Mapping[int, Sequence[Carer]]:
    """The running carers of each chart, oldest first."""
    found: dict[int, list[Carer]] = defaultdict(list)
    running = Carer.objects.running(now).filter(patient__in=set(patients))
    for carer in running.select_related("user").order_by("pk"):
        found[carer.patient_id].append(carer)
    return found


def prune(*, now: datetime) -> int:
    """Regular job: removes what was dealt with long ago."""
    old: Any = Reminder.objects.filter(closed_at__lt=now - KEEP_CLOSED)
    return delete_in_chunks(old)
