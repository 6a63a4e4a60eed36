"""A second factor in a real browser: an app without JavaScript, and a passkey."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.accounts.factors import code
from tests.browser.conftest import PHONE, OpenPage
from tests.browser.factors import add_app, sign_in_half, with_passkey
from tests.browser.people import People
from tests.browser.steps import button, heading, link
from tests.cast import PASSWORD
from tests.site import Site

Picture = Callable[[Page, str], Path]


def test_an_app_is_added_and_asked_for_without_javascript(
    open_page: OpenPage, people: People, shot: Picture
) -> None:
    person = people.fresh()
    page = open_page(person=person, javascript=False, width=PHONE)
    page.goto("/accounts/profile/")
    link(page, "Set up second factor").click()
    heading(page, "Second factor")
    shot(page, "second-factor")
    secret = add_app(page)
    heading(page, "Recovery codes")
    codes = page.locator(".recovery-codes li").all_inner_texts()
    assert len(codes) == 10
    shot(page, "recovery-codes")

    sign_in_half(page, person.email)
    shot(page, "second-factor-asked")
    page.get_by_label("Code", exact=True).fill("000000")
    button(page, "Sign in").click()
    assert page.title().startswith("Error:")
    page.get_by_label("Code", exact=True).fill(codes[0])
    button(page, "Sign in").click()
    page.wait_for_url("**/appointments/")

    # The next code of the app, which nobody has used yet.
    sign_in_half(page, person.email)
    page.get_by_label("Code", exact=True).fill(code(secret, steps=1))
    button(page, "Sign in").click()
    page.wait_for_url("**/appointments/")


def test_the_qr_code_is_a_picture_in_the_page(
    open_page: OpenPage, people: People, shot: Picture
) -> None:
    page = open_page(person=people.fresh())
    page.goto("/accounts/2fa/totp/activate/")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    button(page, "Continue").click()
    code_picture = page.get_by_role("img", name="QR code with the secret below")
    expect(code_picture).to_be_visible()
    box = code_picture.bounding_box()
    assert box is not None and box["width"] == box["height"] >= 200
    assert page.locator("[src^='data:'], [href^='data:']").count() == 0
    shot(page, "second-factor-qr")


def test_a_passkey_signs_in(open_page: OpenPage, people: People, site: Site, shot: Picture) -> None:
    person = people.fresh()
    page = open_page()
    # Browsers know passkeys by names, not by numbers.
    local = site.url.replace("127.0.0.1", "localhost")
    page.context.add_cookies([{"name": "session", "value": person.session, "url": local}])
    with_passkey(page)
    page.goto(f"{local}/accounts/2fa/webauthn/add/")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    button(page, "Continue").click()
    page.wait_for_url("**/webauthn/add/")
    shot(page, "passkey-add")
    page.get_by_label("A name for it").fill("My phone")
    page.get_by_label("A name for it").press("Enter")
    page.wait_for_url("**/recovery-codes/")

    page.context.clear_cookies()
    page.goto(f"{local}/accounts/login/")
    page.get_by_label("E-mail address").fill(person.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    button(page, "Sign in").click()
    page.wait_for_url("**/2fa/authenticate/")
    shot(page, "passkey-asked")
    button(page, "Use a passkey").click()
    page.wait_for_url("**/appointments/")

    # Nobody's passkey: the page says so and stays.
    page.goto(f"{local}/accounts/2fa/webauthn/")
    expect(page.get_by_role("heading", name="My phone")).to_be_visible()
    link(page, "Remove My phone").click()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    button(page, "Continue").click()
    heading(page, "Remove My phone?")
    button(page, "Remove").click()
    expect(page.get_by_text("You have no passkey yet.")).to_be_visible()


def test_the_devices_are_listed_and_one_is_ended(
    open_page: OpenPage, people: People, shot: Picture
) -> None:
    person = people.fresh()
    here, there = open_page(person=person, width=PHONE), open_page()
    there.goto("/accounts/login/")
    there.get_by_label("E-mail address").fill(person.email)
    there.get_by_label("Password", exact=True).fill(PASSWORD)
    button(there, "Sign in").click()
    there.wait_for_url("**/appointments/")
    here.goto("/accounts/sessions/")
    expect(here.get_by_role("heading", name=re.compile("Chrome, "))).to_be_visible()
    shot(here, "sessions")
    here.get_by_role("button", name=re.compile("Sign out there")).click()
    expect(here.get_by_text("That device is signed out.")).to_be_visible()
    there.goto("/accounts/profile/")
    heading(there, "Sign in")
