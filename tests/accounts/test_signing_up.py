"""Making an account: what is stored, what is never stored, and coming back to a booking."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.test import Client

from accounts.audit import verify_chain
from accounts.models import AuditEvent, Patient, Role, User
from accounts.signup import AddressTaken, register
from tests.accounts.helpers import (
    LONG_PASSWORD,
    NEW_ADDRESS,
    mailed_code,
    mails_to,
    sign_in,
    signup_facts,
)
from tests.cast import make_patient

pytestmark = pytest.mark.django_db

SIGN_UP = "/accounts/signup/"
CONFIRM = "/accounts/confirm-email/"
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


def sign_up(client: Client, **changes: Any) -> User:
    """Signs up and enters the mailed code."""
    facts = signup_facts(**changes)
    assert client.post(SIGN_UP, facts).status_code == 302
    code = mailed_code(facts["email"])
    assert client.post(CONFIRM, {"action": "verify", "code": code}).status_code == 302
    return User.objects.get(email=facts["email"].lower())


def test_a_patient_signs_up_and_is_signed_in_after_the_mailed_code() -> None:
    client = Client()
    answer = client.post(SIGN_UP, signup_facts(email="Newcomer@Example.org"))
    assert answer.headers["Location"] == CONFIRM
    assert client.get("/accounts/profile/").status_code == 302  # not before the code
    (mail,) = mails_to(NEW_ADDRESS)
    assert "Noa" not in mail.subject + mail.text  # an address can be anybody's until then
    answer = client.post(CONFIRM, {"action": "verify", "code": mailed_code(NEW_ADDRESS).lower()})
    assert answer.headers["Location"] == "/appointments/"
    assert client.get("/accounts/profile/").status_code == 200

    user = User.objects.get()
    assert (user.email, user.name, user.role) == (NEW_ADDRESS, "Noa Castell", Role.PATIENT)
    assert (user.is_staff, user.is_superuser) == (False, False)
    assert user.terms_version == settings.TERMS_VERSION
    assert user.terms_accepted_at is not None
    address = EmailAddress.objects.get()
    assert (address.user, address.verified, address.primary) == (user, True, True)
    assert user.chart.name == "Noa Castell"
    assert user.chart.birth_date == date(1985, 3, 31)
    assert user.chart.phone == "207-555-0142"
    events = AuditEvent.objects.filter(patient=user.chart)
    assert [event.action for event in events] == ["account.created"]
    assert verify_chain(user.chart) == []


def test_without_the_code_nobody_gets_in() -> None:
    Client().post(SIGN_UP, signup_facts())
    client = Client()
    assert sign_in(client, NEW_ADDRESS, LONG_PASSWORD).status_code in {302, 422, 429}
    assert client.get("/accounts/profile/").status_code == 302


def test_three_wrong_codes_end_the_attempt() -> None:
    client = Client()
    client.post(SIGN_UP, signup_facts())
    right = mailed_code(NEW_ADDRESS)
    for status in (422, 422, 302):
        answer = client.post(CONFIRM, {"action": "verify", "code": "ZZZZ-ZZZZ"})
        assert answer.status_code == status
    client.post(CONFIRM, {"action": "verify", "code": right})
    assert not EmailAddress.objects.get().verified


def test_the_same_name_and_birth_date_never_link_to_an_existing_chart() -> None:
    existing = make_patient("Noa Castell", birth_date=date(1985, 3, 31))
    user = sign_up(Client())
    existing.refresh_from_db()
    assert existing.account is None
    assert user.chart != existing
    assert list(Patient.objects.in_care_of(user)) == [user.chart]
    assert not AuditEvent.objects.filter(patient=existing).exists()


@pytest.mark.parametrize("role", ["doctor", "administrator"])
def test_s08_extra_fields_of_the_form_change_nothing(role: str) -> None:
    other = make_patient()
    user = sign_up(
        Client(),
        role=role,
        is_staff="on",
        is_superuser="on",
        is_active="",
        pk="1",
        id="1",
        public_id="00000000-0000-7000-8000-000000000000",
        patient=str(other.pk),
        chart=str(other.public_id),
        account=str(other.pk),
        doctor_id="1",
        terms_version="1999-01-01",
        verified="on",
    )
    assert user.role == Role.PATIENT
    assert (user.is_staff, user.is_superuser, user.is_active) == (False, False, True)
    assert user.terms_version == settings.TERMS_VERSION
    assert str(user.public_id) != "00000000-0000-7000-8000-000000000000"
    assert user.chart != other


def test_nobody_registers_as_staff() -> None:
    for role in (Role.RECEPTION, Role.DIRECTORY, Role.ADMINISTRATOR):
        with pytest.raises(ValueError, match="nobody signs up"):
            register(email="x@example.org", password="x", name="X", role=role, now=NOW)
    assert not User.objects.exists()


def test_registering_a_taken_address_stores_nothing(alice: User) -> None:
    before = (Patient.objects.count(), AuditEvent.objects.count())
    with pytest.raises(AddressTaken):
        register(email="ALICE@example.org", password="x", name="X", now=NOW)
    assert User.objects.count() == 1
    assert (Patient.objects.count(), AuditEvent.objects.count()) == before


def test_a_doctor_gets_no_chart_and_no_right_in_the_admin() -> None:
    user = register(
        email="okafor@example.org",
        password=LONG_PASSWORD,
        name="Amara Okafor",
        role=Role.DOCTOR,
        now=NOW,
    )
    assert (user.role, user.is_staff) == (Role.DOCTOR, False)
    assert not Patient.objects.exists()


# --- Coming back in the middle of a booking -----------------------------------------------------
BOOKING = "/doctors/amara-okafor/book/?service=3&at=2026-11-23T14:10:00Z"


def test_next_and_the_session_survive_the_mailed_code() -> None:
    client = Client()
    client.get("/accounts/login/")
    session = client.session
    session["hold"] = "what the booking remembers"
    session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key or ""
    page = client.get(f"{SIGN_UP}?next={quote(BOOKING)}")
    assert page.context["redirect_field_value"] == BOOKING
    client.post(SIGN_UP, signup_facts(next=BOOKING))
    client.post(CONFIRM, {"action": "verify", "code": "ZZZZ-ZZZZ"})  # a typing error on the way
    answer = client.post(CONFIRM, {"action": "verify", "code": mailed_code(NEW_ADDRESS)})
    assert answer.headers["Location"] == BOOKING
    assert client.session["hold"] == "what the booking remembers"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:1"])
def test_next_never_leads_to_another_site(target: str) -> None:
    client = Client()
    client.post(f"{SIGN_UP}?next={quote(target)}", signup_facts(next=target))
    answer = client.post(CONFIRM, {"action": "verify", "code": mailed_code(NEW_ADDRESS)})
    assert answer.headers["Location"] == "/appointments/"


# --- Mistakes -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "  "}, "name"),
        ({"email": "no address"}, "email"),
        # Looks right, and no mail can be written to it: 63 characters are the most, as punycode.
        ({"email": "x@" + "\u00e9" * 60 + ".example"}, "email"),
        ({"birth_date_year": "2090"}, "birth_date"),
        ({"birth_date_year": "1850"}, "birth_date"),
        ({"birth_date_month": "2", "birth_date_day": "30"}, "birth_date"),
        ({"birth_date_day": ""}, "birth_date"),
        ({"phone": "call me"}, "phone"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"password1": ""}, "password1"),
        ({"accept": ""}, "accept"),
    ],
)
def test_a_mistake_is_named_at_its_field_and_nothing_is_stored(
    changes: dict[str, Any], field: str
) -> None:
    answer = Client().post(SIGN_UP, signup_facts(**changes))
    assert answer.status_code == 422
    assert answer.context["form"].errors.keys() == {field}
    page = answer.content.decode()
    assert LONG_PASSWORD not in page
    if field != "name":
        assert "Noa Castell" in page  # what was typed is kept
    assert not User.objects.exists()
    assert not Patient.objects.exists()


def test_a_limit_that_stops_the_mail_stops_the_account_too() -> None:
    from accounts.models import User as Account

    Client().post(SIGN_UP, signup_facts())
    Account.objects.all().delete()  # the address is free again, its mail limit is not
    answer = Client().post(SIGN_UP, signup_facts())
    assert answer.status_code == 429
    assert not Account.objects.exists()


def test_the_code_is_sent_again_on_request() -> None:
    client = Client()
    client.post(SIGN_UP, signup_facts())
    first = mailed_code(NEW_ADDRESS)
    from django.core.cache import cache

    cache.clear()  # ten seconds later
    client.post(CONFIRM, {"action": "resend"})
    assert len(mails_to(NEW_ADDRESS)) == 2
    assert client.post(CONFIRM, {"action": "verify", "code": first}).status_code == 422
    answer = client.post(CONFIRM, {"action": "verify", "code": mailed_code(NEW_ADDRESS)})
    assert answer.status_code == 302


def test_reading_the_sign_up_page_stores_nothing() -> None:
    from django.contrib.sessions.models import Session

    client = Client()
    for page in (SIGN_UP, "/accounts/login/", "/accounts/password/reset/", "/privacy/", "/terms/"):
        assert client.get(page).status_code == 200
    assert not Session.objects.exists()
    assert not AuditEvent.objects.exists()
