"""What a page type is: how a page can look, and how to get there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from playwright.sync_api import Page, Response

from tests.browser import steps
from tests.browser.people import People, Person, run
from tests.browser.steps import send
from tests.site import Site

Opened = Response | None


@dataclass
class Visitor:
    """A page in a fresh profile, and what its way there needs."""

    page: Page
    site: Site
    people: People
    person: Person | None

    def to(self, address: str) -> Opened:
        return self.page.goto(address)

    def visit(self, status: str) -> str:
        """The address of a visit of the sample's first patient: the coming one is booked."""
        rows = run(
            self.site,
            "SELECT a.public_id FROM appointments_appointment a "
            "JOIN accounts_patient p ON p.id = a.patient_id "
            "JOIN accounts_user u ON u.id = p.account_id "
            "WHERE u.email = ? AND a.status = ? "
            "AND (a.status <> 'booked' OR a.starts_at > datetime('now', '+1 day')) ORDER BY a.id",
            self.person,
            status,
        )
        return f"/appointments/{steps.dashed(rows[0][0])}/"

    def posted(self, name: str) -> Opened:
        return send(self.page, name)


@dataclass(frozen=True)
class PageType:
    name: str
    route: str
    open: Callable[[Visitor], Opened]
    who: str = ""  # the address of a sample account, "fresh" for a new one, or a visitor
    status: int = 200
    problem: bool = field(default=False)  # the title begins with "Error:"


def at(address: str) -> Callable[[Visitor], Opened]:
    return lambda visitor: visitor.to(address)


def sent_empty(address: str, name: str) -> Callable[[Visitor], Opened]:
    def open_and_send(visitor: Visitor) -> Opened:
        visitor.to(address)
        return visitor.posted(name)

    return open_and_send
