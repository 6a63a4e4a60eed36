"""A real socket server as a process of its own, and clients that speak to it over the network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.utils import timezone
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from accounts.models import Role, User
from accounts.sessions import begin
from chat.models import Conversation
from clinic.directory.models import Doctor, Hospital
from tests.appointments.town import doctor as make_doctor
from tests.appointments.town import hospital as make_hospital
from tests.cast import make_account
from tests.servers import ServerFailed, end_with_this_process, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 30
PATIENCE = 5.0  # seconds a test waits for a frame


def database_url() -> str:
    """The test database, for another process."""
    facts = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{facts['NAME']}"
    return (
        f"mysql://{quote(facts['USER'])}:{quote(facts['PASSWORD'])}"
        f"@{facts['HOST']}:{facts['PORT']}/{facts['NAME']}"
    )


class ChatServer:
    """``python -m clinic.websocket_server`` on the test database (DEBUG: local names pass)."""

    def __init__(self, *, redis_urls: list[str] | None = None, **environment: str) -> None:
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.address = f"ws://127.0.0.1:{self.port}/ws/chat/"
        self.log = Path(tempfile.mkstemp(prefix="clinic-chat-", suffix=".log")[1])
        redis = settings.REDIS_URLS if redis_urls is None else redis_urls
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "clinic.settings",
            "DATABASE_URL": database_url(),
            "REDIS_URL": ",".join(redis),
            "SECRET_KEY": settings.SECRET_KEY,
            "PUBLIC_URL": self.origin,
            "DEBUG": "1",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                end_with_this_process(
                    [
                        *(sys.executable, "-m", "clinic.websocket_server"),
                        *("-b", "127.0.0.1", "-p", str(self.port), "--drain-seconds", "1"),
                    ]
                ),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"no socket server:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)
        return self

    def _listens(self) -> bool:
        import socket

        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 15) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        self.log.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def memory(self) -> int:
        """Bytes of memory in use (Linux)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ServerFailed("no VmRSS")


def session_of(user: User) -> str:
    """The key of a new session in which ``user`` is signed in."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    begin(session=session, user=user, now=timezone.now())
    session.create()
    key = session.session_key
    assert key
    return key


class Wire:
    """One socket of one person."""

    def __init__(
        self,
        server: ChatServer,
        user: User | None = None,
        *,
        session: str | None = None,
        origin: str | None = "",
        subprotocols: tuple[str, ...] = ("clinic.chat.v1",),
        path: str = "",
        additional: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        if session is None and user is not None:
            session = session_of(user)
        self.session = session
        headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"} if session else {}
        headers |= additional or {}
        self.socket = connect(
            server.address.replace("/ws/chat/", path) if path else server.address,
            origin=server.origin if origin == "" else origin,  # type: ignore[arg-type]
            additional_headers=headers,
            subprotocols=subprotocols or None,  # type: ignore[arg-type]
            max_size=None,
            compression=None,
            open_timeout=10,
            **options,
        )
        self.seen: list[dict[str, Any]] = []  # received and not yet asked for

    def welcome(self) -> dict[str, Any]:
        return self.expect("welcome")

    def raw(self, text: str | bytes) -> None:
        self.socket.send(text)

    def send(self, kind: str, **fields: Any) -> None:
        self.raw(json.dumps({"type": kind, **fields}))

    def say(self, conversation: Conversation, body: str, **fields: Any) -> str:
        """Sends a message and returns its client_id."""
        client_id = str(fields.pop("client_id", uuid4()))
        self.send(
            "send",
            conversation=str(conversation.public_id),
            client_id=client_id,
            body=body,
            **fields,
        )
        return client_id

    def receive(self, seconds: float = PATIENCE) -> dict[str, Any] | None:
        try:
            text = self.socket.recv(timeout=seconds)
        except TimeoutError:
            return None
        frame: dict[str, Any] = json.loads(text)
        return frame

    def expect(self, kind: str, seconds: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """The next frame of this type with these fields; others stay for later."""

        def fits(frame: dict[str, Any]) -> bool:
            return frame["type"] == kind and all(
                frame.get(name) == value for name, value in fields.items()
            )

        for frame in self.seen:
            if fits(frame):
                self.seen.remove(frame)
                return frame
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            received = self.receive(left)
            if received is None:
                break
            if fits(received):
                return received
            self.seen.append(received)
        raise AssertionError(f"no {kind} {fields} in {seconds} s; got {self.seen}")

    def nothing(self, kind: str, seconds: float = 1.0) -> None:
        """Fails when a frame of this type comes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            frame = self.receive(left)
            if frame is not None:
                self.seen.append(frame)
        found = [frame for frame in self.seen if frame["type"] == kind]
        assert not found, f"unexpected {found}"

    def closed_with(self, seconds: float = 6.0) -> int:
        """The code that the server closes with."""
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                frame = self.receive(left)
                if frame is not None:
                    self.seen.append(frame)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
        raise AssertionError(f"still open after {seconds} s; got {self.seen}")

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_doctor_user(email: str = "amara@example.org", name: str = "Amara Okafor") -> User:
    """A doctor with an account, which is `user.doctor`."""
    user = make_account(email, name=name, role=Role.DOCTOR, is_staff=True)
    make_doctor(name, user=user)
    return user


def make_conversation(
    patient: User, doctor: User | None = None, *, where: Hospital | None = None
) -> Conversation:
    """A conversation as the rules would make it, without their notices and audit."""
    where = where or make_hospital()
    row = Doctor.objects.get(user=doctor) if doctor else None
    chart = patient.chart
    pair = f"d{row.pk}.{chart.pk}" if row else f"h{where.pk}.{chart.pk}"
    return Conversation.objects.create(patient=chart, doctor=row, hospital=where, pair=pair)
