"""Everything works from the keyboard, and the focus is always seen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, OpenPage
from tests.browser.people import People, visits
from tests.browser.steps import heading, times_of
from tests.site import Site

MOST_STOPS = 120  # of the Tab key until something is reached
# What shows the focus: an outline, a shadow, or for radios and boxes those of the drawn part.
_FOCUS = """
() => {
  const at = document.activeElement;
  const shows = (style) => style.boxShadow !== "none"
    || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0);
  const box = at.getBoundingClientRect();
  const drawn = at.matches("[type=radio], [type=checkbox]") && at.nextElementSibling;
  return {
    name: at.outerHTML.slice(0, 120),
    page: at === document.body,
    // On the calendar button inside a date field the browser draws its own ring.
    visible: shows(getComputedStyle(at)) || !at.matches(":focus")
      || (drawn && shows(getComputedStyle(at.nextElementSibling, "::before"))),
    inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  };
}
"""


def tab_to(page: Page, selector: str, *, back: bool = False) -> None:
    """Presses Tab until ``selector`` has the focus; each stop on the way must be seen."""
    for _ in range(MOST_STOPS):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        focus = page.evaluate(_FOCUS)
        if focus["page"]:
            continue  # the browser's own controls come between the last stop and the first
        assert focus["visible"], f"the focus is not seen on {focus['name']} of {page.url}"
        assert focus["inside"], f"the focus is out of sight on {focus['name']} of {page.url}"
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector} on {page.url}")


@pytest.mark.parametrize("width", [PHONE, 1366])
def test_a_patient_books_with_the_keyboard_alone(
    open_page: OpenPage, people: People, site: Site, width: int
) -> None:
    person = people.fresh()
    page = open_page(person=person, width=width)
    page.goto("/")

    # The first stop skips what is the same on every page.
    tab_to(page, ".govuk-skip-link")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    tab_to(page, "#search-q")
    page.keyboard.type("chest pain")
    tab_to(page, "#search-place")
    page.keyboard.press("Enter")
    heading(page, "Doctors for “chest pain”")

    tab_to(page, "a.time")
    page.keyboard.press("Enter")
    heading(page, "Check and confirm")
    tab_to(page, "#id_reason")
    page.keyboard.type("Pain in the chest on stairs")
    tab_to(page, "button[value=confirm]")
    page.keyboard.press("Space")
    heading(page, "Visit booked")
    (visit,) = visits(site, person)
    assert visit["reason"] == "Pain in the chest on stairs"


def test_the_error_summary_takes_the_focus_and_leads_to_the_field(
    open_page: OpenPage, people: People
) -> None:
    page = open_page(person=people.fresh())
    page.goto(times_of(page, "amara-okafor", days=14)[0])
    tab_to(page, "#id_reason")
    page.keyboard.insert_text("ache " * 150)
    tab_to(page, "button[value=confirm]")
    page.keyboard.press("Enter")
    expect(page.locator(".govuk-error-summary")).to_be_focused()
    tab_to(page, ".govuk-error-summary a")
    page.keyboard.press("Enter")
    expect(page.locator("#id_reason")).to_be_focused()
    expect(page.get_by_text("must have 500 characters or fewer").last).to_be_visible()


def test_the_menu_of_a_phone_opens_and_closes_with_the_keyboard(open_page: OpenPage) -> None:
    page = open_page(width=PHONE)
    page.goto("/")
    menu = page.locator(".site-menu")
    sign_in = menu.get_by_role("link", name="Sign in")
    expect(sign_in).to_be_hidden()
    tab_to(page, ".site-menu__summary")
    page.keyboard.press("Enter")
    expect(sign_in).to_be_visible()
    tab_to(page, ".site-menu a[href*=login]")
    page.keyboard.press("Enter")
    heading(page, "Sign in")


def test_passwords_can_be_pasted_and_are_named_for_password_managers(page: Page) -> None:
    page.goto("/accounts/login/")
    field = page.get_by_label("Password", exact=True)
    field.focus()
    pasted = field.evaluate(
        """e => {
          const data = new DataTransfer();
          data.setData("text/plain", "from a manager");
          return e.dispatchEvent(new ClipboardEvent("paste",
            {clipboardData: data, bubbles: true, cancelable: true}));
        }"""
    )
    assert pasted  # nothing on the page prevented it
    assert field.get_attribute("autocomplete") == "current-password"
    assert page.get_by_label("E-mail address").get_attribute("autocomplete") == "username"
    page.goto("/accounts/signup/")
    new = page.get_by_label("Password", exact=True)
    assert new.get_attribute("autocomplete") == "new-password"
