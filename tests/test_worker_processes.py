"""Workers as processes: killed, ended, and on a database that comes and goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from clinic.jobs import outbox
from clinic.jobs.outbox import send_due
from tests.inbox import Inbox, accepting
from tests.servers import MariaDB

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def smtp(inbox: Inbox) -> Iterator[Controller]:
    with accepting(inbox) as controller:
        yield controller


class Workshop:
    """A database of its own, worker processes on it, and code run in the project."""

    def __init__(self, folder: Path, database_url: str, **settings: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment = {
            **kept,
            "DJANGO_SETTINGS_MODULE": "clinic.settings",
            "DATABASE_URL": database_url,
            "DEBUG": "1",
            **settings,
        }
        self.log = folder / "workers.log"
        self.workers: list[subprocess.Popen[bytes]] = []
        for app in ("django_tasks_database", "jobs", "sessions"):
            self.manage("migrate", app, "--skip-checks", "--verbosity", "0")

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def do(self, code: str) -> str:
        """What ``code`` prints, with Django set up."""
        done = subprocess.run(
            [sys.executable, "-c", f"import django; django.setup()\n{code}"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "manage.py", "worker", "--no-reload"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Callable[..., Workshop]]:
    made: list[Workshop] = []

    def make(database_url: str = f"sqlite:///{tmp_path / 'jobs.sqlite3'}", **settings: str) -> Any:
        made.append(Workshop(tmp_path, database_url, **settings))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def wait_until(true: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


STORE_A_MAIL = """
from django.db import transaction
from django.utils import timezone
from clinic.jobs.outbox import enqueue_mail
with transaction.atomic():
    mail = enqueue_mail(to="alice@example.org", subject="Your visit", text="When",
                        key="booked:1", now=timezone.now())
print(mail.message_id)
"""
SENT = """
from clinic.jobs.models import OutgoingMail
print(OutgoingMail.objects.exclude(sent_at=None).count())
"""
# Rather than wait until the outbox is looked through again.
MAKE_JOBS_DUE = """
from django.utils import timezone
from clinic.jobs.models import RegularJob
RegularJob.objects.update(due_at=timezone.now())
"""


@pytest.mark.slow
def test_a_worker_told_to_end_finishes_its_task_first(
    workshop: Callable[..., Workshop], tmp_path: Path
) -> None:
    shop = workshop()
    worker = shop.start()
    shop.do(f"from tests.job_samples import slow; slow.enqueue({str(tmp_path)!r}, 2.0)")
    wait_until((tmp_path / "started").exists)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert (tmp_path / "ended").exists()
    status = "from django_tasks_db.models import DBTaskResult as T; print(T.objects.get().status)"
    assert shop.do(status) == "SUCCESSFUL"


@pytest.mark.slow
def test_an_idle_worker_ends_at_once_and_cleanly(workshop: Callable[..., Workshop]) -> None:
    shop = workshop()
    worker = shop.start()
    wait_until(lambda: b"worker_started" in shop.log.read_bytes())
    time.sleep(1)
    begun = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert time.monotonic() - begun < 3


@pytest.mark.slow
def test_a_mail_survives_the_worker_that_was_killed_while_sending_it(
    workshop: Callable[..., Workshop], smtp: Controller, inbox: Inbox
) -> None:
    shop = workshop(EMAIL_URL=f"smtp://127.0.0.1:{smtp.port}", MAIL_LEASE_SECONDS="3")
    shop.do(STORE_A_MAIL)
    inbox.rcpt_seconds = 30
    first = shop.start()
    assert inbox.asked.wait(30)  # the mail is in the first worker's hands
    first.kill()
    first.wait()
    inbox.rcpt_seconds = 0
    assert shop.do(SENT) == "0"
    time.sleep(3)  # the lease
    shop.do(MAKE_JOBS_DUE)
    shop.start()
    wait_until(lambda: shop.do(SENT) == "1", seconds=60)
    time.sleep(2)
    assert len(inbox.mails) == 1


@pytest.mark.slow
def test_a_mail_that_was_accepted_just_before_the_kill_is_recognizable_as_the_same(
    workshop: Callable[..., Workshop], smtp: Controller, inbox: Inbox
) -> None:
    """SMTP knows no transaction over both ends: the second copy has the first one's id."""
    shop = workshop(EMAIL_URL=f"smtp://127.0.0.1:{smtp.port}", MAIL_LEASE_SECONDS="3")
    message_id = shop.do(STORE_A_MAIL)
    inbox.data_seconds = 30
    first = shop.start()
    wait_until(lambda: len(inbox.mails) == 1)
    first.kill()
    first.wait()
    inbox.data_seconds = 0
    time.sleep(3)  # the lease
    shop.do(MAKE_JOBS_DUE)
    shop.start()
    wait_until(lambda: shop.do(SENT) == "1", seconds=60)
    time.sleep(2)
    assert len(inbox.mails) == 2
    assert len({mail["Message-ID"] for mail in inbox.mails}) == 1
    assert message_id in inbox.mails[0]["Message-ID"]


@pytest.mark.slow
@pytest.mark.server
def test_a_worker_outlives_its_database(
    workshop: Callable[..., Workshop], mariadb: MariaDB, smtp: Controller, inbox: Inbox
) -> None:
    shop = workshop(mariadb.url, EMAIL_URL=f"smtp://127.0.0.1:{smtp.port}")
    worker = shop.start()
    shop.do(STORE_A_MAIL)
    wait_until(lambda: len(inbox.mails) == 1)
    mariadb.kill()
    time.sleep(4)
    assert worker.poll() is None
    mariadb.start()
    shop.do(STORE_A_MAIL.replace("booked:1", "booked:2"))
    wait_until(lambda: len(inbox.mails) == 2, seconds=20)
    assert b"worker_paused" in shop.log.read_bytes()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0


@pytest.mark.slow
@pytest.mark.server
def test_a_worker_may_be_started_before_its_database(
    workshop: Callable[..., Workshop], mariadb: MariaDB
) -> None:
    shop = workshop(mariadb.url)
    mariadb.kill()
    worker = shop.start()
    wait_until(lambda: b"worker_paused" in shop.log.read_bytes())
    mariadb.start()
    task = shop.do("from tests.job_samples import add; print(add.enqueue(1, 1).id)")
    status = f"from tests.job_samples import add; print(add.get_result({task!r}).status)"
    wait_until(lambda: shop.do(status) == "SUCCESSFUL")
    assert worker.poll() is None


def test_the_outbox_is_run_regularly(settings: Any) -> None:
    functions = [function for _name, function, _seconds in settings.REGULAR_JOBS]
    assert f"{outbox.__name__}.{send_due.__name__}" in functions
