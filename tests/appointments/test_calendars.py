"""Visits in calendar programs: read back, with time zones only as the file itself defines them."""

from __future__ import annotations

import io
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil import tz as dateutil_tz  # type: ignore[import-untyped]
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from icalendar import Calendar, Timezone

from accounts.models import AuditEvent, Role, User
from appointments import feeds
from appointments.calendars import feed_ics, one_line, visit_ics
from appointments.models import Appointment, CalendarFeed, Status
from appointments.vtimezone import vtimezone
from appointments.zones import is_repeated
from clinic.directory.models import Visit
from tests.appointments.visits import (
    REASON,
    SERVICE,
    SPECIALTY,
    cancel_row,
    make_doctor,
    make_hospital,
    make_visit,
)
from tests.cast import make_account, make_patient, make_patient_user, signed_in

NOW = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
SOON = datetime(2026, 11, 30, 14, 10, tzinfo=UTC)  # 9:10 am in New York
QUARTER = timedelta(minutes=15)

# Around both nights of the two zones: every start from two hours before to two hours after.
NIGHTS = [
    ("America/New_York", datetime(2026, 3, 8, 7, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, 0, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, 0, tzinfo=UTC)),
]
STEPS = range(-8, 9)


def parsed(ics: bytes) -> Calendar:
    calendar = Calendar.from_ical(ics)
    assert isinstance(calendar, Calendar)
    return calendar


def event_of(ics: bytes) -> Any:
    (event,) = parsed(ics).walk("VEVENT")
    return event


def content_lines(ics: bytes) -> list[str]:
    return ics.decode().replace("\r\n ", "").split("\r\n")


class WrittenZone:
    """A VTIMEZONE read to the letter of RFC 5545 §3.6.5.

    An onset is the moment at which its DTSTART is on the clock *before* the change. (dateutil reads
    more kindly: it finds the right time in a zone whose onset is an hour late.)
    """

    def __init__(self, component: Any) -> None:
        self.onsets, observances = component.get_transitions()
        self.offsets = [offset for offset, _, _ in observances]

    def holds(self, offset: timedelta, moment: datetime) -> bool:
        return self.offsets[max(bisect_right(self.onsets, moment) - 1, 0)] == offset

    def moment(self, wall: datetime) -> datetime:
        (offset,) = {offset for offset in self.offsets if self.holds(offset, wall - offset)}
        return (wall - offset).replace(tzinfo=UTC)


def moments_of(ics: bytes) -> tuple[datetime, datetime]:
    """DTSTART and DTEND in UTC, as a program understands them that knows no zone by name."""
    event, found = event_of(ics), []
    zones = {str(zone["TZID"]): WrittenZone(zone) for zone in parsed(ics).walk("VTIMEZONE")}
    for key in ("DTSTART", "DTEND"):
        wall, name = event[key].dt.replace(tzinfo=None), event[key].params.get("TZID")
        found.append(zones[name].moment(wall) if name else wall.replace(tzinfo=UTC))
    return found[0], found[1]


@pytest.fixture
def visit(alice: User) -> Appointment:
    return make_visit(alice.chart, SOON)


# --- One visit --------------------------------------------------------------------------------


def test_an_invitation_has_what_calendar_programs_need(visit: Appointment) -> None:
    ics = visit_ics(visit, method="REQUEST", now=NOW, attendee="alice@example.org")
    calendar, event = parsed(ics), event_of(ics)
    assert calendar["METHOD"] == "REQUEST"
    assert calendar["VERSION"] == "2.0" and calendar["PRODID"]
    assert event["UID"] == f"{visit.public_id}@clinic"
    assert event["SEQUENCE"] == 0
    assert event["DTSTAMP"].dt == NOW
    assert event["STATUS"] == "CONFIRMED"
    assert event["SUMMARY"] == "Visit with Dr. Amara Okafor"
    assert event["LOCATION"] == "Harbour Clinic, 12 Wharf Street, Portland, ME 04101"
    assert event["DTSTART"].params["TZID"] == "America/New_York"
    assert event["DTSTART"].dt.hour == 9 and event["DTSTART"].dt.minute == 10
    assert event["DTEND"].dt - event["DTSTART"].dt == timedelta(minutes=30)
    assert event["ORGANIZER"].startswith("mailto:") and "@" in event["ORGANIZER"]
    assert event["ATTENDEE"] == "mailto:alice@example.org"
    assert event["ATTENDEE"].params["RSVP"] == "FALSE"
    assert visit.reference in event["DESCRIPTION"]
    assert f"/appointments/{visit.public_id}/" in event["DESCRIPTION"]
    assert "Eastern Time (EST)" in event["DESCRIPTION"]


def test_a_file_to_open_asks_nobody_for_an_answer(visit: Appointment) -> None:
    ics = visit_ics(visit, method="PUBLISH", now=NOW)
    assert parsed(ics)["METHOD"] == "PUBLISH"
    assert "ATTENDEE" not in event_of(ics)


@pytest.mark.parametrize("method", ["REQUEST", "CANCEL", "REPLY"])
def test_an_invitation_to_nobody_is_not_made(visit: Appointment, method: str) -> None:
    with pytest.raises(ValueError, match="attendee"):
        visit_ics(visit, method=method, now=NOW)


def test_a_moved_visit_replaces_the_first_invitation(visit: Appointment) -> None:
    first = event_of(visit_ics(visit, method="REQUEST", now=NOW, attendee="a@example.org"))
    visit.starts_at += timedelta(days=1)
    visit.ends_at += timedelta(days=1)
    visit.calendar_sequence += 1
    second = event_of(visit_ics(visit, method="REQUEST", now=NOW, attendee="a@example.org"))
    assert second["UID"] == first["UID"]
    assert second["SEQUENCE"] == first["SEQUENCE"] + 1
    assert second["ORGANIZER"] == first["ORGANIZER"]
    assert second["DTSTART"].dt == first["DTSTART"].dt + timedelta(days=1)


def test_a_cancelled_visit_is_taken_out_by_the_same_uid(visit: Appointment) -> None:
    first = event_of(visit_ics(visit, method="REQUEST", now=NOW, attendee="a@example.org"))
    cancel_row(visit, by=None, at=NOW)
    ics = visit_ics(visit, method="CANCEL", now=NOW, attendee="a@example.org")
    event = event_of(ics)
    assert parsed(ics)["METHOD"] == "CANCEL"
    assert event["STATUS"] == "CANCELLED"
    assert event["UID"] == first["UID"]
    assert event["SEQUENCE"] > first["SEQUENCE"]
    assert event_of(visit_ics(visit, method="PUBLISH", now=NOW))["STATUS"] == "CANCELLED"


def test_a_new_public_address_makes_no_second_event(visit: Appointment, settings: Any) -> None:
    before = event_of(visit_ics(visit, method="PUBLISH", now=NOW))["UID"]
    settings.PUBLIC_URL = "https://moved.example.org"
    assert event_of(visit_ics(visit, method="PUBLISH", now=NOW))["UID"] == before


def test_a_video_visit_has_no_street(visit: Appointment) -> None:
    visit.visit = Visit.VIDEO
    event = event_of(visit_ics(visit, method="PUBLISH", now=NOW))
    assert event["LOCATION"] == "Video visit"


def test_s38_no_reason_service_specialty_or_patient_in_a_calendar(visit: Appointment) -> None:
    for ics in (
        visit_ics(visit, method="REQUEST", now=NOW, attendee="x@example.org"),
        visit_ics(visit, method="PUBLISH", now=NOW),
        feed_ics([visit], name="Visits", now=NOW, viewer_id=visit.doctor_id),
    ):
        text = "\n".join(content_lines(ics))
        for canary in (REASON, SERVICE, SPECIALTY, "Alice", "Moreau"):
            assert canary not in text


# --- Texts that people typed --------------------------------------------------------------------

HOSTILE = [
    "Evil\r\nATTENDEE:mailto:eve@example.org",
    "Evil\nEND:VEVENT\nBEGIN:VEVENT",
    "Evil\rX-BAD:1",
    "Evil\u2028X-BAD:1\x0bX-BAD:2\x85X-BAD:3",
    'Evil";CN="other":x\\n\\r\x1b[31m',
    "Évïl, ä; b\\c " + "é" * 150,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_starts_no_line_of_its_own(visit: Appointment, settings: Any, name: str) -> None:
    plain = visit_ics(visit, method="REQUEST", now=NOW, attendee="a@example.org")
    visit.doctor.name = visit.hospital.name = visit.hospital.address = visit.hospital.phone = name
    settings.CLINIC_NAME = name
    ics = visit_ics(visit, method="REQUEST", now=NOW, attendee="a@example.org")

    def names(text: bytes) -> list[str]:
        return [line.partition(":")[0].partition(";")[0] for line in content_lines(text)]

    assert names(ics) == names(plain)
    assert ics.count(b"\n") == ics.count(b"\r\n") == ics.count(b"\r")
    assert max(len(line) for line in ics.split(b"\r\n")) <= 75
    assert not any(byte < 32 and byte not in b"\r\n" for byte in ics)
    assert event_of(ics)["SUMMARY"] == f"Visit with Dr. {one_line(name)}"
    assert event_of(ics)["ORGANIZER"].startswith("mailto:")


# --- Time zones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUBLISH", "REQUEST"])
@pytest.mark.parametrize(("zone", "change"), NIGHTS)
def test_times_are_right_in_both_nights_of_the_clock_change(
    alice: User, zone: str, change: datetime, method: str
) -> None:
    visit = make_visit(alice.chart, change, hospital=make_hospital(time_zone=zone))
    for step in STEPS:
        visit.starts_at = change + step * QUARTER
        visit.ends_at = visit.starts_at + timedelta(minutes=30)
        ics = visit_ics(visit, method=method, now=NOW, attendee="a@example.org")
        assert moments_of(ics) == (visit.starts_at, visit.ends_at)


def test_the_hour_that_the_clock_repeats_is_written_in_utc(alice: User) -> None:
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)  # 1:30 am EDT
    second = first + timedelta(hours=1)  # 1:30 am EST
    for starts_at in (first, second):
        event = event_of(visit_ics(make_visit(alice.chart, starts_at), method="PUBLISH", now=NOW))
        assert "TZID" not in event["DTSTART"].params
        assert event["DTSTART"].to_ical() == starts_at.strftime("%Y%m%dT%H%M%SZ").encode()


def test_a_visit_that_ends_in_the_repeated_hour_does_not_end_before_it_starts(alice: User) -> None:
    starts_at = datetime(2026, 11, 1, 4, 45, tzinfo=UTC)  # 12:45 am EDT
    visit = make_visit(alice.chart, starts_at, minutes=90)  # until 1:15 am EST
    ics = visit_ics(visit, method="PUBLISH", now=NOW)
    assert moments_of(ics) == (visit.starts_at, visit.ends_at)


@pytest.mark.parametrize("month", [1, 7])
def test_a_zone_without_clock_changes(alice: User, month: int) -> None:
    starts_at = datetime(2026, month, 15, 16, 0, tzinfo=UTC)  # 9 am
    hospital = make_hospital(time_zone="America/Phoenix")
    ics = visit_ics(
        make_visit(alice.chart, starts_at, hospital=hospital), method="PUBLISH", now=NOW
    )
    assert event_of(ics)["DTSTART"].dt.hour == 9
    assert moments_of(ics)[0] == starts_at
    (zone,) = parsed(ics).walk("VTIMEZONE")
    assert [part.name for part in zone.subcomponents] == ["STANDARD"]


@pytest.mark.parametrize(
    "name",
    [
        "America/New_York",
        "America/Phoenix",
        "Europe/Berlin",
        "Europe/Dublin",  # summer is its standard time
        "Africa/Cairo",  # a Friday that is not always the last
        "Africa/Casablanca",  # follows the moon
        "Asia/Kathmandu",  # 5:45
        "Australia/Lord_Howe",  # half an hour
        "Pacific/Honolulu",
    ],
)
def test_a_zone_as_written_agrees_with_the_zone_all_year(name: str) -> None:
    component = vtimezone(name, 2026, 2027)
    strictly = WrittenZone(component)
    kindly = dateutil_tz.tzical(io.StringIO(component.to_ical().decode())).get()
    real = ZoneInfo(name)
    moment = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    wrong = []
    while moment.year < 2028:
        clock = moment.astimezone(real)
        if not is_repeated(clock):
            wall = clock.replace(tzinfo=None)
            if not strictly.moment(wall) == moment == wall.replace(tzinfo=kindly).astimezone(UTC):
                wrong.append(moment)
        moment += timedelta(minutes=30)
    assert wrong == []


def test_outlook_gets_one_yearly_rule_each() -> None:
    rules = {
        part.name: (part["DTSTART"].to_ical(), part["RRULE"].to_ical())
        for part in vtimezone("America/New_York", 2026, 2026).subcomponents
    }
    assert rules == {
        "DAYLIGHT": (b"20250309T020000", b"FREQ=YEARLY;BYDAY=2SU;BYMONTH=3"),
        "STANDARD": (b"20251102T020000", b"FREQ=YEARLY;BYDAY=1SU;BYMONTH=11"),
    }


def test_the_librarys_own_zones_are_still_an_hour_late() -> None:
    """The reason for vtimezone.py: when this fails, the library was mended and the file can go."""
    theirs = Timezone.from_tzid("America/New_York", first_date=date(2025, 1, 1))
    (spring,) = [
        part
        for part in theirs.subcomponents
        if part.name == "DAYLIGHT" and part["DTSTART"].dt.year == 2025
    ]
    assert spring["DTSTART"].dt.hour == 3


# --- The feed -----------------------------------------------------------------------------------


def feed_address(user: User) -> str:
    feed = feeds.make_address(user=user, now=timezone.now())
    return reverse("feed", args=[feed.secret])


def in_days(days: int) -> datetime:
    return timezone.now().replace(second=0, microsecond=0) + timedelta(days=days)


def test_a_feed_has_the_coming_visits_and_those_of_the_last_90_days(alice: User) -> None:
    shown = [make_visit(alice.chart, in_days(days)) for days in (-89, 3, 60)]
    make_visit(alice.chart, in_days(-91))
    cancel_row(make_visit(alice.chart, in_days(4)), by=alice, at=timezone.now())
    answer = Client().get(feed_address(alice))
    calendar = parsed(answer.content)
    assert {str(event["UID"]) for event in calendar.walk("VEVENT")} == {
        f"{visit.public_id}@clinic" for visit in shown
    }
    assert calendar["METHOD"] == "PUBLISH"
    assert calendar["X-WR-CALNAME"] == "Visits, Harbour Health"
    assert calendar["REFRESH-INTERVAL"].dt == timedelta(hours=1)
    assert "DURATION" in calendar["REFRESH-INTERVAL"].params["VALUE"]
    assert len(calendar.walk("VTIMEZONE")) == 1


def test_a_feed_needs_no_session_and_leaves_none(alice: User) -> None:
    make_visit(alice.chart, in_days(3))
    answer = Client().get(feed_address(alice))
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/calendar; charset=utf-8"
    assert "no-store" in answer["Cache-Control"]
    assert not answer.cookies


def test_reading_a_feed_writes_nothing(alice: User) -> None:
    make_visit(alice.chart, in_days(3))
    address = feed_address(alice)
    with CaptureQueriesContext(connection) as queries:
        Client().get(address)
    assert queries
    assert all(query["sql"].lstrip("( ").startswith("SELECT") for query in queries)


def test_a_feed_asks_the_same_number_of_questions_for_1_and_for_20_visits(alice: User) -> None:
    address = feed_address(alice)
    counts = []
    for more in (1, 19):
        for days in range(more):
            make_visit(alice.chart, in_days(2 + days))
        with CaptureQueriesContext(connection) as queries:
            assert Client().get(address).content
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_feed_shows_own_visits_and_those_of_people_in_ones_care(
    alice: User, bob: User, charlie: User
) -> None:
    visit = make_visit(alice.chart, in_days(3))

    def uids(user: User) -> list[str]:
        answer = Client().get(feed_address(user))
        return [str(event["UID"]) for event in parsed(answer.content).walk("VEVENT")]

    assert uids(alice) == uids(bob) == [f"{visit.public_id}@clinic"]
    assert uids(charlie) == []


def test_s21_a_doctors_feed_names_no_patient(alice: User) -> None:
    account = make_account("amara@example.org", name="Amara Okafor", role=Role.DOCTOR)
    make_visit(alice.chart, in_days(3), doctor=make_doctor(user=account))
    answer = Client().get(feed_address(account))
    assert event_of(answer.content)["SUMMARY"] == "Visit"
    text = "\n".join(content_lines(answer.content))
    for canary in ("Alice", "Moreau", "alice@example.org", REASON, SERVICE):
        assert canary not in text


def test_a_wrong_address_and_a_closed_account_are_not_found(alice: User) -> None:
    address = feed_address(alice)
    assert Client().get(address).status_code == 200
    # The other case is the same to MySQL's comparison.
    secret = CalendarFeed.objects.get(user=alice).secret
    for wrong in (secret.swapcase(), f"{secret} ", "x" * 32, "x", "é\x00" * 20):
        assert Client().get(reverse("feed", args=[wrong])).status_code == 404
    alice.is_active = False
    alice.save()
    assert Client().get(address).status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_a_feed_can_only_be_read(alice: User, method: str) -> None:
    assert getattr(Client(), method)(feed_address(alice)).status_code == 405


def test_an_address_is_made_by_a_post_and_a_new_one_ends_the_old(alice: User) -> None:
    page, browser = reverse("feed_settings"), signed_in(alice)
    assert browser.get(page).status_code == 200
    assert not CalendarFeed.objects.exists()

    assert browser.post(page).status_code == 302
    first = CalendarFeed.objects.get(user=alice).secret
    assert f"/calendar/{first}.ics" in browser.get(page).content.decode()
    assert Client().get(reverse("feed", args=[first])).status_code == 200

    browser.post(page)
    second = CalendarFeed.objects.get(user=alice).secret
    assert second != first
    assert Client().get(reverse("feed", args=[first])).status_code == 404
    assert Client().get(reverse("feed", args=[second])).status_code == 200
    rows = AuditEvent.objects.filter(action="calendar_feed.address", actor_id=alice.pk)
    assert rows.count() == 2
    assert not any(
        secret in row.detail + row.object_id for row in rows for secret in (first, second)
    )


def test_only_who_signed_in_has_a_feed_page(db: None) -> None:
    for answer in (Client().get(reverse("feed_settings")), Client().post(reverse("feed_settings"))):
        assert answer.status_code == 302
        assert "login" in answer["Location"]
    assert not CalendarFeed.objects.exists()


# --- The file of one visit ----------------------------------------------------------------------


def test_a_visit_opens_in_a_calendar_program(visit: Appointment, alice: User) -> None:
    answer = signed_in(alice).get(reverse("appointment_ics", args=[visit.public_id]))
    assert answer["Content-Type"] == "text/calendar; charset=utf-8"
    assert "no-store" in answer["Cache-Control"]
    assert answer["Content-Disposition"] == 'attachment; filename="visit.ics"'
    assert parsed(answer.content)["METHOD"] == "PUBLISH"
    assert event_of(answer.content)["UID"] == f"{visit.public_id}@clinic"


def test_nobody_elses_visit_opens(visit: Appointment, bob: User, charlie: User) -> None:
    address = reverse("appointment_ics", args=[visit.public_id])
    assert signed_in(bob).get(address).status_code == 200
    assert signed_in(charlie).get(address).status_code == 404
    assert Client().get(address).status_code == 302
    assert signed_in(bob).post(address).status_code == 405


def test_a_doctors_taking_of_a_visit_is_in_the_patients_trail(alice: User) -> None:
    account = make_account("amara@example.org", name="Amara Okafor", role=Role.DOCTOR)
    visit = make_visit(alice.chart, SOON, doctor=make_doctor(user=account))
    address = reverse("appointment_ics", args=[visit.public_id])
    trail = AuditEvent.objects.filter(action="visit.export", patient=alice.chart)
    signed_in(alice).get(address)
    assert not trail.exists()
    assert event_of(signed_in(account).get(address).content)["SUMMARY"] == "Visit"
    assert [row.actor_id for row in trail] == [account.pk]


def test_a_past_visit_still_opens(alice: User) -> None:
    visit = make_visit(alice.chart, in_days(-200), status=Status.DONE)
    answer = signed_in(alice).get(reverse("appointment_ics", args=[visit.public_id]))
    assert event_of(answer.content)["STATUS"] == "CONFIRMED"


def test_a_patient_without_account_has_a_calendar_too(db: None) -> None:
    visit = make_visit(make_patient(), SOON, by=make_patient_user("z@example.org"))
    assert event_of(visit_ics(visit, method="PUBLISH", now=NOW))["UID"]
