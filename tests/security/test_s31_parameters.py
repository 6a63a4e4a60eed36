"""SECURITY 31: whatever stands in an address or a form, the answer is a page and never a 500."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from accounts.models import Carer, User
from appointments.models import Appointment, SlotHold
from tests.accounts.helpers import signup_facts
from tests.appointments.desk import iso
from tests.cast import signed_in
from tests.security.world import LATER, World, difference, ended, rows

pytestmark = [pytest.mark.django_db, pytest.mark.once]

HOSTILE = [
    "'",
    "' OR '1'='1",
    "1; DROP TABLE accounts_user--",
    "1' AND SLEEP(5)#",
    '" UNION SELECT password FROM accounts_user --',
    "%",
    "\\",
    "\x00",
    "a\x00b",
    "\r\nSet-Cookie: x=1",
    "{{7*7}}",
    "${jndi:ldap://evil.example/a}",
    "../../../../etc/passwd",
    "-1",
    "0",
    "99999999999999999999",
    "1e309",
    "9999-99",
    "9999-12-31",
    "0000-00",
    "0001-01",
    "٣",
    "²",
    "\ufffd",
    "😀" * 30,
    "x" * 5000,
    " ",
    "",
    "[]",
    "password__startswith",
    "-password",
    "?",
    "//evil.example/",
    "javascript:alert(1)",
]

ODD = ["'", "\x00", "-1", "99999999999999999999", "password__startswith", "-1.2.x", ""]


def sent(client: Client, path: str, name: str) -> None:
    for value in HOSTILE:
        answer = client.get(path, {name: value})
        assert ended(answer).status_code < 500, (path, name, value)
        # A value can be echoed as text, never as a header.
        assert "Set-Cookie: x=1" not in str(answer.headers)
        location = answer.headers.get("Location", "")
        assert not location.startswith(("//", "http", "javascript:")), (path, value)
    for odd in (f"{name}[]", f"{name}[$ne]", f"{name}__gt", f"{name}__password"):
        assert ended(client.get(path, {odd: "1"})).status_code < 500
    for query in (f"{name}=1&{name}=2&{name}&&=;", f"{name}=%ED%A0%80%FF%C0%AF"):
        assert ended(client.get(f"{path}?{query}")).status_code < 500


@pytest.mark.parametrize("name", ["q", "emergency", "doctors", "page"])
def test_s31_hospitals(world: World, name: str) -> None:
    sent(Client(), "/hospitals/", name)
    sent(Client(), f"/hospitals/{world.desk.hospital.slug}/", name)


@pytest.mark.parametrize("name", ["service", "month", "date"])
def test_s31_a_doctors_month(world: World, name: str) -> None:
    sent(Client(), f"/doctors/{world.desk.doctor.slug}/", name)
    sent(world.client("alice"), f"/appointments/{world.visit.public_id}/move/", name)


@pytest.mark.parametrize("name", ["service", "at"])
def test_s31_the_booking_page(world: World, name: str) -> None:
    fixed = {"service": world.desk.service.code, "at": iso(LATER)}
    for client in (Client(), world.client("alice")):
        for value in HOSTILE:
            answer = client.get(world.desk.address, fixed | {name: value})
            assert answer.status_code in {400, 404, 422}, value


@pytest.mark.parametrize("name", ["service", "at", "patient", "reason", "key", "action", "clash"])
def test_s31_the_booking_form(world: World, name: str) -> None:
    client = world.client("alice")
    before = rows(trail=False)
    for value in HOSTILE:
        if name == "reason" and len(value) < 60 and "\x00" not in value:
            continue  # words like any other, which book a visit
        if name == "key" and 0 < len(value) < 60 and value.isascii() and value.isprintable():
            continue
        form = world.desk.form(at=iso(LATER), clash="both") | {name: value}
        if name in {"patient", "clash"} and not value:
            continue  # left out
        answer = client.post(world.desk.address, form)
        assert answer.status_code in {400, 404, 409, 422}, value
    assert difference(before, rows(trail=False)) == {}


@pytest.mark.parametrize("name", ["at", "key"])
def test_s31_moving(world: World, name: str) -> None:
    client, path = world.client("alice"), f"/appointments/{world.visit.public_id}/move/"
    for value in HOSTILE:
        if name == "at" or not value.isascii() or not value.isprintable() or " " in value:
            assert client.post(
                path, {"at": iso(LATER), "key": "k"} | {name: value}
            ).status_code in {
                400,
                422,
            }, value
        sent_at = client.get(path, {"at": value}).status_code
        assert sent_at in {200, 400, 422}
    assert Appointment.objects.get(pk=world.visit.pk).starts_at == world.visit.starts_at


@pytest.mark.parametrize("field", sorted(signup_facts()))
def test_s31_signing_up(field: str) -> None:
    for value in HOSTILE[::4]:
        form = signup_facts(email=f"n{len(value)}@example.org") | {field: value}
        for path in ("/accounts/signup/", "/accounts/signup/doctor/"):
            assert Client().post(path, form | {"npi": value}).status_code in {302, 422, 429}, value


@pytest.mark.parametrize("name", ["next", "login", "code", "email", "page"])
def test_s31_account_pages(alice: User, name: str) -> None:
    for path in ("/accounts/login/", "/accounts/password/reset/"):
        sent(Client(), path, name)
        for value in HOSTILE[:12]:
            assert Client().post(path, {name: value, "password": value}).status_code < 500
    client = signed_in(alice)
    if name in {"next", "page"}:
        own = ["people/add", "terms/accept", "reauthenticate", "logout"]
        for path in [f"/accounts/{page}/" for page in own] + ["/appointments/", "/admin/login/"]:
            sent(client, path, name)


@pytest.mark.parametrize(
    "path",
    [
        "/doctors/{}/",
        "/doctors/{}/book/?service=x&at=2026-11-30T14:10:00Z",
        "/hospitals/{}/",
        "/appointments/{}/",
        "/appointments/{}/cancel/",
        "/calendar/{}.ics",
        "/accounts/people/{}/end/",
        "/messages/{}/",
        "/messages/{}/events",
        "/messages/{}/transcript/",
        "/messages/attachments/{}/",
        "/admin/chat/conversation/{}/change/",
        "/admin/accounts/patient/{}/change/",
        "/admin/appointments/appointment/{}/history/",
        "/admin/r/{}/1/",
        "/admin/{}/",
        "/static/{}",
    ],
)
def test_s31_parts_of_addresses(administrator: User, path: str) -> None:
    for client in (Client(), signed_in(administrator)):
        for value in HOSTILE:
            answer = client.get(path.format(quote(value, safe="")))
            assert answer.status_code < 500, value
            assert answer.status_code != 200 or path.startswith("/static"), value


# --- The admin ----------------------------------------------------------------------------------
LISTS = ["accounts/user", "accounts/patient", "appointments/appointment", "directory/hospital"]
LISTS += ["chat/conversation", "directory/doctor", "directory/specialty"]
LISTS += ["django_tasks_database/dbtaskresult", "accounts/auditevent", "jobs/outgoingmail"]
LISTS += ["jobs/regularjob"]
OF_PATIENTS = {"accounts/patient", "appointments/appointment"}  # administrators know none


@pytest.mark.parametrize("name", LISTS)
def test_s31_lists_of_the_admin(world: World, name: str) -> None:
    client = world.client("reception" if name in OF_PATIENTS else "administrator")
    for value in HOSTILE:
        assert client.get(f"/admin/{name}/", {"q": value}).status_code == 200, value
        # Patients are searched by a form; elsewhere it is no search and no act either.
        assert client.post(f"/admin/{name}/", {"q": value}).status_code in {200, 302}, value
    for parameter in ("o", "p", "all", "e", "_to_field", "_popup", "_facets", "is_active",
                      "role__exact", "status__exact", "when", "approval", "lacks"):  # fmt: skip
        for value in ODD:
            answer = client.get(f"/admin/{name}/", {parameter: value})
            assert answer.status_code in {200, 302, 400}, (parameter, value)


PROBES = {
    "accounts/user": [
        "password__startswith=argon2",
        "password=x",
        "password__regex=(a%2B)%2B$",
        "emailaddress__email=x",
        "chart__birth_date=1980-03-31",
        "session__session_key=x",
        "last_login__isnull=0",
        "_to_field=password",
    ],
    "accounts/patient": [
        "account__password__startswith=argon2",
        "appointments__reason__contains=a",
        "audit_head__startswith=a",
        "link_codes__code_hash__startswith=a",
        "birth_date=1980-03-31",
    ],
    "appointments/appointment": [
        "reason__contains=Chest",
        "cancel_reason__startswith=a",
        "patient=1",
        "patient__name=Alice",
        "booked_by__password__startswith=argon2",
        "service_name=x",
        "doctor__user__password__startswith=argon2",
    ],
    "directory/doctor": [
        "user__password__startswith=argon2",
        "appointments__reason__contains=a",
        "care_relations__patient__name=x",
        "verified_by__email=x",
    ],
    "directory/hospital": ["appointments__reason__contains=a", "services__doctor__user__email=x"],
    "directory/specialty": ["doctors__user__password__startswith=argon2"],
    # Who the patient is and what was written stays out of this list.
    "chat/conversation": [
        "patient=1",
        "patient__name=Alice",
        "patient__name__startswith=A",
        "events__body__contains=take",
        "attachments__name__startswith=r",
        "doctor__user__password__startswith=argon2",
        "pair__startswith=d",
        "participants__user__email=x",
        "closed_by__password__startswith=argon2",
    ],
}


@pytest.mark.parametrize("name", PROBES)
def test_s31_no_list_can_be_filtered_by_what_it_does_not_show(world: World, name: str) -> None:
    for role in ("administrator", "reception", "doctor"):
        for probe in PROBES[name]:
            answer = world.client(role).get(f"/admin/{name}/?{probe}")
            assert answer.status_code in {400, 403}, (role, probe)


def test_s31_a_listed_filter_still_works(world: World) -> None:
    client = world.client("administrator")
    page = client.get("/admin/accounts/user/?role__exact=doctor").content.decode()
    assert "doctor@example.org" in page and "charlie@example.org" not in page
    visits = "/admin/appointments/appointment/?when=coming&status__exact="
    for status, is_shown in [("booked", True), ("done", False)]:
        page = world.client("reception").get(f"{visits}{status}").content.decode()
        assert (world.visit.reference in page) is is_shown
    for approval, is_shown in [("approved", True), ("waiting", False)]:
        page = client.get(f"/admin/directory/doctor/?approval={approval}").content.decode()
        assert ("Okafor" in page) is is_shown
    link = f"/admin/chat/conversation/{world.talk.pk}/"
    for closed, is_shown in [("1", True), ("0", False)]:  # the world's conversation is open
        found = client.get(f"/admin/chat/conversation/?closed_at__isempty={closed}")
        assert found.status_code == 200
        assert (link in found.content.decode()) is is_shown


def test_s31_search_in_the_admin_takes_signs_literally(world: World) -> None:
    client = world.client("reception")
    for query, is_shown in [("lice", True), ("%", False), ("_lice", False), ("Al%e", False),
                            ("' OR 1=1 --", False), ("mo_eau", False)]:  # fmt: skip
        page = client.post("/admin/accounts/patient/", {"q": query}).content.decode()
        assert ("Alice Moreau" in page) is is_shown, query


def test_s31_the_hostile_values_left_nothing_behind(world: World) -> None:
    """A control for the tests above: the forms they spoil are good ones."""
    client = world.client("alice")
    form: dict[str, Any] = world.desk.form(at=iso(LATER), clash="both", key="another")
    assert client.post(world.desk.address, form).status_code == 302
    assert Carer.objects.count() == 1 and SlotHold.objects.count() == 0
