"""Adding and using a second factor, by the words on the pages."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import CDPSession, Page, Response

from tests.accounts.factors import code
from tests.browser.steps import button, link, send
from tests.cast import PASSWORD


def confirm_password(page: Page, address: str) -> None:
    """Opens a page that asks for the password again first."""
    page.goto(address)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    button(page, "Continue").click()
    page.wait_for_url(f"**{address}")


def add_app(page: Page) -> str:
    """Adds an app; leaves the page at the recovery codes and returns the secret."""
    confirm_password(page, "/accounts/2fa/totp/activate/")
    secret = page.locator(".secret").inner_text().replace(" ", "")
    page.get_by_label("Code from the app").fill(code(secret))
    button(page, "Add the app").click()
    page.wait_for_url("**/recovery-codes/")
    return secret


def sign_in_half(page: Page, email: str) -> None:
    """The password is right, the second factor is asked for."""
    page.context.clear_cookies()
    page.goto("/accounts/login/")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    button(page, "Sign in").click()
    page.wait_for_url("**/2fa/authenticate/")


def with_passkey(page: Page) -> CDPSession:
    """A device with a fingerprint reader, as far as the browser can tell."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    return session


# --- The pages, for the checks that every page type gets ---------------------------------------
def adding_app(visitor: Any) -> Response | None:
    confirm_password(visitor.page, "/accounts/2fa/totp/activate/")
    return visitor.page.reload()


def wrong_app_code(visitor: Any) -> Response:
    adding_app(visitor)
    visitor.page.get_by_label("Code from the app").fill("000000")
    return send(visitor.page, "Add the app")


def app_is_set_up(address: str) -> Any:
    def open_it(visitor: Any) -> Response | None:
        add_app(visitor.page)
        return visitor.page.goto(address)

    return open_it


def factor_is_asked(visitor: Any) -> Response | None:
    add_app(visitor.page)
    sign_in_half(visitor.page, visitor.person.email)
    return visitor.page.reload()


def factor_is_wrong(visitor: Any) -> Response:
    factor_is_asked(visitor)
    visitor.page.get_by_label("Code", exact=True).fill("000000")
    return send(visitor.page, "Sign in")


def adding_passkey(visitor: Any) -> Response | None:
    confirm_password(visitor.page, "/accounts/2fa/webauthn/add/")
    return visitor.page.reload()


def has_passkey(next_link: str = "") -> Any:
    """The list of passkeys with one in it, or what a link there leads to."""

    def open_it(visitor: Any) -> Response | None:
        page = visitor.page
        # Browsers know passkeys by names, not by numbers.
        local = re.sub(r"//127\.0\.0\.1", "//localhost", visitor.site.url)
        cookies = [
            {"name": "session", "value": visitor.person.session, "url": local},
        ]
        page.context.add_cookies(cookies)
        with_passkey(page)
        page.goto(f"{local}/accounts/2fa/webauthn/add/")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        button(page, "Continue").click()
        page.wait_for_url("**/webauthn/add/")
        page.get_by_label("A name for it").fill("My phone")
        button(page, "Add this device or key").click()
        page.wait_for_url("**/recovery-codes/")
        answer = page.goto(f"{local}/accounts/2fa/webauthn/")
        if not next_link:
            return answer
        link(page, f"{next_link} My phone").click()
        page.wait_for_load_state()
        return page.reload()

    return open_it
