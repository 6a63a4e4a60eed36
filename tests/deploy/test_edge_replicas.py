"""Between edge and replicas: what clients claim is dropped, and only reading is repeated."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.deploy.edge import NAME, Edge, needs_names
from tests.deploy.replicas import ADDRESSES, Replicas
from tests.deploy.test_edge_answers import assert_own_page
from tests.servers import free_port

pytestmark = pytest.mark.once

FORGED_NAMES = """
    X-Forwarded-For X_Forwarded_For X-Forwarded_For X-Real-IP X_Real_IP X-Client-IP Via Proxy
    X-Cluster-Client-IP True-Client-IP X-Forwarded-Server X-Forwarded-Port X-Forwarded-Prefix
    X-Forwarded-Ssl X-Forwarded-Scheme X-Forwarded-Protocol X-Original-URL X-Rewrite-URL
"""
FORGED = dict.fromkeys(FORGED_NAMES.split(), "198.51.100.77") | {
    "Forwarded": "for=198.51.100.77;proto=http;host=evil.example.org",
    "X-Forwarded-Host": "evil.example.org",
    "X-Forwarded-Proto": "http",
    "X_Forwarded_Proto": "http",
}


@pytest.mark.parametrize("path", ["/page", "/messages/x", "/ws/chat", "/static/none.js"])
def test_s03_what_clients_claim_about_themselves_is_replaced(
    edge: Edge, replicas: Replicas, path: str
) -> None:
    answer = edge.get(f"{path}/forged/", headers=FORGED, source="127.0.0.5")
    assert answer.status == 200
    seen = replicas.requests(f"{path}/forged/")[-1]
    assert seen.all("x-forwarded-for") == ["127.0.0.5"]
    assert seen.all("x-forwarded-proto") == ["https"]
    assert seen.all("host") == [f"{NAME}:{edge.port}"]
    assert not [value for _, value in seen.headers if "198.51.100.77" in value or "evil" in value]
    left = {name for name in seen.names if name.startswith(("x-", "x_")) or "forward" in name}
    assert left == {"x-forwarded-for", "x-forwarded-proto", "x-request-id"}
    assert edge.entry(request_id=answer["X-Request-ID"])["address"] == "127.0.0.5"


def test_s03_claims_that_come_twice_are_replaced_too(edge: Edge, replicas: Replicas) -> None:
    raw = f"GET /twice/ HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n"
    raw += "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 198.51.100.2\r\n\r\n"
    assert edge.send(raw.encode()).status == 200
    (seen,) = replicas.requests("/twice/")
    assert seen.all("x-forwarded-for") == ["127.0.0.1"]


def test_what_belongs_to_the_client_reaches_the_site(edge: Edge, replicas: Replicas) -> None:
    sent = {"Cookie": "__Host-session=abc", "Origin": f"https://{NAME}", "Accept-Language": "en"}
    edge.ask("POST", "/kept/?q=a%20b", body=b"text=x", headers=sent)
    (seen,) = replicas.requests("/kept/")
    assert seen.line == "POST /kept/?q=a%20b HTTP/1.1"
    assert {name: seen.all(name) for name in sent} == {name: [sent[name]] for name in sent}
    assert seen.body == b"text=x"


def test_only_the_sockets_address_can_be_upgraded(edge: Edge, replicas: Replicas) -> None:
    asked = {"Upgrade": "websocket", "Connection": "Upgrade"}
    edge.get("/ws/upgrade/", headers=asked)
    edge.get("/page/upgrade/", headers=asked)
    (socket_seen,) = replicas.requests("/ws/upgrade/")
    assert (socket_seen.all("upgrade"), socket_seen.all("connection")) == (
        ["websocket"],
        ["upgrade"],
    )
    (page_seen,) = replicas.requests("/page/upgrade/")
    assert page_seen.all("connection") == []


def test_requests_go_to_every_replica(edge: Edge, replicas: Replicas) -> None:
    needs_names(edge)
    for _ in range(20):
        assert edge.get("/spread/").status == 200
    assert {seen.replica for seen in replicas.requests("/spread/")} == set(ADDRESSES)


def test_the_sites_own_errors_pass_as_they_are(edge: Edge) -> None:
    for status in (400, 403, 404, 409, 422, 429, 500, 503):
        answer = edge.get(f"/says/{status}/")
        assert (answer.status, answer.text) == (status, "from the site")
        assert answer["Retry-After"] == "17"


# --- A replica that does not answer ---------------------------------------------------------
@pytest.fixture
def own_edge(replicas: Replicas) -> Iterator[Edge]:
    """One that may find its replicas dead: it leaves them alone for some seconds then."""
    with Edge(web=replicas.port, ws=replicas.port, replicas=ADDRESSES) as edge:
        yield edge


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_only_reads_is_asked_of_the_next_replica(
    own_edge: Edge, replicas: Replicas, method: str
) -> None:
    needs_names(own_edge)
    assert own_edge.ask(method, f"/closes-once/{method}/").status == 200
    tried = replicas.requests(f"/closes-once/{method}/")
    assert [seen.line.split()[0] for seen in tried] == [method, method]
    assert {seen.replica for seen in tried} == set(ADDRESSES)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/doctors/7/book/closes-once/"),
        ("POST", "/messages/7/closes-once/"),
        ("POST", "/admin/closes-once/"),
        ("PATCH", "/patch/closes-once/"),
        ("POST", "/static/closes-once/"),
    ],
)
def test_what_writes_is_never_sent_twice(
    own_edge: Edge, replicas: Replicas, method: str, path: str
) -> None:
    answer = own_edge.ask(method, path, body=b"visit=1")
    assert_own_page(answer, 502)
    assert "may or may not have been stored" in answer.text
    assert "A visit is never booked twice by it" in answer.text
    assert "http-equiv" not in answer.text
    assert answer["Retry-After"] == "5"
    assert len(replicas.requests(path)) == 1


def test_a_page_that_reads_tries_again_by_itself(own_edge: Edge, replicas: Replicas) -> None:
    answer = own_edge.get("/closes/page/")
    assert_own_page(answer, 502)
    assert '<meta http-equiv="refresh" content="5">' in answer.text
    assert "tries again by itself in 5 seconds" in answer.text
    assert answer["Retry-After"] == "5"
    # Each of the two, and perhaps once more with a fresh list: bounded, whatever happens.
    assert 2 <= len(replicas.requests("/closes/page/")) <= 4


def test_a_dead_replica_costs_nobody_an_error(replicas: Replicas) -> None:
    with Edge(web=replicas.port, replicas=("127.0.0.9", "127.0.0.1")) as edge:
        needs_names(edge)
        for number in range(10):
            assert edge.ask("POST", f"/beside-a-dead-one/{number}/", body=b"x").status == 200
    assert len(replicas.requests("/beside-a-dead-one/")) == 10


@pytest.fixture
def full_port() -> Iterator[int]:
    """A replica that hangs: its node is lost, and connecting to it is answered by nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        waiting = []
        for _ in range(3):  # more than its queue holds
            one = socket.socket()
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(address)
            waiting.append(one)
        yield address[1]
        for one in waiting:
            one.close()


def test_a_replica_that_hangs_is_given_up_soon_and_said_so(full_port: int) -> None:
    with Edge(web=full_port) as edge:
        begun = time.monotonic()
        answer = edge.ask("POST", "/hangs/", body=b"x")
        assert time.monotonic() - begun < 5
    assert answer.status in {502, 504}
    assert_own_page(answer, answer.status)
    assert answer["Retry-After"] == "5"


def test_no_replica_at_all_is_a_page_and_heals_by_itself(replicas: Replicas) -> None:
    """As at the first start of a stack, where NGINX is there before the site."""
    with Edge(web=replicas.port, ws=replicas.port, replicas=()) as edge:
        needs_names(edge)
        answer = edge.get("/too-early/")
        assert answer.status in {502, 503}
        assert_own_page(answer, answer.status)
        assert answer["Retry-After"] == "5"
        assert edge.get("/livez").status == 200
        edge.names.known.update(web=["127.0.0.1"], ws=["127.0.0.1"])
        deadline = time.monotonic() + 10
        while edge.get("/in-time/").status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        # An update: the old replica goes, the new one comes, and no name is kept for long.
        edge.names.known.update(web=["127.0.0.2"])
        deadline = time.monotonic() + 10
        while replicas.requests("/moved/")[-1:] == [] or (
            replicas.requests("/moved/")[-1].replica != "127.0.0.2"
        ):
            assert edge.get("/moved/").status == 200
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_site_that_is_down_is_a_page() -> None:
    with Edge(web=free_port(), ws=free_port()) as edge:
        assert_own_page(edge.get("/down/"), 502)
        assert_own_page(edge.ask("POST", "/down/", body=b"x"), 502)
        refused = edge.get("/ws/chat/", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
        assert_own_page(refused, 502)
