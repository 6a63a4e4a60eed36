"""SECURITY 9, 10, 11 and 14: where one is signed in, and when that is over."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import sessions
from accounts.models import AuditEvent, Role, SignIn, User
from accounts.sessions import Over, device_of
from tests.accounts.helpers import LONG_PASSWORD, sign_in
from tests.cast import ALICE, PASSWORD, make_staff, signed_in

pytestmark = pytest.mark.django_db

PROFILE = "/accounts/profile/"
LIST = "/accounts/sessions/"
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; rv:130.0) Gecko/20100101 Firefox/130.0"


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def is_in(client: Client) -> bool:
    return client.get(PROFILE, headers={"X-Background-Request": "1"}).status_code == 200


# --- 10: idle and old -----------------------------------------------------------------------
@pytest.mark.parametrize("role", [Role.DOCTOR, Role.RECEPTION, Role.DIRECTORY, Role.ADMINISTRATOR])
def test_s10_staff_idle_for_fifteen_minutes_sign_in_again(clock: Any, role: Role) -> None:
    client = signed_in(make_staff("staff@example.org", role=role))
    clock.shift(15 * 60 - 1)
    assert is_in(client)
    clock.shift(1)
    answer = client.get("/admin/?date=2026-11-23")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/accounts/login/?next=%2Fadmin%2F%3Fdate%3D2026-11-23"
    page = client.get(answer.headers["Location"]).content.decode()
    assert "signed out after 15 minutes without activity" in page
    assert client.get(PROFILE).status_code == 302
    assert not SignIn.objects.exists()


def test_s10_what_the_person_does_counts_and_eight_hours_are_the_end(
    clock: Any, reception: User
) -> None:
    client = signed_in(reception)
    for _step in range(8 * 6 - 1):
        clock.shift(10 * 60)
        assert client.get(PROFILE).status_code == 200
    clock.shift(10 * 60)  # 8 hours after signing in, active all the time
    answer = client.get(PROFILE)
    assert answer.status_code == 302
    assert "whole working day" in client.get(answer.headers["Location"]).content.decode()


@pytest.mark.parametrize(
    ("method", "path", "header"),
    [
        ("get", "/messages/unread", False),
        ("get", "/messages/heads", False),
        ("get", "/messages/01890000-0000-7000-8000-000000000000/events?after=0", False),
        ("post", "/messages/01890000-0000-7000-8000-000000000000/marks/", False),
        ("post", PROFILE, True),
        ("get", "/admin/", True),
    ],
)
def test_s10_polling_and_autosave_are_no_activity(
    clock: Any, reception: User, method: str, path: str, header: bool
) -> None:
    client = signed_in(reception)
    headers = {"X-Background-Request": "1"} if header else {}
    for _step in range(14):
        clock.shift(60)
        assert getattr(client, method)(path, headers=headers).status_code not in {302, 401}
    clock.shift(60)
    assert client.get(PROFILE).status_code == 302


def test_s10_a_script_hears_401_and_where_to_sign_in(clock: Any, reception: User) -> None:
    for headers in (
        {"X-Background-Request": "1", "Referer": "http://testserver/admin/charts/?x=1"},
        {"Accept": "application/json", "Referer": "http://testserver/admin/charts/?x=1"},
    ):
        client = signed_in(reception)
        clock.shift(15 * 60)
        answer = client.post("/admin/charts/autosave/", {"body": "draft"}, headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {
            "code": "signed_out",
            "sign_in": "/accounts/login/?next=%2Fadmin%2Fcharts%2F%3Fx%3D1",
        }
    client = signed_in(reception)
    clock.shift(15 * 60)
    answer = client.get("/admin/", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/accounts/login/?next=%2Fadmin%2F"


@pytest.mark.parametrize(
    ("referer", "expected"),
    [
        ("http://testserver/accounts/profile/?a=b", "%2Faccounts%2Fprofile%2F%3Fa%3Db"),
        ("https://evil.example/x", "%2F"),
        ("//evil.example/x", "%2F"),
        ("javascript:alert(1)", "%2F"),
        ("", "%2F"),
    ],
)
def test_s10_after_a_form_one_returns_to_the_page_it_was_on(
    clock: Any, reception: User, referer: str, expected: str
) -> None:
    client = signed_in(reception)
    clock.shift(15 * 60)
    answer = client.post(PROFILE, {"name": "X"}, headers={"Referer": referer})
    assert answer.headers["Location"] == f"/accounts/login/?next={expected}"
    reception.refresh_from_db()
    assert reception.name == "Rita Lund"


def test_s10_signing_in_again_leads_back(clock: Any, reception: User) -> None:
    client = signed_in(reception)
    clock.shift(15 * 60)
    asked = client.get("/accounts/people/?page=2").headers["Location"]
    answer = client.post(
        asked, {"login": reception.email, "password": PASSWORD, "next": "/accounts/people/?page=2"}
    )
    assert answer.headers["Location"] == "/accounts/people/?page=2"


def test_s10_patients_have_no_such_limit(clock: Any, alice: User) -> None:
    client = signed_in(alice)
    clock.shift(9 * 3600)
    assert is_in(client)


def test_s10_the_limits_are_settings(clock: Any, reception: User, settings: Any) -> None:
    settings.STAFF_IDLE_MINUTES, settings.STAFF_SESSION_HOURS = 2, 1
    client = signed_in(reception)
    clock.shift(119)
    assert client.get(PROFILE).status_code == 200
    clock.shift(120)
    assert client.get(PROFILE).status_code == 302


def test_activity_is_stored_once_a_minute_and_nothing_else_is_written(
    clock: Any, reception: User, alice: User
) -> None:
    def writes(client: Client) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(PROFILE).status_code == 200
        sql = [str(query["sql"]) for query in queries]
        return [text for text in sql if re.match(r"(?i)(insert|update|delete)", text)]

    staff, patient = signed_in(reception), signed_in(alice)
    for seconds, expected in [(0, 0), (59, 0), (1, 1), (0, 0), (59, 0), (2, 1)]:
        clock.shift(seconds)
        assert len(writes(staff)) == expected
        assert not writes(patient)
    clock.shift(3600)
    assert len(writes(patient)) == 1


def test_s10_a_session_of_staff_that_no_sign_in_began_is_over(reception: User, alice: User) -> None:
    client = signed_in(reception)
    SignIn.objects.all().delete()
    assert client.get(PROFILE).status_code == 302
    client = signed_in(reception)
    session = client.session
    del session[sessions.SESSION_KEY]
    session.save()
    assert client.get(PROFILE).status_code == 302


def test_a_sign_in_of_somebody_else_is_none(alice: User, bob: User) -> None:
    """A session that carried another account's sign-in would borrow its life."""
    client, other = signed_in(alice), signed_in(bob)
    session = client.session
    session[sessions.SESSION_KEY] = other.session[sessions.SESSION_KEY]
    session.save()
    assert client.get(PROFILE).status_code == 302
    assert other.get(PROFILE).status_code == 200


# --- 11: role and account -------------------------------------------------------------------
STAFF_PAGES = [
    "/admin/",
    "/accounts/profile/",
    "/messages/",
    "/appointments/",
    "/messages/waiting/",
]


@pytest.mark.parametrize(
    "change",
    [
        {"is_active": False},
        {"role": Role.PATIENT},
        {"role": Role.DIRECTORY},
        {"is_staff": False},
    ],
)
def test_s11_a_disabled_account_or_a_lost_role_ends_every_page(
    reception: User, change: dict[str, Any]
) -> None:
    clients = [signed_in(reception) for _page in STAFF_PAGES]
    User.objects.filter(pk=reception.pk).update(**change)
    for client, page in zip(clients, STAFF_PAGES, strict=True):
        assert client.post(page).status_code in {302, 405}, page
        for answer in (client.get(page), client.get(page)):
            assert answer.status_code == 302, page
            assert answer.headers["Location"].startswith(("/accounts/login/", "/admin/login/"))


def test_more_rights_end_nothing(alice: User) -> None:
    client = signed_in(alice)
    User.objects.filter(pk=alice.pk).update(is_staff=True)  # an approved doctor, for example
    assert is_in(client)


# --- 9, 14: the list ------------------------------------------------------------------------
def test_s14_own_sessions_are_listed_and_end_at_once(alice: User, bob: User) -> None:
    here, there, bobs = Client(headers={"user-agent": FIREFOX}), Client(), Client()
    sign_in(here, ALICE, PASSWORD)
    sign_in(there, ALICE, PASSWORD, REMOTE_ADDR="198.51.100.7")
    sign_in(bobs, bob.email, PASSWORD, REMOTE_ADDR="203.0.113.9")
    page = here.get(LIST).content.decode()
    assert "Firefox, Windows" in page and "this one" in page
    assert "198.51.100.7" in page and "203.0.113.9" not in page
    for client in (here, there, bobs):
        key = client.cookies[settings.SESSION_COOKIE_NAME].value
        assert key not in page  # SECURITY 19
    row = SignIn.objects.get(user=alice, address="198.51.100.7")
    assert bobs.post(f"{LIST}{row.public_id}/end/").status_code == 404
    assert there.get(PROFILE).status_code == 200
    assert here.get(f"{LIST}{row.public_id}/end/").status_code == 405
    assert here.post(f"{LIST}{row.public_id}/end/").headers["Location"] == LIST
    assert there.get(PROFILE).status_code == 302
    assert here.get(PROFILE).status_code == 200
    assert here.post(f"{LIST}{row.public_id}/end/").status_code == 404
    assert AuditEvent.objects.get(action="session.ended").actor_id == alice.pk


def test_s14_sign_out_everywhere_else(alice: User, bob: User) -> None:
    clients = [signed_in(alice) for _ in range(3)]
    bobs = signed_in(bob)
    here = clients[0]
    assert here.post(LIST).headers["Location"] == LIST
    assert "signed out in 2 other places" in here.get(LIST).content.decode()
    assert [is_in(client) for client in clients] == [True, False, False]
    assert is_in(bobs)
    here.post(LIST)
    assert "signed in nowhere else" in here.get(LIST).content.decode()


def test_s14_ending_this_one_signs_out(alice: User) -> None:
    client = signed_in(alice)
    row = SignIn.objects.get(user=alice)
    answer = client.post(f"{LIST}{row.public_id}/end/")
    assert answer.headers["Location"] == "/accounts/login/"
    assert client.get(PROFILE).status_code == 302


def test_s14_a_session_that_ended_stays_ended_whatever_the_cache_holds(
    alice: User, settings: Any
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    here, there = Client(), Client()
    sign_in(here, ALICE, PASSWORD)
    sign_in(there, ALICE, PASSWORD)
    assert there.get(PROFILE).status_code == 200  # and is in the cache now
    here.post(LIST)
    assert there.get(PROFILE).status_code == 302
    cache.clear()  # Redis was flushed: who is in stays in
    assert here.get(PROFILE).status_code == 200


def test_s09_a_new_password_ends_every_other_sign_in(alice: User) -> None:
    here, elsewhere = Client(), Client()
    sign_in(here, ALICE, PASSWORD)
    sign_in(elsewhere, ALICE, PASSWORD)
    here.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": LONG_PASSWORD})
    assert is_in(here)
    assert not is_in(elsewhere)
    assert SignIn.objects.filter(user=alice).count() == 1


def test_signing_out_and_in_again_leaves_one_row(alice: User) -> None:
    client = Client()
    for _ in range(3):
        sign_in(client, ALICE, PASSWORD)
        client.post("/accounts/logout/")
    assert not SignIn.objects.exists()
    sign_in(client, ALICE, PASSWORD)
    assert SignIn.objects.count() == 1


def test_a_new_secret_key_signs_nobody_out(alice: User, reception: User, settings: Any) -> None:
    clients = [signed_in(alice), signed_in(reception)]
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key-of-this-test-0123456789-abcdef"
    for client in clients:
        for _ in range(2):
            assert client.get(PROFILE).status_code == 200


def test_old_sign_ins_are_forgotten(clock: Any, alice: User) -> None:
    client = signed_in(alice)
    clock.shift(timedelta(days=10))
    assert sessions.forget_old(now=timezone.now()) == 0
    assert is_in(client)
    clock.shift(timedelta(days=5))
    assert sessions.running(alice, timezone.now()) == []
    assert sessions.forget_old(now=timezone.now()) == 1


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox, Windows"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit Chrome/128 Mobile Safari", "Chrome, Android"),
        ("Mozilla/5.0 (iPhone; CPU like Mac OS X) Version/17 Safari/604", "Safari, iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/128 Safari/537 Edg/128", "Edge, Windows"),
        ("curl/8", ""),
        ("<script>alert(1)</script>\r\n", ""),
    ],
)
def test_a_device_is_told_in_our_own_words(agent: str, words: str) -> None:
    assert device_of(agent) == words


def test_why_over_says_each_reason() -> None:
    row = SignIn(role=Role.RECEPTION, was_staff=True, since=NOW, seen_at=NOW)

    def why(after: timedelta, *, role: str = Role.RECEPTION, staff: bool = True) -> Over | None:
        return sessions.why_over(row, carried=True, role=role, is_staff=staff, now=NOW + after)

    assert why(timedelta(minutes=14, seconds=59)) is None
    assert why(timedelta(minutes=15)) == Over.IDLE
    assert why(timedelta(), role=Role.DOCTOR) == Over.ROLE
    assert why(timedelta(), staff=False) == Over.ROLE
    row.seen_at = NOW + timedelta(hours=8)
    assert why(timedelta(hours=7, minutes=59)) is None
    assert why(timedelta(hours=8)) == Over.TOO_OLD
