"""SECURITY 31 for the messages: every name that their views read, in every form and address.

The names are found by reading the views' source and the forms of the pages, so that a new one
without a row here fails.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import resolve

from chat import forms as chat_forms
from tests.security.routes import MESSAGES, words
from tests.security.row import Row
from tests.security.test_s31_parameters import HOSTILE, sent
from tests.security.world import World, difference, ended, photo, rows

pytestmark = [pytest.mark.django_db, pytest.mark.once]

CHAT = Path(chat_forms.__file__).parent
TALK = "messages/<uuid:public_id>/"


@dataclass(frozen=True)
class Form:
    """The form of an address: who sends it, what makes it good, and the names it takes."""

    role: str
    names: list[str]
    good: dict[str, Any] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)  # names that may be empty
    ignored: set[str] = field(default_factory=set)  # names whose bad values count as none
    free: set[str] = field(default_factory=set)  # words of one's own: many a value is good


FORMS = {
    TALK: Form("alice", ["client_id", "body", "reply_to", "attachment", "file", "shown"], words(),
               left_out={"reply_to", "attachment"}, ignored={"shown", "file"}, free={"body"}),
    f"{TALK}attachments/": Form("alice", ["file"]),
    f"{TALK}edit/": Form("alice", ["client_id", "target", "body"], words(target="1"),
                         free={"body"}),
    f"{TALK}delete/": Form("alice", ["client_id", "target"], words(target="1")),
    f"{TALK}marks/": Form("alice", ["read", "delivered"], ignored={"read", "delivered"}),
    f"{TALK}close/": Form("alice", []),
    f"{TALK}reopen/": Form("alice", []),
    f"{TALK}colleagues/": Form("doctor", ["action", "doctor", "user"]),
    "messages/new/": Form("reception", ["doctor", "hospital", "patient", "appointment",
                                        "reference"]),
    "messages/settings/": Form(
        "doctor",
        ["show_seen", "reply_days", "cover", *(f"away_{which}_{part}" for which in ("from", "until")
                                 for part in ("month", "day", "year"))],
        ignored={"show_seen"}, left_out=set(),
    ),
}  # fmt: skip

# Names in addresses, and where.
ADDRESSES = {
    "messages/": ["q", "page"],
    "messages/new/": ["patient"],
    "messages/waiting/": ["page"],
    TALK: ["q", "before", "reply_to", "edit", "delete", "page"],
    f"{TALK}events": ["after", "limit"],
    f"{TALK}transcript/": ["after"],
    f"{TALK}attachments/": ["before"],
    "messages/attachments/<uuid:public_id>/": ["thumbnail"],
}
REFUSED = {400, 403, 404, 409, 422}
ROWS = {row.route: row for row in reversed(MESSAGES)}  # the first of a route's rows


def names_read() -> Iterator[tuple[str, str]]:
    """(method, name) of everything that the views take from a request."""
    for path in sorted(CHAT.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in {"get", "getlist"} and node.args:
                    source, key = node.func.value, node.args[0]
                else:
                    continue
            elif isinstance(node, ast.Subscript):
                source, key = node.value, node.slice
            else:
                continue
            given = ast.unparse(source)
            if given.endswith((".POST", ".GET", ".FILES")) or given == "given":
                method = given.rpartition(".")[2]
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield method, key.value
                elif given != "given":
                    yield method, f"<{ast.unparse(key)}>"


def test_s31_every_name_that_the_views_read_is_tried_here() -> None:
    in_forms = {name for form in FORMS.values() for name in form.names}
    in_addresses = {name for names in ADDRESSES.values() for name in names}
    read = set(names_read())
    assert len(read) > 15  # or the search above finds nothing any more
    for method, name in read:
        if name == "<name>":  # two loops over names that stand beside them, tried above
            continue
        if method in {"POST", "FILES"}:
            assert name in in_forms, f"{name} is read from forms: say in FORMS of which"
        elif method == "GET":
            assert name in in_addresses, f"{name} is read from addresses: say in ADDRESSES of which"
        else:
            assert name in in_forms | in_addresses, name
    assert {"doctor"} <= set(chat_forms.ColleagueForm.base_fields) <= in_forms
    for name in chat_forms.ChatSettingsForm.base_fields:
        assert [each for each in in_forms if each.startswith(name)], name


def test_s31_every_form_of_the_messages_has_its_row_here(world: World) -> None:
    taking = {row.route for row in MESSAGES if row.post != "405"}
    assert taking == set(FORMS)
    found: set[tuple[str, str]] = set()
    pages = [row for row in MESSAGES if row.get != "405"]
    for role in ("alice", "doctor", "reception"):
        client = world.client(role)
        for row in pages:
            for query in ("", "?edit=1", "?delete=1", "?reply_to=1"):
                path = row.path(world)
                answer = ended(client.get(path + query))
                if answer.status_code == 200 and "html" in answer.headers["Content-Type"]:
                    found |= set(_names_on(answer.content.decode(), path))
    with_fields = {route for route, form in FORMS.items() if form.names}
    # Files alone go by script only.
    assert {route for route, _name in found} == with_fields - {f"{TALK}attachments/"}
    for route, name in found:
        assert name in FORMS[route].names, (route, name)


def _names_on(page: str, path: str) -> Iterator[tuple[str, str]]:
    """(route, name) of the fields of every form that a page posts to the messages."""
    for attributes, inside in re.findall(r"<form\b([^>]*)>(.*?)</form>", page, re.S):
        if 'method="post"' not in attributes:
            continue
        action = re.search(r'action="([^"]*)"', attributes)
        route = resolve(action[1] if action and action[1] else path).route
        if not route.startswith("messages/"):
            continue
        yield from ((route, name) for name in re.findall(r'\bname="([^"]+)"', inside)
                    if name != "csrfmiddlewaretoken")  # fmt: skip
        if not re.search(r'\bname="(?!csrf)', inside) and FORMS[route].names:
            raise AssertionError(f"a form without fields posts to {route}")


def _send(world: World, row: Row, form: Form, name: str) -> dict[str, int]:
    """What each hostile value of ``name`` is answered."""
    client, path = world.client(form.role), row.path(world)
    good = {"action": "remove"} if name == "user" else form.good
    good = good | ({"action": "add"} if name == "doctor" and form.role == "doctor" else {})
    before = rows(trail=False)
    answers: dict[str, int] = {}
    for value in HOSTILE:
        cache.clear()  # of what limits count
        if not value.strip() and name in form.left_out:
            continue
        if name.startswith("away_") and not value.strip():
            continue  # left out
        if name in {"cover", "reply_days"} and not value.strip():
            continue
        if name == "reply_days" and value == "0":
            continue  # one of the choices: the same day
        answers[value] = client.post(path, good | {name: value}).status_code
    changed = difference(before, rows(trail=False))
    changed.pop("sessions.Session", None)
    if not form.free & {name}:
        # An ignored value leaves a good form: what it does, it does as without the name.
        expected = set() if name not in form.ignored else {
            "chat.Event", "chat.Conversation", "chat.Participant", "chat.ChatSettings",
            "accounts.AuditEvent",
        }  # fmt: skip
        assert set(changed) <= expected, (name, changed)
    return answers


@pytest.mark.parametrize(
    ("route", "name"), [(route, name) for route, form in FORMS.items() for name in form.names]
)
def test_s31_a_hostile_value_is_refused_or_counts_as_none(
    world: World, route: str, name: str
) -> None:
    form = FORMS[route]
    answers = _send(world, ROWS[route], form, name)
    assert len(answers) > 20
    for value, status in answers.items():
        if name in form.ignored:
            assert status == 302, value
        elif name in form.free:
            assert status in REFUSED | {302}, value
        else:
            assert status in REFUSED, value


@pytest.mark.parametrize("route", [route for route in FORMS if "body" in FORMS[route].names])
def test_s31_words_are_stored_as_they_were_typed(world: World, route: str) -> None:
    """The control of the values above that are good words: they are text, and nothing happens."""
    client, path = world.client("alice"), ROWS[route].path(world)
    for number, value in enumerate(HOSTILE):
        cache.clear()
        form = FORMS[route].good | {"body": value, "client_id": f"{number:08x}-0000-7000-8000-00aa"
                                    "000000aa"}  # fmt: skip
        status = client.post(path, form).status_code
        is_text = value.strip() and len(value) <= 4_000 and not re.search("[\0-\x08]", value)
        assert (status == 302) is bool(is_text), value
        if is_text:
            last = world.talk.events.order_by("-seq").first()
            assert last is not None and last.body == value.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("route", "name"), [(route, name) for route, names in ADDRESSES.items() for name in names]
)
def test_s31_a_hostile_value_in_an_address_gets_a_page(world: World, route: str, name: str) -> None:
    role = {"messages/waiting/": "reception", "messages/new/": "doctor"}.get(route, "alice")
    client = world.client(role)
    before = rows(trail=False)
    sent(client, ROWS[route].path(world), name)
    assert difference(before, rows(trail=False)) == {}


def test_s31_a_file_under_another_name_is_no_file(world: World) -> None:
    path = ROWS[f"{TALK}attachments/"].path(world)
    client = world.client("alice")
    before = rows(trail=False)
    for name in ("File", "file[]", "files", "attachment", "upload"):
        assert client.post(path, {name: photo()}).status_code == 422
    assert difference(before, rows(trail=False)) == {}
