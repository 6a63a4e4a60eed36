"""Collects what a page does wrong without showing it: blocked content and script errors."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response, WebError

POLICY_WORDS = "Content Security Policy"
# The event also names violations that Chromium keeps out of the console, such as repeated ones.
_LISTEN = """
document.addEventListener("securitypolicyviolation", (event) => {
  const where = `${event.sourceFile}:${event.lineNumber}`;
  window.reportViolation(`${event.effectiveDirective} blocked ${event.blockedURI} at ${where}`);
});
"""


@dataclass
class Watch:
    """What went wrong in one browser context. ``problems`` is empty when all is well."""

    violations: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    server_errors: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        return [
            *(f"CSP violation: {text}" for text in self.violations),
            *(f"script error: {text}" for text in self.errors),
            *(f"server error: {text}" for text in self.server_errors),
        ]

    def clear(self) -> None:
        for found in (self.violations, self.errors, self.server_errors):
            found.clear()

    def attach(self, context: BrowserContext) -> None:
        context.expose_binding("reportViolation", self._reported)
        context.add_init_script(_LISTEN)
        # The console also speaks when scripts are switched off, where no listener can run.
        context.on("console", self._said)
        context.on("weberror", self._failed)
        context.on("response", self._answered)

    def _reported(self, source: object, text: str) -> None:
        self.violations.append(text)

    def _said(self, message: ConsoleMessage) -> None:
        if POLICY_WORDS in message.text:
            self.violations.append(message.text)

    def _failed(self, error: WebError) -> None:
        self.errors.append(str(error.error))

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.server_errors.append(f"{response.status} {response.url}")


def settle(page: Page) -> None:
    """Lets messages that are on their way from the browser arrive."""
    if not page.is_closed():
        page.wait_for_timeout(50)
