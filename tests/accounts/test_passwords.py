"""What is stored of a password, what is accepted, and what a rush of sign-ins may cost."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, make_password
from django.test import Client

from accounts.hashers import HASHES_AT_ONCE, ClinicArgon2
from accounts.models import User
from tests.accounts.helpers import LONG_PASSWORD, NEW_ADDRESS, mailed_code, sign_in, signup_facts
from tests.cast import ALICE, PASSWORD, make_patient_user, signed_in


class CheapArgon2(Argon2PasswordHasher):
    """As an earlier release might have stored passwords."""

    time_cost, memory_cost, parallelism = 1, 1024, 1


def assert_costs_what_owasp_asks(encoded: str) -> None:
    stored = extract_parameters(encoded.removeprefix("argon2"))
    assert stored.type is Type.ID
    assert (stored.memory_cost, stored.time_cost, stored.parallelism) == (47_104, 1, 1)


@pytest.mark.django_db
def test_s07_a_stored_password_is_argon2id_with_46_mib() -> None:
    Client().post("/accounts/signup/", signup_facts())
    assert_costs_what_owasp_asks(User.objects.get(email=NEW_ADDRESS).password)


def test_s07_the_same_password_is_stored_differently_each_time() -> None:
    assert make_password(PASSWORD) != make_password(PASSWORD)


@pytest.mark.django_db
def test_s07_a_cheaper_hash_is_replaced_when_its_owner_signs_in(alice: User) -> None:
    cheap = CheapArgon2()
    alice.password = cheap.encode(PASSWORD, cheap.salt())
    alice.save()
    assert sign_in(Client(), ALICE, "wrong").status_code == 422
    alice.refresh_from_db()
    assert "m=1024" in alice.password
    assert sign_in(Client(), ALICE, PASSWORD).status_code == 302
    alice.refresh_from_db()
    assert_costs_what_owasp_asks(alice.password)
    assert check_password(PASSWORD, alice.password)


def test_s07_a_rush_of_sign_ins_hashes_two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def watched(self: Argon2PasswordHasher, password: str, salt: str) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return "done"

    monkeypatch.setattr(Argon2PasswordHasher, "encode", watched)
    hashers = [ClinicArgon2() for _ in range(12)]
    threads = [
        threading.Thread(target=hasher.encode, args=("x" * 12, "salt" * 4)) for hasher in hashers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == HASHES_AT_ONCE


@pytest.mark.django_db
@pytest.mark.parametrize(
    "password",
    ["seven77", "password123", "iloveyou1", "newcomer@example.org", "Noa Castell"],
    ids=["7 characters", "common", "common too", "the address", "the name"],
)
def test_s06_a_short_common_or_personal_password_is_refused(password: str) -> None:
    answer = Client().post("/accounts/signup/", signup_facts(password1=password))
    assert answer.status_code == 422
    assert answer.context["form"].errors.keys() == {"password1"}
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "password",
    [
        "eight8!x",
        "a" * 40 + " long " + "b" * 154,
        "  spaces at both ends  ",
        "пароль из нескольких слов",
        "病院の予約システム",
        "e\u0301te\u0301 a\u0300 la plage",
        "🐙🦑🐠🐡🦀🦞🐚🪸",
    ],
    ids=["8", "200", "spaces", "Cyrillic", "Japanese", "combining", "emoji"],
)
def test_s06_any_other_password_is_accepted_and_compared_exactly(password: str) -> None:
    client = Client()
    assert client.post("/accounts/signup/", signup_facts(password1=password)).status_code == 302
    client.post("/accounts/confirm-email/", {"code": mailed_code(NEW_ADDRESS)})
    assert sign_in(Client(), NEW_ADDRESS, password).status_code == 302
    for other in {password.strip(), password.upper(), password[:-1], password + " "} - {password}:
        assert sign_in(Client(), NEW_ADDRESS, other).status_code in {422, 429}


@pytest.mark.django_db
def test_s06_a_change_of_password_keeps_the_same_rules(alice: User) -> None:
    client = signed_in(alice)

    def change(new: str) -> Any:
        return client.post(
            "/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new}
        )

    assert change("seven77").status_code == 422
    assert change("password123").status_code == 422
    assert change("alice@example.org").status_code == 422
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    assert change(" two spaces, kept ").status_code == 302
    alice.refresh_from_db()
    assert alice.check_password(" two spaces, kept ")
    assert not alice.check_password("two spaces, kept")


@pytest.mark.django_db
def test_a_change_needs_the_current_password(alice: User) -> None:
    answer = signed_in(alice).post(
        "/accounts/password/change/", {"oldpassword": "wrong", "password1": LONG_PASSWORD}
    )
    assert answer.status_code == 422
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


@pytest.mark.django_db
def test_a_forgotten_password_is_set_anew_with_the_mailed_code() -> None:
    make_patient_user()
    client = Client()
    client.post("/accounts/password/reset/", {"email": ALICE})
    confirm = "/accounts/password/reset/confirm/"
    assert client.post(confirm, {"code": "ZZZZ-ZZZZ"}).status_code == 422
    assert client.post(confirm, {"code": mailed_code(ALICE)}).status_code == 302
    complete = "/accounts/password/reset/complete/"
    assert client.post(complete, {"password1": "seven77"}).status_code == 422
    assert client.post(complete, {"password1": LONG_PASSWORD}).status_code == 302
    assert sign_in(Client(), ALICE, PASSWORD).status_code == 422
    assert sign_in(Client(), ALICE, LONG_PASSWORD).status_code == 302


@pytest.mark.django_db
def test_a_new_password_needs_the_code_first() -> None:
    make_patient_user()
    client = Client()
    client.post("/accounts/password/reset/", {"email": ALICE})
    answer = client.post("/accounts/password/reset/complete/", {"password1": LONG_PASSWORD})
    assert answer.status_code == 302
    assert User.objects.get(email=ALICE).check_password(PASSWORD)
