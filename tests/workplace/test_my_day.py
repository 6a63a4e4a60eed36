"""UX 31 and 33: a doctor's day, its buttons, and what it never shows."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.ids import uuid7
from accounts.models import AuditEvent, User
from appointments.booking import cancel
from appointments.models import Appointment, Status
from chat.frames import Send
from chat.log import Act, append
from chat.opening import open_conversation
from clinic.directory.approval import approve, withdraw
from clinic.directory.models import OpeningHours, Service
from records.encounters import encounter_for
from records.notes import save_draft, start_note
from tests.appointments.desk import AT, NOW, Desk
from tests.cast import make_patient_user, signed_in
from tests.workplace.conftest import Book, doctor_of, text_of

MINUTE = timedelta(minutes=1)
TEN_PAST = AT + 10 * MINUTE


def rows(page: str) -> list[str]:
    """The day's rows as text, in their order."""
    found = re.findall(r'<li class="day__row.*?</li>', page, re.S)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in found]


def step(client: Client, visit: Appointment, action: str, **more: Any) -> Any:
    return client.post(f"/admin/visits/{visit.public_id}/status/", {"action": action, **more})


def test_visits_and_free_gaps_stand_in_the_order_of_time(
    my_day: Client, desk: Desk, booked: Book
) -> None:
    booked(desk, AT + 60 * MINUTE, "Ira Vance")
    booked(desk, AT, "Nora Ames")
    page = text_of(my_day, "/admin/")
    assert "My day: Tuesday, November 10, 2026" in page
    assert "2 visits" in page and "Eastern Time (EST)" in page
    found = rows(page)
    assert [row.split(" ")[0] for row in found] == ["9:00", "9:30", "10:00", "10:30"]
    assert "Nora Ames" in found[0] and "now" in found[0]
    assert "Late: not here 10 minutes after the start" in found[0]
    assert found[1] == "9:30 am Free until 10:00 am (30 minutes)"
    assert "Ira Vance" in found[2] and "Booked" in found[2] and "now" not in found[2]
    assert found[3] == "10:30 am Free until 5:00 pm (6 hours 30 minutes)"


def test_a_patient_is_one_click_away(my_day: Client, desk: Desk, booked: Book) -> None:
    visit = booked(desk)
    link = f'href="/admin/charts/{visit.patient.public_id}/"'
    assert link in text_of(my_day, "/admin/")


def test_arrived_done_and_undo_are_one_click_each(
    my_day: Client, desk: Desk, booked: Book, clock: time_machine.Traveller
) -> None:
    visit = booked(desk)
    answer = step(my_day, visit, "arrived", next="/admin/?date=2026-11-10")
    assert answer.headers["Location"] == f"/admin/?date=2026-11-10#visit-{visit.public_id}"
    (row, *_gaps) = rows(text_of(my_day, "/admin/"))
    assert "Arrived 9:10 am" in row and "Undo (until 9:10:10 am)" in row
    clock.move_to(TEN_PAST + 6 * MINUTE)
    (row, *_gaps) = rows(text_of(my_day, "/admin/"))
    assert "Arrived 9:10 am, waiting 6 minutes" in row and "Undo" not in row
    step(my_day, visit, "done")
    (row, *_gaps) = rows(text_of(my_day, "/admin/"))
    assert "Done, 9:16 am" in row and "Undo (until 9:16:10 am)" in row
    step(my_day, visit, "undo")
    visit.refresh_from_db()
    assert visit.status == Status.ARRIVED


def test_undo_comes_too_late(
    my_day: Client, desk: Desk, booked: Book, clock: time_machine.Traveller
) -> None:
    visit = booked(desk)
    step(my_day, visit, "no_show")
    clock.move_to(TEN_PAST + timedelta(seconds=11))
    step(my_day, visit, "undo")
    assert "A step can be undone for 10 seconds." in text_of(my_day, "/admin/")
    visit.refresh_from_db()
    assert visit.status == Status.NO_SHOW


def test_a_visit_that_was_never_marked_asks_for_it(
    doctor: User, desk: Desk, booked: Book, clock: time_machine.Traveller
) -> None:
    booked(desk)
    clock.move_to(AT + 45 * MINUTE)
    assert "Not marked: done, or did not come?" in text_of(signed_in(doctor), "/admin/")


def test_buttons_are_those_that_the_rule_would_take(
    my_day: Client, desk: Desk, booked: Book
) -> None:
    booked(desk, AT + 60 * MINUTE)
    buttons = re.findall(r'name="action" value="(\w+)"', text_of(my_day, "/admin/"))
    assert buttons == ["arrived"]  # it has not begun
    assert re.findall(r'name="action"', text_of(my_day, "/admin/?date=2026-11-09")) == []


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "", "/\\evil"]
)
def test_the_way_back_stays_on_the_site(
    my_day: Client, desk: Desk, booked: Book, target: str
) -> None:
    visit = booked(desk)
    answer = step(my_day, visit, "arrived", next=target)
    assert answer.headers["Location"].startswith("/admin/#visit-")


def test_an_unknown_act_and_a_reading_change_nothing(
    my_day: Client, desk: Desk, booked: Book
) -> None:
    visit = booked(desk)
    assert step(my_day, visit, "cancelled").status_code == 400
    assert my_day.get(f"/admin/visits/{visit.public_id}/status/").status_code == 405
    assert my_day.post("/admin/").status_code == 405
    visit.refresh_from_db()
    assert visit.status == Status.BOOKED


def test_a_colleagues_visits_do_not_exist(
    my_day: Client, desk: Desk, elsewhere: Desk, booked: Book
) -> None:
    foreign = booked(elsewhere, AT, "Ira Vance")
    assert "Ira Vance" not in text_of(my_day, "/admin/")
    answers = [
        my_day.post(f"/admin/visits/{which}/status/", {"action": "arrived"})
        for which in (foreign.public_id, "01890000-0000-7000-8000-000000000000")
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    foreign.refresh_from_db()
    assert foreign.status == Status.BOOKED


def test_cancelled_visits_leave_their_gap(
    my_day: Client, desk: Desk, booked: Book, alice: User
) -> None:
    cancel(appointment=booked(desk, AT + 60 * MINUTE), by=alice, now=NOW)
    page = text_of(my_day, "/admin/")
    assert "Nora Ames" not in page and "0 visits" in page
    assert rows(page) == ["9:00 am Free until 5:00 pm (8 hours)"]


def test_messages_wait_longest_first(my_day: Client, desk: Desk, booked: Book) -> None:
    for number, (hours, name) in enumerate([(1, "Late Comer"), (30, "Early Bird")]):
        talk = _question(desk, booked, name, hours=hours, number=number)
        assert talk.waiting_since is not None
    page = text_of(my_day, "/admin/")
    assert "2 messages waiting" in page
    assert page.index("Early Bird") < page.index("Late Comer")
    assert "Waiting 30 hours" in page and "Waiting 70 minutes" not in page
    assert "Waiting 1 hour" in page


def _question(desk: Desk, booked: Book, name: str, *, hours: int, number: int) -> Any:
    """Somebody with a visit on a later day asks the doctor something."""
    asker = make_patient_user(f"asker{number}@example.org", name=name)
    booked(desk, AT + timedelta(days=1, minutes=30 * number), patient=asker.chart)
    at = AT - timedelta(hours=hours)
    talk = open_conversation(
        patient=asker.chart, doctor=desk.doctor, hospital=desk.hospital, by=asker, now=at
    )
    append([Act(asker.pk, Send(talk.public_id, str(uuid7()), "How do I take it?"))], now=at)
    talk.refresh_from_db()
    return talk


def test_notes_that_are_not_signed_are_listed(
    my_day: Client, desk: Desk, booked: Book, doctor: User
) -> None:
    visit = booked(desk)
    encounter = encounter_for(appointment=visit, by=doctor, now=TEN_PAST)
    note = start_note(encounter=encounter, by=doctor, now=TEN_PAST)
    save_draft(note=note, body="canary-of-the-note", version=1, by=doctor, now=TEN_PAST)
    page = text_of(my_day, "/admin/")
    assert "Notes to sign" in page
    assert f"/admin/charts/{visit.patient.public_id}/notes/{note.public_id}/" in page
    assert "canary-of-the-note" not in page


def test_my_day_is_no_look_into_a_record(my_day: Client, desk: Desk, booked: Book) -> None:
    visit = booked(desk)
    visit.reason = "canary-of-the-reason"
    visit.save(update_fields=["reason"])
    before = AuditEvent.objects.count()
    assert "canary-of-the-reason" not in text_of(my_day, "/admin/")
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("asked", ["", "soon", "2026-13-40", "9999-12-31", "0001-01-01"])
def test_a_day_that_is_none_is_today(my_day: Client, asked: str) -> None:
    assert "Tuesday, November 10, 2026" in text_of(my_day, f"/admin/?date={asked}")


def test_the_day_before_and_the_day_after(my_day: Client, desk: Desk, booked: Book) -> None:
    booked(desk, AT + timedelta(days=1), "Ira Vance")
    page = text_of(my_day, "/admin/")
    assert "Ira Vance" not in page and 'href="?date=2026-11-11"' in page
    page = text_of(my_day, "/admin/?date=2026-11-11")
    assert "Ira Vance" in page and 'href="?date=2026-11-10"' in page
    assert "Wednesday, November 11, 2026" in page


def test_a_day_has_as_many_queries_with_one_visit_as_with_fifteen(
    my_day: Client, desk: Desk, booked: Book
) -> None:
    booked(desk)
    _question(desk, booked, "Asker", hours=40, number=15)
    text_of(my_day, "/admin/")
    with CaptureQueriesContext(connection) as one:
        text_of(my_day, "/admin/")
    for number in range(1, 15):
        booked(desk, AT + number * 30 * MINUTE, f"Patient {number}")
        _question(desk, booked, f"Asker {number}", hours=number, number=number)
    with CaptureQueriesContext(connection) as many:
        page = text_of(my_day, "/admin/")
    assert "15 visits" in page and "15 messages waiting" in page
    assert len(many) == len(one)
    assert len(many) <= 30


# --- A new doctor -------------------------------------------------------------------------------
def test_a_new_doctor_sees_what_is_missing_until_patients_can_book(
    my_day: Client, desk: Desk
) -> None:
    assert "Before patients can book" not in text_of(my_day, "/admin/")
    OpeningHours.objects.all().delete()
    page = text_of(my_day, "/admin/")
    assert "Before patients can book" in page
    assert re.search(r'href="/admin/hours/">Enter your opening hours</a> · to do', page)
    assert "Add the services that patients can book · done" in page
    assert "Staff approve you · done" in page
    Service.objects.all().delete()
    page = text_of(my_day, "/admin/")
    assert re.search(r"Add the services that patients can book</a> · to do", page)


def test_hours_at_one_hospital_and_services_at_another_are_not_bookable(
    my_day: Client, desk: Desk, elsewhere: Desk
) -> None:
    Service.objects.filter(doctor=desk.doctor).update(hospital=elsewhere.hospital)
    assert "Before patients can book" in text_of(my_day, "/admin/")


def test_an_approved_doctor_may_open_the_workplace_and_a_withdrawn_one_may_not(
    elsewhere: Desk, administrator: User
) -> None:
    user = doctor_of(elsewhere, "ito@example.org")
    user.is_staff = False
    user.save()
    assert signed_in(user).get("/admin/").status_code == 302
    approve(doctor=elsewhere.doctor, by=administrator, what="License", now=NOW)
    user.refresh_from_db()
    assert signed_in(user).get("/admin/").status_code == 200
    withdraw(doctor=elsewhere.doctor, by=administrator, now=NOW)
    user.refresh_from_db()
    assert signed_in(user).get("/admin/").status_code == 302
