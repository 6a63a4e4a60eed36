"""Nobody learns from sign-in, sign-up or reset whether an address has an account (SECURITY 1)."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import AuditEvent, Patient, User
from tests.accounts.helpers import (
    LONG_PASSWORD,
    Work,
    comparable,
    counted_work,
    mails_to,
    sign_in,
    signup_facts,
)
from tests.cast import make_patient_user

KNOWN, UNKNOWN = "known@example.org", "other@example.org"  # of the same length

# Both answers are compared outside a surrounding transaction, where a rollback costs one
# statement like a commit does.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _known() -> None:
    make_patient_user(KNOWN)


def assert_same_work(known: Work, unknown: Work) -> None:
    assert known.hashes == unknown.hashes
    listing = "\n".join(["known:", *known.queries, "unknown:", *unknown.queries])
    assert len(known.queries) == len(unknown.queries), listing


def test_s01_signing_in_answers_alike_and_costs_alike_for_an_unknown_address() -> None:
    answers, costs = [], []
    for address in (KNOWN, UNKNOWN):
        with counted_work() as work:
            answers.append(comparable(sign_in(Client(), address, "not the password"), address))
        costs.append(work)
    assert answers[0] == answers[1]
    assert answers[0][0] == 422
    assert costs[0].hashes == 1
    assert_same_work(*costs)


def test_s01_a_locked_address_answers_alike_whether_it_has_an_account() -> None:
    answers = []
    for address in (KNOWN, UNKNOWN):
        for _attempt in range(5):
            sign_in(Client(), address, "not the password")
        answers.append(comparable(sign_in(Client(), address, "not the password"), address))
    assert answers[0] == answers[1]
    assert answers[0][0] == 429


def test_s01_signing_up_answers_alike_and_costs_alike_for_a_known_address() -> None:
    answers, costs, pages = [], [], []
    for address in (KNOWN, UNKNOWN):
        client = Client()
        with counted_work() as work:
            answer = client.post("/accounts/signup/", signup_facts(email=address))
        answers.append(comparable(answer, address))
        costs.append(work)
        pages.append(comparable(client.get(answer.headers["Location"]), address))
    assert answers[0] == answers[1]
    assert answers[0][0] == 302
    assert costs[0].hashes == 1
    assert_same_work(*costs)
    assert pages[0] == pages[1]


def test_s01_the_pages_after_signing_up_go_on_alike() -> None:
    """A wrong code, one more, and asking for the code again tell nothing either."""
    answers: list[list[object]] = []
    for address in (KNOWN, UNKNOWN):
        client = Client()
        client.post("/accounts/signup/", signup_facts(email=address))
        page = "/accounts/confirm-email/"
        steps: list[object] = [
            comparable(client.post(page, {"action": "verify", "code": "ZZZZZZ"}), address),
            comparable(client.post(page, {"action": "resend"}), address),
            comparable(client.get(page), address),
            comparable(client.post(page, {"action": "verify", "code": "ZZZZZZ"}), address),
            comparable(client.post(page, {"action": "verify", "code": "ZZZZZZ"}), address),
        ]
        answers.append(steps)
    assert answers[0] == answers[1]


def test_s01_signing_up_again_changes_nothing_and_tells_the_owner_by_mail() -> None:
    before = User.objects.get(email=KNOWN)
    charts, events = Patient.objects.count(), AuditEvent.objects.count()
    Client().post("/accounts/signup/", signup_facts(email=KNOWN, name="Somebody Else"))
    after = User.objects.get(email=KNOWN)
    assert (after.name, after.password) == (before.name, before.password)
    assert User.objects.count() == 1
    assert (Patient.objects.count(), AuditEvent.objects.count()) == (charts, events)
    (mail,) = mails_to(KNOWN)
    assert "already have an account" in mail.text
    assert "Somebody Else" not in mail.text


def test_s01_asking_for_a_new_password_answers_alike_and_costs_alike() -> None:
    answers, costs, pages = [], [], []
    for address in (KNOWN, UNKNOWN):
        client = Client()
        with counted_work() as work:
            answer = client.post("/accounts/password/reset/", {"email": address})
        answers.append(comparable(answer, address))
        costs.append(work)
        pages.append(comparable(client.get(answer.headers["Location"]), address))
    assert answers[0] == answers[1]
    assert answers[0][0] == 302
    assert_same_work(*costs)
    assert pages[0] == pages[1]
    assert len(mails_to(KNOWN)) == len(mails_to(UNKNOWN)) == 1


def test_s01_two_people_who_sign_up_with_one_address_at_once_get_one_account() -> None:
    """The form was valid when the other one was a moment faster: no error page, no second row."""
    from accounts.forms import PatientSignupForm

    taken = "twice@example.org"
    original = PatientSignupForm.save

    def overtaken(self: PatientSignupForm, request: object) -> User:
        make_patient_user(taken)
        return original(self, request)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PatientSignupForm, "save", overtaken)
        answer = Client().post("/accounts/signup/", signup_facts(email=taken))
    assert answer.status_code == 302
    assert User.objects.filter(email=taken).count() == 1
    assert not User.objects.get(email=taken).check_password(LONG_PASSWORD)
