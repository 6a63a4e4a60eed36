"""Regular jobs that keep the tables of this app, the queue's and the sessions' small and whole."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.management import call_command
from django.db.models import QuerySet
from django_tasks_db.models import DBTaskResult

from clinic.jobs.models import CachedCount, OutgoingMail

log = structlog.get_logger("clinic.jobs")

CHUNK = 1000  # rows per DELETE, so that no lock is held for long
KEEP_FINISHED = timedelta(days=1)
KEEP_FAILED = timedelta(days=30)
KEEP_MAILS = timedelta(days=30)  # a sent mail's text is of no use to anybody later


def delete_in_chunks(rows: QuerySet[Any]) -> int:
    """Deletes ``rows`` piece by piece; returns how many."""
    total = 0
    while pks := list(rows.order_by().values_list("pk", flat=True)[:CHUNK]):
        total += rows.model._default_manager.filter(pk__in=pks).delete()[0]
    return total


def requeue_lost_tasks(*, now: datetime) -> int:
    """Makes tasks ready again whose worker died: RUNNING for longer than TASK_LEASE_SECONDS.

    Tasks are short and safe to run twice, so a slow one that is still running does no harm.
    """
    lost = DBTaskResult.objects.filter(
        status="RUNNING", started_at__lt=now - timedelta(seconds=settings.TASK_LEASE_SECONDS)
    )
    count = lost.update(status="READY", started_at=None)
    if count:
        log.warning("tasks_requeued", number=count)
    return count


def prune_finished_tasks(*, now: datetime) -> int:
    done = DBTaskResult.objects.filter(status="SUCCESSFUL", finished_at__lt=now - KEEP_FINISHED)
    failed = DBTaskResult.objects.filter(status="FAILED", finished_at__lt=now - KEEP_FAILED)
    return delete_in_chunks(done) + delete_in_chunks(failed)


def prune_sent_mails(*, now: datetime) -> int:
    return delete_in_chunks(OutgoingMail.objects.filter(sent_at__lt=now - KEEP_MAILS))


def prune_counts(*, now: datetime) -> int:
    return delete_in_chunks(CachedCount.objects.filter(expires__lt=now))


def clear_sessions(*, now: datetime) -> None:
    call_command("clearsessions")
