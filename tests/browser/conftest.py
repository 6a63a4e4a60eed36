"""Chromium, a live site, and checks that every page gets without asking for them.

* ``site``: the whole site as real processes on a private database (tests/site.py).
* ``people``: accounts that are signed in already (tests/browser/people.py).
* ``open_page(width=1366, javascript=True, person=None)``: a page in a fresh profile. A CSP
  violation, a script error or an answer of 500 and above anywhere in it fails the test at its end.
* ``page``: one at 1366 px with JavaScript. ``any_page``: the same test at 390 and 1366 px, each
  with JavaScript on and off.
* ``axe(page)``: fails on any violation of WCAG 2.2 A and AA that axe-core can find; with
  ``only="color-contrast"`` it asks that one rule.
* ``shot(page, "name")``: a picture in var/screenshots; failed tests leave theirs by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.people import People, Person
from tests.browser.watch import Watch, settle
from tests.site import ROOT, Site
from tools.system_packages import find_chromium

SCREENSHOTS = ROOT / "var" / "screenshots"
PHONE, DESKTOP = 390, 1366
HEIGHTS = {PHONE: 844, DESKTOP: 900}
ARGUMENTS = [
    "--no-sandbox",  # root has no sandbox in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    assert executable is not None, "no Chromium on this machine; `make test` as root installs it"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def people(site: Site) -> People:
    return People.of(site)


class OpenPage(Protocol):
    def __call__(
        self,
        *,
        width: int = DESKTOP,
        javascript: bool = True,
        person: Person | None = None,
        of: Site | None = None,
        **options: Any,
    ) -> Page: ...


@pytest.fixture
def watch() -> Watch:
    """What the pages of this test did wrong so far; checked at its end."""
    return Watch()


@pytest.fixture
def open_page(
    browser: Browser, watch: Watch, site: Site, request: pytest.FixtureRequest
) -> Iterator[OpenPage]:
    """Addresses are relative to the site, or to another one given as ``of``."""
    contexts: list[BrowserContext] = []

    def open_one(
        *,
        width: int = DESKTOP,
        javascript: bool = True,
        person: Person | None = None,
        of: Site | None = None,
        **options: Any,
    ) -> Page:
        url = (of or site).url
        context = browser.new_context(
            **{
                "viewport": {"width": width, "height": HEIGHTS.get(width, 900)},
                "java_script_enabled": javascript,
                "base_url": url,
                "locale": "en-US",
                "timezone_id": "America/New_York",
                "reduced_motion": "reduce",
                **options,
            }
        )
        context.set_default_timeout(15_000)
        if person is not None:
            context.add_cookies([{"name": "session", "value": person.session, "url": url}])
        contexts.append(context)
        watch.attach(context)
        return context.new_page()

    yield open_one

    pages = [page for context in contexts for page in context.pages]
    for number, page in enumerate(pages):
        settle(page)
        if request.node.stash.get(_FAILED, False) and not page.is_closed():
            _picture(page, f"failed-{request.node.name}-{number}")
    for context in contexts:
        context.close()
    assert not watch.problems, "\n".join(watch.problems)


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page()


@pytest.fixture(
    params=[(PHONE, True), (PHONE, False), (DESKTOP, True), (DESKTOP, False)],
    ids=["390-js", "390-nojs", "1366-js", "1366-nojs"],
)
def any_page(request: pytest.FixtureRequest, open_page: OpenPage) -> Page:
    width, javascript = request.param
    return open_page(width=width, javascript=javascript)


def _picture(page: Page, name: str) -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / (re.sub(r"[^\w.-]+", "_", name) + ".png")
    page.screenshot(path=path, full_page=True)
    return path


@pytest.fixture
def shot() -> Callable[[Page, str], Path]:
    return _picture


def _axe(page: Page, *, only: str = "", preload: bool = True) -> None:
    wanted = {"type": "rule", "values": [only]} if only else {"type": "tag", "values": AXE_TAGS}
    options = {"runOnly": wanted, "preload": preload}
    found: dict[str, Any] = Axe().run(page, options=options).response
    lines = [
        f"{violation['id']} ({violation['impact']}): {violation['help']}\n    "
        + "\n    ".join(node["html"][:200] for node in violation["nodes"][:5])
        for violation in found["violations"]
    ]
    # A run that checked nothing would also find nothing.
    assert found["passes"], f"axe checked nothing on {page.url}"
    assert not lines, f"{len(lines)} violations on {page.url}:\n" + "\n".join(lines)


class RunAxe(Protocol):
    def __call__(self, page: Page, *, only: str = "", preload: bool = True) -> None: ...


@pytest.fixture
def axe() -> RunAxe:
    """Fails on any violation, or on one of ``only`` that rule. The page needs JavaScript; axe
    itself runs past the page's CSP. Without ``preload`` it leaves out what needs the style sheets'
    text: of one that imports another it makes a style of its own, which the policy reports."""
    return _axe
