"""Limits, sessions, cookies, and where people arrive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import time_machine
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.models import AuditEvent, User
from tests.accounts.helpers import LONG_PASSWORD, sign_in
from tests.cast import ALICE, CHARLIE, PASSWORD, make_account, make_patient_user, signed_in

ROOT = Path(__file__).resolve().parents[2]
PROFILE = "/accounts/profile/"

pytestmark = pytest.mark.django_db


# --- Limits -------------------------------------------------------------------------------------
def test_s02_after_five_failures_the_right_password_is_refused_for_five_minutes() -> None:
    make_patient_user()
    with time_machine.travel("2026-11-23 15:00:00+00:00", tick=False) as clock:
        for _attempt in range(5):
            assert sign_in(Client(), ALICE, "wrong").status_code == 422
        refused = sign_in(Client(), ALICE, PASSWORD)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "300"
        assert "sessionid" not in refused.cookies
        clock.shift(299)
        assert sign_in(Client(), ALICE, PASSWORD).status_code == 429
        clock.shift(2)
        assert sign_in(Client(), ALICE, PASSWORD).status_code == 302


def test_s02_writing_the_address_differently_does_not_start_a_new_count() -> None:
    make_patient_user()
    for address in (ALICE, ALICE.upper(), f" {ALICE}", "Alice@Example.org", f"{ALICE} "):
        assert sign_in(Client(), address, "wrong").status_code == 422
    assert sign_in(Client(), ALICE, PASSWORD).status_code == 429


def test_s02_a_locked_account_locks_nobody_else_and_nobody_else_unlocks_it() -> None:
    make_patient_user()
    make_patient_user(CHARLIE, name="Charlie Roux")
    for _attempt in range(5):
        sign_in(Client(), ALICE, "wrong")
    assert sign_in(Client(REMOTE_ADDR="198.51.100.7"), CHARLIE, PASSWORD).status_code == 302
    assert sign_in(Client(), CHARLIE, PASSWORD).status_code == 302
    assert sign_in(Client(), ALICE, PASSWORD).status_code == 429


def test_s02_a_success_does_not_reset_the_count_of_its_account() -> None:
    make_patient_user()
    for _attempt in range(4):
        sign_in(Client(), ALICE, "wrong")
    assert sign_in(Client(), ALICE, PASSWORD).status_code == 302
    assert sign_in(Client(), ALICE, "wrong").status_code == 422
    assert sign_in(Client(), ALICE, PASSWORD).status_code == 429


def test_a_whole_hospital_behind_one_address_signs_in() -> None:
    for number in range(12):
        make_account(f"colleague{number}@example.org")
    for number in range(12):
        assert sign_in(Client(), f"colleague{number}@example.org", PASSWORD).status_code == 302


def test_a_disabled_account_does_not_get_in(alice: User) -> None:
    alice.is_active = False
    alice.save()
    client = Client()
    assert sign_in(client, ALICE, PASSWORD).headers["Location"] == "/accounts/inactive/"
    assert client.get(PROFILE).status_code == 302


# --- Sessions -----------------------------------------------------------------------------------
def key_of(client: Client) -> str:
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def is_signed_in(key: str) -> bool:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = key
    return client.get(PROFILE).status_code == 200


def test_s09_signing_in_changes_the_session_key_and_ends_the_old_one(alice: User) -> None:
    client = Client()
    client.post("/accounts/password/reset/", {"email": "nobody@example.org"})  # starts a session
    before = key_of(client)
    sign_in(client, ALICE, PASSWORD)
    assert key_of(client) != before
    assert is_signed_in(key_of(client))
    assert not is_signed_in(before)
    assert not Session.objects.filter(session_key=before).exists()


def test_s09_a_new_password_changes_this_session_and_ends_all_others(alice: User) -> None:
    here, elsewhere = Client(), Client()
    sign_in(here, ALICE, PASSWORD)
    sign_in(elsewhere, ALICE, PASSWORD)
    before, other = key_of(here), key_of(elsewhere)
    here.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": LONG_PASSWORD})
    assert key_of(here) != before
    assert is_signed_in(key_of(here))
    assert not is_signed_in(before)
    assert not is_signed_in(other)


def test_s09_signing_out_ends_the_session(alice: User) -> None:
    client = Client()
    sign_in(client, ALICE, PASSWORD)
    before = key_of(client)
    assert client.get("/accounts/logout/").status_code == 200  # asks; a link cannot sign out
    assert is_signed_in(before)
    client.post("/accounts/logout/")
    assert not is_signed_in(before)


def test_s13_cookies_in_production_are_bound_to_the_host_and_hidden_from_scripts() -> None:
    facts = (
        "from django.conf import settings as s;"
        "print(s.SESSION_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.SESSION_COOKIE_HTTPONLY,"
        " s.SESSION_COOKIE_SAMESITE, s.SESSION_COOKIE_DOMAIN, s.SESSION_COOKIE_PATH,"
        " s.CSRF_COOKIE_NAME, s.CSRF_COOKIE_SECURE, s.CSRF_COOKIE_DOMAIN, s.CSRF_COOKIE_PATH,"
        " s.LANGUAGE_COOKIE_NAME, s.LANGUAGE_COOKIE_SECURE)"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "clinic.settings",
        "DATABASE_URL": "sqlite:////nowhere/clinic.sqlite3",
        "SECRET_KEY": "k" * 50,
        "ALLOWED_HOSTS": "clinic.example.org",
        "PUBLIC_URL": "https://clinic.example.org",
    }
    shown = subprocess.run(
        [sys.executable, "-c", facts],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert shown == [
        *["__Host-session", "True", "True", "Lax", "None", "/"],
        *["__Host-csrf", "True", "None", "/"],
        *["__Host-language", "True"],
    ]


def test_s13_the_session_cookie_ends_with_the_browser(alice: User) -> None:
    client = Client()
    cookie = sign_in(client, ALICE, PASSWORD).cookies[settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"
    assert cookie["domain"] == ""
    assert cookie["max-age"] == ""


# --- Where people arrive ------------------------------------------------------------------------
def test_signing_in_leads_to_the_visits_or_to_where_one_came_from(alice: User) -> None:
    assert sign_in(Client(), ALICE, PASSWORD).headers["Location"] == "/appointments/"
    answer = Client().post(
        "/accounts/login/", {"login": ALICE, "password": PASSWORD, "next": "/doctors/?q=skin"}
    )
    assert answer.headers["Location"] == "/doctors/?q=skin"


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"],
)
def test_signing_in_never_leads_to_another_site(alice: User, target: str) -> None:
    answer = Client().post(
        "/accounts/login/", {"login": ALICE, "password": PASSWORD, "next": target}
    )
    assert answer.headers["Location"] == "/appointments/"


def test_changed_terms_are_asked_for_once_at_the_next_sign_in(alice: User) -> None:
    alice.terms_version = "2020-01-01"
    alice.save()
    client = Client()
    answer = client.post(
        "/accounts/login/", {"login": ALICE, "password": PASSWORD, "next": "/doctors/"}
    )
    ask = answer.headers["Location"]
    assert ask == "/accounts/terms/accept/?next=%2Fdoctors%2F"
    assert client.get(ask).status_code == 200
    assert client.post(ask, {"next": "/doctors/"}).status_code == 422
    alice.refresh_from_db()
    assert alice.terms_version == "2020-01-01"
    accepted = client.post(ask, {"accept": "on", "next": "/doctors/"})
    assert accepted.headers["Location"] == "/doctors/"
    alice.refresh_from_db()
    assert alice.terms_version == settings.TERMS_VERSION
    assert alice.terms_accepted_at is not None
    assert AuditEvent.objects.filter(action="terms.accepted", actor_id=alice.pk).count() == 1
    assert sign_in(Client(), ALICE, PASSWORD).headers["Location"] == "/appointments/"


def test_who_does_not_accept_the_terms_can_still_sign_out(alice: User) -> None:
    alice.terms_version = ""
    alice.save()
    client = signed_in(alice)
    client.post("/accounts/logout/")
    assert client.get(PROFILE).status_code == 302


def test_the_page_for_terms_never_leads_to_another_site(alice: User) -> None:
    alice.terms_version = ""
    alice.save()
    answer = signed_in(alice).post(
        "/accounts/terms/accept/", {"accept": "on", "next": "https://evil.example/"}
    )
    assert answer.headers["Location"] == "/appointments/"


# --- The admin's own door -----------------------------------------------------------------------
@pytest.mark.parametrize("method", ["get", "post"])
def test_the_admin_signs_people_in_on_the_sites_own_page(administrator: User, method: str) -> None:
    client = Client()
    facts = {"username": administrator.email, "password": PASSWORD}
    answer = getattr(client, method)("/admin/login/?next=/admin/accounts/user/", facts)
    assert answer.status_code == 302
    expected = "/accounts/login/?next=%2Fadmin%2F"
    assert answer.headers["Location"].startswith(expected)
    assert client.get("/admin/").status_code == 302


def test_who_is_no_staff_finds_no_admin(alice: User) -> None:
    client = signed_in(alice)
    assert client.get("/admin/", follow=True).status_code == 404
