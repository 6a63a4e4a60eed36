"""What people do on the pages, by the words they see."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, Response, expect

from tests.site import Site

PASSWORD = "quiet harbour lights at noon"
CODE = re.compile(r"^\s*([0-9A-Z][0-9A-Z-]{4,})\s*$", re.MULTILINE)


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1, name=text, exact=True)).to_be_visible()


def button(page: Page, name: str) -> Locator:
    """A button of the page's own part; the header has one too."""
    return page.get_by_role("main").get_by_role("button", name=name, exact=True)


def link(page: Page, name: str) -> Locator:
    """A link of the page's own part, also one that looks like a button."""
    return page.get_by_role("main").get_by_role("link", name=name, exact=True)


def send(page: Page, name: str) -> Response:
    """Presses a button that posts; the answer to the post itself, before any redirect."""
    with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
        button(page, name).click()
    page.wait_for_load_state()
    return answer.value


def times_of(page: Page, slug: str, *, days: int = 9) -> list[str]:
    """Booking addresses of a doctor's times on the first open day from ``days`` on."""
    day = datetime.now(UTC).date() + timedelta(days=days)
    page.goto(f"/doctors/{slug}/?date={day}")
    found = [link.get_attribute("href") or "" for link in page.locator("#times a.time").all()]
    assert found, f"no free time of {slug} on {day}"
    return found


def at_of(address: str) -> datetime:
    """The moment in a booking address, in UTC."""
    text = parse_qs(urlsplit(address).query)["at"][0]
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def book(page: Page, address: str, *, reason: str = "") -> str:
    """Books as whoever is signed in; the visit's address."""
    page.goto(address)
    if reason:
        page.get_by_label("Reason for visit").fill(reason)
    button(page, "Confirm booking").click()
    heading(page, "Visit booked")
    return urlsplit(page.url).path


def sign_in(page: Page, email: str, password: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    button(page, "Sign in").click()


def fill_sign_up(page: Page, *, name: str, email: str) -> None:
    page.get_by_label("Full name").fill(name)
    birth = page.get_by_role("group", name="Date of birth")
    for part, value in (("Month", "3"), ("Day", "31"), ("Year", "1985")):
        birth.get_by_label(part).fill(value)
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("I accept").check()


def mailed_code(site: Site, email: str) -> str:
    text = site.wait_for_mail(email, subject="Your code")
    found = CODE.findall(text)
    assert len(found) == 1, text
    return str(found[0])


def dashed(identifier: str) -> str:
    """A public id as addresses have it, from how SQLite stores it."""
    return str(uuid.UUID(identifier))
