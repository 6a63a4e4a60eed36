"""UX 1 to 20 as people walk them: from the first page to a booked, moved and cancelled visit."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import steps
from tests.browser.conftest import OpenPage
from tests.browser.people import People, visits
from tests.browser.steps import at_of, book, button, heading, link, send, times_of
from tests.site import Site

REASON = "Back pain for two weeks, worse in the morning"


def search(page: Page, what: str, where: str) -> None:
    page.goto("/")
    page.get_by_label("Doctor, specialty or condition").fill(what)
    page.get_by_label("Town or ZIP code").fill(where)
    button(page, "Search").click()


def is_free(page: Page, address: str) -> bool:
    """Whether the doctor's page offers this very time to whoever looks at ``page``."""
    moment = at_of(address)
    slug = urlsplit(address).path.split("/")[2]
    service = re.search(r"service=(\w+)", address)
    assert service is not None
    for day in (moment.date(), moment.date() - timedelta(days=1)):  # west of Greenwich
        page.goto(f"/doctors/{slug}/?service={service[1]}&date={day}")
        for offered in page.locator("#times a.time").all():
            if at_of(offered.get_attribute("href") or "") == moment:
                return True
    return False


def test_a_new_patient_finds_books_moves_and_cancels(
    any_page: Page, open_page: OpenPage, site: Site, request: pytest.FixtureRequest
) -> None:
    page, passer_by = any_page, open_page(javascript=False)
    email = f"new-{request.node.callspec.id}@example.org"

    # Finds a doctor by everyday words and a town.
    search(page, "back pain", "Portland")
    expect(page.get_by_role("status")).to_contain_text("doctor")
    time = page.locator("a.time").first
    address = time.get_attribute("href") or ""
    said = time.get_attribute("aria-label") or ""
    time.click()
    heading(page, "Check your visit")
    assert is_free(passer_by, address)  # opening a time keeps nothing

    # Continues: the time is kept, and the way leads over one page and one mailed code.
    page.get_by_label("Reason for visit").fill(REASON)
    button(page, "Continue").click()
    heading(page, "Create an account")
    expect(page.get_by_role("main")).to_contain_text("for you until")
    assert not is_free(passer_by, address)
    steps.fill_sign_up(page, name="Noa Castell", email=email)
    button(page, "Create account").click()
    heading(page, "Confirm your e-mail address")
    page.get_by_label("code").fill(steps.mailed_code(site, email))
    button(page, "Continue").click()

    # Is back at the same held time with what was typed.
    heading(page, "Check and confirm")
    assert at_of(page.url) == at_of(address)
    expect(page.get_by_label("Reason for visit")).to_have_value(REASON)
    expect(page.get_by_role("main")).to_contain_text("We hold this time for you until")
    button(page, "Confirm booking").click()
    heading(page, "Visit booked")
    visit = page.url
    panel = page.locator(".govuk-panel")
    expect(panel).to_contain_text(said.partition(", ")[0])  # the time that was chosen
    expect(page.get_by_role("main")).to_contain_text(REASON)

    # The mail says when and where with a calendar file, and not why.
    text = site.wait_for_mail(email, subject="Your visit on")
    assert "back pain" not in text.lower()
    mail = site.mails(email)[-1]
    calendar = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    assert calendar and "METHOD:REQUEST" in str(calendar[0].get_content())
    file = link(page, "Add to calendar (.ics)").get_attribute("href")
    taken = page.request.get(file or "")
    assert taken.status == 200 and "BEGIN:VEVENT" in taken.text()

    # Moves: the old time stays until the new one is confirmed, and is then free for others.
    link(page, "Move").click()
    new = page.locator("#times a.time").last
    new_address = new.get_attribute("href") or ""
    new.click()
    heading(page, "Confirm the new time")
    assert not is_free(passer_by, address)
    button(page, "Move visit").click()
    heading(page, "Visit booked")
    assert page.url == visit
    expect(page.get_by_role("main")).to_contain_text("Your visit is moved")
    assert is_free(passer_by, address)
    site.wait_for_mail(email, subject="Your visit was moved")

    # Cancels: the time is free at once.
    link(page, "Cancel visit").click()
    heading(page, "Cancel this visit?")
    expect(page.get_by_role("main")).to_contain_text("24 hours before")
    expect(button(page, "Cancel visit")).to_be_visible()
    link(page, "Keep my visit").click()
    heading(page, "Visit booked")
    link(page, "Cancel visit").click()
    button(page, "Cancel visit").click()
    heading(page, "Visit cancelled")
    site.wait_for_mail(email, subject="Cancelled")
    assert is_free(passer_by, address)
    moved_to = address.replace(at_text(address), at_text(new_address))
    assert is_free(passer_by, moved_to)


def at_text(address: str) -> str:
    found = re.search(r"at=([^&]+)", address)
    assert found is not None
    return found[1]


class Clicks:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, target: Locator) -> None:
        target.click()
        self.count += 1


def test_home_to_booked_takes_at_most_four_clicks(
    any_page: Page, people: People, site: Site
) -> None:
    page, click, person = any_page, Clicks(), people.fresh()
    page.context.add_cookies([{"name": "session", "value": person.session, "url": site.url}])
    page.goto("/")
    page.get_by_label("Doctor, specialty or condition").fill("skin rash")
    click(button(page, "Search"))
    click(page.locator("a.time").first)
    click(button(page, "Confirm booking"))
    heading(page, "Visit booked")
    assert click.count <= 4
    assert [visit["status"] for visit in visits(site, person)] == ["booked"]


def test_booking_again_takes_three_clicks(open_page: OpenPage, people: People, site: Site) -> None:
    person = people.fresh()
    page, click = open_page(person=person), Clicks()
    visit = book(page, times_of(page, "priya-raghunathan")[0])
    page.goto(f"{visit}cancel/")
    send(page, "Cancel visit")
    page.goto("/appointments/")
    click(page.get_by_role("link", name="Book again").first)
    click(page.locator("#times a.time").first)
    click(button(page, "Confirm booking"))
    heading(page, "Visit booked")
    assert click.count == 3
    assert [visit["status"] for visit in visits(site, person)] == ["cancelled", "booked"]
