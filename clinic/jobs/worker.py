"""The worker: claims tasks and regular jobs one after the other until it is told to stop.

The queue's tables and its `enqueue` are django-tasks-db's. Its own worker command is not used: it
ends when the database goes away, and it keeps whole tracebacks, texts included, in the database.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import datetime

import structlog
from django.db import Error as DatabaseError
from django.db import close_old_connections, connections
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from clinic.jobs import schedule
from clinic.logs import type_name

log = structlog.get_logger("clinic.worker")

IDLE_SECONDS = 1.0  # how late a mail may be when nothing else is going on
SLICE_SECONDS = 0.2  # how late a signal may be noticed while idle
PAUSE_AFTER_ERROR_SECONDS = 2.0
CANDIDATES = 5  # looked at per claim, so that several workers do not fight for one row


class Worker:
    """One loop. Each step is a method of its own; `stop` may be called from a signal handler."""

    def __init__(self, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.id = uuid.uuid4().hex
        self.stopping = False
        self._sleep = sleep
        self._rows_made = False

    def stop(self) -> None:
        """Ends the loop after the current task."""
        self.stopping = True

    def run(self) -> None:
        """Works until `stop`. Outlives its database: errors are logged, and it tries again."""
        log.info("worker_started")
        while not self.stopping:
            close_old_connections()
            try:
                busy = self.step(now=timezone.now())
            except Exception as error:
                # A database that is away says nothing new by its traceback.
                known = isinstance(error, DatabaseError)
                log.warning("worker_paused", error=type_name(error), exc_info=not known)
                connections.close_all()
                self.wait(PAUSE_AFTER_ERROR_SECONDS)
            else:
                if not busy:
                    self.wait(IDLE_SECONDS)
        connections.close_all()
        log.info("worker_stopped")

    def run_until_idle(self) -> int:
        """Does all that is due now; returns how many tasks and jobs (`worker --once`, tests)."""
        count = 0
        while not self.stopping and (done := self.step(now=timezone.now())):
            count += done
        return count

    def step(self, *, now: datetime) -> int:
        """Runs the jobs that are due and at most one task; returns how many."""
        if not self._rows_made:
            schedule.ensure_rows(now=now)
            self._rows_made = True
        count = schedule.run_due(now=now)
        task = self.claim(now=now)
        if task is not None:
            self.perform(task)
            count += 1
        return count

    def claim(self, *, now: datetime) -> DBTaskResult | None:
        """Takes the next ready task by a conditional UPDATE; None if there is none."""
        for task in DBTaskResult.objects.ready()[:CANDIDATES]:
            taken = DBTaskResult.objects.filter(pk=task.pk, status="READY").update(
                status="RUNNING", started_at=now, worker_ids=[*task.worker_ids, self.id]
            )
            if taken:
                task.refresh_from_db()
                return task
        return None

    def perform(self, row: DBTaskResult) -> None:
        """Runs a claimed task and notes how it ended; only the type of an error is kept."""
        error, value = "", None
        try:
            arguments = row.args_kwargs
            value = row.task.call(*arguments["args"], **arguments["kwargs"])
        except Exception as caught:
            error = type_name(caught)
            log.error("task_failed", task=row.task_path, exc_info=True)
        DBTaskResult.objects.filter(pk=row.pk).update(
            status="FAILED" if error else "SUCCESSFUL",
            finished_at=timezone.now(),
            return_value=value,
            exception_class_path=error,
            traceback="",
        )

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.stopping and (left := until - time.monotonic()) > 0:
            self._sleep(min(SLICE_SECONDS, left))
