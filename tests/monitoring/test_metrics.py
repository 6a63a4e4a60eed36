"""What Prometheus is told, by whom, and who is not told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from accounts.audit import record_refusal
from accounts.models import User
from appointments.booking import book, cancel, reschedule
from clinic.jobs.checks_log import note
from clinic.jobs.measures import measures, waiting
from clinic.jobs.models import Check, OutgoingMail, RegularJob
from clinic.metrics import exposition, keep_of_process
from clinic.nightly import check_audit, check_bookings
from tests.appointments.desk import AT, NOW, open_desk

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


def numbers(text: str) -> dict[str, float]:
    """Sample → value: ``clinic_visits_total{what=booked}``."""
    return {
        sample.name + "{" + ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items())) + "}":
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }  # fmt: skip


def scraped_by_probe() -> dict[str, float]:
    """As `scraped`, without a request."""
    return numbers(exposition().decode())


def scraped() -> dict[str, float]:
    answer = Client().get("/metrics", headers={"host": "web:8000"})
    assert answer.status_code == 200
    return numbers(answer.content.decode())


def test_a_probe_without_proxy_reads_the_numbers() -> None:
    found = scraped()
    assert any(name.startswith("django_http_requests") for name in found)
    assert "clinic_messages_total{}" in found


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
def test_what_came_through_a_proxy_finds_nothing(header: str) -> None:
    answer = Client().get("/metrics", headers={header: "203.0.113.9"})
    assert answer.status_code == 404
    assert answer.content == b""


def test_metrics_are_only_read() -> None:
    assert Client().post("/metrics").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_visits_and_refusals_are_counted(alice: User) -> None:
    desk = open_desk()
    before = scraped()

    def grown(name: str) -> float:
        return scraped().get(name, 0) - before.get(name, 0)

    visit = book(
        service=desk.service, patient=alice.chart, starts_at=AT, by=alice, key="k", now=NOW
    )
    reschedule(appointment=visit, starts_at=AT + timedelta(hours=1), by=alice, key="m", now=NOW)
    cancel(appointment=visit, by=alice, now=NOW)
    record_refusal("visit.book", actor=alice, reason="taken")

    assert grown("clinic_visits_total{what=booked}") == 1
    assert grown("clinic_visits_total{what=moved}") == 1
    assert grown("clinic_visits_total{what=cancelled}") == 1
    assert grown("clinic_refusals_total{action=visit.book,reason=taken}") == 1


def test_an_answer_of_a_middleware_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OperationalError(2003, "no database")

    monkeypatch.setattr(SessionMiddleware, "process_request", fails)
    before = scraped_by_probe()
    client = Client(raise_request_exception=False)
    assert client.get("/").status_code == 503
    name = "clinic_responses_total{status=503}"
    assert scraped_by_probe().get(name, 0) == before.get(name, 0) + 1


def test_labels_hold_no_words_of_people(alice: User) -> None:
    Client().get("/doctors/", {"q": "canary-word"})
    Client().get("/doctors/canary-word/")
    text = Client().get("/metrics").content.decode()
    assert "canary-word" not in text
    assert alice.email not in text


def test_the_queue_is_measured_by_depth_and_age() -> None:
    now = timezone.now()
    OutgoingMail.objects.create(
        key="late", to="a@example.org", subject="s", text="t",
        created_at=now - timedelta(hours=1), next_attempt_at=now - timedelta(minutes=10),
    )  # fmt: skip
    OutgoingMail.objects.create(
        key="lost", to="a@example.org", subject="s", text="t", failed_at=now,
        created_at=now, next_attempt_at=now,
    )  # fmt: skip
    RegularJob.objects.create(name="late", due_at=now - timedelta(seconds=90))
    note("backup", is_ok=True, now=now - timedelta(hours=3))
    note("backup", is_ok=False, detail="no space", now=now)

    assert waiting(now)["mails"] == (1, 600.0)
    assert waiting(now)["jobs"] == (1, 90.0)
    assert waiting(now)["tasks"] == (0, 0.0)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in measures(now)
        for sample in family.samples
    }
    assert found["clinic_queue_depth", "mails"] == 1
    assert found["clinic_queue_age_seconds", "mails"] >= 600
    assert found["clinic_mails_given_up",] == 1
    assert found["clinic_check_age_seconds", "backup"] >= 3 * 3600  # since it last ended well
    assert found["clinic_check_failed", "backup"] == 1


def test_the_nightly_checks_leave_their_result(alice: User) -> None:
    desk = open_desk()
    now = timezone.now()
    at = (now + timedelta(days=9)).replace(hour=16, minute=0, second=0, microsecond=0)
    visit = book(
        service=desk.service, patient=alice.chart, starts_at=at, by=alice, key="k", now=now
    )
    assert check_bookings(now)
    assert check_audit(now)
    assert set(Check.objects.filter(is_ok=True).values_list("name", flat=True)) == {
        "bookings",
        "audit",
    }
    visit.doctor_holds.all().delete()  # what must never be
    later = now + timedelta(minutes=1)
    assert not check_bookings(later)
    row = Check.objects.get(name="bookings")
    assert (row.is_ok, row.at, row.passed_at) == (False, later, now)
    assert "1 faults" in row.detail


def test_a_script_notes_its_run() -> None:
    call_command("record_check", "backup", "--ok", "--detail", "1.2 GB\nto node 2")
    assert Check.objects.get().detail == "1.2 GB to node 2"
    with pytest.raises(CommandError):
        call_command("record_check", "Backup!", "--ok")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetched(port: int, path: str = "/metrics") -> str:
    for _attempt in range(100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.1)
    raise AssertionError("nobody answered")


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    facts = {"DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}", "DEBUG": "1"}
    return plain | facts | more


COUNT_IN_A_PROCESS = """
import os, sys
from prometheus_client import Counter, Histogram
counter = Counter("renewed", "x", ["what"])
counter.labels("a").inc(int(sys.argv[1]))
Histogram("waited", "x").observe(0.2)
print(os.getpid())
"""


def test_an_ended_process_leaves_its_numbers_and_no_files_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = environment(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    for times in (3, 4):
        done = subprocess.run(
            [sys.executable, "-c", COUNT_IN_A_PROCESS, str(times)],
            env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        keep_of_process(tmp_path, int(done.stdout))
    assert {path.name for path in tmp_path.glob("*.db")} == {
        "counter_ended.db", "histogram_ended.db",
    }  # fmt: skip
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    found = scraped_by_probe()
    assert found["renewed_total{what=a}"] == 7
    assert found["waited_count{}"] == 2


def test_gunicorns_processes_share_their_numbers(tmp_path: Path) -> None:
    """Six requests land on two processes; whichever is asked says six."""
    shared = tmp_path / "shared"
    shared.mkdir()
    port = free_port()
    env = environment(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(shared), PORT=str(port))
    command = [
        sys.executable, "-m", "gunicorn", "clinic.wsgi", "--bind", f"127.0.0.1:{port}",
        "--workers", "2", "--threads", "1", "--config", str(ROOT / "deploy" / "gunicorn.conf.py"),
    ]  # fmt: skip
    server = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    try:
        fetched(port, "/livez")
        for _number in range(6):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/privacy/nowhere", timeout=10)
        counts: set[float] = set()
        for _number in range(6):
            found = numbers(fetched(port))
            counts.add(
                sum(
                    value
                    for name, value in found.items()
                    if name.startswith("django_http_responses_total_by_status_total")
                    and "status=404" in name
                )
            )
        assert counts == {6.0}
        assert len(list(shared.glob("counter_*.db"))) >= 2
    finally:
        server.terminate()
        server.wait(30)


def test_a_worker_answers_on_its_port(tmp_path: Path) -> None:
    env = environment(tmp_path, METRICS_PORT=str(port := free_port()))
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True
    )
    worker = subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=ROOT, env=env)
    try:
        found = numbers(fetched(port))
        assert "clinic_queue_depth{kind=mails}" in found
    finally:
        worker.terminate()
        assert worker.wait(30) == 0


def test_the_settings_name_the_jobs(settings: Any) -> None:
    names = [name for name, _function, _seconds in settings.REGULAR_JOBS]
    assert {"check_bookings", "check_audit"} <= set(names)
    assert len(names) == len(set(names))
