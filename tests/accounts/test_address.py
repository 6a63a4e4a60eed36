"""Changing the e-mail address, and what the mails say."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.test import Client

from accounts.models import AuditEvent, User
from clinic.jobs.models import OutgoingMail
from tests.accounts.helpers import LONG_PASSWORD, mailed_code, mails_to, sign_in, signup_facts
from tests.cast import ALICE, BOB, PASSWORD, make_patient_user

pytestmark = pytest.mark.django_db

ADDRESS = "/accounts/email/"
CONFIRM = "/accounts/confirm-email/"
AGAIN = "/accounts/reauthenticate/"
NEW = "alice.moreau@example.org"


def ask_for(client: Client, address: str, password: str = PASSWORD) -> Any:
    """Asks for another address and gives the password, which continues the asking."""
    answer = client.post(ADDRESS, {"action_add": "", "email": address})
    if answer.headers.get("Location", "").startswith(AGAIN):
        answer = client.post(answer.headers["Location"], {"password": password})
    return answer


def test_the_old_address_stays_until_the_code_is_in(alice: User) -> None:
    client = Client()
    sign_in(client, ALICE, PASSWORD)
    assert ask_for(client, NEW).headers["Location"] == CONFIRM
    alice.refresh_from_db()
    assert alice.email == ALICE
    assert client.post(CONFIRM, {"action": "verify", "code": "ZZZZ-ZZZZ"}).status_code == 422
    alice.refresh_from_db()
    assert alice.email == ALICE
    assert client.post(CONFIRM, {"action": "verify", "code": mailed_code(NEW)}).status_code == 302
    alice.refresh_from_db()
    assert alice.email == NEW
    assert list(EmailAddress.objects.values_list("email", "verified")) == [(NEW, True)]
    assert sign_in(Client(), NEW, PASSWORD).status_code == 302
    assert sign_in(Client(), ALICE, PASSWORD).status_code == 422
    assert NEW in mails_to(ALICE)[-1].text  # the old mailbox is told
    assert AuditEvent.objects.filter(action="address.confirmed", actor_id=alice.pk).count() == 1


def test_a_change_asks_for_the_password_again(alice: User) -> None:
    client = Client()
    sign_in(client, ALICE, PASSWORD)
    answer = client.post(ADDRESS, {"action_add": "", "email": NEW})
    assert answer.headers["Location"] == f"{AGAIN}?next=%2Faccounts%2Femail%2F"
    page = client.get(answer.headers["Location"]).content.decode()
    assert 'name="next" value="/accounts/email/"' in page
    assert ask_for(client, NEW, "wrong").status_code == 422
    assert not mails_to(NEW)
    assert ask_for(client, NEW).headers["Location"] == CONFIRM
    assert len(mails_to(NEW)) == 1


def test_s01_an_address_of_somebody_else_is_not_revealed_and_not_taken(
    alice: User, bob: User
) -> None:
    client = Client()
    sign_in(client, ALICE, PASSWORD)
    free, taken = ask_for(client, NEW), ask_for(client, BOB)
    assert free.headers["Location"] == taken.headers["Location"] == CONFIRM
    page = client.get(CONFIRM)
    assert page.status_code == 200
    client.post(CONFIRM, {"action": "verify", "code": mailed_code(BOB)})
    alice.refresh_from_db()
    bob.refresh_from_db()
    assert (alice.email, bob.email) == (ALICE, BOB)


def test_mails_are_plain_sentences_with_the_clinics_own_links(alice: User) -> None:
    make_patient_user(BOB, name="Bob Tanaka")
    Client().post("/accounts/signup/", signup_facts())
    Client().post("/accounts/signup/", signup_facts(email=BOB))
    Client().post("/accounts/password/reset/", {"email": "nobody@example.org"})
    client = Client()
    client.post("/accounts/password/reset/", {"email": ALICE})
    client.post("/accounts/password/reset/confirm/", {"code": mailed_code(ALICE)})
    client.post("/accounts/password/reset/complete/", {"password1": LONG_PASSWORD})
    mails = list(OutgoingMail.objects.all())
    assert len(mails) == 5
    for mail in mails:
        assert settings.CLINIC_NAME in mail.subject
        assert settings.CLINIC_NAME in mail.text
        assert "testserver" not in mail.text
        assert "None" not in mail.text and "&#x27;" not in mail.text and "{" not in mail.text
        assert LONG_PASSWORD not in mail.text
    linked = [mail for mail in mails if "http" in mail.text]
    assert len(linked) == 3
    assert all(settings.PUBLIC_URL + "/accounts/" in mail.text for mail in linked)
