"""The account's own pages: who reaches them, what they store, what they say."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import people
from accounts.audit import current_origin
from accounts.context import SAMPLE_ADDRESS, SampleDataLabel, site
from accounts.middleware import RequestFacts
from accounts.models import AuditEvent, Carer, Patient, Role, User
from tests.accounts.helpers import sign_in
from tests.cast import (
    ALICE,
    BOB,
    PASSWORD,
    make_account,
    make_carer,
    make_patient,
    signed_in,
)

pytestmark = pytest.mark.django_db

OWN_PAGES = ["profile", "people", "person_add", "link_chart", "terms_accept"]
PERSON = {
    "name": "Mia Moreau",
    "birth_date_month": "5",
    "birth_date_day": "4",
    "birth_date_year": "2019",
    "relation": "child",
}
PROFILE = {"name": "Alice Moreau", "phone": "", "time_zone": "", "language": "en"}


def title_of(answer: Any) -> str:
    found = re.search(r"<title>(.*?)</title>", answer.content.decode(), re.S)
    return " ".join(found.group(1).split()) if found else ""


# --- Who ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", OWN_PAGES)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_visitor_is_asked_to_sign_in(name: str, method: str) -> None:
    answer = getattr(Client(), method)(reverse(name))
    if (name, method) == ("people", "post"):
        assert answer.status_code == 405  # a list, which takes no form
        return
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/accounts/login/?next={reverse(name)}"


def test_a_visitor_gets_the_same_answer_for_a_real_and_an_invented_person(bob: User) -> None:
    real = Carer.objects.get(user=bob).patient.public_id
    answers = [Client().get(reverse("person_end", args=[i])) for i in (real, uuid.uuid4())]
    assert {answer.status_code for answer in answers} == {302}


def test_s20_somebody_elses_person_does_not_exist_for_a_stranger(
    bob: User, alice: User, charlie: User
) -> None:
    page = reverse("person_end", args=[alice.chart.public_id])
    assert signed_in(bob).get(page).status_code == 200
    for method in ("get", "post"):
        assert getattr(signed_in(charlie), method)(page).status_code == 404
        assert getattr(signed_in(alice), method)(page).status_code == 404
    assert Carer.objects.running(timezone.now()).filter(user=bob).exists()


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
@pytest.mark.parametrize("name", OWN_PAGES)
def test_a_wrong_method_is_refused(alice: User, name: str, method: str) -> None:
    assert getattr(signed_in(alice), method)(reverse(name)).status_code == 405


def test_s22_get_changes_nothing(bob: User, alice: User) -> None:
    client = signed_in(bob)
    before = AuditEvent.objects.count()
    pages = [reverse(name) for name in OWN_PAGES]
    pages.append(reverse("person_end", args=[alice.chart.public_id]))
    for page in pages:
        client.get(page, PERSON | PROFILE | {"code": "ACDEFGHJKM", "accept": "on"})
    assert AuditEvent.objects.count() == before
    assert Carer.objects.running(timezone.now()).count() == 1


@pytest.mark.parametrize("foreign", [False, True], ids=["no token", "foreign origin"])
def test_s22_a_form_without_its_token_or_from_another_site_is_refused(
    bob: User, alice: User, foreign: bool
) -> None:
    client = signed_in(bob, enforce_csrf_checks=True)
    extra: dict[str, Any] = {}
    facts: dict[str, Any] = PERSON | PROFILE
    if foreign:
        client.get(reverse("profile"))
        facts = facts | {"csrfmiddlewaretoken": client.cookies[settings.CSRF_COOKIE_NAME].value}
        extra = {"headers": {"origin": "https://evil.example"}}
    pages = [reverse(name) for name in OWN_PAGES]
    pages.append(reverse("person_end", args=[alice.chart.public_id]))
    for page in [*pages, "/accounts/login/", "/accounts/signup/", "/accounts/logout/"]:
        assert client.post(page, facts, **extra).status_code == 403, page
    assert Carer.objects.running(timezone.now()).count() == 1
    assert Patient.objects.count() == 2


def test_s22_signing_up_from_another_site_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    for page in ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"):
        assert client.post(page, {}).status_code == 403


# --- What is stored -----------------------------------------------------------------------------
def test_the_profile_is_saved_and_nothing_beside_it(alice: User) -> None:
    client = signed_in(alice)
    extra = {"email": "x@example.org", "role": "administrator", "is_staff": "on", "pk": "9"}
    facts = PROFILE | {"time_zone": "America/Denver", "language": "es", "phone": "207-555-0199"}
    assert client.post(reverse("profile"), facts | extra).status_code == 302
    alice.refresh_from_db()
    assert (alice.time_zone, alice.language, alice.phone) == (
        "America/Denver",
        "es",
        "207-555-0199",
    )
    assert (alice.email, alice.role, alice.is_staff) == (ALICE, "patient", False)
    event = AuditEvent.objects.get(action="profile.changed")
    assert (event.actor_id, event.patient) == (alice.pk, alice.chart)


def test_a_mistake_keeps_what_was_typed_and_says_so_in_the_title(alice: User) -> None:
    answer = signed_in(alice).post(
        reverse("profile"), PROFILE | {"name": "Ally", "phone": "call me"}
    )
    assert answer.status_code == 422
    page = answer.content.decode()
    assert title_of(answer).startswith("Error: ")
    assert "Enter a phone number, such as 207-555-0142." in page
    assert 'href="#id_phone"' in page
    assert 'value="Ally"' in page and 'value="call me"' in page
    alice.refresh_from_db()
    assert alice.name == "Alice Moreau"


def test_a_person_is_added_and_one_returns_to_the_booking(alice: User) -> None:
    client = signed_in(alice)
    page = reverse("person_add")
    assert (
        'value="/doctors/?q=skin"'
        in client.get(page, {"next": "/doctors/?q=skin"}).content.decode()
    )
    answer = client.post(page, PERSON | {"next": "/doctors/?q=skin"})
    assert answer.headers["Location"] == "/doctors/?q=skin"
    assert Patient.objects.in_care_of(alice).count() == 2
    assert "Mia Moreau" in client.get(reverse("people")).content.decode()
    assert client.post(page, PERSON).status_code == 422
    assert client.post(page, PERSON | {"name": "Leo", "next": "//evil.example"}).headers[
        "Location"
    ] == reverse("people")


def test_a_person_is_removed_only_after_being_asked(bob: User, alice: User) -> None:
    client = signed_in(bob)
    page = reverse("person_end", args=[alice.chart.public_id])
    assert "Keep in my list" in client.get(page).content.decode()
    assert client.post(page).headers["Location"] == reverse("people")
    assert client.get(page).status_code == 404
    assert not Carer.objects.running(timezone.now()).exists()


def test_a_code_from_reception_links_the_chart(charlie: User, reception: User) -> None:
    patient = make_patient("Charlie R.")
    code = people.issue_link_code(patient=patient, purpose="self", by=reception, now=timezone.now())
    client = signed_in(charlie)
    wrong = client.post(reverse("link_chart"), {"code": "ACDEFGHJKM"})
    assert wrong.status_code == 422
    assert "This code is not valid." in wrong.content.decode()
    assert client.post(reverse("link_chart"), {"code": code}).status_code == 302
    patient.refresh_from_db()
    assert patient.account == charlie


def test_privacy_and_terms_name_the_clinic_and_their_date() -> None:
    for name in ("privacy", "terms"):
        page = Client().get(reverse(name)).content.decode()
        assert settings.CLINIC_NAME in page
        assert "Nov" in page and "2026" in page


def test_every_page_has_its_own_title(bob: User, alice: User) -> None:
    bob.terms_version = ""
    bob.save()
    client = signed_in(bob)
    pages = [reverse(name) for name in [*OWN_PAGES, "privacy", "terms"]]
    pages.append(reverse("person_end", args=[alice.chart.public_id]))
    titles = [title_of(client.get(page)) for page in pages]
    assert len(set(titles)) == len(pages)
    assert not any(title.startswith("Error") for title in titles)


def test_the_list_of_people_takes_the_same_queries_for_one_and_for_three(alice: User) -> None:
    client = signed_in(alice)
    counts = []
    for wanted in [1, 3]:
        while alice.cares_for.count() < wanted:
            make_carer(alice, make_patient(f"Person {alice.cares_for.count()}"))
        client.get(reverse("people"))
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("people"))
        counts.append(len(queries))
    # Session (cached where there is Redis), account, own chart, people in care, new messages.
    assert counts[0] == counts[1] <= 5


# --- Nobody keeps a copy ------------------------------------------------------------------------
def test_s34_pages_of_somebody_signed_in_are_never_kept(bob: User, alice: User) -> None:
    client = signed_in(bob)
    pages = [reverse(name) for name in OWN_PAGES]
    pages += [reverse("privacy"), "/accounts/email/", "/accounts/logout/", "/no-such-page/"]
    pages.append(reverse("person_end", args=[alice.chart.public_id]))
    for page in pages:
        answer = client.get(page)
        assert "no-store" in answer.headers["Cache-Control"], page


def test_s34_after_signing_out_the_page_before_is_gone(alice: User) -> None:
    client = Client()
    sign_in(client, ALICE, PASSWORD)
    assert "no-store" in client.get(reverse("profile")).headers["Cache-Control"]
    client.post("/accounts/logout/")
    answer = client.get(reverse("profile"))
    assert answer.status_code == 302
    assert "Moreau" not in answer.content.decode()


def test_s34_answers_to_forms_are_never_kept() -> None:
    for page in ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"):
        answer = Client().post(page, {"name": "Noa Castell"})
        assert "no-store" in answer.headers["Cache-Control"]


def test_s34_a_public_page_is_never_kept_by_a_shared_cache() -> None:
    answer = Client().get(reverse("terms"))
    assert answer.headers["Cache-Control"] in {"private, no-cache", "no-cache, private"}
    assert "Cookie" in answer.headers["Vary"]


def test_s34_a_visitor_with_a_half_made_booking_leaves_no_copy() -> None:
    client = Client()
    client.post("/accounts/password/reset/", {"email": "nobody@example.org"})
    assert "no-store" in client.get(reverse("terms")).headers["Cache-Control"]


# --- The trail knows where a request came from --------------------------------------------------
def test_the_trail_has_the_address_and_the_id_of_the_request(alice: User) -> None:
    client = signed_in(alice, REMOTE_ADDR="198.51.100.7")
    answer = client.post(reverse("profile"), PROFILE)
    event = AuditEvent.objects.get(action="profile.changed")
    assert event.address == "198.51.100.7"
    assert event.request_id
    assert event.request_id == answer.headers["X-Request-ID"]
    assert current_origin.get().address is None  # and the next task does not inherit it


def test_the_origin_is_forgotten_also_after_an_error() -> None:
    def breaks(_request: object) -> HttpResponse:
        assert current_origin.get().address == "198.51.100.7"
        raise RuntimeError

    request = RequestFactory().get("/", REMOTE_ADDR="198.51.100.7")
    with pytest.raises(RuntimeError):
        RequestFacts(breaks)(request)
    assert current_origin.get().address is None


# --- What every page shows ----------------------------------------------------------------------
def test_sample_data_is_labelled_and_asked_for_once(django_assert_num_queries: Any) -> None:
    label = SampleDataLabel()
    assert label.shown(now=0) is False
    make_account(SAMPLE_ADDRESS)
    with django_assert_num_queries(0):
        assert label.shown(now=299) is False
    assert label.shown(now=300) is True
    with django_assert_num_queries(0):
        assert label.shown(now=10_000) is True


def test_every_page_knows_the_clinic() -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    facts = site(request)
    assert facts["clinic_name"] == settings.CLINIC_NAME
    assert facts["emergency_number"] == settings.EMERGENCY_NUMBER
    assert callable(facts["sample_data"])


# --- The admin ----------------------------------------------------------------------------------
def test_s19_an_account_in_the_admin_shows_no_hash(administrator: User, alice: User) -> None:
    client = signed_in(administrator)
    page = client.get(reverse("admin:accounts_user_change", args=[alice.pk]))
    assert page.status_code == 200
    assert BOB not in page.content.decode()
    assert ALICE in page.content.decode()
    assert "argon2" not in page.content.decode()
    assert alice.password not in page.content.decode()


def test_accounts_are_for_administrators_only(reception: User, alice: User) -> None:
    doctor = make_account("okafor@example.org", role=Role.DOCTOR, is_staff=True)
    directory = make_account("dora@example.org", role=Role.DIRECTORY, is_staff=True)
    for user in (reception, doctor, directory):
        client = signed_in(user)
        assert client.get(reverse("admin:accounts_user_changelist")).status_code == 403
        page = reverse("admin:accounts_user_change", args=[alice.pk])
        assert client.get(page).status_code == 403
