"""The checks behind the browser tests find what they are there to find."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import OpenPage, RunAxe
from tests.browser.watch import Watch, settle

HEAD = "<!doctype html><html lang='en'><head><title>Page</title></head><body><main><h1>Page</h1>"
PAGES = {
    "/good": "<p>Nothing wrong here.</p>",
    "/inline-style": "<p style='color: red'>Styled.</p>",
    "/inline-script": "<script>window.ran = true</script>",
    "/no-alternative": "<img src='/missing.png'>",
    "/script-error": "<script src='/broken.js'></script>",
    "/broken.js": "throw new Error('broken on purpose')",
}


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGES.get(self.path)
        script = self.path.endswith(".js")
        self.send_response(200 if body is not None else 500 if self.path == "/500" else 404)
        self.send_header("Content-Type", "text/javascript" if script else "text/html")
        self.send_header("Content-Security-Policy", "default-src 'none'; script-src 'self'")
        self.end_headers()
        self.wfile.write(((body or "") if script else HEAD + (body or "")).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_page_without_fault_raises_nothing(
    page: Page, pages: str, watch: Watch, axe: RunAxe
) -> None:
    page.goto(f"{pages}/good")
    axe(page)
    settle(page)
    assert watch.problems == []


@pytest.mark.parametrize("javascript", [True, False])
def test_an_inline_style_is_found_with_and_without_scripts(
    open_page: OpenPage, pages: str, watch: Watch, javascript: bool
) -> None:
    page = open_page(javascript=javascript)
    page.goto(f"{pages}/inline-style")
    settle(page)
    assert watch.violations
    watch.clear()


def test_an_inline_script_is_found_and_does_not_run(page: Page, pages: str, watch: Watch) -> None:
    page.goto(f"{pages}/inline-script")
    settle(page)
    assert page.evaluate("window.ran") is None
    assert watch.violations
    watch.clear()


def test_a_script_error_is_found(page: Page, pages: str, watch: Watch) -> None:
    page.goto(f"{pages}/script-error")
    settle(page)
    assert any("broken on purpose" in error for error in watch.errors)
    watch.clear()


def test_a_server_error_is_found(page: Page, pages: str, watch: Watch) -> None:
    page.goto(f"{pages}/500")
    settle(page)
    assert watch.server_errors
    watch.clear()


def test_axe_finds_a_picture_without_a_text(
    page: Page, pages: str, watch: Watch, axe: RunAxe
) -> None:
    page.goto(f"{pages}/no-alternative")
    with pytest.raises(AssertionError, match="image-alt"):
        axe(page)
    watch.clear()  # the picture itself is blocked by the policy
