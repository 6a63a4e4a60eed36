"""The whole site as real processes: pages and worker, on a database of its own.

Used by the browser tests and by the tests that kill servers. It runs in production mode over plain
HTTP, so the pages are the ones that people get (hashed static names, no debug pages).
"""

from __future__ import annotations

import atexit
import email
import email.message
import email.policy
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers import ServerFailed, end_with_this_process, free_port
from tests.static_files import collect_once

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "sample-data-only-1"  # of every sample person
SAMPLE = ("--doctors", "12", "--patients", "12", "--appointments", "60", "--seed", "1")
READY_SECONDS = 60
STOP_SECONDS = 15


class Site:
    """Pages on a free port, a worker, and mails as files.

    Args: ``database_url`` (default: a private SQLite file), ``redis_url``, ``worker=False`` to
    leave the worker out, ``sample`` for the options of sample_data (None leaves the tables empty),
    and further settings by their names in the environment.
    """

    def __init__(
        self,
        *,
        database_url: str | None = None,
        redis_url: str | None = None,
        worker: bool = True,
        sample: tuple[str, ...] | None = SAMPLE,
        **settings: str,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="clinic-site-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._with_worker = worker
        self._sample = sample
        self._processes: list[subprocess.Popen[bytes]] = []
        self._mail_folder = self.folder / "mails"
        self._mail_folder.mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not _is_setting(name)},
            "DJANGO_SETTINGS_MODULE": "clinic.settings",
            "PYTHONUNBUFFERED": "1",
            "SECRET_KEY": "a-key-for-tests-only-that-is-long-enough-to-be-accepted",
            "DATABASE_URL": database_url or f"sqlite:///{self.folder / 'site.sqlite3'}",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "ALLOW_HTTP": "1",
            "STAFF_MFA_REQUIRED": "0",
            "STAFF_IDLE_MINUTES": "600",  # people are signed in once, at the beginning of a run
            "TRUSTED_PROXY_COUNT": "0",
            "PUBLIC_URL": self.url,
            "EMAIL_URL": f"filemail:///{self._mail_folder}",
            **settings,
        }
        if redis_url:
            self.environment["REDIS_URL"] = redis_url

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def manage(self, *arguments: str) -> str:
        """What a management command prints; raises with its output when it fails."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise ServerFailed(f"manage.py {' '.join(arguments)} failed:\n{done.stdout[-4000:]}")
        return done.stdout

    def shell(self, code: str) -> str:
        """What Python code prints that runs inside the project, against this site's database."""
        return self.manage("shell", "--verbosity", "0", "--command", code).strip()

    def mails(self, to: str | None = None) -> list[email.message.EmailMessage]:
        """All mails sent so far, oldest first, or those to one address."""
        found: list[email.message.EmailMessage] = []
        for file in sorted(self._mail_folder.glob("*.log"), key=lambda file: file.stat().st_mtime):
            # Django's backend ends each mail of a file with a line of 79 dashes.
            for text in file.read_bytes().split(b"-" * 79 + b"\n"):
                if text.strip():
                    found.append(email.message_from_bytes(text, policy=email.policy.default))
        return [mail for mail in found if to is None or to in str(mail["To"])]

    def wait_for_mail(self, to: str, *, subject: str = "", seconds: float = 30) -> str:
        """The text of the newest mail to an address whose subject contains ``subject``."""
        deadline = time.monotonic() + seconds
        while True:
            for mail in reversed(self.mails(to)):
                if subject in str(mail["Subject"]):
                    body = mail.get_body(("plain",))
                    assert body is not None
                    return str(body.get_content())
            if time.monotonic() > deadline:
                subjects = [str(mail["Subject"]) for mail in self.mails(to)]
                raise AssertionError(f"no mail {subject!r} to {to} in {seconds} s; got {subjects}")
            time.sleep(0.1)

    def start(self) -> Self:
        atexit.register(self.stop)
        self._collect_static()
        self.manage("migrate", "--no-input", "--verbosity", "0")
        if self._sample is not None:
            self.manage("sample_data", "--yes-this-is-not-real", *self._sample)
        self.serve()
        return self

    def serve(self) -> None:
        """Starts the processes on what is already in the database."""
        self._run("-m", "clinic.websocket_server", "-b", "127.0.0.1", "-p", str(self.port))
        if self._with_worker:
            self._run("manage.py", "worker")
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            ended = any(process.poll() is not None for process in self._processes)
            if ended or time.monotonic() > deadline:
                self.end()
                raise ServerFailed(
                    f"the site did not start:\n{self.log.read_text(errors='replace')[-4000:]}"
                )
            time.sleep(0.1)

    def _run(self, *arguments: str) -> None:
        with self.log.open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    end_with_this_process([sys.executable, *arguments]),
                    cwd=ROOT,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/livez", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _collect_static(self) -> None:
        collect_once(lambda: self.manage("collectstatic", "--no-input", "--verbosity", "0"))

    def kill(self) -> None:
        """SIGKILL for the pages and the worker; ``serve`` brings them back."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()

    def end(self) -> None:
        """Ends the processes; the database stays."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def stop(self) -> None:
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _is_setting(name: str) -> bool:
    """Settings of the surrounding run that would change what this site is."""
    return name.removesuffix("_FILE") in {
        *("DATABASE_URL", "MIGRATE_DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DEBUG", "EMAIL_URL"),
        *("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "PUBLIC_URL", "ALLOW_HTTP", "LOG_LEVEL"),
    }
