"""Regular jobs: each due run is claimed once, by whichever worker comes first.

A claim is one conditional UPDATE that moves ``due_at`` on. A run that was cut off (its worker was
killed) is not made up for; the next one comes at the next due time, and jobs are made to be run
at any time and twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from clinic.jobs.models import RegularJob
from clinic.logs import type_name

log = structlog.get_logger("clinic.jobs")


@dataclass(frozen=True)
class Job:
    name: str
    function: str  # dotted; called with now=
    seconds: int

    def load(self) -> Callable[..., Any]:
        found: Callable[..., Any] = import_string(self.function)
        return found


def jobs() -> list[Job]:
    return [Job(*row) for row in settings.REGULAR_JOBS]


def ensure_rows(*, now: datetime) -> None:
    """Makes the rows of new jobs, due at once; safe to be run by several workers together."""
    known = set(RegularJob.objects.values_list("name", flat=True))
    RegularJob.objects.bulk_create(
        [RegularJob(name=job.name, due_at=now) for job in jobs() if job.name not in known],
        ignore_conflicts=True,
    )


def claim(job: Job, *, now: datetime) -> bool:
    """Whether this caller is the one to run ``job`` now."""
    return bool(
        RegularJob.objects.filter(name=job.name, due_at__lte=now).update(
            due_at=now + timedelta(seconds=job.seconds), started_at=now
        )
    )


def run_due(*, now: datetime) -> int:
    """Runs every job that is due and not taken by another worker; returns how many."""
    due = set(RegularJob.objects.filter(due_at__lte=now).values_list("name", flat=True))
    count = 0
    for job in jobs():
        if job.name in due and claim(job, now=now):
            run(job)
            count += 1
    return count


def run(job: Job) -> None:
    """Runs ``job``. Its failure is logged and noted, and stops neither the worker nor others."""
    error = ""
    try:
        job.load()(now=timezone.now())
    except Exception as caught:
        error = type_name(caught)
        log.error("job_failed", job=job.name, exc_info=True)
    RegularJob.objects.filter(name=job.name).update(finished_at=timezone.now(), last_error=error)
