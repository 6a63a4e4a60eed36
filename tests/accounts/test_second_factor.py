"""SECURITY 4, 5, 9, 14 and 19: what a password alone opens, and that a factor works once."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import second_factor
from accounts.models import AuditEvent, Role, SignIn, User
from tests.accounts.factors import (
    ADD_APP,
    ADD_PASSKEY,
    ENTER,
    Passkey,
    add_app,
    add_passkey,
    code,
    confirm_password,
    options_on,
    sign_in_with_code,
)
from tests.accounts.helpers import LONG_PASSWORD, mailed_code, mails_to, sign_in
from tests.cast import ALICE, PASSWORD, make_account, make_staff, signed_in
from tests.security.routes import ROWS

pytestmark = pytest.mark.django_db

INDEX = "/accounts/2fa/"
PROFILE = "/accounts/profile/"
NOW = "2026-11-23 15:00:00+00:00"


@pytest.fixture
def demanded(settings: Any) -> None:
    settings.STAFF_MFA_REQUIRED = True


def key_of(client: Client) -> str:
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def with_key(key: str) -> Client:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = key
    return client


def enrolled(user: User) -> tuple[Client, str]:
    """A browser of ``user`` with an app added, and the app's secret."""
    client = Client()
    sign_in(client, user.email, PASSWORD)
    return client, add_app(client)


# --- 4: a password alone --------------------------------------------------------------------
ROLES = [Role.DOCTOR, Role.RECEPTION, Role.DIRECTORY, Role.ADMINISTRATOR]


@pytest.mark.parametrize("role", ROLES)
def test_s04_with_a_password_alone_only_the_enrolment_pages_answer(
    demanded: None, role: Role
) -> None:
    user = make_staff(f"{role}@example.org", role=role)
    client = Client()
    assert sign_in(client, user.email, PASSWORD).status_code == 302
    opened = set()
    for row in ROWS.values():
        if callable(row.address):
            continue  # these need a world; the guard looks at no object
        path = row.address or f"/{row.route}"
        if re.search(r"[<(^]", path) or row.route in {"livez", "readyz", "metrics"}:
            continue
        for method in (client.get, client.post):
            answer = method(path)
            if path == "/accounts/logout/" and method == client.post:
                continue
            if answer.status_code == 200:
                opened.add(path)
            elif answer.status_code == 302 and not path.startswith("/accounts/2fa/"):
                where = answer.headers["Location"]
                assert where == INDEX or path in {*ENROLMENT_PATHS}, (path, where)
        if not client.session.get("_auth_user_id"):
            sign_in(client, user.email, PASSWORD)
    assert opened <= ENROLMENT_PATHS, opened - ENROLMENT_PATHS
    assert client.get(INDEX).status_code == 200


ENROLMENT_PATHS = {
    INDEX,
    "/accounts/reauthenticate/",
    "/accounts/logout/",
    "/accounts/terms/accept/",
    "/privacy/",
    "/terms/",
    ADD_APP,
    ADD_PASSKEY,
    "/accounts/2fa/recovery-codes/",
    "/accounts/2fa/recovery-codes/download/",
}


def test_s04_the_admin_has_no_other_way_in(demanded: None, administrator: User) -> None:
    client = Client()
    for method in (client.get, client.post):
        facts = {"username": administrator.email, "password": PASSWORD}
        answer = method("/admin/login/", facts)
        assert answer.headers["Location"].startswith("/accounts/login/")
    sign_in(client, administrator.email, PASSWORD)
    assert client.get("/admin/").headers["Location"] == INDEX
    assert client.post("/admin/accounts/user/").headers["Location"] == INDEX


def test_s04_who_adds_a_factor_gets_to_work_in_the_same_session(
    demanded: None, administrator: User
) -> None:
    client, _secret = enrolled(administrator)
    assert client.get(PROFILE).status_code == 200


def test_s04_another_session_of_the_same_password_does_not_profit(
    demanded: None, administrator: User
) -> None:
    thief = Client()
    sign_in(thief, administrator.email, PASSWORD)
    enrolled(administrator)
    answer = thief.get(PROFILE)
    assert answer.headers["Location"].startswith("/accounts/login/")
    assert sign_in(thief, administrator.email, PASSWORD).headers["Location"] == ENTER
    assert thief.get(PROFILE).status_code == 302


def test_s04_a_session_that_never_showed_the_factor_is_over(
    settings: Any, administrator: User
) -> None:
    older = signed_in(administrator)  # from before it was demanded
    Authenticator.objects.create(
        user=administrator, type="totp", data={"secret": second_factor.FactorAdapter().encrypt("A")}
    )
    assert older.get(PROFILE).status_code == 200
    settings.STAFF_MFA_REQUIRED = True
    assert older.get(PROFILE).headers["Location"].startswith("/accounts/login/")


def test_s04_scripts_are_told_so_and_not_sent_to_a_page(
    demanded: None, administrator: User
) -> None:
    client = signed_in(administrator)
    answer = client.get(PROFILE, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()) == (403, {"code": "second_factor"})


def test_a_patient_may_add_one_and_need_not(demanded: None, alice: User) -> None:
    client = Client()
    sign_in(client, ALICE, PASSWORD)
    assert client.get(PROFILE).status_code == 200
    secret = add_app(client)
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        other = Client()
        assert sign_in_with_code(other, alice, code(secret)).headers["Location"] == "/appointments/"
        assert other.get(PROFILE).status_code == 200


def test_the_last_factor_of_staff_stays(demanded: None, administrator: User) -> None:
    client, _secret = enrolled(administrator)
    answer = client.post("/accounts/2fa/totp/deactivate/")
    assert answer.status_code == 422
    assert "Add another one before you remove this one" in answer.content.decode()
    assert Authenticator.objects.filter(user=administrator, type="totp").exists()


# --- 5: once --------------------------------------------------------------------------------
def test_s05_a_code_works_once_also_when_the_cache_forgets(alice: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        _client, secret = enrolled(alice)
        clock.shift(120)
        typed = code(secret)
        assert sign_in_with_code(Client(), alice, typed).status_code == 302
        for _again in range(2):
            assert sign_in_with_code(Client(), alice, typed).status_code == 422
            cache.clear()
        clock.shift(30)  # still within its window: one step either way counts
        assert sign_in_with_code(Client(), alice, typed).status_code == 422
        assert sign_in_with_code(Client(), alice, code(secret)).status_code == 302


def test_s05_an_earlier_code_is_dead_once_a_later_one_was_used(alice: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        _client, secret = enrolled(alice)
        clock.shift(300)
        earlier = code(secret)
        assert sign_in_with_code(Client(), alice, code(secret, steps=1)).status_code == 302
        assert sign_in_with_code(Client(), alice, earlier).status_code == 422


def test_s05_the_code_that_added_the_app_signs_nobody_in(alice: User) -> None:
    with time_machine.travel(NOW, tick=False):
        _client, secret = enrolled(alice)
        assert sign_in_with_code(Client(), alice, code(secret)).status_code == 422


def test_s05_a_recovery_code_works_once(alice: User) -> None:
    client, _secret = enrolled(alice)
    page = client.get("/accounts/2fa/recovery-codes/").content.decode()
    codes = re.findall(r"<li>(\d{8})</li>", page)
    assert len(codes) == 10
    assert sign_in_with_code(Client(), alice, codes[0]).status_code == 302
    assert sign_in_with_code(Client(), alice, codes[0]).status_code == 422
    assert sign_in_with_code(Client(), alice, codes[1]).status_code == 302


def test_s05_wrong_codes_lock_the_second_step(alice: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        _client, secret = enrolled(alice)
        clock.shift(60)
        client = Client()
        sign_in(client, ALICE, PASSWORD)
        for _attempt in range(5):
            assert client.post(ENTER, {"code": "000000"}).status_code == 422
        refused = client.post(ENTER, {"code": code(secret)})
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "300"
        assert client.get(PROFILE).status_code == 302


def test_s05_a_password_reset_by_mail_still_asks_for_the_factor(alice: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        _client, secret = enrolled(alice)
        clock.shift(60)
        client = Client()
        client.post("/accounts/password/reset/", {"email": ALICE})
        client.post("/accounts/password/reset/confirm/", {"code": mailed_code(ALICE)})
        client.post("/accounts/password/reset/complete/", {"password1": LONG_PASSWORD})
        assert client.get(PROFILE).status_code == 302
        assert sign_in(client, ALICE, LONG_PASSWORD).headers["Location"] == ENTER
        assert client.get(PROFILE).status_code == 302
        assert client.post(ENTER, {"code": code(secret)}).status_code == 302
        assert client.get(PROFILE).status_code == 200


def test_the_page_with_the_secret_writes_nothing_and_takes_only_its_own(
    alice: User, bob: User
) -> None:
    client, other = Client(), Client()
    sign_in(client, ALICE, PASSWORD)
    sign_in(other, bob.email, PASSWORD)
    confirm_password(client)
    confirm_password(other)
    with CaptureQueriesContext(connection) as queries:
        page = client.get(ADD_APP).content.decode()
    assert not [q for q in queries if re.match(r"(?i)insert|update|delete", q["sql"])]
    assert "<svg" in page and "data:" not in page
    [sealed] = re.findall(r'name="sealed" value="([^"]+)"', page)
    secret = re.findall(r"<strong>([A-Z2-7 ]{32,})</strong>", page)[0].replace(" ", "")
    # Somebody else's sealed secret, a made-up one, none: refused, and nothing is added.
    for sent in (sealed, "made-up", ""):
        assert other.post(ADD_APP, {"code": code(secret), "sealed": sent}).status_code == 422
    assert not Authenticator.objects.exists()


# --- Passkeys -------------------------------------------------------------------------------
def test_a_passkey_is_added_and_signs_in(administrator: User, demanded: None) -> None:
    client, passkey = Client(), Passkey()
    sign_in(client, administrator.email, PASSWORD)
    assert add_passkey(client, passkey).headers["Location"] == "/accounts/2fa/recovery-codes/"
    assert client.get(PROFILE).status_code == 200
    elsewhere = Client()
    assert sign_in(elsewhere, administrator.email, PASSWORD).headers["Location"] == ENTER
    options = options_on(elsewhere.get(ENTER).content.decode())
    answer = elsewhere.post(ENTER, {"credential": passkey.shown(options)})
    assert answer.status_code == 302
    assert elsewhere.get(PROFILE).status_code == 200
    added = AuditEvent.objects.get(action="second_factor.added")
    assert (added.detail, added.actor_id) == ("webauthn", administrator.pk)
    assert "My phone" in client.get("/accounts/2fa/webauthn/").content.decode()


def test_s05_a_passkeys_answer_works_once(alice: User) -> None:
    client, passkey = Client(), Passkey()
    sign_in(client, ALICE, PASSWORD)
    add_passkey(client, passkey)
    elsewhere = Client()
    sign_in(elsewhere, ALICE, PASSWORD)
    answer = passkey.shown(options_on(elsewhere.get(ENTER).content.decode()))
    assert elsewhere.post(ENTER, {"credential": answer}).status_code == 302
    again = Client()
    sign_in(again, ALICE, PASSWORD)
    again.get(ENTER)
    assert again.post(ENTER, {"credential": answer}).status_code == 422
    assert again.get(PROFILE).status_code == 302


@pytest.mark.parametrize(
    "sent", ["", "x", "[]", "{}", '{"id": 1}', '{"response": []}', '{"rawId": {}, "response": 5}']
)
def test_a_made_up_passkey_answer_is_refused_and_breaks_nothing(alice: User, sent: str) -> None:
    client = Client()
    sign_in(client, ALICE, PASSWORD)
    add_passkey(client, Passkey())
    assert client.post(ADD_PASSKEY, {"name": "x", "credential": sent}).status_code == 422
    elsewhere = Client()
    sign_in(elsewhere, ALICE, PASSWORD)
    elsewhere.get(ENTER)
    assert elsewhere.post(ENTER, {"credential": sent}).status_code == 422
    assert Authenticator.objects.filter(user=alice, type="webauthn").count() == 1


def test_somebody_elses_passkey_does_not_exist(alice: User, bob: User) -> None:
    client, other = Client(), Client()
    sign_in(client, ALICE, PASSWORD)
    add_passkey(client, Passkey())
    pk = Authenticator.objects.get(user=alice, type="webauthn").pk
    sign_in(other, bob.email, PASSWORD)
    confirm_password(other)
    for page in ("edit", "remove"):
        for method in (other.get, other.post):
            answer = method(f"/accounts/2fa/webauthn/keys/{pk}/{page}/", {"name": "Mine"})
            assert answer.status_code == 404
    assert Authenticator.objects.get(pk=pk).wrap().name == "My phone"


# --- 9, 14, 19 ------------------------------------------------------------------------------
def test_s09_the_second_step_changes_the_session_key(alice: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client = Client()
        sign_in(client, ALICE, PASSWORD)
        before = key_of(client)
        secret = add_app(client)
        assert key_of(client) != before
        assert with_key(before).get(PROFILE).status_code == 302
        clock.shift(60)
        other = Client()
        sign_in(other, ALICE, PASSWORD)
        half_way = key_of(other)
        other.post(ENTER, {"code": code(secret)})
        assert key_of(other) != half_way
        assert with_key(half_way).get(PROFILE).status_code == 302


@pytest.mark.parametrize(
    "page",
    [
        "/accounts/email/",
        ADD_APP,
        ADD_PASSKEY,
        "/accounts/2fa/recovery-codes/generate/",
    ],
)
def test_s14_what_changes_the_account_asks_for_the_password_again(alice: User, page: str) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client = Client()
        sign_in(client, ALICE, PASSWORD)
        sent = {"email": "new@example.org", "action_add": "", "name": "x", "code": "1"}
        answer = client.post(page, sent)
        assert answer.headers["Location"].startswith("/accounts/reauthenticate/?next=")
        assert not Authenticator.objects.exists()
        confirm_password(client)
        assert client.get(page).status_code == 200
        clock.shift(301)
        if page != "/accounts/email/":
            assert client.get(page).status_code == 302


def test_s14_the_factor_counts_in_place_of_the_password(alice: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client, secret = enrolled(alice)
        clock.shift(600)
        assert client.get(ADD_PASSKEY).status_code == 302
        again = client.post("/accounts/2fa/reauthenticate/", {"code": code(secret)})
        assert again.status_code == 302
        assert client.get(ADD_PASSKEY).status_code == 200


def test_s19_no_page_of_the_admin_shows_a_secret(administrator: User, alice: User) -> None:
    _client, secret = enrolled(alice)
    factor = Authenticator.objects.get(user=alice, type="totp")
    assert secret not in str(factor.data)  # encrypted where it is stored
    client = signed_in(administrator)
    assert client.get("/admin/mfa/authenticator/").status_code == 404
    assert client.get(f"/admin/mfa/authenticator/{factor.pk}/change/").status_code == 404


# --- Secrets at rest ------------------------------------------------------------------------
def test_a_new_secret_key_locks_nobody_out_and_what_is_stored_follows(
    alice: User, settings: Any
) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        _client, secret = enrolled(alice)
        old = settings.SECRET_KEY
        settings.SECRET_KEY = "another-key-of-this-test-0123456789-abcdef"
        settings.SECRET_KEY_FALLBACKS = [old]
        clock.shift(60)
        assert sign_in_with_code(Client(), alice, code(secret)).status_code == 302
        assert second_factor.encrypt_anew(now=timezone.now()) == 2  # the app, the codes
        assert second_factor.encrypt_anew(now=timezone.now()) == 0
        settings.SECRET_KEY_FALLBACKS = []
        clock.shift(60)
        assert sign_in_with_code(Client(), alice, code(secret)).status_code == 302


def test_a_lost_key_is_a_refusal_and_no_error_page(alice: User) -> None:
    enrolled(alice)
    row = Authenticator.objects.get(user=alice, type="totp")
    row.data["secret"] = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    row.save()
    assert sign_in_with_code(Client(), alice, "123456").status_code == 422
    assert second_factor.encrypt_anew(now=timezone.now()) == 0


# --- Reset ----------------------------------------------------------------------------------
def reset_page(user: User) -> str:
    return f"/admin/accounts/{user.public_id}/second-factor/"


def test_an_administrator_resets_a_factor(reception: User, administrator: User) -> None:
    client, secret = enrolled(reception)
    boss = Client()
    sign_in(boss, administrator.email, PASSWORD)
    assert boss.get(reset_page(reception)).status_code == 302  # asks for the password again
    confirm_password(boss)
    assert boss.get(reset_page(reception)).status_code == 200
    assert boss.post(reset_page(reception), {"reason": "short"}).status_code == 422
    assert Authenticator.objects.filter(user=reception).count() == 2
    answer = boss.post(reset_page(reception), {"reason": "Came to my desk with the badge"})
    assert answer.status_code == 302
    assert not Authenticator.objects.filter(user=reception).exists()
    assert client.get(PROFILE).status_code == 302  # signed out everywhere
    event = AuditEvent.objects.get(action="second_factor.reset")
    assert (event.actor_id, event.object_id) == (administrator.pk, str(reception.public_id))
    assert event.detail == "Came to my desk with the badge"
    assert mails_to(reception.email)[-1].subject == "Your second factor was removed"
    assert sign_in(Client(), reception.email, PASSWORD).headers["Location"] != ENTER
    assert secret not in str(event.detail)


def test_nobody_else_resets_one_and_nobody_the_own(
    reception: User, administrator: User, alice: User
) -> None:
    enrolled(administrator)
    now = timezone.now()
    for by, refused in [
        (reception, second_factor.NotAdministrator),
        (alice, second_factor.NotAdministrator),
        (administrator, second_factor.OwnFactor),
    ]:
        with pytest.raises(refused):
            second_factor.reset(user=administrator, by=by, reason="a good reason", now=now)
    with pytest.raises(second_factor.NothingToReset):
        second_factor.reset(user=alice, by=administrator, reason="a good reason", now=now)
    assert Authenticator.objects.filter(user=administrator).count() == 2
    assert AuditEvent.objects.filter(action="second_factor.reset.refused").count() == 4
    assert signed_in(reception).get(reset_page(administrator)).status_code == 404


def test_an_operator_resets_the_last_administrators_factor(administrator: User) -> None:
    enrolled(administrator)
    call_command("reset_second_factor", administrator.email, reason="Called the known number back")
    assert not Authenticator.objects.exists()
    assert AuditEvent.objects.get(action="second_factor.reset").actor_id is None
    for email, reason in [("nobody@example.org", "x" * 20), (administrator.email, "no")]:
        with pytest.raises(CommandError):
            call_command("reset_second_factor", email, reason=reason)


def test_adding_a_factor_ends_the_other_sessions_and_is_mailed(
    alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    elsewhere = Client()
    sign_in(elsewhere, ALICE, PASSWORD)
    with django_capture_on_commit_callbacks(execute=True):
        client, _secret = enrolled(alice)
    assert elsewhere.get(PROFILE).status_code == 302
    assert client.get(PROFILE).status_code == 200
    assert SignIn.objects.filter(user=alice).count() == 1
    assert "authenticator app was added" in mails_to(ALICE)[-1].subject


def test_staff_without_a_doctors_page_count_as_staff(demanded: None) -> None:
    """Somebody who signed up as a doctor writes with patients before any approval."""
    user = make_account("new-doctor@example.org", role=Role.DOCTOR)
    assert signed_in(user).get("/messages/").headers["Location"] == INDEX
