"""UX 7: whoever lives by another clock sees both wherever a visit's time is stated."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.people import People, visits
from tests.browser.steps import at_of, button, heading, link, times_of
from tests.site import Site

HERS = "America/Los_Angeles"


def clock(address: str, zone: str) -> str:
    local = at_of(address).astimezone(ZoneInfo(zone))
    return f"{local.hour % 12 or 12}:{local.minute:02d} {'am' if local.hour < 12 else 'pm'}"


def test_two_zones_are_shown_on_check_confirmation_move_list_and_mail(
    open_page: OpenPage, people: People, site: Site
) -> None:
    person = people.fresh(zone=HERS)
    page = open_page(person=person)
    address = times_of(page, "valentina-mckenna")[0]
    theirs, hers = clock(address, "America/New_York"), clock(address, HERS)
    assert theirs != hers

    def both(page: Page) -> None:
        main = page.get_by_role("main")
        expect(main).to_contain_text(theirs)
        expect(main).to_contain_text("Eastern Time")
        expect(main).to_contain_text(f"For you: {_weekday(address, HERS)}")
        expect(main).to_contain_text(hers)
        expect(main).to_contain_text("Pacific Time")

    page.goto(address)
    both(page)
    button(page, "Confirm booking").click()
    heading(page, "Visit booked")
    both(page)
    visit = page.url
    link(page, "Move").click()
    page.locator("#times a.time").last.click()
    heading(page, "Confirm the new time")
    both(page)
    page.goto("/appointments/")
    expect(page.get_by_role("main")).to_contain_text(hers)
    text = site.wait_for_mail(person.email, subject="Your visit on")
    assert theirs in text and hers in text and "Pacific Time" in text
    assert visits(site, person)[0]["id"] in visit


def _weekday(address: str, zone: str) -> str:
    return at_of(address).astimezone(ZoneInfo(zone)).strftime("%A")


def test_one_zone_is_named_once(open_page: OpenPage, people: People) -> None:
    page = open_page(person=people.fresh(zone="America/New_York"))
    page.goto(times_of(page, "valentina-mckenna")[1])
    expect(page.get_by_role("main")).to_contain_text("Eastern Time")
    expect(page.get_by_role("main")).not_to_contain_text("For you:")
