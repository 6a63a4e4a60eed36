"""A visitor of the machine: signs in, books, talks. TLS is checked against the made certificate."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from deploy.compose_test.machine import NAMESPACE
from deploy.swarm_test.crowd import enter

HOST, HTTP_PORT, HTTPS_PORT = "localhost", 8080, 8443
ORIGIN = f"https://{HOST}:{HTTPS_PORT}"
CSRF = "a" * 32  # Django accepts this as a token and as the cookie that it must match
SESSION_COOKIE, CSRF_COOKIE = "__Host-session", "__Host-csrf"
ANSWER_SECONDS = 30.0


class Inside:
    """Runs functions on a thread that lives in the machine's network."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, initializer=enter, initargs=(NAMESPACE,))

    def __call__(self, work: Callable[[], Any]) -> Any:
        return self._pool.submit(work).result()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


@dataclass
class Browser:
    inside: Inside
    context: ssl.SSLContext
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Answer:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: Mapping[str, str]) -> Answer:
        return self._ask("POST", path, {"csrfmiddlewaretoken": CSRF, **fields}, {"Origin": ORIGIN})

    def plain(self, port: int, path: str) -> Answer:
        """Over HTTP without TLS, of a port of the machine's own."""

        def ask() -> Answer:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
            return _asked(connection, "GET", path, None, {"Host": HOST})

        answer: Answer = self.inside(ask)
        return answer

    def _ask(
        self, method: str, path: str, fields: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> Answer:
        cookies = {**self.cookies, **({CSRF_COOKIE: CSRF} if method == "POST" else {})}
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        body = None
        if fields is not None:
            body = urlencode(fields).encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"

        def ask() -> Answer:
            connection = http.client.HTTPSConnection(
                HOST, HTTPS_PORT, context=self.context, timeout=ANSWER_SECONDS
            )
            return _asked(connection, method, path, body, {**sent, **headers})

        answer: Answer = self.inside(ask)
        for line in answer.headers.get("set-cookie", "").split("\n"):
            name, _, value = line.partition(";")[0].partition("=")
            if name == SESSION_COOKIE:
                self.cookies[name] = value.strip('"')
        return answer

    def sign_in(self, email: str, password: str) -> bool:
        answer = self.post("/accounts/login/", {"login": email, "password": password})
        return answer.status == 302 and self.get("/appointments/").status == 200

    def book(self, slots: list[dict[str, Any]]) -> str:
        """The path of the visit that was booked, of the first of the times that fits."""
        for slot in slots:
            fields = {
                "service": slot["service"],
                "at": slot["at"],
                "reason": "A cough since Monday",
                "key": secrets.token_urlsafe(18),
                "action": "confirm",
                "clash": "both",
            }
            answer = self.post(f"/doctors/{slot['slug']}/book/", fields)
            where = answer.headers.get("location", "")
            if answer.status == 302 and where.startswith("/appointments/"):
                return f"/appointments/{where.split('/')[2]}/"
        return ""

    def is_there(self, path: str) -> bool:
        """Whether a page answers just now."""
        with suppress(OSError, http.client.HTTPException):
            return self.get(path).status == 200
        return False


def _asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> Answer:
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        found: dict[str, str] = {}
        for name, value in answer.getheaders():
            key = name.lower()
            found[key] = f"{found[key]}\n{value}" if key in found else value
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


def talk(inside: Inside, context: ssl.SSLContext, devices: list[dict[str, Any]]) -> float:
    """Seconds until what one device sends is acknowledged and on the other one's screen."""

    def work() -> float:
        with _socket(context, devices[0]) as telephone, _socket(context, devices[1]) as laptop:
            for socket in (telephone, laptop):
                _until(socket, lambda frame: frame["type"] == "welcome")
            client_id = str(uuid4())
            place = devices[0]["conversations"][0]
            begun = time.monotonic()
            frame = {"type": "send", "conversation": place, "client_id": client_id, "body": "Hello"}
            telephone.send(json.dumps(frame))
            _until(telephone, lambda got: _is(got, "ack", client_id))
            _until(laptop, lambda got: _is(got, "message", client_id))
            return time.monotonic() - begun

    seconds: float = inside(work)
    return seconds


def _socket(context: ssl.SSLContext, device: Mapping[str, Any]) -> Any:
    return connect(
        f"wss://{HOST}:{HTTPS_PORT}/ws/chat/",
        ssl=context,
        origin=Origin(ORIGIN),
        additional_headers={"Cookie": f"{SESSION_COOKIE}={device['session']}"},
        subprotocols=[Subprotocol("clinic.chat.v1")],
        compression=None,
        open_timeout=10,
        close_timeout=2,
        proxy=None,
    )


def _is(frame: Mapping[str, Any], kind: str, client_id: str) -> bool:
    return frame["type"] == kind and frame.get("client_id") == client_id


def _until(socket: Any, fits: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if fits(json.loads(socket.recv(timeout=15))):
            return
    raise WebSocketException("what was waited for did not come")
