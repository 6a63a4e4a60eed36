"""Reminders: at the right moment, once, to the right person, and never with health data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_tasks_db.models import DBTaskResult

from accounts.models import User
from appointments import mails, reminders
from appointments.booking import book, cancel, reschedule
from appointments.models import Appointment, Hours, Reminder, ReminderChoice, Status
from appointments.reminders import choose, prune, send_due
from clinic.directory.models import Visit
from clinic.jobs.models import OutgoingMail
from clinic.jobs.outbox import enqueue_mails
from tests.appointments.desk import AT, NOW, REASON, Desk, open_desk
from tests.cast import make_carer, make_patient, signed_in

pytestmark = pytest.mark.django_db

DAY, TWO_DAYS = timedelta(hours=24), timedelta(hours=48)
A_MOMENT = timedelta(seconds=1)


@pytest.fixture
def desk(db: None) -> Desk:
    return open_desk()


def make(desk: Desk, user: User, at: datetime = AT, *, now: datetime = NOW, **facts: Any) -> Any:
    facts = {"by": user} | facts
    facts.setdefault("patient", getattr(user, "chart", None))
    key = f"{at}{facts['patient'].pk}"
    return book(service=desk.service, starts_at=at, key=key, now=now, **facts)


def reminded() -> list[OutgoingMail]:
    return list(OutgoingMail.objects.filter(key__startswith="visit-reminder").order_by("pk"))


def how() -> list[str]:
    return list(Reminder.objects.order_by("pk").values_list("how", flat=True))


# --- When -----------------------------------------------------------------------------------


def test_a_visit_is_reminded_of_a_day_before_and_once(desk: Desk, alice: User) -> None:
    make(desk, alice)
    assert send_due(now=AT - DAY - A_MOMENT) == 0
    assert send_due(now=AT - DAY) == 1
    assert send_due(now=AT - DAY + A_MOMENT) == 0
    assert send_due(now=AT - timedelta(minutes=1)) == 0
    [mail] = reminded()
    assert mail.to == alice.email
    assert mail.subject == "Reminder: your visit on Tuesday, November 10, 2026 at 9:00 am"
    assert how() == ["mailed"]


@pytest.mark.parametrize(
    ("hours", "before"), [(Hours.DAY, [DAY]), (Hours.TWO_DAYS, [TWO_DAYS]), (Hours.OFF, [])]
)
def test_the_account_chooses_how_long_before(
    desk: Desk, alice: User, hours: Hours, before: list[timedelta]
) -> None:
    choose(user=alice, hours=hours)
    make(desk, alice)
    moments = [AT - TWO_DAYS - A_MOMENT, AT - TWO_DAYS, AT - DAY - A_MOMENT, AT - DAY]
    sent = [AT - moment for moment in moments if send_due(now=moment)]
    assert sent == before


def test_a_choice_that_was_changed_holds_for_visits_that_are_booked(
    desk: Desk, alice: User
) -> None:
    make(desk, alice)
    choose(user=alice, hours=Hours.OFF)
    assert send_due(now=AT - TWO_DAYS) == 0
    choose(user=alice, hours=Hours.DAY)
    assert send_due(now=AT - DAY) == 1


@pytest.mark.parametrize(
    ("hours", "booked", "count"),
    [
        (Hours.DAY, DAY + A_MOMENT, 1),
        (Hours.DAY, DAY, 0),
        (Hours.DAY, timedelta(hours=3), 0),
        (Hours.TWO_DAYS, timedelta(hours=49), 1),
        (Hours.TWO_DAYS, timedelta(hours=47), 0),
    ],
)
def test_what_is_booked_within_the_time_has_no_reminder(
    desk: Desk, alice: User, hours: Hours, booked: timedelta, count: int
) -> None:
    choose(user=alice, hours=hours)
    make(desk, alice, now=AT - booked)
    found = sum(send_due(now=AT - timedelta(hours=left)) for left in (48, 24, 12, 1))
    assert found == len(reminded()) == count


def test_a_moved_visit_is_reminded_of_at_its_new_time_alone(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    later = AT + timedelta(days=3)
    reschedule(appointment=visit, starts_at=later, by=alice, key="m", now=NOW)
    assert send_due(now=AT - DAY) == 0
    assert send_due(now=later - DAY) == 1
    assert "November 13, 2026" in reminded()[0].subject


def test_a_visit_moved_after_its_reminder_has_another(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    assert send_due(now=AT - DAY) == 1
    later = AT + timedelta(days=3)
    reschedule(appointment=visit, starts_at=later, by=alice, key="m", now=AT - DAY)
    assert send_due(now=later - DAY) == 1
    assert len({mail.key for mail in reminded()}) == 2
    assert Reminder.objects.count() == 1


def test_a_visit_moved_nearer_has_none(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    soon = NOW + timedelta(hours=5)
    reschedule(appointment=visit, starts_at=soon, by=alice, key="m", now=NOW)
    assert send_due(now=soon - timedelta(hours=1)) == 0
    assert how() == ["near"]


def test_a_visit_booked_late_and_moved_away_has_one(desk: Desk, alice: User) -> None:
    visit = make(desk, alice, NOW + timedelta(hours=5))
    assert not Reminder.objects.exists()
    reschedule(appointment=visit, starts_at=AT, by=alice, key="m", now=NOW)
    assert send_due(now=AT - DAY) == 1


def test_a_cancelled_visit_has_none(desk: Desk, alice: User) -> None:
    cancel(appointment=make(desk, alice), by=alice, now=NOW)
    assert send_due(now=AT - DAY) == 0
    assert how() == ["gone"]


def test_a_visit_replaced_by_another_is_not_reminded_of(desk: Desk, alice: User) -> None:
    make(desk, alice)
    later = AT + timedelta(days=2)
    make(desk, alice, later, clash="replace")
    assert send_due(now=AT - DAY) == 0
    assert send_due(now=later - DAY) == 1


@pytest.mark.parametrize("late", [timedelta(), timedelta(hours=5)])
def test_a_worker_that_was_down_says_nothing_once_the_visit_began(
    desk: Desk, alice: User, late: timedelta
) -> None:
    make(desk, alice)
    assert send_due(now=AT + late) == 0
    assert how() == ["late"]


def test_a_worker_that_was_down_reminds_while_there_is_time(desk: Desk, alice: User) -> None:
    make(desk, alice)
    assert send_due(now=AT - timedelta(minutes=1)) == 1


def test_who_has_arrived_is_not_reminded(desk: Desk, alice: User) -> None:
    make(desk, alice)
    Appointment.objects.update(status=Status.ARRIVED)
    assert send_due(now=AT - DAY) == 0


@pytest.mark.parametrize(
    ("at", "mailed"),
    [
        # The night of November 1 has 25 hours: 9 am EST less 24 hours is 10 am EDT.
        (datetime(2026, 11, 1, 14, 0, tzinfo=UTC), datetime(2026, 10, 31, 14, 0, tzinfo=UTC)),
        # The night of March 14, 2027 has 23: 9 am EDT less 24 hours is 8 am EST.
        (datetime(2027, 3, 14, 13, 0, tzinfo=UTC), datetime(2027, 3, 13, 13, 0, tzinfo=UTC)),
    ],
)
def test_nights_on_which_the_clocks_change(alice: User, at: datetime, mailed: datetime) -> None:
    desk = open_desk(horizon_days=365)
    make(desk, alice, at, now=at - timedelta(days=9))
    assert send_due(now=mailed - A_MOMENT) == 0
    assert send_due(now=mailed) == 1
    assert reminded()[0].subject.endswith("at 9:00 am")


# --- To whom, and what it says ----------------------------------------------------------------


def test_a_mail_says_when_and_where_and_never_why(desk: Desk, alice: User) -> None:
    visit = make(desk, alice, reason=REASON)
    send_due(now=AT - DAY)
    [mail] = reminded()
    for part in (mail.text, mail.html):
        assert "Tuesday, November 10, 2026 at 9:00 am" in part
        assert "Eastern Time (EST)" in part
        assert "12 Wharf Street" in part
        assert f"http://127.0.0.1:8000/appointments/{visit.public_id}/" in part
        assert "http://127.0.0.1:8000/appointments/reminders/" in part
        for secret in (REASON, "First visit", "canary-specialty", "oncology", "Moreau"):
            assert secret not in part
    for secret in ("Okafor", "Harbour", "Alice", visit.reference, "canary"):
        assert secret not in mail.subject
    assert not mail.calendar  # the invitation is in the calendar already


def test_a_video_visit_names_no_street(desk: Desk, alice: User) -> None:
    desk.service.visit = Visit.VIDEO
    desk.service.save()
    make(desk, alice)
    send_due(now=AT - DAY)
    assert "Video visit" in reminded()[0].text
    assert "Wharf Street" not in reminded()[0].text


def test_a_carer_who_booked_is_reminded_by_the_own_choice(
    desk: Desk, alice: User, bob: User
) -> None:
    choose(user=alice, hours=Hours.OFF)
    make(desk, alice, by=bob)
    assert send_due(now=AT - DAY) == 1
    [mail] = reminded()
    assert mail.to == bob.email
    assert "\nFor\n  Alice\n" in mail.text


def test_a_carer_whose_care_ended_is_not_told(desk: Desk, alice: User, bob: User) -> None:
    make(desk, alice, by=bob)
    bob.cares_for.update(until=NOW)
    send_due(now=AT - DAY)
    assert [mail.to for mail in reminded()] == [alice.email]


def test_somebody_without_address_has_no_mail_and_no_error(desk: Desk, reception: User) -> None:
    make(desk, reception, patient=make_patient(), by=reception)
    assert send_due(now=AT - DAY) == 0
    assert how() == ["nobody"]


def test_a_child_without_account_is_told_by_its_carer(
    desk: Desk, bob: User, reception: User
) -> None:
    child = make_patient("Sam Tanaka")
    make_carer(bob, child)
    make(desk, reception, patient=child, by=reception)
    send_due(now=AT - DAY)
    assert [mail.to for mail in reminded()] == [bob.email]


def test_the_bulk_way_tells_whom_the_other_mails_tell(
    desk: Desk, alice: User, bob: User, charlie: User, reception: User
) -> None:
    child = make_patient("Sam Tanaka")
    make_carer(bob, child)
    visits = [
        make(desk, alice),
        make(desk, alice, AT + timedelta(days=10), by=bob),
        make(desk, reception, AT + timedelta(days=1), patient=child, by=reception),
        make(desk, reception, AT + timedelta(days=2), patient=make_patient(), by=reception),
        make(desk, charlie, AT + timedelta(days=3)),
    ]
    parts = [Appointment.objects.with_parts().get(pk=visit.pk) for visit in visits]
    told = reminders.recipients(parts, now=NOW)
    assert [told[v.pk] for v in parts] == [mails.recipient(v, now=NOW) for v in parts]
    assert told[visits[3].pk] == (None, "")


def test_one_visit_that_cannot_be_written_about_keeps_nobody_else_waiting(
    desk: Desk, alice: User, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = make(desk, alice)
    make(desk, charlie, AT + timedelta(hours=1))
    write = mails.reminder

    def fail_for_one(visit: Appointment, **facts: Any) -> Any:
        if visit.pk == broken.pk:
            raise ValueError("no such template")
        return write(visit, **facts)

    monkeypatch.setattr(mails, "reminder", fail_for_one)
    assert send_due(now=AT - timedelta(hours=2)) == 1
    assert [mail.to for mail in reminded()] == [charlie.email]
    assert how() == ["failed", "mailed"]


# --- Stored together ---------------------------------------------------------------------------


def test_a_refused_booking_leaves_no_reminder(desk: Desk, alice: User, charlie: User) -> None:
    make(desk, alice)
    with pytest.raises(Exception, match="just been taken"):
        make(desk, charlie)
    assert Reminder.objects.count() == 1


def test_a_worker_that_dies_before_its_commit_leaves_everything_to_the_next(
    desk: Desk, alice: User, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(desk, alice)
    make(desk, charlie, AT + timedelta(hours=1))
    with monkeypatch.context() as dying:
        stored = enqueue_mails

        def store_and_die(*args: Any, **facts: Any) -> int:
            stored(*args, **facts)
            raise SystemExit

        dying.setattr(reminders, "enqueue_mails", store_and_die)
        with pytest.raises(SystemExit):
            send_due(now=AT - timedelta(hours=2))
    assert reminded() == []
    assert send_due(now=AT - timedelta(hours=2)) == 2
    assert len(reminded()) == 2


def test_booking_adds_one_statement_and_asks_nothing(desk: Desk, alice: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        make(desk, alice)
    about = [q["sql"] for q in queries if "reminder" in q["sql"] or "waitlist" in q["sql"]]
    assert len(about) == 1
    assert about[0].startswith("INSERT")


def test_the_jobs_statements_do_not_grow_with_the_reminders(desk: Desk, alice: User) -> None:
    def statements(start: datetime, count: int) -> int:
        for number in range(count):
            patient = make_patient(f"Nora Ames {number}")
            patient.email = f"nora{number}@example.org"
            patient.save()
            at = start + number * timedelta(minutes=30)
            book(service=desk.service, patient=patient, starts_at=at, by=alice, key=f"{at}",
                 now=NOW)  # fmt: skip
        with CaptureQueriesContext(connection) as queries:
            assert send_due(now=start - timedelta(hours=20)) == count
        return len(queries)

    assert statements(AT, 1) == statements(AT + timedelta(days=2), 9)


def test_what_is_due_is_a_range_of_one_index() -> None:
    due = Reminder.objects.filter(closed_at=None, due_at__lte=NOW).order_by("due_at")[:50]
    plan = due.explain()
    assert "reminders_due" in plan
    if connection.vendor == "sqlite":  # with no rows a server may plan what it likes
        assert "SEARCH" in plan
        assert "closed_at=? AND due_at<?" in plan
        assert "TEMP B-TREE" not in plan  # nothing is sorted


def test_the_mails_are_sent_by_one_task(
    desk: Desk, alice: User, charlie: User, mailoutbox: list[Any]
) -> None:
    make(desk, alice)
    make(desk, charlie, AT + timedelta(hours=1))
    DBTaskResult.objects.all().delete()
    OutgoingMail.objects.update(sent_at=NOW)
    send_due(now=AT - timedelta(hours=3))
    [task] = DBTaskResult.objects.all()
    task.task.call(*task.args_kwargs["args"])
    assert sorted(mail.to[0] for mail in mailoutbox) == [alice.email, charlie.email]
    assert not OutgoingMail.objects.open().exists()


def test_closed_reminders_are_removed_long_after(desk: Desk, alice: User) -> None:
    make(desk, alice)
    send_due(now=AT - DAY)
    assert prune(now=AT + timedelta(days=80)) == 0
    assert prune(now=AT + timedelta(days=100)) == 1
    assert Appointment.objects.exists()


# --- Pages -------------------------------------------------------------------------------------


def page_of(visit: Appointment, user: User) -> str:
    return signed_in(user).get(f"/appointments/{visit.public_id}/").content.decode()


def test_the_visits_page_says_when_the_reminder_comes(
    desk: Desk, alice: User, bob: User, clock: None
) -> None:
    visit = make(desk, alice)
    assert "We will remind you by mail on Monday, November 9, 2026, 9:00 am EST." in page_of(
        visit, alice
    )
    assert "A reminder is mailed on Monday, November 9, 2026" in page_of(visit, bob)
    choose(user=alice, hours=Hours.TWO_DAYS)
    assert "remind you by mail on Sunday, November 8, 2026" in page_of(visit, alice)
    choose(user=alice, hours=Hours.OFF)
    assert "remind you" not in page_of(visit, alice)


@pytest.fixture
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def test_the_choice_is_made_on_a_page_of_its_own(alice: User) -> None:
    client = signed_in(alice)
    assert 'value="24" ' in client.get("/appointments/reminders/").content.decode()
    assert client.post("/appointments/reminders/", {"hours": "48"}).status_code == 302
    assert ReminderChoice.objects.get().hours == 48
    assert client.post("/appointments/reminders/", {"hours": "0"}).status_code == 302
    assert ReminderChoice.objects.get().hours == 0


@pytest.mark.parametrize("hours", ["", "12", "-1", "x", "24\x00", "9" * 40])
def test_another_choice_is_refused_with_a_sentence(alice: User, hours: str) -> None:
    answer = signed_in(alice).post("/appointments/reminders/", {"hours": hours})
    assert answer.status_code == 422
    assert "There is a problem" in answer.content.decode()
    assert not ReminderChoice.objects.exists()


def test_a_strangers_choice_is_nobody_elses(alice: User, charlie: User) -> None:
    signed_in(charlie).post("/appointments/reminders/", {"hours": "0", "user": str(alice.pk)})
    assert ReminderChoice.objects.get().user == charlie


def test_the_page_asks_to_sign_in() -> None:
    answer = Client().get("/appointments/reminders/")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/accounts/login/")
