"""Limits per address and path, and clients that are slow on purpose (SECURITY 32)."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.deploy.edge import NAME, Answer, Edge, trusting
from tests.deploy.replicas import Replicas
from tests.deploy.test_edge_answers import assert_own_page

pytestmark = pytest.mark.once

BURST_PAGES, BURST_FORMS = 400, 60
SLOW_SECONDS = 10  # client_header_timeout


@pytest.fixture
def strict(replicas: Replicas) -> Iterator[Edge]:
    """Rates so low that a test is over before anything is forgiven."""
    with Edge(
        web=replicas.port, ws=replicas.port, LIMIT_PAGES="1", LIMIT_SIGN_IN="1", LIMIT_BOOKING="1"
    ) as edge:
        yield edge


def hammer(edge: Edge, method: str, path: str, times: int, source: str = "127.0.0.1") -> list[int]:
    """The statuses of many requests over one connection."""
    line = http.client.HTTPSConnection(
        "127.0.0.1", edge.port, context=trusting(), source_address=(source, 0), timeout=20
    )
    statuses = []
    for _ in range(times):
        line.request(method, path, headers={"Host": NAME})
        answer = line.getresponse()
        answer.read()
        statuses.append(answer.status)
    line.close()
    return statuses


def refusal(edge: Edge, path: str, **headers: str) -> Answer:
    """A slow machine earns a request or two back meanwhile."""
    for _ in range(5):
        answer = edge.ask("POST", path, body=b"x", headers=headers)
        if answer.status == 429:
            break
    return answer


@pytest.mark.parametrize(
    "path",
    [
        *("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/admin/login/"),
        *("/accounts/confirm-email/", "/accounts/reauthenticate/", "/accounts/2fa/authenticate/"),
        *("/doctors/amara-okafor/book/", "/appointments/abc/cancel/"),
    ],
)
def test_forms_worth_guessing_at_have_a_limit_per_address(strict: Edge, path: str) -> None:
    statuses = hammer(strict, "POST", path, BURST_FORMS + 10)
    assert statuses[: BURST_FORMS + 1] == [200] * (BURST_FORMS + 1)
    assert statuses.count(429) >= 7
    refused = refusal(strict, path)
    assert_own_page(refused, 429)
    assert refused["Retry-After"] == "5"
    assert "Too many requests from your network" in refused.text
    # Whoever only looks, and everybody else, is not in the way.
    assert strict.get(path).status == 200
    assert strict.ask("POST", path, body=b"x", source="127.0.0.7").status == 200
    assert strict.entry(status=429)["limited"] == "REJECTED"


def test_all_pages_together_have_a_limit_per_address_and_files_have_none(
    strict: Edge, replicas: Replicas
) -> None:
    (strict.folder / "srv" / "static").mkdir(exist_ok=True)
    (strict.folder / "srv" / "static" / "x.css").write_text("a{}")
    counted = Counter(hammer(strict, "GET", "/many/", BURST_PAGES + 30))
    assert counted[200] <= BURST_PAGES + 20 and counted[429] >= 10
    assert len(replicas.requests("/many/")) == counted[200]
    assert set(hammer(strict, "GET", "/static/x.css", 100)) == {200}
    assert strict.get("/many/", source="127.0.0.8").status == 200
    assert strict.get("/livez", tls=False).status == 200


def test_s03_another_claimed_address_gives_no_new_count(strict: Edge) -> None:
    hammer(strict, "POST", "/accounts/login/", BURST_FORMS + 10)
    for number in range(5):
        claimed = {"X-Forwarded-For": f"203.0.113.{number}", "X-Real-IP": f"203.0.113.{number}"}
        assert refusal(strict, "/accounts/login/", **claimed).status == 429


def test_one_address_has_so_many_requests_at_once(replicas: Replicas) -> None:
    with Edge(web=replicas.port, LIMIT_CONNECTIONS="3") as edge:
        before = len(replicas.requests("/waits/"))
        lines = []
        for number in range(3):
            line = edge.line()
            line.sendall(f"GET /waits/{number}/ HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            lines.append(line)
        deadline = time.monotonic() + 5
        while len(replicas.requests("/waits/")) < before + 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert_own_page(edge.get("/fourth/"), 429)
        assert edge.get("/fourth/", source="127.0.0.6").status == 200
        for line in lines:
            line.close()


LONG, MIDDLE = "Content-Length: 5000000", "Content-Length: 200000"
CHUNKED = "Transfer-Encoding: chunked"
FORM, FILE = b"x" * 200_000, b"x" * 400_000


class Unfinished:
    """Requests whose bodies are still to come; a byte now and then keeps NGINX from giving up."""

    def __init__(self, edge: Edge, length: str) -> None:
        self._edge, self._length = edge, length
        self._lines: list[socket.socket] = []

    def begin(self, source: str) -> None:
        line = self._edge.line(source=source)
        head = f"POST /messages/abc/ HTTP/1.1\r\nHost: {NAME}\r\n{self._length}\r\n\r\n"
        line.sendall(head.encode())
        self._lines.append(line)

    def refuse(self, source: str, body: bytes) -> bool:
        """Whether one more is soon refused; the edge may not have seen all of them yet."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            for line in self._lines:
                line.sendall(b"1\r\nx\r\n" if self._length == CHUNKED else b"x")
            if self._edge.ask("POST", "/messages/abc/", body=body, source=source).status == 429:
                return True
        return False

    def close(self) -> None:
        for line in self._lines:
            line.close()


@pytest.mark.parametrize("length", [LONG, CHUNKED])
def test_s32_files_under_way_cannot_fill_the_edge(replicas: Replicas, length: str) -> None:
    """What it keeps until a body is whole has room for so many files, and forms have their own."""
    with (
        Edge(web=replicas.port, LIMIT_FILES="4") as edge,
        closing(Unfinished(edge, length)) as unfinished,
    ):
        unfinished.begin("127.0.0.1")
        unfinished.begin("127.0.0.1")
        assert unfinished.refuse("127.0.0.1", FILE)  # one network has half of them
        assert edge.ask("POST", "/messages/abc/", body=FILE, source="127.0.0.5").status == 200
        unfinished.begin("127.0.0.5")
        unfinished.begin("127.0.0.6")
        assert unfinished.refuse("127.0.0.7", FILE)  # and all together four
        for source in ("127.0.0.1", "127.0.0.7"):
            assert edge.get("/messages/", source=source).status == 200
            answer = edge.ask("POST", "/messages/abc/", body=FORM, source=source)
            assert answer.status == 200


def test_s32_forms_under_way_are_counted_too(edge: Edge) -> None:
    with closing(Unfinished(edge, MIDDLE)) as unfinished:
        for number in range(100):
            unfinished.begin(f"127.0.1.{number + 1}")
        assert unfinished.refuse("127.0.0.1", FORM)
        assert edge.ask("POST", "/messages/abc/", body=b"x" * 20_000).status == 200


# --- Slow clients ---------------------------------------------------------------------------
def drip(edge: Edge, raw: bytes, pause: float, ended: dict[str, float], name: str) -> None:
    """Sends the first part at once, then a byte now and then, until the other side has enough."""
    begun = time.monotonic()
    with edge.line() as line, suppress(ssl.SSLError, OSError):
        line.sendall(raw)
        while time.monotonic() - begun < 30:
            line.sendall(b"x")
            line.settimeout(pause)
            try:
                if not line.recv(4096):
                    break
            except TimeoutError:
                continue
    ended[name] = time.monotonic() - begun


@pytest.mark.slow
def test_s32_clients_that_drip_are_gone_within_30_seconds_and_disturb_nobody(
    edge: Edge, replicas: Replicas
) -> None:
    head = f"POST /dripped/ HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 100\r\n"
    ways = {
        "head": (f"{head}X-Drip: ".encode(), 2.0),
        "body": (f"{head}\r\n".encode(), 9.0),
    }
    ended: dict[str, float] = {}
    dripping = [
        threading.Thread(target=drip, args=(edge, raw, pause, ended, name))
        for name, (raw, pause) in ways.items()
        for _ in range(20)
    ]
    for thread in dripping:
        thread.start()
    worst = 0.0
    for number in range(20):
        begun = time.monotonic()
        assert edge.get(f"/meanwhile/{number}/").status == 200
        worst = max(worst, time.monotonic() - begun)
    for thread in dripping:
        thread.join(40)
    assert set(ended) == set(ways)
    assert ended["head"] < SLOW_SECONDS + 5 and ended["body"] < SLOW_SECONDS + 5
    assert worst < 2
    assert replicas.requests("/dripped/") == []
    assert edge.entry(status=408)["upstream"] == ""
