"""SECURITY 38: what people type goes in at every form and comes out nowhere but on their own page.

Looked through: log lines, mails, redirects, links, audit rows, queued tasks, error pages.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from accounts.models import AuditEvent, Patient, User
from appointments.models import Appointment
from chat.mails import mail_about_unread
from chat.models import Attachment, Event
from clinic.jobs.models import OutgoingMail
from tests.accounts.helpers import NEW_ADDRESS, mailed_code, signup_facts
from tests.appointments.desk import iso
from tests.cast import ALICE, signed_in
from tests.security.world import LATER, World, photo
from tests.test_logs import Lines
from tests.test_logs import lines as lines  # the fixture

pytestmark = pytest.mark.django_db

NAME = "Zanzibar Canaryname"
CHILD = "Kilimanjaro Canarychild"
REASON = "canary-reason-7719"
CANCEL = "canary-cancel-4431"
SECRET = "canary password 90210 long"
TYPED = "CANARYCODE"
SEARCHED = "canarysearch"
PLACE = "canaryplace"
PHONE = "207-555-0199"
WRITTEN = "canary-message-5521"
EDITED = "canary-edit-6632"
REPLIED = "canary-reply-7743"
FILE = "canaryfile-8854"
SOUGHT = "canarysought"
CONTROL = '\r\n{"event": "forged"}\x1b[31m\x00\u2028'
CANARIES = [NAME, NAME.split()[1], CHILD, REASON, CANCEL, SECRET, TYPED, SEARCHED, PLACE, PHONE]
CANARIES += [WRITTEN, EDITED, REPLIED, FILE, SOUGHT]


class Visitor:
    """A browser that remembers every answer it got."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.answers: list[Any] = []

    def get(self, path: str, sent: dict[str, Any] | None = None) -> Any:
        self.answers.append(self.client.get(path, sent))
        return self.answers[-1]

    def post(self, path: str, sent: dict[str, Any]) -> Any:
        self.answers.append(self.client.post(path, sent))
        return self.answers[-1]

    @property
    def session_key(self) -> str:
        return self.client.cookies[settings.SESSION_COOKIE_NAME].value


def through_every_form(world: World) -> list[Visitor]:
    """A newcomer's whole way: searches, keeps a time, signs up, books, moves, cancels, and errs."""
    new = Visitor(Client(raise_request_exception=False, REMOTE_ADDR="198.51.100.9"))
    new.get("/doctors/", {"q": SEARCHED, "place": PLACE, "date": SEARCHED})
    new.get("/hospitals/", {"q": SEARCHED})
    new.get(f"/no/{SEARCHED}/", {"q": SEARCHED})
    new.post(world.desk.address, world.desk.form(action="hold", at=iso(LATER), reason=REASON))
    next_page = new.answers[-1].headers["Location"]
    facts = signup_facts(name=NAME, password1=SECRET, phone=PHONE)
    new.post(next_page, facts | {"email": CONTROL})
    new.post(next_page, facts)
    new.post("/accounts/confirm-email/", {"code": TYPED[:6]})
    new.post("/accounts/confirm-email/", {"code": mailed_code(NEW_ADDRESS)})
    assert "_auth_user_id" in new.client.session
    new.get("/appointments/")
    profile = {"name": NAME, "phone": PHONE, "time_zone": "", "language": "en"}
    new.post("/accounts/profile/", profile)
    new.post("/accounts/profile/", profile | {"name": NAME + CONTROL, "phone": CONTROL})
    child = {"name": CHILD, "birth_date_month": "5", "birth_date_day": "4", "relation": "child"}
    new.post("/accounts/people/add/", child)
    new.post("/accounts/people/add/", child | {"birth_date_year": "2019"})
    new.get("/accounts/people/")
    new.post("/accounts/people/link/", {"code": TYPED})
    chart = str(Patient.objects.get(name=CHILD).public_id)
    form = world.desk.form(at=iso(LATER), reason=REASON, patient=chart)
    new.post(world.desk.address, form | {"reason": REASON + CONTROL})
    new.post(world.desk.address, form | {"reason": REASON * 60})
    new.post(world.desk.address, form | {"at": SEARCHED})
    booked = new.post(world.desk.address, form).headers["Location"]
    new.get(booked)
    new.get(f"{booked}calendar.ics")
    new.get(f"{booked}move/")
    new.post(f"{booked}move/", {"at": iso(LATER + timedelta(hours=1)), "key": TYPED})
    write_messages(new, world, chart)
    new.post(f"{booked}cancel/", {"reason": CANCEL + CONTROL})
    new.post(f"{booked}cancel/", {"reason": CANCEL})
    new.post("/accounts/reauthenticate/", {"password": f"{SECRET}!"})
    new.post("/accounts/reauthenticate/", {"password": SECRET})
    new.post("/accounts/password/change/", {"oldpassword": "x", "password1": f"{SECRET} new"})
    new.post("/accounts/password/change/", {"oldpassword": SECRET, "password1": f"{SECRET} new"})
    new.post("/accounts/email/", {"action_add": "", "email": CONTROL})

    stranger = Visitor(Client(raise_request_exception=False))
    stranger.post("/accounts/login/", {"login": ALICE, "password": f"{SECRET} wrong"})
    stranger.post("/accounts/login/", {"login": SECRET, "password": CONTROL})
    stranger.post("/accounts/password/reset/", {"email": ALICE})
    stranger.post("/accounts/password/reset/confirm/", {"code": TYPED[:6]})
    stranger.post(
        "/accounts/signup/doctor/",
        facts | {"email": "dr@example.org", "credentials": "MD", "npi": TYPED},
    )
    forged = Visitor(Client(raise_request_exception=False, enforce_csrf_checks=True))
    forged.post("/accounts/signup/", facts | {"name": CONTROL})
    return [new, stranger, forged]


def write_messages(new: Visitor, world: World, chart: str) -> None:
    """Everything that can be typed about a conversation with the doctor, well and badly."""
    new.post("/messages/new/", {"reference": TYPED, "doctor": SEARCHED})
    path = new.post("/messages/new/", {"doctor": world.desk.doctor.slug, "patient": chart}).headers[
        "Location"
    ]

    def words(body: str, **more: Any) -> dict[str, Any]:
        return {"client_id": str(uuid4()), "body": body, **more}

    said = new.post(path, words(WRITTEN)).headers["Location"]
    target = said.partition("#m")[2]
    new.post(path, words(WRITTEN + CONTROL))
    new.post(path, words(WRITTEN * 400))
    new.post(path, words(REPLIED, reply_to=target))
    new.post(path, words("", file=photo(f"{FILE}.jpg")))
    new.post(path, words(WRITTEN, file=SimpleUploadedFile(f"{FILE}.exe", WRITTEN.encode())))
    new.post(f"{path}attachments/", {"file": SimpleUploadedFile(f"{FILE}.pdf", b"no PDF")})
    new.post(f"{path}attachments/", {"file": photo(f"{FILE}{CONTROL}.jpg")})
    new.post(f"{path}edit/", words(EDITED, target=target))
    new.post(f"{path}edit/", words(EDITED + CONTROL, target=target))
    new.post(f"{path}delete/", words("", target=str(int(target) + 1)))
    new.get(path, {"q": SOUGHT})
    new.get(path, {"edit": target})
    new.get(path, {"reply_to": target})
    for part in ("events", "transcript/", "attachments/"):
        new.get(f"{path}{part}")
    new.get("/messages/")
    with time_machine.travel(timezone.now() + timedelta(days=1), tick=False):
        mail_about_unread(now=timezone.now())


def found_in(text: str, *more: str) -> list[str]:
    return [canary for canary in [*CANARIES, *more] if canary.lower() in text.lower()]


def test_s38_canaries_from_every_form_come_out_nowhere(world: World, lines: Lines) -> None:
    visitors = through_every_form(world)
    new = visitors[0]
    visit = Appointment.objects.get(reason=REASON)
    assert visit.is_cancelled and visit.cancel_reason == CANCEL  # they did go in
    assert User.objects.get(email=NEW_ADDRESS).name == NAME
    stored = list(Event.objects.filter(sender__email=NEW_ADDRESS).values_list("body", flat=True))
    assert {WRITTEN, EDITED, REPLIED} <= set(stored)
    assert Attachment.objects.filter(name__startswith=FILE, sent_seq__isnull=False).exists()
    # The doctor is told that something waits: one of the mails looked through below.
    assert OutgoingMail.objects.filter(to="doctor@example.org").exists()
    assert all(answer.status_code < 500 for who in visitors for answer in who.answers)

    # Logs: each one line of JSON, and nobody can write one of their own.
    assert len(lines.events) > 40
    assert found_in(lines.text, new.session_key, NEW_ADDRESS, ALICE, "198.51.100.9") == []
    assert [line for line in lines.events if line.get("event") == "forged"] == []
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", lines.text)

    # Mails: when and where, and a first name for who cares for somebody; never why.
    mails = list(OutgoingMail.objects.all())
    assert len(mails) >= 6
    for mail in mails:
        everything = " ".join([mail.subject, mail.text, mail.html, mail.calendar])
        assert found_in(everything, new.session_key) == [], mail.subject
        assert found_in(mail.subject, CHILD.split()[0], NAME.split()[0], mail.to) == []
        assert "\n" not in mail.subject and "\x1b" not in everything

    # Addresses: where people are sent to, and where links lead.
    for who in visitors:
        for answer in who.answers:
            assert found_in(answer.headers.get("Location", ""), new.session_key) == []
            page = answer.content.decode()
            if answer.headers.get("Content-Type", "").startswith("text/html"):
                links = " ".join(re.findall(r'(?:href|action|src|content)="([^"]*)"', page))
                # A search stands in the address of its own page, as in every search.
                hits = [hit for hit in found_in(links) if hit not in {SEARCHED, PLACE}]
                assert hits == [], links
            # Who types the password into the box of the address sees it there again, as typed.
            page = re.sub(r'(name="login" value=")[^"]*', r"\1", page)
            assert SECRET not in page and new.session_key not in page
            if answer.status_code in {400, 403, 404}:
                # The form that comes back names the child its sender cares for, and nobody else.
                form_again = answer.request["PATH_INFO"] == "/messages/new/"
                assert [hit for hit in found_in(page) if not (form_again and hit == CHILD)] == []

    # The trail says who did what, never what it said.
    events = list(AuditEvent.objects.values())
    assert len(events) > 8
    assert found_in(json.dumps(events, default=str), new.session_key) == []
    # The queue holds numbers of mails.
    assert found_in(json.dumps(list(DBTaskResult.objects.values()), default=str)) == []


def test_s38_cookies_hold_no_reason_and_no_password(world: World) -> None:
    for who in through_every_form(world):
        for answer in who.answers:
            assert found_in(str(answer.cookies)) == []


def test_s38_who_may_not_see_a_name_finds_it_on_no_page(world: World) -> None:
    """The control of the first test: the owner's own pages do show it, nobody else's do."""
    through_every_form(world)
    visit = Appointment.objects.get(reason=REASON)
    owner = signed_in(User.objects.get(email=NEW_ADDRESS))
    page = owner.get(f"/appointments/{visit.public_id}/").content.decode()
    assert CHILD in page and REASON in page
    file = Attachment.objects.filter(name__startswith=FILE, sent_seq__isnull=False).get()
    talk = f"/messages/{file.conversation.public_id}/"
    page = owner.get(talk).content.decode()
    assert EDITED in page and FILE in page
    for role in ("anonymous", "charlie", "other"):
        client = world.client(role)
        for path in ("/", "/appointments/", f"/appointments/{visit.public_id}/",
                     "/accounts/people/", f"/doctors/{world.desk.doctor.slug}/",
                     "/admin/appointments/appointment/", "/messages/", talk, f"{talk}events",
                     f"{talk}transcript/", f"{talk}attachments/",
                     f"/messages/attachments/{file.public_id}/"):  # fmt: skip
            assert found_in(client.get(path).content.decode()) == [], (role, path)
    # Who looks after the clinic sees that a conversation waits, and reception that somebody does.
    place = f"/admin/chat/conversation/{file.conversation.pk}/"
    for role, paths in {
        "administrator": ["/admin/chat/conversation/", f"{place}change/", f"{place}history/"],
        "reception": ["/messages/", "/messages/waiting/", talk],
    }.items():
        for path in paths:
            page = world.client(role).get(path).content.decode()
            assert [hit for hit in found_in(page) if hit.startswith("canary")] == [], (role, path)
