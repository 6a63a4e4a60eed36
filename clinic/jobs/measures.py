"""How much waits in the queue and for how long, read from the database when Prometheus asks.

Exposed by the workers alone: every worker sees the same tables, so a graph takes the maximum.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from wsgiref.simple_server import WSGIServer

from django.db import DatabaseError, close_old_connections
from django.db.models import Count, Min
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from prometheus_client import REGISTRY, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from clinic.jobs.models import Check, OutgoingMail, RegularJob


class QueueCollector(Collector):
    """Depth and age of tasks and mails, lateness of the regular jobs, age of the checks."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        return iter(())  # nothing is asked of the database before the first scrape

    def collect(self) -> Iterator[GaugeMetricFamily]:
        close_old_connections()
        try:
            yield from measures(timezone.now())
        except DatabaseError:
            yield GaugeMetricFamily("clinic_queue_unreadable", "1 while the tables are away", 1)
        finally:
            close_old_connections()


def waiting(now: datetime) -> dict[str, tuple[int, float]]:
    """What is due and not done: kind → (how many, seconds that the oldest has been due)."""
    tasks = DBTaskResult.objects.ready().aggregate(number=Count("pk"), oldest=Min("enqueued_at"))
    mails = OutgoingMail.objects.due(now).aggregate(
        number=Count("pk"), oldest=Min("next_attempt_at")
    )
    jobs = RegularJob.objects.filter(due_at__lte=now).aggregate(
        number=Count("pk"), oldest=Min("due_at")
    )
    return {
        kind: (found["number"], _age(found["oldest"], now))
        for kind, found in (("tasks", tasks), ("mails", mails), ("jobs", jobs))
    }


def _age(moment: datetime | None, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0


def measures(now: datetime) -> Iterator[GaugeMetricFamily]:
    """The numbers at ``now``."""
    depth = GaugeMetricFamily("clinic_queue_depth", "What is due and not done", labels=["kind"])
    age = GaugeMetricFamily(
        "clinic_queue_age_seconds", "How long the oldest of it has been due", labels=["kind"]
    )
    for kind, (number, seconds) in waiting(now).items():
        depth.add_metric([kind], number)
        age.add_metric([kind], seconds)
    yield depth
    yield age
    yield GaugeMetricFamily(
        "clinic_mails_given_up",
        "Mails that could not be delivered",
        OutgoingMail.objects.exclude(failed_at=None).count(),
    )
    since = GaugeMetricFamily(
        "clinic_check_age_seconds", "Since a check last ended well", labels=["name"]
    )
    failed = GaugeMetricFamily("clinic_check_failed", "1 when the last run failed", labels=["name"])
    for check in Check.objects.all():
        since.add_metric([check.name], _age(check.passed_at, now))
        failed.add_metric([check.name], 0 if check.is_ok else 1)
    yield since
    yield failed


def serve(port: int) -> WSGIServer:
    """Answers Prometheus on ``port``, on a thread of its own."""
    REGISTRY.register(QueueCollector())
    server, _thread = start_http_server(port)
    return server
