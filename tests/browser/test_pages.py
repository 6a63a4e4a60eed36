"""What holds on every page type: UX 15, 36 and 37 and what browsers themselves complain about."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import DESKTOP, HEIGHTS, PHONE, OpenPage, RunAxe
from tests.browser.page_type import PageType, Visitor
from tests.browser.pages import NO_PAGE, PAGES, named_routes
from tests.browser.people import People
from tests.browser.watch import Watch
from tests.site import ROOT, Site

SMALLEST_TARGET = 24  # CSS pixels, WCAG 2.5.8
MAIN_TARGET = 44
NARROWEST = 320

# Links within a sentence or a list of text keep the height of their line (WCAG 2.5.8, "inline").
_SMALL_TARGETS = """
(least) => [...document.querySelectorAll("a, button, input, select, textarea, summary")]
  .filter((e) => e.checkVisibility({visibilityProperty: true, opacityProperty: false}))
  .filter((e) => e.type !== "hidden" && !e.matches(".govuk-skip-link"))
  .filter((e) => getComputedStyle(e).display !== "inline")
  // A file chooser that only a keyboard or a screen reader sees: people point at its label.
  .map((e) => (e.type === "file" && e.offsetWidth <= 1 ? e.labels[0] : e))
  .map((e) => [e, e.getBoundingClientRect()])
  .filter(([e, box]) => box.width < least || box.height < least)
  .map(([e, box]) => `${e.outerHTML.slice(0, 90)} ${box.width}x${box.height}`)
"""
_MAIN_TARGETS = """
(least) => [...document.querySelectorAll("main a.time, main .govuk-button, main a.month__day")]
  .filter((e) => e.checkVisibility())
  .map((e) => [e, e.getBoundingClientRect()])
  .filter(([e, box]) => box.width < least || box.height < least)
  .map(([e, box]) => `${e.outerHTML.slice(0, 90)} ${box.width}x${box.height}`)
"""
_WIDER = """
() => [...document.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && e.checkVisibility())
  .map((e) => `${e.tagName}.${e.className} to ${e.getBoundingClientRect().right}`).slice(0, 5)
"""
# An empty address means "this page": a link that lost its address still looks like one.
_LOST_ADDRESSES = "a:not([href]), a[href=''], a[href='None'], form[action='None'], main a[href='#']"
TITLES: dict[str, str] = {}  # as the page types' own tests found them


def visitor_of(
    kind: PageType, open_page: OpenPage, site: Site, people: People, **options: Any
) -> Visitor:
    person = None
    if kind.who:
        person = people.fresh() if kind.who == "fresh" else people.known[kind.who]
    return Visitor(open_page(person=person, **options), site, people, person)


def test_every_route_has_a_page_type() -> None:
    shown = {kind.route for kind in PAGES if kind.route}
    assert named_routes() - shown - set(NO_PAGE) == set(), "add these to tests/browser/pages.py"
    assert (shown | set(NO_PAGE)) - named_routes() == set(), "these routes are gone"
    assert shown & set(NO_PAGE) == set()


def test_a_thread_without_its_script_has_targets_of_the_size_too(
    open_page: OpenPage, site: Site, people: People
) -> None:
    """The file chooser is the browser's own until the script takes its place."""
    (kind,) = [kind for kind in PAGES if kind.name == "talk"]
    visitor = visitor_of(kind, open_page, site, people, javascript=False)
    kind.open(visitor)
    for width in (DESKTOP, PHONE):
        visitor.page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        assert visitor.page.locator("input[type=file]").bounding_box() is not None
        assert visitor.page.evaluate(_SMALL_TARGETS, SMALLEST_TARGET) == []
    visitor.page.screenshot(path=str(ROOT / "var" / "screenshots" / "talk-no-script.png"))


@pytest.mark.parametrize("kind", PAGES, ids=lambda kind: kind.name)
def test_a_page_is_accessible_and_without_fault(
    kind: PageType, open_page: OpenPage, site: Site, people: People, axe: RunAxe
) -> None:
    # Violations of the CSP, script errors and answers of 500 fail every test by themselves.
    visitor = visitor_of(kind, open_page, site, people)
    page = visitor.page
    answer = kind.open(visitor)
    assert answer is not None
    assert answer.status == kind.status, page.locator("main").inner_text()[:600]
    assert page.title().startswith("Error:") == kind.problem, page.title()
    TITLES[kind.name] = page.title()
    assert page.locator("h1").count() == 1
    assert page.locator(_LOST_ADDRESSES).evaluate_all("all => all.map(e => e.outerHTML)") == []
    for width in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        assert page.evaluate(_SMALL_TARGETS, SMALLEST_TARGET) == []
        assert page.evaluate(_MAIN_TARGETS, MAIN_TARGET) == []
        axe(page)
        page.emulate_media(color_scheme="dark")
        axe(page, only="color-contrast")  # nothing else depends on the colours
        page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": NARROWEST, "height": 640})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= NARROWEST, page.evaluate(_WIDER)


def test_titles_tell_page_types_apart(open_page: OpenPage, site: Site, people: People) -> None:
    first = {kind.route: kind for kind in reversed(PAGES) if kind.route and not kind.problem}
    seen: dict[str, str] = {}
    for route, kind in first.items():
        if kind.name not in TITLES:  # this test runs without the others
            visitor = visitor_of(kind, open_page, site, people, javascript=False)
            kind.open(visitor)
            TITLES[kind.name] = visitor.page.title()
            visitor.page.close()
        title = TITLES[kind.name]
        assert title not in seen, f"{route} and {seen[title]} are both called {title!r}"
        assert title.endswith("– Harbour Health")
        seen[title] = route


def test_a_script_slipped_into_a_real_page_is_reported(
    page: Page, site: Site, watch: Watch
) -> None:
    """The control of all the tests above: with a violation they would fail."""

    def with_script(route: Any) -> None:
        answer = route.fetch()
        body = answer.text().replace("</main>", "<script>window.ran = 1</script></main>")
        route.fulfill(response=answer, body=body)

    page.route(f"{site.url}/", with_script)
    page.goto("/")
    page.wait_for_load_state()
    assert page.evaluate("window.ran") is None
    assert any("script-src" in text for text in watch.violations), watch.violations
    watch.clear()
