"""SECURITY 15, 20 and 22: who gets what at every address, and whose form changes something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from tests.security.routes import ALL, ROUTES, ROWS, all_routes
from tests.security.row import Row
from tests.security.world import ROLES, World, difference, ended, rows

pytestmark = [pytest.mark.django_db, pytest.mark.once]

TOKEN = "t" * 32
every_route = pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)


@contextmanager
def undone() -> Iterator[None]:
    """What happens inside is rolled back. Not `atomic`: booking insists on being the outermost."""
    point = transaction.savepoint()
    yield
    transaction.savepoint_rollback(point)


def test_s15_every_address_has_a_row() -> None:
    assert set(all_routes()) - ROUTES == set(), "say in routes.py who may do what there"
    assert ROUTES - set(all_routes()) == set(), "these addresses are gone"
    assert len(ROWS) == len(ALL), "two rows have one name"


@every_route
def test_s15_everybody_gets_what_the_row_says_and_reading_changes_nothing(
    row: Row, world: World
) -> None:
    path = row.path(world)
    clients = {role: world.client(role) for role in ROLES}
    before = rows()
    quiet = [role for role in ROLES if role not in row.audited.split()]
    got = {role: ended(clients[role].get(path)).status_code for role in quiet}
    # The form in the address is no form. The admin's lists take it for a filter, and say so.
    asked = {} if row.route.startswith("admin/") else row.sent(world)
    heads = {role: ended(clients[role].head(path, asked)).status_code for role in quiet}
    assert difference(before, rows()) == {}
    before = rows(trail=False)
    for role in row.audited.split():
        got[role] = ended(clients[role].get(path)).status_code
        heads[role] = ended(clients[role].head(path)).status_code
    others: dict[str, dict[str, int]] = {}
    for method in ("put", "patch", "delete"):
        cache.clear()  # of what limits count
        others[method] = {
            role: ended(getattr(clients[role], method)(path)).status_code for role in ROLES
        }
    assert difference(before, rows(trail=False)) == {}
    expected = row.statuses("get")
    assert got == expected
    assert heads == expected
    for method, found in others.items():
        # allauth asks who it is before it looks at the method.
        assert set(found.values()) <= {405, 302}, method
        if not (row.route.startswith("accounts/") and "302" in row.get):
            assert set(found.values()) == {405}, method


@every_route
def test_s15_s20_s22_a_form_is_taken_from_whom_the_row_says_and_from_our_own_pages(
    row: Row, world: World
) -> None:
    path = row.path(world)
    changing = row.changes.split()
    got: dict[str, int] = {}
    clients = {role: world.client(role) for role in ROLES}
    before = rows(trail=False)
    for role in ROLES:
        if role not in changing:
            got[role] = clients[role].post(path, row.sent(world)).status_code
    assert _lasting(difference(before, rows(trail=False))) == {}
    before = rows(trail=False)
    for role in changing:
        cache.clear()
        with undone():
            got[role] = clients[role].post(path, row.sent(world)).status_code
            assert difference(before, rows(trail=False)) != {}, role
    assert got == row.statuses("post")
    _refuses_foreign_forms(row, world)


def _refuses_foreign_forms(row: Row, world: World) -> None:
    """SECURITY 22: a form of another site or without its token changes nothing."""
    path = row.path(world)
    roles = row.changes.split() or (["administrator"] if row.post != "405" else [])
    for role in roles[:1]:
        client = world.client(role, enforce_csrf_checks=True)
        client.cookies[settings.CSRF_COOKIE_NAME] = TOKEN

        def signed() -> dict[str, Any]:  # anew each time: a file is read once
            return row.sent(world) | {"csrfmiddlewaretoken": TOKEN}

        before = rows()
        for method in (client.post, client.put, client.patch, client.delete):
            assert method(path, row.sent(world)).status_code in {403, 405}
        for origin in ("https://evil.example", "http://testserver.evil.example", "null"):
            refused = client.post(path, signed(), headers={"origin": origin})
            assert refused.status_code == 403
        assert difference(before, rows()) == {}
        cache.clear()
        with undone():  # with the token it works, or all this would prove nothing
            assert client.post(path, signed()).status_code == row.statuses("post")[role]
            assert not row.changes or difference(before, rows()) != {}


def _lasting(changed: dict[str, Any]) -> dict[str, Any]:
    """What stays behind besides the sender's own session, which notes what was asked last."""
    return {label: what for label, what in changed.items() if label != "sessions.Session"}


@pytest.mark.parametrize(
    "row", [row for row in ROWS.values() if row.unknown], ids=lambda row: row.name
)
@pytest.mark.parametrize("method", ["get", "head", "post", "put", "delete"])
def test_s15_an_id_that_is_somebody_elses_looks_like_one_that_nobody_has(
    row: Row, world: World, method: str
) -> None:
    real, unknown = row.path(world), row.unknown_path(world)
    for role in ["anonymous", "charlie", "other", "reception", "administrator"]:
        answers = [getattr(world.client(role), method)(path) for path in (real, unknown)]
        shown = [
            (
                answer.status_code,
                answer.headers.get("Location", "").replace(path, "PATH"),
                re.sub(rb'(name="csrfmiddlewaretoken" value=")[^"]+', rb"\1", answer.content),
            )
            for answer, path in zip(answers, (real, unknown), strict=True)
        ]
        assert shown[0][0] == shown[1][0]
        assert shown[0][1:] == shown[1][1:] or answers[0].status_code == 302
        assert list(answers[0].headers) == list(answers[1].headers)
