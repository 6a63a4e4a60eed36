"""Mails are rows: stored with what caused them, sent by a worker, marked as sent.

Guarantee: a mail whose transaction committed is sent, even if every worker is killed meanwhile,
and it is sent once. The one exception cannot be closed by anybody who speaks SMTP: a worker killed
after the server's "250 accepted" and before our commit sends the mail again when its lease has
run out. Both copies then have the same Message-ID, by which mail programs recognize a duplicate.
"""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from clinic.jobs.models import OutgoingMail
from clinic.jobs.queue import task
from clinic.logs import type_name
from clinic.metrics import MAILS

log = structlog.get_logger("clinic.mail")

# Seconds until the next attempt, by the number of failed ones: about a day altogether, which is
# what mail servers need at most to come back. After the last the mail is given up.
BACKOFF = [30, 120, 600, 1800, 3600, 4 * 3600, 8 * 3600, 8 * 3600]


def enqueue_mail(
    *,
    to: str,
    subject: str,
    text: str,
    html: str = "",
    calendar: str = "",
    calendar_method: str = "",
    key: str,
    now: datetime,
) -> OutgoingMail:
    """Stores a mail and the task that sends it, in the caller's transaction.

    ``key`` names the occasion; a second mail with the same key is not made, the first is returned.
    ``calendar`` is an iCalendar text and ``calendar_method`` its METHOD (REQUEST or CANCEL).
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            "enqueue_mail belongs into the transaction of what the mail is about."
        )
    known = OutgoingMail.objects.filter(key=key).first()
    if known is not None:
        return known
    # No savepoint: who loses a race for the key is refused as a whole and tries again.
    mail = OutgoingMail.objects.create(
        key=key,
        to=to,
        subject=" ".join(subject.split())[:200],
        text=text,
        html=html,
        calendar=calendar,
        calendar_method=calendar_method,
        created_at=now,
        next_attempt_at=now,
    )
    send_mail_row.enqueue(mail.pk)
    return mail


@dataclass(frozen=True)
class Draft:
    """A mail that is written and not stored yet; the fields are those of `enqueue_mail`."""

    to: str
    subject: str
    text: str
    html: str
    key: str


def enqueue_mails(drafts: Sequence[Draft], *, now: datetime) -> int:
    """Stores many mails and one task that sends them, in the caller's transaction; how many.

    A number of statements that does not grow with the number of mails. A key that is known
    already makes no second mail.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            "enqueue_mails belongs into the transaction of what the mails are about."
        )
    if not drafts:
        return 0
    keys = [draft.key for draft in drafts]
    known = set(OutgoingMail.objects.filter(key__in=keys).values_list("key", flat=True))
    fresh = [draft for draft in drafts if draft.key not in known]
    OutgoingMail.objects.bulk_create(
        OutgoingMail(
            key=draft.key,
            to=draft.to,
            subject=" ".join(draft.subject.split())[:200],
            text=draft.text,
            html=draft.html,
            created_at=now,
            next_attempt_at=now,
        )
        for draft in fresh
    )
    # Read back: MySQL tells the numbers of many new rows to nobody.
    stored = OutgoingMail.objects.filter(key__in=[draft.key for draft in fresh])
    if fresh:
        send_mail_rows.enqueue(list(stored.order_by("pk").values_list("pk", flat=True)))
    return len(fresh)


@task
def send_mail_row(pk: int) -> str:
    """Task: sends row ``pk`` if it is due and nobody else has it in hand."""
    return attempt(pk, now=timezone.now())


@task
def send_mail_rows(pks: list[int]) -> int:
    """Task: sends the rows ``pks`` as `send_mail_row` does; returns how many were sent."""
    return sum(attempt(pk, now=timezone.now()) == "sent" for pk in pks)


def send_due(*, now: datetime) -> int:
    """Regular job: sends what failed before and what lost its task; returns how many were sent."""
    pks = list(
        OutgoingMail.objects.due(now).order_by("next_attempt_at").values_list("pk", flat=True)[:100]
    )
    return sum(attempt(pk, now=timezone.now()) == "sent" for pk in pks)


def claim(pk: int, *, now: datetime) -> OutgoingMail | None:
    """Takes row ``pk`` for MAIL_LEASE_SECONDS; None if it is not due or somebody else has it."""
    until = now + timedelta(seconds=settings.MAIL_LEASE_SECONDS)
    taken = (
        OutgoingMail.objects.due(now)
        .filter(pk=pk)
        .update(claimed_until=until, attempts=F("attempts") + 1)
    )
    return OutgoingMail.objects.get(pk=pk) if taken else None


def attempt(pk: int, *, now: datetime) -> str:
    """One attempt at row ``pk``: "sent", "again" (later), "failed" (given up) or "skipped"."""
    mail = claim(pk, now=now)
    if mail is None:
        return "skipped"
    try:
        message_of(mail).send()
    except Exception as error:  # whatever is wrong with one mail, those after it are sent
        return put_off(mail, error)
    OutgoingMail.objects.filter(pk=pk).update(
        sent_at=timezone.now(), claimed_until=None, last_error=""
    )
    MAILS.labels("sent").inc()
    log.info("mail_sent", number=pk, attempts=mail.attempts)
    return "sent"


def put_off(mail: OutgoingMail, error: Exception) -> str:
    """Notes a failed attempt: a later one, or none when it is refused for good or often enough."""
    what = describe(error)
    final = refused_for_good(error) or mail.attempts > len(BACKOFF)
    now = timezone.now()
    if final:
        changes = {"failed_at": now}
    else:
        changes = {"next_attempt_at": now + timedelta(seconds=BACKOFF[mail.attempts - 1])}
    OutgoingMail.objects.filter(pk=mail.pk).update(claimed_until=None, last_error=what, **changes)
    MAILS.labels("given_up" if final else "put_off").inc()
    log.warning("mail_not_sent", number=mail.pk, attempts=mail.attempts, error=what, final=final)
    return "failed" if final else "again"


def codes(error: Exception) -> list[int]:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return [code for code, _text in error.recipients.values()]
    if isinstance(error, smtplib.SMTPResponseException):
        return [error.smtp_code]
    return []


def describe(error: Exception) -> str:
    """The error's class and SMTP codes; texts are left out, since servers quote addresses."""
    return " ".join([type_name(error), *map(str, codes(error))])[:200]


def refused_for_good(error: Exception) -> bool:
    """Whether the server says 5xx of this recipient or content (not of our own sign-in), or the
    mail cannot be written at all, such as to a domain that no name server can be asked for."""
    if isinstance(error, ValueError):
        return True
    if isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError):
        found = codes(error)
        return bool(found) and all(code >= 500 for code in found)
    return False


def message_of(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The mail as MIME: text, HTML and the invitation as alternatives, and as invite.ics.

    Gmail, Outlook and Apple Mail act on the text/calendar alternative; others offer the file.
    """
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].partition("@")[2] or "localhost"
    message = EmailMultiAlternatives(
        subject=mail.subject,
        body=mail.text,
        to=[mail.to],
        headers={
            "Message-ID": f"<{mail.message_id}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    if mail.html:
        message.attach_alternative(mail.html, "text/html")
    if mail.calendar:
        message.attach_alternative(mail.calendar, f"text/calendar; method={mail.calendar_method}")
        message.attach("invite.ics", mail.calendar.encode(), "application/ics")
    return message
