"""What a benchmark asks of the product in-process: one of these runs beside each stack.

``python -m bench.probe`` reads one JSON object a line and answers with one; the stack's settings
are in its environment. `Probe` is the other end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from random import Random
from typing import Any

from bench.common import ROOT, Stack


class Probe:
    """Starts the process and asks it; use it as a context manager."""

    def __init__(self, stack: Stack) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.probe"],
            cwd=ROOT,
            env=stack.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **what: Any) -> Any:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"The probe ended while it was asked to {do}.")
        return json.loads(answer)

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def main() -> None:
    import django

    django.setup()
    work = Work()
    for line in sys.stdin:
        what = json.loads(line)
        answer = getattr(work, what.pop("do"))(**what)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


class Work:
    """The questions; each takes and gives what JSON can say."""

    def __init__(self) -> None:
        from clinic.directory.models import Doctor, Service

        self._rng = Random(1)
        first: dict[int, Service] = {}
        for service in (
            Service.objects.filter(is_active=True, doctor__in=Doctor.objects.public())
            .select_related("doctor", "hospital")
            .order_by("doctor", "position", "pk")
        ):
            first.setdefault(service.doctor_id, service)
        self._services = list(first.values())
        self._rng.shuffle(self._services)
        self._next = 0
        self._people = int(time.time() * 1000)  # new addresses in every run

    def _others(self, count: int) -> list[Any]:
        """``count`` services of doctors who were not asked about for long."""
        if self._next + count > len(self._services):
            self._next = 0
        found = self._services[self._next : self._next + count]
        self._next += count
        return found

    # --- Free times by the rule ---------------------------------------------------------------
    def rule(self, *, doctors: int, days: int, repeats: int, warm: bool) -> dict[str, Any]:
        """Milliseconds and CPU of `free_times`; ``warm``: the same was asked just before."""
        from django.core.cache import cache

        from appointments.free_times import free_times

        cache.clear()
        now = datetime.now(UTC)
        first = now.date() + timedelta(days=3)
        found, cpu, times = [], 0.0, 0
        for _ in range(repeats):
            services = self._others(doctors)
            if warm:
                free_times(services, first=first, days=days, now=now)
            begun, cpu_begun = time.perf_counter(), time.process_time()
            answer = free_times(services, first=first, days=days, now=now)
            found.append((time.perf_counter() - begun) * 1000)
            cpu += time.process_time() - cpu_begun
            times += sum(map(len, answer.values()))
        if not times:
            raise RuntimeError("No free time was found, so nothing was measured.")
        return {"ms": found, "cpu": cpu}

    # --- Material for requests ----------------------------------------------------------------
    def slugs(self, *, count: int) -> list[str]:
        return [service.doctor.slug for service in self._others(count)]

    def specialties(self, *, doctors: int) -> list[dict[str, Any]]:
        """Specialties with at least this many doctors who take new patients, and how many."""
        from django.db.models import Count, Q

        from clinic.directory.models import Specialty

        public = Q(
            doctors__verified_at__isnull=False,
            doctors__withdrawn_at__isnull=True,
            doctors__accepts_new=True,
        )
        found = Specialty.objects.annotate(count=Count("doctors", filter=public))
        wide = found.filter(count__gte=doctors).order_by("-count", "slug")
        return [{"slug": slug, "count": count} for slug, count in wide.values_list("slug", "count")]

    def sessions(self, *, count: int) -> list[str]:
        """Session keys of ``count`` new patients, each signed in."""
        from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
        from django.contrib.sessions.backends.cached_db import SessionStore
        from django.db import transaction

        from accounts.models import Patient, User

        now = datetime.now(UTC)
        numbers = range(self._people, self._people + count)
        self._people += count
        addresses = [f"bench{number}@example.org" for number in numbers]
        keys = []
        with transaction.atomic():
            User.objects.bulk_create(
                User(email=address, name="Bea Bench", password="!", date_joined=now)
                for address in addresses
            )
            users = list(User.objects.filter(email__in=addresses))
            Patient.objects.bulk_create(
                Patient(account=user, name=user.name, birth_date="1980-01-01", created_at=now)
                for user in users
            )
            for user in users:
                session = SessionStore()
                session[SESSION_KEY] = str(user.pk)
                session[BACKEND_SESSION_KEY] = "accounts.backends.ByAddress"
                session[HASH_SESSION_KEY] = user.get_session_auth_hash()
                session.create()
                keys.append(str(session.session_key))
        return keys

    def free_slots(self, *, doctors: int, each: int) -> list[dict[str, str]]:
        """Free times that do not overlap, one doctor after the other in turn."""
        from appointments.free_times import free_times

        now = datetime.now(UTC)
        chosen = [service for service in self._others(doctors * 2) if service.doctor.accepts_new]
        first = now.date() + timedelta(days=2)
        times = free_times(chosen[:doctors], first=first, days=40, now=now)
        columns = []
        for service in chosen[:doctors]:
            step = timedelta(minutes=service.minutes + service.buffer_minutes)
            column: list[dict[str, str]] = []
            before = now
            for moment in times[service.pk]:
                if moment >= before and len(column) < each:
                    at = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
                    code, slug = service.code, service.doctor.slug
                    column.append({"slug": slug, "service": code, "at": at})
                    before = moment + step
            columns.append(column)
        return [slot for row in zip_longest(*columns) for slot in row if slot is not None]

    # --- Queries ------------------------------------------------------------------------------
    def queries(self, *, path: str, session: str = "", post: dict[str, str] | None = None) -> Any:
        """Status and SQL of one request, by Django's own test client."""
        from django.conf import settings
        from django.test import Client

        client = Client()
        if session:
            client.cookies[settings.SESSION_COOKIE_NAME] = session
        with _recorded() as found:
            answer = client.get(path) if post is None else client.post(path, post)
        return {"status": answer.status_code, "sql": found}

    def rule_queries(self, *, doctors: int, days: int) -> list[str]:
        from django.core.cache import cache

        from appointments.free_times import free_times

        cache.clear()
        now = datetime.now(UTC)
        with _recorded() as found:
            free_times(self._others(doctors), first=now.date(), days=days, now=now)
        return found

    def explain(self, *, sql: str) -> list[dict[str, Any]]:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + sql.replace("%", "%%"))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    # --- After the bookings -------------------------------------------------------------------
    def doubles(self, *, slugs: list[str], since: str) -> int:
        """Visits of these doctors made since then that begin within another one of them."""
        from appointments.models import Appointment

        made = Appointment.objects.active().filter(doctor__slug__in=slugs)
        if not made.filter(created_at__gte=since).exists():
            raise RuntimeError("Nothing was booked, so there is nothing to count.")
        doubles = 0
        doctor, until = None, datetime.now(UTC)
        for row in made.order_by("doctor", "starts_at").values_list(
            "doctor_id", "starts_at", "occupied_until"
        ):
            doubles += row[0] == doctor and row[1] < until
            doctor, until = row[0], max(until, row[2]) if row[0] == doctor else row[2]
        return doubles

    def forget(self, *, slugs: list[str], since: str) -> int:
        """Takes the control's visits out again: they have no holds, by design."""
        from appointments.models import Appointment

        made = Appointment.objects.filter(doctor__slug__in=slugs, created_at__gte=since)
        return made.delete()[0]

    def check(self) -> list[str]:
        """What `manage.py check_bookings` finds."""
        from appointments.checker import find_faults

        return [f"{fault.kind}: {fault.what}" for fault in find_faults(datetime.now(UTC))]


@contextmanager
def _recorded() -> Iterator[list[str]]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    found: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield found
    found += [row["sql"] for row in captured.captured_queries]


if __name__ == "__main__":
    main()
