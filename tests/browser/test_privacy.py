"""SECURITY 34: what is personal is gone from the browser after signing out."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.people import People
from tests.browser.steps import book, heading, times_of

REASON = "Something private to tell"


@pytest.mark.parametrize("javascript", [True, False], ids=["js", "nojs"])
def test_s34_after_signing_out_back_shows_nothing_personal(
    open_page: OpenPage, people: People, javascript: bool
) -> None:
    person = people.fresh()
    page = open_page(person=person, javascript=javascript)
    visit = book(page, times_of(page, "nathaniel-o-brien")[0], reason=REASON)
    page.goto("/accounts/profile/")
    page.goto("/appointments/")
    page.goto(visit)
    expect(page.get_by_role("main")).to_contain_text(REASON)
    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url("**/")

    for _ in range(4):
        page.go_back()
        page.wait_for_load_state()
        shown = page.content()
        for secret in (REASON, person.name, person.email):
            assert secret not in shown, page.url
    # The addresses themselves lead to signing in, whatever the browser kept.
    for address in (visit, "/appointments/", "/accounts/profile/"):
        page.goto(address)
        heading(page, "Sign in")
        assert REASON not in page.content()
