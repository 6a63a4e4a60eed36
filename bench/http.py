"""A driver that costs little: requests over plain sockets, and clients as threads."""

from __future__ import annotations

import re
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

# Django accepts this as a token and as the cookie that it must match.
CSRF = "a" * 32


@dataclass(frozen=True)
class Answer:
    status: int
    ms: float
    head: str
    body: str

    @property
    def location(self) -> str:
        found = re.search(r"^Location: (.*?)\r?$", self.head, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""


def get(path: str, session: str = "") -> bytes:
    cookie = f"Cookie: session={session}\r\n" if session else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}Connection: close\r\n\r\n".encode()


def post(path: str, fields: Mapping[str, str], session: str) -> bytes:
    body = urlencode({"csrfmiddlewaretoken": CSRF, **fields})
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Cookie: session={session}; csrf={CSRF}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def book_path(slot: Mapping[str, str]) -> str:
    return f"/doctors/{slot['slug']}/book/"


def confirmation(slot: Mapping[str, str]) -> dict[str, str]:
    """The form that books ``slot``, under a key of its own."""
    return {
        "service": slot["service"],
        "at": slot["at"],
        "reason": "A cough since Monday",
        "key": secrets.token_urlsafe(18),
        "action": "confirm",
    }


def ask(port: int, request: bytes) -> Answer:
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    ms = (time.perf_counter() - begun) * 1000
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    return Answer(int(head.split(None, 2)[1]), ms, head.decode(), body.decode())


def ask_all(port: int, requests: Sequence[bytes], *, clients: int = 1) -> list[Answer]:
    """The answers in the order of ``requests``, asked by ``clients`` at a time."""
    answers: dict[int, Answer] = {}
    numbers = iter(range(len(requests)))
    lock = threading.Lock()

    def client() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            answers[number] = ask(port, requests[number])

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(answers) != len(requests):
        raise RuntimeError("A client of the benchmark failed; its error is above.")
    return [answers[number] for number in range(len(requests))]
