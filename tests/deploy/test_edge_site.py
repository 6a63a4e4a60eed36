"""The whole way: NGINX, then gunicorn and the socket server as a stack's containers run them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.hashers import make_password
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from accounts.models import AuditEvent, SignIn, User
from tests.cast import make_patient_user
from tests.chat.wire import database_url, make_conversation, make_doctor_user, session_of
from tests.deploy.edge import NAME, Answer, Edge, system_nginx, trusting
from tests.deploy.tasks import Task
from tests.deploy.test_edge_answers import assert_headers, assert_own_page
from tests.deploy.test_edge_replicas import FORGED
from tests.deploy.test_edge_smuggling import AMBIGUOUS, CHUNKS, assert_refused_once, post
from tests.servers import Server
from tests.site import ROOT, Site
from tests.static_files import collect_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PASSWORD = "correct horse battery staple"
VISITOR = "127.0.0.5"


class Stack:
    """The edge, one task of web and one of ws, on the test's own database."""

    def __init__(self, edge: Edge, web: Task, ws: Task) -> None:
        self.edge, self.web, self.ws = edge, web, ws
        self.origin = f"https://{NAME}:{edge.port}"


@pytest.fixture(scope="module")
def stack(django_db_setup: None) -> Iterator[Stack]:
    site = Site(sample=None, worker=False)
    collect_once(lambda: site.manage("collectstatic", "--no-input", "--verbosity", "0"))
    site.stop()
    edge = Edge(web=0, ws=0, program=system_nginx(), LIMIT_SIGN_IN="1000")
    facts = {
        "SECRET_KEY_FALLBACKS": settings.SECRET_KEY,  # what the test signs is valid there
        "DATABASE_URL": database_url(),
        "REDIS_URL": ",".join(settings.REDIS_URLS),
        "PUBLIC_URL": f"https://{NAME}:{edge.port}",
        "STAFF_MFA_REQUIRED": "0",
    }
    with closing_by_stop(edge), Task("web", **facts) as web, Task("ws", **facts) as ws:
        edge.lead_to(web=web.port, ws=ws.port)
        edge.start()
        (edge.folder / "srv" / "static").symlink_to(ROOT / "staticfiles")
        yield Stack(edge, web, ws)


@contextmanager
def closing_by_stop(server: Server) -> Iterator[None]:
    """Also when what comes before its start fails: it has a folder already."""
    try:
        yield
    finally:
        server.stop()


def cookies(answer: Answer) -> str:
    return "; ".join(value.partition(";")[0] for value in answer.all("set-cookie"))


def sign_in(stack: Stack, email: str, password: str, **headers: str) -> Answer:
    page = stack.edge.get("/accounts/login/", source=VISITOR)
    assert page.status == 200
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    form = f"csrfmiddlewaretoken={token[1]}&login={email}&password={password.replace(' ', '+')}"
    return stack.edge.ask(
        "POST",
        "/accounts/login/",
        body=form.encode(),
        source=VISITOR,
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": cookies(page),
            "Origin": stack.origin,
            **headers,
        },
    )


def test_s03_a_sign_in_is_noted_with_the_real_address(stack: Stack) -> None:
    alice = make_patient_user(password=make_password(PASSWORD))
    answer = sign_in(stack, alice.email, PASSWORD, **FORGED)
    assert answer.status == 302, answer.text[:500]
    assert "__Host-session=" in cookies(answer)
    assert SignIn.objects.get(user=alice).address == VISITOR
    addresses = set(AuditEvent.objects.values_list("address", flat=True))
    assert addresses <= {VISITOR}


def test_s03_a_socket_has_the_real_address(stack: Stack) -> None:
    alice, amara = make_patient_user(), make_doctor_user()
    stranger = make_patient_user("stranger@example.org", name="Sam Stranger")
    talk = make_conversation(alice, amara)
    with open_socket(stack, stranger, **FORGED) as wire:
        assert json.loads(wire.recv(timeout=10))["type"] == "welcome"
        wire.send(
            json.dumps(
                {
                    "type": "send",
                    "conversation": str(talk.public_id),
                    "client_id": str(uuid4()),
                    "body": "x",
                }
            )
        )
        assert json.loads(wire.recv(timeout=10))["code"] == "not_found"
        noted = AuditEvent.objects.filter(action="conversation.write.refused")
        deadline = time.monotonic() + 15  # the answer does not wait for it
        while not noted.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    refusal = noted.get()
    assert (refusal.actor_id, refusal.address) == (stranger.pk, VISITOR)
    assert refusal.request_id == stack.edge.entry(path="/ws")["request_id"]


def open_socket(stack: Stack, user: User, **headers: str) -> ClientConnection:
    line = stack.edge.raw_line(source=VISITOR)
    return connect(
        f"wss://{NAME}:{stack.edge.port}/ws/chat/",
        sock=line,
        ssl=trusting(),
        server_hostname=NAME,
        origin=Origin(stack.origin),
        subprotocols=[Subprotocol("clinic.chat.v1")],
        additional_headers={"Cookie": f"__Host-session={session_of(user)}", **headers},
        open_timeout=15,
    )


# --- Every status has the headers, each once (SECURITY 35) ----------------------------------
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "clinic.chat.v1",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/accounts/login/", 200),
        ("GET", "/appointments/", 302),
        ("POST", "/accounts/login/", 403),
        ("GET", "/no/such/page/", 404),
        ("DELETE", "/accounts/login/", 403),
        ("GET", "/static/none.css", 404),
        ("GET", "/admin/", 302),
        ("GET", "/ws/none/", 404),
    ],
)
def test_s35_the_sites_answers_have_the_headers_once(
    stack: Stack, method: str, path: str, status: int
) -> None:
    answer = stack.edge.ask(method, path)
    assert answer.status == status
    assert_headers(answer)
    assert answer["X-Request-ID"]


@pytest.mark.parametrize("origin", ["https://evil.example.org", "null", f"http://{NAME}", ""])
def test_s35_a_refused_socket_has_the_headers_once(stack: Stack, origin: str) -> None:
    answer = stack.edge.get("/ws/chat/", headers=UPGRADE | {"Origin": origin})
    assert answer.status in {400, 403}
    assert_headers(answer)


def test_s35_a_hashed_file_comes_packed_from_the_edge(stack: Stack) -> None:
    page = stack.edge.get("/")
    style = re.search(r'href="(/static/css/site\.[0-9a-f]{12}\.css)"', page.text)
    assert style is not None
    answer = stack.edge.get(style[1], headers={"Accept-Encoding": "gzip"})
    assert (answer.status, answer["Content-Encoding"]) == (200, "gzip")
    assert answer["Cache-Control"] == "public, max-age=31536000, immutable"
    assert_headers(answer)
    assert stack.edge.entry(request_id=answer["X-Request-ID"])["upstream"] == ""


# --- Framing (SECURITY 33) ------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/accounts/login/", "/ws/chat/"])
def test_s33_ambiguous_requests_reach_neither_server(stack: Stack, path: str) -> None:
    for fields in AMBIGUOUS.values():
        assert_refused_once(stack.edge.dialogue(post(path, fields, CHUNKS)))
    for task in (stack.web, stack.ws):
        assert "smuggled" not in task.log.read_text()


def test_s33_a_request_inside_a_form_stays_a_form(stack: Stack) -> None:
    body = f"text={CHUNKS}"
    sent = f"Content-Length: {len(body)}\r\nConnection: close"
    answer = stack.edge.dialogue(post("/accounts/login/", sent, body))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.split()[1] == b"403"


# --- What is for those inside (SECURITY 40) -------------------------------------------------
@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_s40_metrics_are_there_inside_and_not_outside(stack: Stack, path: str) -> None:
    for task in (stack.web, stack.ws):
        with urlopen(f"http://127.0.0.1:{task.port}{path}", timeout=10) as inside:
            assert inside.status == 200
    assert_own_page(stack.edge.get(path), 404)
