"""Accounts, posts and the trail: what administrators do, and what nobody else does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.test import Client

from accounts.models import AuditEvent, Role, SignIn, User
from accounts.roles import PERMISSIONS, may
from accounts.staffing import NotStaffed, add_colleague, change_colleague
from clinic.jobs.models import OutgoingMail
from clinic.workplace.links import LINKS
from tests.appointments.desk import AT, NOW, Desk
from tests.cast import ADMINISTRATOR, make_account, make_staff, signed_in
from tests.workplace.conftest import Book, text_of

pytestmark = pytest.mark.django_db

USERS = "/admin/accounts/user/"
TRAIL = "/admin/accounts/auditevent/"


@pytest.fixture
def ada(administrator: User) -> Client:
    return signed_in(administrator)


def test_accounts_are_searched_by_a_form_and_by_no_address(ada: Client, alice: User) -> None:
    make_account("charlie@example.org", name="Charlie Rivera")
    page = ada.get(USERS).content.decode()
    assert 'id="changelist-search" method="post"' in page
    found = ada.post(USERS, {"q": "moreau"}).content.decode()
    assert "1 found" in found
    assert alice.email in found and "charlie@example.org" not in found
    assert "q=moreau" not in found  # in no link of the page either
    by_address = ada.get(USERS, {"q": "moreau"}).content.decode()
    assert alice.email in by_address and "charlie@example.org" in by_address
    filtered = ada.post(f"{USERS}?is_active__exact=0", {"q": "moreau"}).content.decode()
    assert alice.email not in filtered


# --- Roles --------------------------------------------------------------------------------------
def test_rights_follow_from_the_role_and_from_nothing_else(reception: User) -> None:
    reception.is_superuser = True
    reception.save()
    permission = Permission.objects.get(codename="delete_user")
    reception.user_permissions.add(permission)
    group = Group.objects.create(name="Everything")
    group.permissions.add(permission)
    reception.groups.add(group)
    user = User.objects.get(pk=reception.pk)
    assert user.has_perm("appointments.view_appointment")
    assert not user.has_perm("accounts.delete_user")
    assert not user.has_perms(["appointments.view_appointment", "accounts.delete_user"])
    assert not user.has_module_perms("records")
    client = signed_in(user)
    assert client.get(USERS).status_code == 403


def test_an_account_that_is_shut_or_no_staff_has_no_right(reception: User) -> None:
    for change in ({"is_active": False}, {"is_staff": False}, {"role": Role.PATIENT}):
        user = User.objects.get(pk=reception.pk)
        for name, value in change.items():
            setattr(user, name, value)
        assert not user.has_perm("appointments.view_appointment"), change
        assert not user.has_module_perms("appointments"), change


def test_every_role_has_rights_written_down_and_links() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert set(LINKS) == set(Role) - {Role.PATIENT}


def test_every_right_is_of_a_model_that_there_is() -> None:
    models = {f"{model._meta.app_label}.{model._meta.model_name}" for model in apps.get_models()}
    for names in PERMISSIONS.values():
        for name in names:
            app, _dot, code = name.partition(".")
            act, _line, model = code.partition("_")
            assert f"{app}.{model}" in models, name
            assert act in {"view", "add", "change", "delete", "approve"}, name


@pytest.mark.parametrize("role", list(Role))
def test_no_role_has_rights_on_records_or_on_what_was_written(role: Role) -> None:
    for app in ("records", "mfa", "sessions", "account", "auth", "uploads"):
        assert not [name for name in PERMISSIONS[role] if name.startswith(f"{app}.")]
    for name in ("chat.view_event", "chat.view_attachment", "accounts.add_auditevent",
                 "accounts.change_auditevent", "accounts.delete_auditevent",
                 "accounts.delete_user", "appointments.change_appointment",
                 "accounts.change_patient", "accounts.view_linkcode"):  # fmt: skip
        assert not may(role, name)


@pytest.mark.parametrize("role", [Role.DIRECTORY, Role.ADMINISTRATOR])
def test_who_keeps_the_directory_knows_no_patient(role: Role) -> None:
    assert not may(role, "accounts.view_patient")
    assert not may(role, "appointments.view_appointment")


def test_a_new_superuser_is_an_administrator(db: None) -> None:
    user = User.objects.create_superuser("root@example.org", "a long password of mine")
    assert (user.role, user.is_staff) == (Role.ADMINISTRATOR, True)
    assert user.has_perm("accounts.change_user")


# --- Accounts of the office ---------------------------------------------------------------------
def test_an_administrator_adds_somebody_of_the_office(ada: Client, administrator: User) -> None:
    page = f"{USERS}add/"
    sent = {"email": "New.Person@Example.org", "name": "Nils Berg", "role": "reception"}
    answer = ada.post(page, sent | {"is_superuser": "on", "password": "x", "is_active": ""})
    assert answer.status_code == 302
    user = User.objects.get(email="new.person@example.org")
    assert (user.name, user.role, user.is_staff, user.is_active, user.is_superuser) == (
        "Nils Berg", Role.RECEPTION, True, True, False,
    )  # fmt: skip
    assert not user.has_usable_password()
    assert not EmailAddress.objects.get(user=user).verified
    mail = OutgoingMail.objects.get()
    assert mail.to == user.email and "/accounts/password/reset/" in mail.text
    event = AuditEvent.objects.get(action="account.added")
    assert (event.actor_id, event.object_id) == (administrator.pk, str(user.public_id))


@pytest.mark.parametrize(
    "facts",
    [{"email": ADMINISTRATOR}, {"email": ADMINISTRATOR.upper()}, {"role": "doctor"},
     {"role": "patient"}, {"email": "no address"}],
)  # fmt: skip
def test_what_cannot_be_added_is_said(ada: Client, facts: dict[str, str]) -> None:
    sent = {"email": "new@example.org", "name": "Nils Berg", "role": "reception"} | facts
    before = User.objects.count()
    answer = ada.post(f"{USERS}add/", sent)
    assert answer.status_code == 200 and "errorlist" in answer.content.decode()
    assert User.objects.count() == before and not OutgoingMail.objects.exists()


def test_another_role_and_a_shut_account_end_every_session(ada: Client, rita: User) -> None:
    client = signed_in(rita)
    text_of(client, "/admin/")
    page = f"{USERS}{rita.pk}/change/"
    assert ada.post(page, {"role": "directory", "is_active": "on"}).status_code == 302
    rita.refresh_from_db()
    assert rita.role == Role.DIRECTORY
    assert not SignIn.objects.filter(user=rita).exists()
    assert client.get("/admin/").status_code == 302
    again = signed_in(rita)
    assert ada.post(page, {"role": "directory"}).status_code == 302
    rita.refresh_from_db()
    assert not rita.is_active
    assert again.get("/admin/").status_code == 302
    details = AuditEvent.objects.filter(action="account.changed").values_list("detail", flat=True)
    assert list(details) == ["role reception to directory", "shut"]


def test_a_saved_page_without_a_change_leaves_no_row(ada: Client, rita: User) -> None:
    ada.post(f"{USERS}{rita.pk}/change/", {"role": "reception", "is_active": "on"})
    assert not AuditEvent.objects.filter(action__startswith="account.").exists()


@pytest.mark.parametrize(
    ("who", "facts"),
    [
        ("administrator", {"role": "reception", "is_active": "on"}),
        ("administrator", {"role": "administrator"}),
        ("charlie", {"role": "administrator", "is_active": "on"}),
        ("doctor", {"role": "administrator", "is_active": "on"}),
        ("rita", {"role": "doctor", "is_active": "on"}),
    ],
)
def test_what_an_administrator_may_not_change(
    ada: Client, who: str, facts: dict[str, str], request: pytest.FixtureRequest
) -> None:
    user: User = request.getfixturevalue(who)
    was = (user.role, user.is_active)
    answer = ada.post(f"{USERS}{user.pk}/change/", facts)
    assert answer.status_code == 200 and "errorlist" in answer.content.decode()
    user.refresh_from_db()
    assert (user.role, user.is_active) == was


def test_a_patients_account_can_be_shut(ada: Client, charlie: User) -> None:
    page = f"{USERS}{charlie.pk}/change/"
    assert ada.post(page, {"role": "patient", "email": "x@example.org"}).status_code == 302
    was = charlie.email
    charlie.refresh_from_db()
    assert (charlie.is_active, charlie.email) == (False, was)


def test_the_rules_refuse_whoever_is_no_administrator(rita: User, doctor: User) -> None:
    for by in (rita, doctor):
        with pytest.raises(NotStaffed):
            add_colleague(email="x@example.org", name="X", role="reception", by=by, now=NOW)
        with pytest.raises(NotStaffed):
            change_colleague(user=rita, role="administrator", is_active=True, by=by, now=NOW)
    rita.refresh_from_db()
    assert rita.role == Role.RECEPTION
    refused = AuditEvent.objects.filter(action__endswith=".refused")
    assert set(refused.values_list("detail", flat=True)) == {"not_administrator"}
    assert refused.count() == 4


def test_s19_an_accounts_page_shows_no_secret(ada: Client, alice: User) -> None:
    for page in (USERS, f"{USERS}{alice.pk}/change/", f"{USERS}add/"):
        text = text_of(ada, page)
        assert "argon2" not in text and alice.password not in text
        for name in ("password", "last_login", "session", "secret", "groups"):
            assert f'name="{name}' not in text
    # Nor letter by letter.
    for query in ("password__startswith=a", "password__contains=argon2", "authenticator__data=x"):
        assert ada.get(f"{USERS}?{query}", follow=True).status_code == 400


# --- The trail ----------------------------------------------------------------------------------
def test_the_trail_is_searched_by_account_and_by_chart_and_names_no_patient(
    ada: Client, desk: Desk, booked: Book, alice: User, rita: User
) -> None:
    nora, ira = booked(desk), booked(desk, AT + timedelta(hours=1), "Ira Vance")
    page = text_of(ada, TRAIL)
    for visit in (nora, ira):
        assert str(visit.patient.public_id) in page
        assert visit.patient.name not in page
    found = text_of(ada, f"{TRAIL}?q={nora.patient.public_id}")
    table = found[found.index("<tbody>") :]
    assert str(nora.patient.public_id) in table and str(ira.patient.public_id) not in table
    assert alice.email in text_of(ada, f"{TRAIL}?q={alice.email}").partition("<tbody>")[2]
    assert "<tbody>" not in text_of(ada, f"{TRAIL}?q={rita.email}")
    assert "<tbody>" not in text_of(ada, f"{TRAIL}?q=' OR 1=1 --")
    event = AuditEvent.objects.filter(patient=nora.patient).get()
    detail = text_of(ada, f"{TRAIL}{event.pk}/change/")
    assert event.hash in detail and "Nora Ames" not in detail


def test_the_trail_is_changed_by_nobody(ada: Client, desk: Desk, booked: Book) -> None:
    booked(desk)
    event = AuditEvent.objects.latest("pk")
    assert ada.get(f"{TRAIL}add/").status_code == 403
    for part in ("change/", "delete/"):
        assert ada.post(f"{TRAIL}{event.pk}/{part}", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [event.pk], "post": "yes"}
    ada.post(TRAIL, chosen)
    assert AuditEvent.objects.filter(pk=event.pk, hash=event.hash).exists()


def test_the_front_page_of_the_upkeep(ada: Client, directory: User, desk: Desk) -> None:
    desk.doctor.verified_at = None
    desk.doctor.save()
    make_staff("nowhere@example.org")
    page = text_of(ada, "/admin/")
    for words in ("Dr. Amara Okafor", "People of reception without a hospital", "Checks",
                  "Mails that could not be sent", "Audit trail"):  # fmt: skip
        assert words in page
    page = text_of(signed_in(directory), "/admin/")
    assert "Dr. Amara Okafor" in page and "Doctors who wait for approval" in page
    for words in ("Checks", "Audit trail", "People of reception"):
        assert words not in page


def test_a_doctor_without_a_page_is_told_whom_to_ask(db: None) -> None:
    user = make_account("new@example.org", role=Role.DOCTOR, is_staff=True)
    assert "Ask the directory manager" in text_of(signed_in(user), "/admin/")


@pytest.mark.parametrize("who", ["charlie", "bob"])
def test_patients_have_no_workplace(who: str, request: pytest.FixtureRequest) -> None:
    user: User = request.getfixturevalue(who)
    user.is_staff = True  # a flag alone lets nobody in
    user.save()
    client = signed_in(user)
    assert client.get("/admin/").status_code == 302
    assert client.get("/admin/", follow=True).status_code == 404
