"""SECURITY 8: fields that a form does not show change nothing, whoever sends them."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress

from accounts.models import Carer, Patient, User
from appointments.models import Appointment
from chat.models import Attachment, ChatSettings, Conversation, Event
from clinic.directory.models import Service
from tests.accounts.helpers import NEW_ADDRESS, signup_facts
from tests.appointments.desk import NOW
from tests.security.routes import PERSON, PROFILE, words
from tests.security.world import LATER, World, photo

pytestmark = pytest.mark.django_db


def further(world: World) -> dict[str, Any]:
    """What people try: rights, identities, states, other people's rows."""
    charlie = world.users["charlie"]
    return {
        "is_staff": "on",
        "is_superuser": "on",
        "is_active": "",
        "role": "administrator",
        "groups": "1",
        "user_permissions": "1",
        "verified_at": "2026-01-01",
        "verified": "on",
        "id": str(charlie.pk),
        "pk": str(charlie.pk),
        "user": str(charlie.pk),
        "user_id": str(charlie.pk),
        "account": str(charlie.pk),
        "patient_id": str(charlie.chart.pk),
        "doctor": str(world.other_desk.doctor.pk),
        "doctor_id": str(world.other_desk.doctor.pk),
        "hospital": str(world.other_desk.hospital.pk),
        "booked_by": str(charlie.pk),
        "status": "done",
        "price_cents": "0",
        "minutes": "480",
        "starts_at": "2030-01-01T00:00:00Z",
        "cancelled_late": "",
        "public_id": "01890000-0000-7000-8000-000000000000",
        "audit_head": "x",
        "terms_version": "",
        "date_joined": "2000-01-01",
    }


def rights(user: User) -> tuple[Any, ...]:
    user.refresh_from_db()
    return (
        user.pk, user.email, user.role, user.is_staff, user.is_superuser, user.is_active,
        user.public_id, user.date_joined, user.terms_version, user.groups.count(),
        user.user_permissions.count(),
    )  # fmt: skip


def everybody(world: World) -> dict[str, tuple[Any, ...]]:
    return {role: rights(user) for role, user in world.users.items()}


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/accounts/profile/", PROFILE),
        ("/accounts/people/add/", PERSON),
        ("/accounts/people/link/", {"code": "ACDEFGHJKM"}),
        ("/accounts/terms/accept/", {"accept": "on"}),
        ("/appointments/calendar/", {}),
        ("/appointments/reminders/", {"hours": "48"}),
    ],
)
def test_s08_forms_about_oneself(world: World, path: str, form: dict[str, Any]) -> None:
    before, charlie = everybody(world), Patient.objects.get(account=world.users["charlie"])
    answer = world.client("alice").post(path, further(world) | form)
    assert answer.status_code in {302, 422}
    assert everybody(world) == before
    after = Patient.objects.get(account=world.users["charlie"])
    assert (after.pk, after.name, after.audit_head) == (charlie.pk, charlie.name, "")
    assert not Carer.objects.filter(patient=after).exists()


@pytest.mark.parametrize("path", ["/accounts/signup/", "/accounts/signup/doctor/"])
def test_s08_signing_up(world: World, path: str) -> None:
    before = everybody(world)
    form = signup_facts(credentials="MD", npi="1234567893", specialty=_specialty(world))
    assert world.client("anonymous").post(path, further(world) | form).status_code == 302
    assert everybody(world) == before
    made = User.objects.get(email=NEW_ADDRESS)
    assert (made.is_staff, made.is_superuser, made.is_active) == (False, False, True)
    assert made.role == ("doctor" if "doctor" in path else "patient")
    assert EmailAddress.objects.get(user=made).verified is False
    assert made.pk not in {user.pk for user in world.users.values()}
    page = getattr(made, "doctor", None)
    assert page is None or page.verified_at is None


def _specialty(world: World) -> int:
    return world.desk.doctor.specialties.get().pk


def facts(visit: Appointment) -> tuple[Any, ...]:
    return (
        visit.doctor_id, visit.hospital_id, visit.patient_id, visit.booked_by_id, visit.minutes,
        visit.price_cents, visit.status,
    )  # fmt: skip


def test_s08_moving_and_cancelling(world: World) -> None:
    before, known = everybody(world), facts(world.visit)
    client, page = world.client("alice"), f"/appointments/{world.visit.public_id}"
    move = {"at": LATER.strftime("%Y-%m-%dT%H:%M:%SZ"), "key": "k"}
    assert client.post(f"{page}/move/", further(world) | move).status_code == 302
    visit = Appointment.objects.get(pk=world.visit.pk)
    assert facts(visit) == known and visit.starts_at == LATER
    assert client.post(f"{page}/cancel/", further(world) | {"reason": ""}).status_code == 302
    visit = Appointment.objects.get(pk=world.visit.pk)
    assert facts(visit) == (*known[:-1], "cancelled")
    assert visit.public_id == world.visit.public_id
    assert everybody(world) == before


def test_s08_writing_a_message(world: World) -> None:
    before, talk = everybody(world), world.talk
    path, client = f"/messages/{talk.public_id}/", world.client("alice")
    sneaked = further(world) | {
        "sender": str(world.users["charlie"].pk),
        "conversation": str(world.desk_talk.public_id),
        "seq": "99",
        "kind": "notice",
        "type": "delete",
        "at": "2000-01-01T00:00:00Z",
        "handed_to": str(world.other_desk.doctor.pk),
    }
    assert client.post(path, sneaked | words()).status_code == 302
    after = Conversation.objects.get(pk=talk.pk)
    event = Event.objects.get(conversation=talk, seq=after.last_seq)
    assert (event.sender, event.kind, event.body) == (world.users["alice"], "message", "Hello")
    assert event.at == NOW
    edit = words(target="1", client_id="01890000-0000-7000-8000-0000000000ab")
    assert client.post(f"{path}edit/", sneaked | edit).status_code == 302
    event = Event.objects.get(conversation=talk, seq=after.last_seq + 1)
    assert (event.sender, event.kind, event.target) == (world.users["alice"], "edited", 1)
    after.refresh_from_db()
    assert (after.doctor, after.hospital, after.patient, after.public_id, after.handed_to) == (
        talk.doctor, talk.hospital, talk.patient, talk.public_id, None,
    )  # fmt: skip
    desk_talk = Conversation.objects.get(pk=world.desk_talk.pk)
    assert desk_talk.last_seq == world.desk_talk.events.count()
    assert everybody(world) == before


def test_s08_a_file_and_a_doctors_choices(world: World) -> None:
    before, talk = everybody(world), world.talk
    form = further(world) | {"uploaded_by": str(world.users["charlie"].pk), "sent_seq": "1",
                             "stored_as": "../x", "content_type": "text/html"}  # fmt: skip
    path = f"/messages/{talk.public_id}/attachments/"
    assert world.client("bob").post(path, form | {"file": photo()}).status_code == 201
    file = Attachment.objects.order_by("pk").last()
    assert file is not None
    assert (file.uploaded_by, file.sent_seq, file.conversation) == (world.users["bob"], None, talk)
    assert file.content_type == "image/jpeg" and ".." not in file.stored_as
    answer = world.client("doctor").post("/messages/settings/", further(world) | {"cover": ""})
    assert answer.status_code == 302
    assert [chosen.user for chosen in ChatSettings.objects.all()] == [world.users["doctor"]]
    assert everybody(world) == before


def test_s08_the_doctors_form_of_the_admin_takes_no_rows_of_other_doctors(world: World) -> None:
    """CVE-2026-87975: a formset whose rows name somebody else's primary key."""
    doctor, theirs = world.desk.doctor, world.other_desk.service
    form = {
        "name": doctor.name, "credentials": "MD", "grid_minutes": "15", "lead_minutes": "60",
        "horizon_days": "90", "cancel_hours": "24", "verified_at_0": "2026-01-01",
        "services-TOTAL_FORMS": "1", "services-INITIAL_FORMS": "1",
        "services-0-id": str(theirs.pk), "services-0-doctor": str(doctor.pk),
        "services-0-hospital": str(world.desk.hospital.pk), "services-0-name": "Taken over",
        "services-0-minutes": "30", "services-0-buffer_minutes": "0",
        "services-0-visit": "in_person", "services-0-position": "0",
    }  # fmt: skip
    for prefix in ("languages", "opening_hours", "time_off"):
        form |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    path = f"/admin/directory/doctor/{doctor.pk}/change/"
    assert world.client("administrator").post(path, form).status_code in {200, 302}
    assert not Service.objects.filter(name="Taken over").exists()
    theirs.refresh_from_db()
    assert (theirs.name, theirs.doctor_id) == ("First visit", world.other_desk.doctor.pk)
