"""UX 38 and 39: what pages weigh, and how they look in dark, forced colours, print and still.

The pictures are in var/screenshots for somebody to look at; the tests assert what a program can.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response

from tests.browser.conftest import PHONE, OpenPage
from tests.browser.people import People
from tests.browser.steps import book, times_of

KB = 1024
MOST_CSS_AND_JS = 50 * KB  # compressed, as transferred
MOST_FONT = 50 * KB
SEARCH = "/doctors/?q=check-up"
PAGES = {
    "find": SEARCH,
    "doctor": "/doctors/amara-okafor/",
    "check": "",  # found anew: its times pass
    "visits": "/appointments/",
    "visit": "",
    "sign-up": "/accounts/signup/",
}
Shot = Callable[[Page, str], Path]

_LUMINANCE = """
(selector) => {
  for (let e = document.querySelector(selector); e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number);
    if (c.length < 4 || c[3] > 0) return (c[0] * 2126 + c[1] * 7152 + c[2] * 722) / 2550000;
  }
  return 1;
}
"""
_MOVING = """
() => [...document.querySelectorAll("*")].filter((e) => {
  const style = getComputedStyle(e);
  return [style.transitionDuration, style.animationDuration]
    .some((all) => all.split(",").some((each) => parseFloat(each) > 0.01));
}).map((e) => e.outerHTML.slice(0, 80))
"""


def go(page: Page, name: str, people: People) -> None:
    if name == "check":
        page.goto(times_of(page, "amara-okafor", days=25)[0])
    elif name == "visit":
        page.goto("/appointments/")
        page.locator(".visit__when a").first.click()
    else:
        page.goto(PAGES[name])
    page.wait_for_load_state()


def reader(open_page: OpenPage, people: People, name: str, **options: Any) -> Page:
    """Whoever reads that page: visitors sign up, patients have visits."""
    person = None if name == "sign-up" else people.known["patient1@example.org"]
    return open_page(person=person, **options)


def test_find_a_doctor_is_light_and_complete_without_scripts(open_page: OpenPage) -> None:
    page = open_page()
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(SEARCH)
    page.wait_for_load_state("networkidle")
    sizes: dict[str, int] = {}
    for answer in answers:
        kind = answer.request.resource_type
        sizes[kind] = sizes.get(kind, 0) + answer.request.sizes()["responseBodySize"]
        if kind in {"stylesheet", "script"}:
            assert answer.headers.get("content-encoding") in {"gzip", "br"}, answer.url
    fonts = [answer for answer in answers if answer.request.resource_type == "font"]
    assert 0 < sizes["stylesheet"] + sizes["script"] <= MOST_CSS_AND_JS, sizes
    assert len(fonts) == 1
    assert 0 < sizes["font"] <= MOST_FONT
    # Everything is in the first HTML: nothing was fetched afterwards.
    assert not {"fetch", "xhr"} & set(sizes)
    first = page.request.get(SEARCH).text()
    assert first.count('class="time"') >= 6


@pytest.mark.parametrize("width", [PHONE, 1366])
@pytest.mark.parametrize("name", PAGES)
def test_dark_is_dark_and_light_is_light(
    open_page: OpenPage, people: People, shot: Shot, name: str, width: int
) -> None:
    page = reader(open_page, people, name, width=width)
    go(page, name, people)
    light = page.evaluate(_LUMINANCE, "main h1")
    shot(page, f"{name}-{width}-light")
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(_LUMINANCE, "main h1")
    shot(page, f"{name}-{width}-dark")
    if name != "visit":  # the panel of a booked visit is teal in both
        assert light > 0.85 and dark < 0.15
    assert page.evaluate(_LUMINANCE, "body") < 0.15


@pytest.mark.parametrize("name", ["find", "check", "sign-up"])
def test_forced_colours_keep_the_edges_of_what_can_be_pressed(
    open_page: OpenPage, people: People, shot: Shot, name: str
) -> None:
    page = reader(open_page, people, name, forced_colors="active", color_scheme="dark")
    go(page, name, people)
    shot(page, f"{name}-forced-colors")
    assert page.evaluate("matchMedia('(forced-colors: active)').matches")
    pressable = page.locator("main .govuk-button:visible, main a.time:visible, main input:visible")
    drawn = pressable.evaluate_all(
        """all => all.filter(e => !e.matches("[type=radio], [type=checkbox]")).map(e => {
          const style = getComputedStyle(e);
          return parseFloat(style.borderTopWidth) + parseFloat(style.borderBottomWidth)
            + (style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth));
        })"""
    )
    assert drawn and min(drawn) > 0


@pytest.mark.parametrize("name", PAGES)
def test_nothing_moves_for_people_who_asked_for_stillness(
    open_page: OpenPage, people: People, shot: Shot, name: str
) -> None:
    page = reader(open_page, people, name, reduced_motion="reduce")
    go(page, name, people)
    assert page.evaluate(_MOVING) == []
    assert page.evaluate("document.getAnimations().length") == 0
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") != "smooth"
    if name == "find":
        shot(page, f"{name}-reduced-motion")


@pytest.mark.parametrize("address", ["/doctors/amara-okafor/", "hospital", "visit"])
def test_pages_to_take_along_print_on_one_page(
    open_page: OpenPage, people: People, shot: Shot, address: str
) -> None:
    person = people.fresh()
    page = open_page(person=person)
    if address == "visit":
        book(page, times_of(page, "thuy-abernathy", days=15)[0])
    elif address == "hospital":
        page.goto("/hospitals/")
        page.locator("main h2 a").first.click()
        page.wait_for_load_state()
    else:
        page.goto(address)
    page.emulate_media(media="print")
    for unprinted in (".site-nav", ".site-menu", ".govuk-skip-link", ".govuk-back-link"):
        assert page.locator(f"{unprinted}:visible").count() == 0, unprinted
    fonts = page.locator("h1, p, a, dt, dd").evaluate_all(
        "all => all.map(e => getComputedStyle(e).fontFamily.split(',')[0])"
    )
    assert set(fonts) == {"Inter"}
    name = "doctor" if "doctors" in address else address
    shot(page, f"{name}-print")
    sheets = len(re.findall(rb"/Type\s*/Page\b(?!s)", page.pdf(format="Letter")))
    assert sheets == 1
