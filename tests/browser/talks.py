"""Conversations for the browser tests, each of a patient and a doctor of its own, and talking.

All are made at once: each look into the project from outside costs a start of Django.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from playwright.sync_api import Locator, Page, expect

from tests.browser.people import Person, run
from tests.site import Site

_MAKE = """
import json
from django.test import Client
from tests.appointments.town import hospital
from tests.cast import make_patient_user
from tests.chat.wire import make_conversation, make_doctor_user
where = hospital()
made = []
for number in range({count}):
    pair = [
        make_patient_user(f"talk{{number}}@example.org", name=f"Maya Lind {{number}}"),
        make_doctor_user(f"doctor-talk{{number}}@example.org", f"Iris Vance {{number}}"),
    ]
    talk = make_conversation(*pair, where=where)
    sessions = []
    for user in pair:
        client = Client()
        client.force_login(user)
        sessions.append([user.email, user.name, client.cookies["session"].value])
    made.append([str(talk.public_id), talk.pk, *sessions])
print(json.dumps(made))
"""
COUNT = 40  # more than there are tests that take one


@dataclass(frozen=True)
class Talk:
    """A conversation nobody has written in yet."""

    site: Site
    id: str
    pk: int
    patient: Person
    doctor: Person

    @property
    def address(self) -> str:
        return f"/messages/{self.id}/"

    def stored(self) -> list[str]:
        """The bodies of all messages in the log, in its order."""
        rows = run(
            self.site,
            "SELECT body FROM chat_event WHERE conversation_id = ? AND kind = 'message' "
            "ORDER BY seq",
            self.pk,
        )
        return [body for (body,) in rows]

    def fill(self, count: int) -> None:
        """Gives it a past of ``count`` messages, one a minute, the last an hour ago."""
        run(
            self.site,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO chat_event (conversation_id, seq, kind, sender_id, client_id, body, at) "
            "SELECT ?, i, 'message', (SELECT id FROM accounts_user WHERE email = "
            "CASE WHEN i % 3 THEN ? ELSE ? END), printf('00000000-0000-4000-8000-%012d', ? + i), "
            "'Message number ' || i, datetime('now', '-' || (60 + ? - i) || ' minutes') FROM n",
            count,
            self.pk,
            self.patient,
            self.doctor,
            self.pk * 1_000_000,
            count,
        )
        run(self.site, "UPDATE chat_conversation SET last_seq = ? WHERE id = ?", count, self.pk)
        run(
            self.site,
            "INSERT INTO chat_participant (conversation_id, user_id, delivered_seq, read_seq, "
            "mailed_seq) SELECT ?, id, ?, ?, 0 FROM accounts_user WHERE email IN (?, ?)",
            self.pk,
            count,
            count,
            self.patient,
            self.doctor,
        )


@dataclass
class Talks:
    waiting: list[Talk] = field(default_factory=list)

    @classmethod
    def of(cls, site: Site, *, count: int = COUNT) -> Talks:
        printed = site.shell(_MAKE.format(count=count))
        return cls(
            [
                Talk(site, public_id, pk, Person(*patient), Person(*doctor))
                for public_id, pk, patient, doctor in json.loads(printed.splitlines()[-1])
            ]
        )

    def fresh(self) -> Talk:
        return self.waiting.pop(0)


def enter(page: Page, talk: Talk) -> Page:
    """Opens the conversation and waits until it is live."""
    page.goto(talk.address)
    expect(page.locator(".chat--live")).to_be_visible()
    connected(page)
    return page


def connected(page: Page) -> None:
    """Waits until the other side could see this one: the socket is welcomed."""
    expect(page.locator("[data-chat]")).to_have_attribute("data-line", "up")


def composer(page: Page) -> Locator:
    return page.get_by_label("Write a message")


def say(page: Page, text: str) -> None:
    composer(page).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()


def message(page: Page, text: str) -> Locator:
    """The message with this text."""
    body = page.locator("[data-body]", has_text=re.compile(f"^{re.escape(text)}$"))
    return page.locator("li.message").filter(has=body)


def state(page: Page, text: str) -> Locator:
    return message(page, text).locator("[data-state]")


def bodies(page: Page) -> list[str]:
    return page.locator("li.message [data-body]").all_inner_texts()


def act(page: Page, text: str, name: str) -> None:
    """Replies to, edits or deletes a message, as with a mouse."""
    row = message(page, text)
    row.hover()
    row.locator(f"[data-{name}]").click()
