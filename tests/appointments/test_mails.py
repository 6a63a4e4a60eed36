"""Mails about a visit: to whom, what they say, what they never say, and once."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from html.parser import HTMLParser

import pytest
from django.core import mail as django_mail
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from icalendar import Calendar

from accounts.models import Carer, Relation, Role, User
from appointments import booking, mails
from appointments.models import Appointment
from appointments.refusals import SlotTaken
from clinic.directory.models import Visit
from clinic.jobs.models import OutgoingMail
from clinic.jobs.outbox import attempt, message_of
from tests.appointments.desk import AT, open_desk
from tests.appointments.desk import NOW as DESK_NOW
from tests.appointments.visits import (
    REASON,
    SERVICE,
    SPECIALTY,
    cancel_row,
    make_doctor,
    make_hospital,
    make_visit,
)
from tests.cast import make_carer, make_patient, make_patient_user

NOW = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
SOON = datetime(2026, 11, 30, 14, 10, tzinfo=UTC)  # 9:10 am in New York

XSS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</p><svg/onload=alert(1)>",
    "'-alert(1)-'",
    "{{ link }}{% load i18n %}",
    "<a href=javascript:alert(1)>x</a>",
]


@pytest.fixture
def visit(alice: User) -> Appointment:
    return make_visit(alice.chart, SOON)


def only_mail() -> OutgoingMail:
    return OutgoingMail.objects.get()


def move_row(visit: Appointment, starts_at: datetime) -> datetime:
    """What moving leaves in the row; returns the time before."""
    previous = visit.starts_at
    visit.starts_at, visit.ends_at = starts_at, starts_at + timedelta(minutes=visit.minutes)
    visit.occupied_until = visit.ends_at
    visit.calendar_sequence += 1
    visit.save()
    return previous


def every_kind(visit: Appointment) -> list[OutgoingMail]:
    """The three mails of a visit's life, in order."""
    mails.booked(visit, now=NOW)
    mails.moved(visit, now=NOW, previous=move_row(visit, visit.starts_at + timedelta(days=1)))
    cancel_row(visit, by=visit.booked_by, at=NOW)
    mails.cancelled(visit, now=NOW)
    return list(OutgoingMail.objects.order_by("pk"))


def as_received(row: OutgoingMail) -> EmailMessage:
    source = message_of(row).message().as_bytes()
    return email.message_from_bytes(source, policy=email.policy.default)


def texts_of(message: EmailMessage) -> Iterator[str]:
    """Every header and every part, decoded."""
    yield from (f"{name}: {value}" for name, value in message.items())
    for part in message.walk():
        if not part.is_multipart():
            yield from (f"{name}: {value}" for name, value in part.items())
            content = part.get_content()
            yield content.decode() if isinstance(content, bytes) else content


# --- What they say ------------------------------------------------------------------------------


def test_a_confirmation_says_when_where_with_whom_and_what_next(visit: Appointment) -> None:
    mails.booked(visit, now=NOW)
    row = only_mail()
    assert row.to == "alice@example.org"
    assert row.subject == "Your visit on Monday, November 30, 2026 at 9:10 am"
    for part in (row.text, row.html):
        for said in (
            "Your visit is booked.",
            "Monday, November 30, 2026 at 9:10 am",
            "Eastern Time (EST)",
            "Harbour Clinic",
            "12 Wharf Street, Portland, ME 04101",
            "207-555-0100",
            "Dr. Amara Okafor",
            visit.reference,
            "Your insurance card",
            f"/appointments/{visit.public_id}/",
            "free of charge until Sunday, November 29, 2026 at 9:10 am, Eastern Time (EST)",
        ):
            assert said in part
        assert "On your own clock" not in part
    assert "http" in row.text


def test_a_moved_visit_names_the_old_time_and_the_new(visit: Appointment) -> None:
    mails.moved(visit, now=NOW, previous=move_row(visit, SOON + timedelta(days=1, minutes=30)))
    row = only_mail()
    assert row.subject == "Your visit was moved to Tuesday, December 1, 2026 at 9:40 am"
    for part in (row.text, row.html):
        assert "It replaces Monday, November 30, 2026 at 9:10 am." in part
        assert "Tuesday, December 1, 2026 at 9:40 am" in part


def test_a_cancelled_visit_offers_another_time_and_no_deadline(visit: Appointment) -> None:
    cancel_row(visit, by=visit.booked_by, at=NOW)
    mails.cancelled(visit, now=NOW)
    row = only_mail()
    assert row.subject == "Cancelled: your visit on Monday, November 30, 2026 at 9:10 am"
    for part in (row.text, row.html):
        assert "Your visit is cancelled." in part
        assert f"/doctors/{visit.doctor.slug}/" in part
        assert "free of charge" not in part
        assert "insurance card" not in part
        assert "noted as late" not in part


def test_a_late_cancellation_is_said_to_be_late(visit: Appointment) -> None:
    visit.cancelled_late = True
    cancel_row(visit, by=visit.booked_by, at=NOW)
    mails.cancelled(visit, now=NOW)
    assert "less than 24 hours before its start and is noted as late" in only_mail().text


def test_the_clinic_says_sorry_for_what_it_cancelled(visit: Appointment, reception: User) -> None:
    cancel_row(visit, by=reception, at=NOW)
    mails.cancelled(visit, now=NOW)
    row = only_mail()
    assert row.to == "alice@example.org"
    assert "The clinic had to cancel this visit." in row.text
    assert "The clinic had to cancel this visit." in row.html


def test_past_the_deadline_no_free_cancelling_is_promised(visit: Appointment) -> None:
    mails.booked(visit, now=SOON - timedelta(hours=23))
    row = only_mail()
    for part in (row.text, row.html):
        assert "free of charge" not in part
        assert "Less than 24 hours are left" in part


def test_the_deadline_counts_hours_and_not_clock_faces(alice: User) -> None:
    """24 hours before Sunday 9 am is Saturday 10 am: the night between has 25 hours."""
    visit = make_visit(alice.chart, datetime(2026, 11, 1, 14, 0, tzinfo=UTC))
    mails.booked(visit, now=visit.created_at)
    assert "until Saturday, October 31, 2026 at 10:00 am, Eastern Time (EDT)" in only_mail().text


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        (
            "America/Chicago",
            "On your own clock: Monday, November 30, 2026 at 8:10 am, Central Time (CST)",
        ),
        ("America/Toronto", ""),  # the same clock under another name
        ("", ""),
    ],
)
def test_another_time_zone_of_the_reader_is_named_beside_the_clinics(
    visit: Appointment, alice: User, zone: str, said: str
) -> None:
    alice.time_zone = zone
    alice.save()
    visit.refresh_from_db()
    mails.booked(visit, now=NOW)
    for part in (only_mail().text, only_mail().html):
        assert "Eastern Time (EST)" in part
        assert said in part if said else "On your own clock" not in part


def test_a_video_visit_names_the_clinic_and_no_street(visit: Appointment) -> None:
    visit.visit = Visit.VIDEO
    mails.booked(visit, now=NOW)
    for part in (only_mail().text, only_mail().html):
        assert "Video visit" in part
        assert "Harbour Clinic" in part
        assert "Wharf Street" not in part


def test_a_text_part_reads_well_with_little_known(visit: Appointment) -> None:
    visit.bring = visit.hospital.phone = ""
    mails.booked(visit, now=NOW)
    text = only_mail().text
    assert "\n\n\n" not in text
    assert "What to bring" not in text
    assert not text.startswith("\n") and text.endswith(".\n")


# --- To whom ------------------------------------------------------------------------------------


def test_a_carer_who_booked_gets_the_mail_with_the_first_name(alice: User, bob: User) -> None:
    mails.booked(make_visit(alice.chart, SOON, by=bob), now=NOW)
    row = only_mail()
    assert row.to == "bob@example.org"
    assert "\nFor\n  Alice\n" in row.text
    assert "Moreau" not in row.text + row.html + row.subject + row.calendar


def test_the_patients_own_mail_names_no_patient(visit: Appointment) -> None:
    mails.booked(visit, now=NOW)
    assert "Alice" not in only_mail().text + only_mail().html + only_mail().subject


def test_a_carer_whose_time_is_over_hears_nothing_more(alice: User, bob: User) -> None:
    visit = make_visit(alice.chart, SOON, by=bob)
    Carer.objects.filter(user=bob).update(until=NOW - timedelta(days=1))
    mails.booked(visit, now=NOW)
    assert only_mail().to == "alice@example.org"


def test_reception_books_for_the_patient_and_gets_no_mail(alice: User, reception: User) -> None:
    mails.booked(make_visit(alice.chart, SOON, by=reception), now=NOW)
    assert only_mail().to == "alice@example.org"


def test_a_chart_without_account_is_told_by_its_own_address(reception: User) -> None:
    nora = make_patient()
    nora.email = "nora@example.org"
    nora.save()
    mails.booked(make_visit(nora, SOON, by=reception), now=NOW)
    assert only_mail().to == "nora@example.org"


def test_a_child_without_address_is_told_by_who_cares_for_it(bob: User, reception: User) -> None:
    child = make_patient("Sam Tanaka")
    make_carer(bob, child, Relation.CHILD)
    mails.booked(make_visit(child, SOON, by=reception), now=NOW)
    assert only_mail().to == "bob@example.org"
    assert "\nFor\n  Sam\n" in only_mail().text


def test_nobody_to_tell_is_no_error_and_no_mail(reception: User) -> None:
    mails.booked(make_visit(make_patient(), SOON, by=reception), now=NOW)
    assert not OutgoingMail.objects.exists()


def test_a_closed_account_gets_no_mail(visit: Appointment, alice: User) -> None:
    alice.is_active = False
    alice.save()
    visit = Appointment.objects.with_parts().get(pk=visit.pk)
    mails.booked(visit, now=NOW)
    assert not OutgoingMail.objects.exists()


def test_a_language_the_site_does_not_speak_falls_back(visit: Appointment, alice: User) -> None:
    alice.language = "es"
    alice.save()
    visit = Appointment.objects.with_parts().get(pk=visit.pk)
    mails.booked(visit, now=NOW)
    assert "Monday, November 30, 2026" in only_mail().subject


# --- Once, and with the visit -------------------------------------------------------------------


def test_each_state_of_a_visit_has_one_mail(visit: Appointment) -> None:
    for _ in range(2):
        mails.booked(visit, now=NOW)
    previous = move_row(visit, SOON + timedelta(days=1))
    for _ in range(2):
        mails.moved(visit, now=NOW, previous=previous)
    mails.moved(visit, now=NOW, previous=move_row(visit, SOON + timedelta(days=2)))
    cancel_row(visit, by=visit.booked_by, at=NOW)
    for _ in range(2):
        mails.cancelled(visit, now=NOW)
    assert OutgoingMail.objects.count() == 4
    assert len(set(OutgoingMail.objects.values_list("key", flat=True))) == 4


def test_a_visit_that_was_not_stored_has_no_mail(visit: Appointment) -> None:
    with transaction.atomic():
        mails.booked(visit, now=NOW)
        assert OutgoingMail.objects.exists()
        transaction.set_rollback(True)
    assert not OutgoingMail.objects.exists()


def test_a_mail_asks_little_while_the_doctors_times_are_locked(visit: Appointment) -> None:
    visit = Appointment.objects.with_parts().get(pk=visit.pk)
    with CaptureQueriesContext(connection) as queries:
        mails.booked(visit, now=NOW)
    reads = [q["sql"] for q in queries if q["sql"].startswith("SELECT")]
    assert len(reads) <= 1  # the outbox looks for the key; nothing about people or places


def test_booking_moving_and_cancelling_store_their_mails_with_them(alice: User) -> None:
    desk = open_desk()
    visit = booking.book(
        service=desk.service,
        patient=alice.chart,
        starts_at=AT,
        by=alice,
        key="booked",
        now=DESK_NOW,
        reason=REASON,
    )
    later = AT + timedelta(hours=2)
    booking.reschedule(appointment=visit, starts_at=later, by=alice, key="moved", now=DESK_NOW)
    for _ in range(2):
        booking.cancel(appointment=visit, by=alice, now=DESK_NOW, reason="canary-cancel")
    rows = list(OutgoingMail.objects.order_by("pk"))
    events = [Calendar.from_ical(row.calendar).walk("VEVENT")[0] for row in rows]
    assert [row.subject for row in rows] == [
        "Your visit on Tuesday, November 10, 2026 at 9:00 am",
        "Your visit was moved to Tuesday, November 10, 2026 at 11:00 am",
        "Cancelled: your visit on Tuesday, November 10, 2026 at 11:00 am",
    ]
    assert [event["SEQUENCE"] for event in events] == [0, 1, 2]
    assert {event["UID"] for event in events} == {f"{visit.public_id}@clinic"}
    assert "It replaces Tuesday, November 10, 2026 at 9:00 am." in rows[1].text
    assert not any("canary" in text for row in rows for text in texts_of(as_received(row)))


def test_a_refused_booking_stores_no_mail(alice: User, charlie: User) -> None:
    desk = open_desk()

    def book(user: User) -> Appointment:
        return booking.book(
            service=desk.service,
            patient=user.chart,
            starts_at=AT,
            by=user,
            key="one",
            now=DESK_NOW,
        )

    book(alice)
    with pytest.raises(SlotTaken):
        book(charlie)
    assert [row.to for row in OutgoingMail.objects.all()] == ["alice@example.org"]


# --- The calendar part --------------------------------------------------------------------------


def test_the_invitations_of_a_visits_life_belong_together(visit: Appointment) -> None:
    rows = every_kind(visit)
    events = [Calendar.from_ical(row.calendar).walk("VEVENT")[0] for row in rows]
    assert [row.calendar_method for row in rows] == ["REQUEST", "REQUEST", "CANCEL"]
    assert len({event["UID"] for event in events}) == 1
    assert [event["SEQUENCE"] for event in events] == [0, 1, 2]
    assert [event["STATUS"] for event in events] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    for row, event in zip(rows, events, strict=True):
        assert Calendar.from_ical(row.calendar)["METHOD"] == row.calendar_method
        assert event["ATTENDEE"] == f"mailto:{row.to}"


def test_the_mail_that_leaves_has_text_html_and_the_invitation(
    visit: Appointment, mailoutbox: list[django_mail.EmailMessage]
) -> None:
    mails.booked(visit, now=NOW)
    assert attempt(only_mail().pk, now=timezone.now() + timedelta(days=400)) == "sent"
    (sent,) = mailoutbox
    message = email.message_from_bytes(sent.message().as_bytes(), policy=email.policy.default)
    parts = {part.get_content_type(): part for part in message.walk() if not part.is_multipart()}
    assert {"text/plain", "text/html", "text/calendar"} <= set(parts)
    invitation = parts["text/calendar"]
    assert invitation.get_param("method") == "REQUEST"
    assert invitation.get_param("charset") == "utf-8"
    (event,) = Calendar.from_ical(invitation.get_payload(decode=True)).walk("VEVENT")
    assert event["UID"] == f"{visit.public_id}@clinic"
    assert any(part.get_filename() == "invite.ics" for part in message.walk())


# --- What they never say ------------------------------------------------------------------------


# A boundary's digits and an id's are random, and now and then they hold a year.
RANDOM = re.compile(r'boundary="[^"]*"|[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}')


def test_s38_no_mail_says_why(visit: Appointment) -> None:
    visit.cancel_reason = "canary-cancel-reason"
    canaries = (REASON, SERVICE, SPECIALTY, "canary", "Moreau", "1980")
    for row in every_kind(visit):
        for text in texts_of(as_received(row)):
            for canary in canaries:
                assert canary not in RANDOM.sub("", text)


def test_s38_a_subject_has_the_time_alone(visit: Appointment) -> None:
    for row in every_kind(visit):
        for name in ("Okafor", "Harbour", "Alice", visit.reference, "Portland"):
            assert name not in row.subject


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(sorted(name for name, _ in attrs))))
        self.targets += [value or "" for name, value in attrs if name in ("href", "src")]


def tags(html: str) -> Tags:
    parser = Tags()
    parser.feed(html)
    parser.close()
    return parser


def with_names(visit: Appointment, text: str) -> None:
    """Puts ``text`` wherever a person can type something that a mail shows."""
    visit.doctor.name = visit.hospital.name = visit.hospital.address = text
    visit.hospital.phone = visit.bring = text
    visit.patient.name = f"{text} Moreau"


@pytest.mark.parametrize("text", XSS)
def test_s27_names_are_text_in_the_html_part(alice: User, bob: User, text: str) -> None:
    plain = [tags(row.html) for row in every_kind(make_visit(alice.chart, SOON, by=bob))]
    OutgoingMail.objects.all().delete()
    visit = make_visit(alice.chart, SOON, by=bob)
    with_names(visit, text)
    hostile = [tags(row.html) for row in every_kind(visit)]
    assert [part.found for part in hostile] == [part.found for part in plain]
    for part in hostile:
        assert part.targets
        assert all(target.startswith("http://127.0.0.1:8000/") for target in part.targets)


@pytest.mark.parametrize(
    "breaks", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]
)
def test_a_name_adds_no_header_and_no_line(alice: User, bob: User, breaks: str) -> None:
    def shape(row: OutgoingMail) -> tuple[list[str], int]:
        message = as_received(row)
        return list(message.keys()), len(row.text.splitlines())

    plain = [shape(row) for row in every_kind(make_visit(alice.chart, SOON, by=bob))]
    OutgoingMail.objects.all().delete()
    visit = make_visit(alice.chart, SOON, by=bob)
    with_names(visit, f"Eve{breaks}Bcc: eve@example.org{breaks}{breaks}Pay here")
    rows = every_kind(visit)
    assert [shape(row) for row in rows] == plain
    for row in rows:
        assert message_of(row).recipients() == ["bob@example.org"]
        assert not any(
            line.strip().startswith(("Bcc", "Pay here")) for line in row.text.splitlines()
        )


def test_terminal_codes_and_turned_text_are_taken_out(visit: Appointment) -> None:
    with_names(visit, "Eve\x1b[31m\u202egro.elpmaxe\x00")
    mails.booked(visit, now=NOW)
    row = only_mail()
    for part in (row.text, row.html, row.subject, row.calendar):
        assert not set("\x1b\x00\u202e") & set(part)


def test_a_doctor_who_is_a_patient_gets_a_patients_mail(db: None) -> None:
    account = make_patient_user("amara@example.org", name="Amara Okafor", role=Role.DOCTOR)
    visit = make_visit(account.chart, SOON, doctor=make_doctor(name="Ben Ruiz", user=None))
    mails.booked(visit, now=NOW)
    assert only_mail().to == "amara@example.org"


def test_a_hospital_elsewhere_keeps_its_own_clock(alice: User) -> None:
    hospital = make_hospital(time_zone="Europe/Berlin")
    mails.booked(make_visit(alice.chart, SOON, hospital=hospital), now=NOW)
    row = only_mail()
    assert "at 3:10 pm" in row.subject
    assert "Berlin time (CET)" in row.text
