"""SECURITY 34 and 35 at every address: nobody keeps a personal page, and the headers are there."""

from __future__ import annotations

import re
from http.cookies import Morsel

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from tests.cast import ALICE, PASSWORD
from tests.security.routes import PUBLIC, ROWS
from tests.security.world import ROLES, World, ended
from tests.test_headers import CSP, CSP_OF_FILES, assert_safe

pytestmark = pytest.mark.django_db

PROBES = {
    "livez",
    "readyz",
    "metrics",
}  # of nobody, and kept by nobody either


def test_s34_no_page_is_kept_once_somebody_is_signed_in(world: World) -> None:
    for role in ROLES[1:]:
        client = world.client(role)
        for row in ROWS.values():
            answer = ended(client.get(row.path(world)))
            assert "no-store" in answer.headers["Cache-Control"], (role, row.route)
            assert "public" not in answer.headers["Cache-Control"], (role, row.route)
    for row in ROWS.values():
        for role in ("anonymous", "alice"):
            answer = world.client(role).post(row.path(world), row.sent(world))
            if row.route not in PROBES:
                assert "no-store" in answer.headers["Cache-Control"], (role, row.route)


def test_s34_who_only_looks_gets_no_cookie_and_no_session(world: World) -> None:
    before = Session.objects.count()
    for row in ROWS.values():
        client = Client()
        for path in (row.path(world), "/no/such/page/"):
            answer = client.get(path)
            # A page with a form needs the form's token, and nothing else.
            allowed = set() if row in PUBLIC else {settings.CSRF_COOKIE_NAME}
            assert set(answer.cookies) <= allowed, row.route
            if row.route not in PROBES:
                assert re.search("no-store|private", answer.headers["Cache-Control"]), row.route
    assert Session.objects.count() == before


def test_s34_after_signing_out_every_page_asks_to_sign_in(world: World) -> None:
    client = Client()
    client.post("/accounts/login/", {"login": ALICE, "password": PASSWORD})
    old = client.cookies[settings.SESSION_COOKIE_NAME].value
    own = [row for row in ROWS.values() if row.statuses("get")["anonymous"] == 302]
    assert client.get("/appointments/").status_code == 200
    client.post("/accounts/logout/")
    again = Client()
    again.cookies[settings.SESSION_COOKIE_NAME] = old  # the Back button, or somebody with the key
    for row in own:
        answer = ended(again.get(row.path(world)))
        assert answer.status_code == 302, row.route
        assert b"Moreau" not in answer.content
    kept: Morsel[str] = client.cookies[settings.SESSION_COOKIE_NAME]
    assert kept.value == ""


def test_s35_every_answer_of_every_address_has_the_headers(world: World) -> None:
    seen: set[int] = set()
    for role in ("anonymous", "alice", "administrator"):
        client = world.client(role)
        for row in ROWS.values():
            for answer in (client.get(row.path(world)), client.put(row.path(world))):
                seen.add(answer.status_code)
                assert_safe(answer, CSP_OF_FILES if ended(answer).streaming else CSP)
    for row in ROWS.values():
        refused = Client(enforce_csrf_checks=True).post(row.path(world), row.sent(world))
        seen.add(refused.status_code)
        assert_safe(refused)
    assert {200, 302, 403, 404, 405} <= seen


def test_s35_no_page_needs_what_the_policy_forbids(world: World) -> None:
    """Nothing inline: no script, style, handler or data: address, in the admin either."""
    for role in ("anonymous", "alice", "doctor", "administrator"):
        client = world.client(role)
        for row in ROWS.values():
            answer = ended(client.get(row.path(world)))
            if not answer.headers.get("Content-Type", "").startswith("text/html"):
                continue
            page = answer.content.decode()
            for script in re.findall(r"<script\b([^>]*)>", page):
                is_data = re.search(r'type="application/(ld\+)?json"', script)
                assert "src=" in script or is_data, (role, row.route, script)
            assert not re.search(r"<style\b", page), (role, row.route)
            tags = re.sub(r"<script\b.*?</script>", "", page, flags=re.S)
            for tag in re.findall(r"<[a-z][^>]*>", tags):
                assert not re.search(r'\s(style|on[a-z]+)=|="(data|javascript):', tag), (role, tag)
