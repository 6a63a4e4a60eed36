"""SECURITY 38 for logs: canaries go in everywhere, and none comes out; one event is one line."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from clinic import urls
from clinic.logs import PlainLine, clean, configure
from tests.test_settings import PRODUCTION, run

CANARY = "Zanzibar-Canary-77"
MAIL = "canary.person@hospital.example.org"
CONTROL = "one\r\ntwo\x1b[31mred\x00\x85\u2028end"


def fail(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Breaks with everything that was sent in the exception's text, as libraries do."""
    sent = [
        slug,
        request.GET.get("q"),
        request.POST.get("reason"),
        request.META.get("HTTP_REFERER"),
    ]
    try:
        raise KeyError(f"inner {sent}")
    except KeyError as error:
        raise ValueError(f"Duplicate entry {sent!r} for key {MAIL}") from error


def lose(request: HttpRequest) -> HttpResponse:
    raise OperationalError(2013, f"Lost connection during INSERT … {CANARY}")


def fine(request: HttpRequest, slug: str) -> HttpResponse:
    structlog.get_logger("clinic.test").info("noted", note=CONTROL, to=MAIL)
    logging.getLogger("some.library").warning("cannot write to %s\n%s", MAIL, CONTROL)
    return HttpResponse("fine")


urlpatterns = [
    *urls.urlpatterns,
    path("fail/<slug>/", fail),
    path("fine/<slug>/", fine),
    path("lose/", lose),
]
handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500


class Lines:
    """What the project's own log configuration writes, as text and as parsed JSON lines."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.split("\n") if line]

    def of(self, event: str) -> dict[str, Any]:
        [found] = [line for line in self.events if line["event"] == event]
        return found


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Logs as production writes them, at the level that says most, into memory."""
    written = Lines()
    wanted = configure(level="DEBUG", plain=False)
    for handler in wanted["handlers"].values():
        handler["stream"] = written.stream
    before = {name: logging.getLogger(name) for name in wanted["loggers"]} | {
        "": logging.getLogger()
    }
    saved = {
        name: (one.handlers[:], one.level, one.propagate, one.filters[:])
        for name, one in before.items()
    }
    logging.config.dictConfig(wanted)
    yield written
    for name, (handlers, level, propagate, filters) in saved.items():
        one = before[name]
        one.handlers, one.propagate, one.filters = handlers, propagate, filters
        one.setLevel(level)


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


pytestmark = pytest.mark.urls("tests.test_logs")

EVERYWHERE = {"q": f"{CANARY} {MAIL}"}


def assert_nothing_leaked(lines: Lines) -> None:
    assert lines.text, "nothing was logged, so the test shows nothing"
    for secret in (CANARY, MAIL, "hospital.example", "Duplicate entry", "sekrit"):
        assert secret not in lines.text
    for line in lines.text.split("\n"):
        assert "\r" not in line and "\x1b" not in line and "\x00" not in line
        if line:
            json.loads(line)


@pytest.mark.django_db
def test_s38_a_request_is_one_line_with_its_route(client: Client, lines: Lines) -> None:
    answer = client.get(f"/fine/{CANARY}/", EVERYWHERE, headers={"user-agent": CANARY})
    assert answer.status_code == 200
    line = lines.of("request")
    assert line["method"] == "GET"
    assert line["route"] == "fine/<slug>/"
    assert line["status"] == 200
    assert line["ms"] >= 0
    assert line["level"] == "info"
    assert line["request_id"] == answer["X-Request-ID"]
    assert_nothing_leaked(lines)


@pytest.mark.django_db
def test_s38_what_was_sent_is_in_no_line_when_a_view_breaks(client: Client, lines: Lines) -> None:
    client.cookies["session"] = f"{CANARY}-session"
    answer = client.post(
        f"/fail/{CANARY}/?q={CANARY}",
        {"reason": f"{CANARY} {CONTROL}", "password": f"sekrit {CANARY}"},
        headers={"referer": f"http://testserver/{CANARY}", "x-request-id": f"{CANARY}\r\nx"},
    )
    assert answer.status_code == 500
    assert CANARY not in answer.content.decode()
    line = lines.of("request_failed")
    assert line["exception"] == "builtins.ValueError"
    assert line["cause"] == "builtins.KeyError"
    assert any("test_logs.py" in frame and frame.endswith(" fail") for frame in line["frames"])
    assert line["request_id"] == lines.of("request")["request_id"]
    assert lines.of("request")["status"] == 500
    assert_nothing_leaked(lines)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "headers"),
    [
        (f"/no/{CANARY}/?q={CANARY}", {}),
        (f"/fine/{CANARY}/%0d%0aSet-Cookie:x/", {}),
        ("/accounts/login/", {"host": f"{CANARY}.example"}),
        (f"/static/{CANARY}.css", {}),
        (f"/doctors/{CANARY}/", {}),
    ],
)
def test_s38_refused_requests_leave_no_path_and_no_host(
    client: Client, lines: Lines, address: str, headers: dict[str, str]
) -> None:
    assert client.get(address, headers=headers).status_code in {400, 404}
    assert_nothing_leaked(lines)


@pytest.mark.django_db
def test_s38_a_refused_form_leaves_no_referer(lines: Lines) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post(
        "/accounts/login/",
        {"login": MAIL, "password": f"sekrit {CANARY}"},
        secure=True,
        headers={"referer": f"https://evil.example/{CANARY}", "origin": f"https://{CANARY}"},
    )
    assert answer.status_code == 403
    assert_nothing_leaked(lines)


@pytest.mark.django_db
def test_s38_a_failed_sign_in_leaves_no_address(client: Client, lines: Lines) -> None:
    client.post("/accounts/login/", {"login": MAIL, "password": f"sekrit {CANARY}"})
    assert_nothing_leaked(lines)


@pytest.mark.django_db
def test_s38_a_lost_database_leaves_no_statement(client: Client, lines: Lines) -> None:
    assert client.get("/lose/").status_code == 503
    assert lines.of("database_unavailable")["level"] == "warning"
    assert_nothing_leaked(lines)


@pytest.mark.django_db
def test_s38_control_characters_stay_on_one_line(client: Client, lines: Lines) -> None:
    client.get("/fine/x/")
    noted = lines.of("noted")["note"]
    assert noted == "one\\x0d\\x0atwo\\x1b[31mred\\x00\\x85\\u2028end"
    [library] = [line for line in lines.events if line.get("logger") == "some.library"]
    assert library["event"].startswith("cannot write to [e-mail]\\x0a")
    assert_nothing_leaked(lines)


def test_s38_plain_lines_are_lines_too() -> None:
    shown = PlainLine()(None, "", {"event": clean(CONTROL), "level": "info", "a": clean(MAIL)})
    assert shown.splitlines() == [shown]
    assert "a=[e-mail]" in shown


@pytest.mark.parametrize(
    "text",
    [MAIL, f"<{MAIL}>", f"to={MAIL};", f"'{MAIL}'", f"Name <{MAIL}>,", "o'neil+x@a.example.org"],
)
def test_s38_addresses_are_masked_wherever_they_stand(text: str) -> None:
    assert "@" not in clean(text)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sent", "proxies", "kept"),
    [
        ("0f4c2a9e-77aa", 1, True),
        ("0f4c2a9e-77aa", 0, False),
        ("short", 1, False),
        ("x" * 65, 1, False),
        ("has spaces in it", 1, False),
        ('"},{"a":"b', 1, False),
    ],
)
def test_s38_a_request_id_is_taken_over_from_our_proxy_and_well_formed_only(
    client: Client, lines: Lines, sent: str, proxies: int, kept: bool
) -> None:
    with override_settings(TRUSTED_PROXY_COUNT=proxies):
        answer = client.get("/fine/x/", headers={"x-request-id": sent})
    assert (answer["X-Request-ID"] == sent) is kept
    assert lines.of("noted")["request_id"] == answer["X-Request-ID"]


@pytest.mark.django_db
def test_one_request_does_not_lend_its_id_to_the_next(client: Client, lines: Lines) -> None:
    first, second = client.get("/fine/x/"), client.get("/fine/x/")
    assert first["X-Request-ID"] != second["X-Request-ID"]
    structlog.get_logger("clinic.test").info("outside")
    assert "request_id" not in lines.of("outside")


def test_production_writes_json_and_the_embedded_default_writes_for_people() -> None:
    code = (
        "import django; django.setup()\n"
        "import structlog, logging; structlog.get_logger('clinic.x').info('hello', number=3)\n"
        "logging.getLogger('lib').warning('careful')"
    )
    production = run("-c", code, **PRODUCTION)
    found = [json.loads(line) for line in production.stderr.splitlines()]
    assert [line["event"] for line in found] == ["hello", "careful"]
    assert found[0]["number"] == 3 and found[0]["level"] == "info"
    plain = run("-c", code).stderr.splitlines()
    assert [line[9:] for line in plain] == ["INFO    hello number=3", "WARNING careful"]
