"""The queue, the worker, regular jobs and the outbox, with real SMTP."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.db import connection, connections, transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from clinic.jobs import outbox, schedule, upkeep
from clinic.jobs.console import ReadableConsoleBackend
from clinic.jobs.models import CachedCount, OutgoingMail, RegularJob
from clinic.jobs.outbox import BACKOFF, attempt, enqueue_mail, message_of, send_due
from clinic.jobs.worker import Worker
from tests import job_samples
from tests.inbox import Inbox, accepting
from tests.servers import free_port

NOW = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
CALENDAR = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def smtp(inbox: Inbox, settings: Any) -> Iterator[Controller]:
    """A real SMTP server, which this process's settings point to."""
    with accepting(inbox) as controller:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        yield controller


def enqueue(key: str = "booked:1", **changes: Any) -> OutgoingMail:
    fields: dict[str, Any] = {
        "to": "alice@example.org",
        "subject": "Your visit on Nov 30",
        "text": "When: Nov 30, 9:00 AM\n",
        "now": timezone.now(),
    }
    with transaction.atomic():
        return enqueue_mail(key=key, **(fields | changes))


def at_once(count: int, call: Callable[[], Any]) -> list[Any]:
    """What ``count`` threads get that call at the same moment."""
    barrier = threading.Barrier(count)
    results: list[Any] = []

    def one() -> None:
        try:
            barrier.wait(20)
            results.append(call())
        except Exception as error:
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


# --- The outbox -----------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_a_mail_outside_of_a_transaction_is_refused() -> None:
    with pytest.raises(transaction.TransactionManagementError, match="transaction of what"):
        enqueue_mail(to="a@example.org", subject="s", text="t", key="k", now=NOW)
    assert not OutgoingMail.objects.exists()


@pytest.mark.django_db
def test_a_mail_and_its_task_share_the_fate_of_their_transaction() -> None:
    class RolledBack(Exception):
        pass

    def fails_after_the_mail() -> None:
        with transaction.atomic():
            enqueue("lost")
            raise RolledBack

    with pytest.raises(RolledBack):
        fails_after_the_mail()
    assert not OutgoingMail.objects.exists()
    assert not DBTaskResult.objects.exists()
    mail = enqueue("kept")
    assert DBTaskResult.objects.get().args_kwargs == {"args": [mail.pk], "kwargs": {}}


@pytest.mark.django_db
def test_one_occasion_has_one_mail() -> None:
    assert enqueue("booked:7").pk == enqueue("booked:7", subject="Again").pk
    assert OutgoingMail.objects.count() == 1
    assert DBTaskResult.objects.count() == 1


@pytest.mark.django_db
def test_a_mail_arrives_as_it_was_stored(smtp: Controller, inbox: Inbox) -> None:
    row = enqueue(
        html="<p>When: Nov 30</p>", calendar=CALENDAR, calendar_method="REQUEST", subject="Visit é"
    )
    assert attempt(row.pk, now=timezone.now()) == "sent"
    [mail] = inbox.mails
    assert mail["Subject"] == "Visit é"
    assert mail["To"] == "alice@example.org"
    assert mail["Message-ID"].startswith(f"<{row.message_id}@")
    kinds = [part.get_content_type() for part in mail.walk()]
    assert kinds == [
        *("multipart/mixed", "multipart/alternative", "text/plain", "text/html"),
        *("text/calendar", "application/ics"),
    ]
    [invitation] = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    assert invitation.get_param("method") == "REQUEST"
    assert invitation.get_content_charset() == "utf-8"
    file = next(iter(mail.iter_attachments()))
    assert file.get_filename() == "invite.ics"
    for part in (invitation, file):
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes) and content.splitlines() == CALENDAR.encode().splitlines()
    row.refresh_from_db()
    assert row.sent_at is not None and row.claimed_until is None


@pytest.mark.django_db
def test_a_mail_without_invitation_has_no_calendar_parts() -> None:
    message = message_of(enqueue()).message()
    assert [part.get_content_type() for part in message.walk()] == ["text/plain"]


@pytest.mark.django_db
def test_a_subject_cannot_add_a_header() -> None:
    message = message_of(enqueue(subject="Visit\r\nBcc: eve@example.org")).message()
    assert message["Subject"] == "Visit Bcc: eve@example.org"
    assert message["Bcc"] is None


@pytest.mark.django_db
def test_a_sent_mail_is_never_sent_again(smtp: Controller, inbox: Inbox) -> None:
    row = enqueue()
    outcomes = [attempt(row.pk, now=timezone.now() + timedelta(days=n)) for n in range(3)]
    assert outcomes == ["sent", "skipped", "skipped"]
    assert send_due(now=timezone.now() + timedelta(days=9)) == 0
    assert len(inbox.mails) == 1


@pytest.mark.django_db(transaction=True)
def test_workers_that_reach_for_one_mail_together_send_it_once(
    smtp: Controller, inbox: Inbox
) -> None:
    row = enqueue()
    inbox.rcpt_seconds = 0.3
    outcomes = at_once(8, lambda: attempt(row.pk, now=timezone.now()))
    assert sorted(map(str, outcomes)) == ["sent"] + ["skipped"] * 7
    assert len(inbox.mails) == 1


@pytest.mark.django_db
def test_a_server_that_is_away_delays_a_mail(settings: Any, smtp: Controller, inbox: Inbox) -> None:
    row = enqueue()
    settings.EMAIL_PORT = free_port()  # nobody listens there
    assert attempt(row.pk, now=timezone.now()) == "again"
    row.refresh_from_db()
    assert row.last_error == "builtins.ConnectionRefusedError"
    assert row.claimed_until is None
    wait = row.next_attempt_at - timezone.now()
    assert timedelta(seconds=BACKOFF[0] - 5) < wait <= timedelta(seconds=BACKOFF[0])
    assert send_due(now=timezone.now()) == 0  # its time has not come
    settings.EMAIL_PORT = smtp.port
    assert send_due(now=timezone.now()) == 0
    OutgoingMail.objects.update(next_attempt_at=timezone.now())
    assert send_due(now=timezone.now()) == 1
    assert len(inbox.mails) == 1


@pytest.mark.django_db
def test_a_mail_is_given_up_after_a_day_of_failures(smtp: Controller, inbox: Inbox) -> None:
    inbox.rcpt_answer = "451 try later"
    row = enqueue()
    outcomes = []
    for _ in range(len(BACKOFF) + 2):
        outcomes.append(attempt(row.pk, now=timezone.now()))
        OutgoingMail.objects.update(next_attempt_at=timezone.now())
    assert outcomes == ["again"] * len(BACKOFF) + ["failed", "skipped"]
    assert timedelta(hours=12) < timedelta(seconds=sum(BACKOFF)) < timedelta(hours=30)
    assert inbox.mails == []


@pytest.mark.django_db
def test_an_address_that_is_refused_for_good_is_not_tried_again(
    smtp: Controller, inbox: Inbox
) -> None:
    inbox.rcpt_answer = "550 no such user alice@example.org"
    row = enqueue()
    assert attempt(row.pk, now=timezone.now()) == "failed"
    row.refresh_from_db()
    assert row.failed_at is not None
    assert row.last_error == "smtplib.SMTPRecipientsRefused 550"


@pytest.mark.django_db
def test_a_mail_that_cannot_be_written_is_given_up_and_stops_no_other(
    smtp: Controller, inbox: Inbox
) -> None:
    # 63 characters are the most for a part of a domain, and as punycode this has more.
    address = "x@" + "\u00e9" * 60 + ".example"
    bad, good = enqueue("bad", to=address), enqueue("good")
    assert outbox.send_mail_rows.func([bad.pk, good.pk]) == 1
    bad.refresh_from_db()
    assert bad.failed_at is not None and bad.last_error == "builtins.UnicodeError"
    worse, better = enqueue("worse", to=address), enqueue("better")
    assert send_due(now=timezone.now()) == 1
    better.refresh_from_db()
    worse.refresh_from_db()
    assert better.sent_at is not None and worse.failed_at is not None
    assert len(inbox.mails) == 2


@pytest.mark.django_db
def test_a_mail_whose_task_is_lost_is_still_sent(smtp: Controller, inbox: Inbox) -> None:
    enqueue()
    DBTaskResult.objects.all().delete()
    assert send_due(now=timezone.now()) == 1
    assert len(inbox.mails) == 1


# --- Console mail ---------------------------------------------------------------------------
def test_mails_of_the_embedded_default_are_readable() -> None:
    stream = io.StringIO()
    message = EmailMultiAlternatives("Your visit", "When: Nov 30, 9:00 AM", to=["a@example.org"])
    message.attach_alternative("<p>When</p>", "text/html")
    message.attach("invite.ics", CALENDAR.encode(), "application/ics")
    assert ReadableConsoleBackend(stream=stream).send_messages([message]) == 1
    shown = stream.getvalue()
    for part in ("a@example.org", "Your visit", "When: Nov 30, 9:00 AM", "Attached: invite.ics"):
        assert part in shown
    for noise in ("<p>", "VCALENDAR", "Content-Type", "MIME-Version"):
        assert noise not in shown


def test_the_console_refuses_header_injection_like_any_other_way() -> None:
    wrong = EmailMessage("Your visit\nBcc: eve@example.org", "text", to=["a@example.org"])
    with pytest.raises(ValueError, match="newlines"):
        ReadableConsoleBackend(stream=io.StringIO()).send_messages([wrong])


# --- Regular jobs ---------------------------------------------------------------------------
@pytest.fixture
def sample_jobs(settings: Any) -> None:
    job_samples.runs.clear()
    settings.REGULAR_JOBS = [
        ("breaks", "tests.job_samples.break_down", 60),
        ("notes", "tests.job_samples.note_run", 60),
    ]


@pytest.mark.django_db
@pytest.mark.usefixtures("sample_jobs")
def test_a_regular_job_runs_when_it_is_due_and_a_broken_one_stops_no_other() -> None:
    schedule.ensure_rows(now=NOW)
    schedule.ensure_rows(now=NOW)
    assert schedule.run_due(now=NOW) == 2
    assert schedule.run_due(now=NOW + timedelta(seconds=59)) == 0
    assert schedule.run_due(now=NOW + timedelta(seconds=60)) == 2
    assert len(job_samples.runs) == 2
    errors = dict(RegularJob.objects.values_list("name", "last_error"))
    assert errors == {"breaks": "builtins.RuntimeError", "notes": ""}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("sample_jobs")
def test_a_due_run_is_claimed_once_by_workers_that_come_together() -> None:
    schedule.ensure_rows(now=NOW)
    outcomes = at_once(8, lambda: schedule.run_due(now=NOW))
    assert sorted(outcomes, key=str)[-1] in {1, 2}
    assert sum(outcomes) == 2
    assert len(job_samples.runs) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("sample_jobs")
def test_control_without_the_conditional_update_a_run_is_doubled() -> None:
    """The race test above proves something only if a plain look-then-run fails it."""
    schedule.ensure_rows(now=NOW)

    def look_then_run() -> None:
        if RegularJob.objects.filter(name="notes", due_at__lte=NOW).exists():
            time.sleep(0.1)
            job_samples.note_run(now=NOW)
            RegularJob.objects.filter(name="notes").update(due_at=NOW + timedelta(seconds=60))

    at_once(8, look_then_run)
    assert len(job_samples.runs) > 1


# --- The worker -----------------------------------------------------------------------------
@pytest.fixture
def no_jobs(settings: Any) -> None:
    settings.REGULAR_JOBS = []


@pytest.mark.django_db
@pytest.mark.usefixtures("no_jobs")
def test_the_worker_runs_tasks_and_keeps_their_outcome_but_no_texts() -> None:
    sum_ = job_samples.add.enqueue(2, right=3)
    broken = job_samples.fail_with.enqueue("alice@example.org")
    assert Worker().run_until_idle() == 2
    assert job_samples.add.get_result(sum_.id).return_value == 5
    row = DBTaskResult.objects.get(pk=broken.id)
    assert (row.status, row.exception_class_path) == ("FAILED", "builtins.ValueError")
    assert row.traceback == ""


@pytest.mark.django_db
@pytest.mark.usefixtures("no_jobs")
def test_a_task_for_later_waits() -> None:
    later = timezone.now() + timedelta(hours=1)
    job_samples.add.using(run_after=later).enqueue(1, 1)
    assert Worker().run_until_idle() == 0
    DBTaskResult.objects.update(run_after=timezone.now())
    assert Worker().run_until_idle() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_jobs")
def test_a_task_is_claimed_by_one_worker() -> None:
    job_samples.add.enqueue(1, 1)
    claimed = at_once(8, lambda: Worker().claim(now=timezone.now()))
    assert [found for found in claimed if isinstance(found, Exception)] == []
    assert len([found for found in claimed if found is not None]) == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("no_jobs")
def test_a_task_whose_worker_died_is_run_again(settings: Any) -> None:
    result = job_samples.add.enqueue(1, 1)
    now = timezone.now()
    assert Worker().claim(now=now) is not None  # and then its process is killed
    assert Worker().run_until_idle() == 0
    lease = timedelta(seconds=settings.TASK_LEASE_SECONDS)
    assert upkeep.requeue_lost_tasks(now=now + lease) == 0
    assert upkeep.requeue_lost_tasks(now=now + lease + timedelta(seconds=1)) == 1
    assert Worker().run_until_idle() == 1
    assert job_samples.add.get_result(result.id).attempts == 2


@pytest.mark.django_db
def test_what_is_finished_is_pruned_and_nothing_else(settings: Any) -> None:
    settings.REGULAR_JOBS = []
    for text in ("old", "new"):
        job_samples.add.enqueue(1, 1)
        job_samples.fail_with.enqueue(text)
    Worker().run_until_idle()
    waiting = job_samples.add.enqueue(1, 1)
    now = timezone.now()
    old = now - timedelta(days=40)
    for status in ("SUCCESSFUL", "FAILED"):
        first = DBTaskResult.objects.filter(status=status).first()
        assert first is not None
        DBTaskResult.objects.filter(pk=first.pk).update(finished_at=old)
    DBTaskResult.objects.filter(pk=waiting.id).update(enqueued_at=old)
    sent, kept = enqueue("sent"), enqueue("not yet")
    OutgoingMail.objects.filter(pk=sent.pk).update(sent_at=old)
    OutgoingMail.objects.filter(pk=kept.pk).update(created_at=old)
    CachedCount.objects.create(cache_key="a", value="", expires=old)
    CachedCount.objects.create(cache_key="b", value="", expires=now + timedelta(days=1))
    assert upkeep.prune_finished_tasks(now=now) == 2
    assert upkeep.prune_sent_mails(now=now) == 1
    assert upkeep.prune_counts(now=now) == 1
    assert DBTaskResult.objects.count() == 5  # two done, the waiting one, two for the mails
    assert [mail.pk for mail in OutgoingMail.objects.all()] == [kept.pk]
    upkeep.clear_sessions(now=now)


@pytest.mark.django_db
def test_looking_for_the_next_task_reads_an_index_in_its_order() -> None:
    DBTaskResult.objects.bulk_create(
        [
            DBTaskResult(
                status="SUCCESSFUL" if number % 100 else "READY",
                args_kwargs={"args": [], "kwargs": {}},
                task_path="tests.job_samples.add",
                backend_name="default",
                run_after=NOW,
            )
            for number in range(2_000)
        ]
    )
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE TABLE django_tasks_database_dbtaskresult")
    plan = DBTaskResult.objects.ready()[:5].explain()
    assert "tasks_db_new_ordering_idx" in plan
    assert "filesort" not in plan and "TEMP B-TREE" not in plan
