"""Waiting for a time: who may, what is offered to whom and in which order, and never twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Role, User
from accounts.people import in_use
from appointments import waitlist_offers
from appointments.booking import book, cancel, reschedule
from appointments.holding import hold, release
from appointments.hours_changes import (
    change_day,
    change_hours,
    end_time_off,
    hit_by_time_off,
    look_of,
    take_time_off,
)
from appointments.models import Appointment, FreedTime, WaitlistEntry, WaitlistOffer
from appointments.refusals import NotNewPatients
from appointments.waitlist import (
    AFTERNOON,
    EVENING,
    MORNING,
    AlreadyWaiting,
    NothingToWaitFor,
    TooManyAdded,
    TooManyWaiting,
    Wish,
    WrongDays,
    join,
    leave,
    remove_ended,
    waiting,
)
from appointments.waitlist_offers import ROUND, offer_due, read_token
from clinic.directory.hours import Span
from clinic.directory.models import OpeningHours, Service, TimeOff, Visit
from clinic.jobs.models import OutgoingMail
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.cast import make_carer, make_patient, make_patient_user, make_staff, signed_in

pytestmark = pytest.mark.django_db

TODAY, WEEK_LATER = date(2026, 11, 3), date(2026, 11, 10)
HALF_HOUR = timedelta(minutes=30)
ANY_TIME = (MORNING, AFTERNOON, EVENING)


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def desk(db: None) -> Desk:
    """A doctor who sees people on November 10 from 9 to 10 am alone: two times."""
    desk = open_desk()
    OpeningHours.objects.all().delete()
    OpeningHours.objects.create(
        doctor=desk.doctor, hospital=desk.hospital, weekday=WEEK_LATER.weekday(),
        opens=time(9), closes=time(10), valid_from=WEEK_LATER,
        valid_until=WEEK_LATER + timedelta(days=1),
    )  # fmt: skip
    return desk


def visit_of(desk: Desk, user: User, at: datetime = AT, *, now: datetime = NOW) -> Appointment:
    return book(
        service=desk.service, patient=user.chart, starts_at=at, by=user, key=f"{at}{now}", now=now
    )


def wait(desk: Desk, user: User, *, now: datetime = NOW, **facts: Any) -> WaitlistEntry:
    given: dict[str, Any] = {
        "patient": user.chart,
        "wish": Wish(desk.hospital, service=desk.service),
        "earliest": TODAY,
        "latest": WEEK_LATER,
        "parts": ANY_TIME,
        "by": user,
        "now": now,
    }
    return join(**(given | facts))


def told() -> list[tuple[str, str]]:
    """Who was mailed about which time, in order."""
    mails = OutgoingMail.objects.filter(key__startswith="waitlist").order_by("pk")
    return [(mail.to, mail.subject.rpartition(" at ")[2]) for mail in mails]


def only_mail() -> OutgoingMail:
    return OutgoingMail.objects.get(key__startswith="waitlist")


# --- Joining ------------------------------------------------------------------------------------


def test_joining_stores_an_entry_and_a_row_in_the_trail(desk: Desk, alice: User) -> None:
    entry = wait(desk, alice, parts=[MORNING])
    assert (entry.mornings, entry.afternoons, entry.evenings) == (True, False, False)
    assert list(waiting(NOW)) == [entry]
    assert AuditEvent.objects.filter(patient=alice.chart, action="waitlist.join").count() == 1
    assert not OutgoingMail.objects.exists()


def test_the_same_wish_is_refused_and_another_is_not(desk: Desk, alice: User) -> None:
    wait(desk, alice)
    with pytest.raises(AlreadyWaiting):
        wait(desk, alice, latest=WEEK_LATER + timedelta(days=9))
    other = Service.objects.create(doctor=desk.doctor, hospital=desk.hospital, name="Second")
    wait(desk, alice, wish=Wish(desk.hospital, service=other))
    assert WaitlistEntry.objects.count() == 2


def test_a_patient_waits_for_a_few_things_at_a_time(desk: Desk, alice: User, settings: Any) -> None:
    settings.WAITLIST_ENTRIES_PER_PATIENT = 1
    entry = wait(desk, alice)
    other = Service.objects.create(doctor=desk.doctor, hospital=desk.hospital, name="Second")
    with pytest.raises(TooManyWaiting):
        wait(desk, alice, wish=Wish(desk.hospital, service=other))
    leave(entry=entry, by=alice, now=NOW)
    wait(desk, alice, wish=Wish(desk.hospital, service=other))


def test_adding_and_removing_in_turn_is_limited(desk: Desk, alice: User, settings: Any) -> None:
    settings.WAITLIST_ENTRIES_PER_HOUR = 3
    for _time in range(3):
        leave(entry=wait(desk, alice), by=alice, now=NOW)
    with pytest.raises(TooManyAdded):
        wait(desk, alice)
    wait(desk, alice, now=NOW + timedelta(hours=1, seconds=1))


@pytest.mark.parametrize(
    ("earliest", "latest"),
    [
        (TODAY - timedelta(days=9), TODAY - timedelta(days=1)),
        (WEEK_LATER, WEEK_LATER - timedelta(days=1)),
        (TODAY, TODAY + timedelta(days=366)),
        (date(1, 1, 1), date(1, 1, 2)),
        (date(9999, 12, 31), date(9999, 12, 31)),
    ],
)
def test_days_that_cannot_be_are_refused(
    desk: Desk, alice: User, earliest: date, latest: date
) -> None:
    with pytest.raises(WrongDays):
        wait(desk, alice, earliest=earliest, latest=latest)
    assert not WaitlistEntry.objects.exists()


def test_a_doctor_without_new_patients_is_waited_for_by_known_ones(
    desk: Desk, alice: User, charlie: User
) -> None:
    cancel(appointment=visit_of(desk, alice), by=alice, now=NOW)
    desk.doctor.accepts_new = False
    desk.doctor.save()
    wait(desk, alice, now=NOW + timedelta(seconds=1))
    with pytest.raises(NotNewPatients):
        wait(desk, charlie)


# --- What frees a time, and what does not ---------------------------------------------------------


def test_a_cancelled_time_is_offered_by_mail(desk: Desk, alice: User, charlie: User) -> None:
    visit = visit_of(desk, alice)
    wait(desk, charlie)
    assert offer_due(now=NOW) == 0
    cancel(appointment=visit, by=alice, now=NOW)
    assert offer_due(now=NOW) == 1
    assert told() == [(charlie.email, "9:00 am")]


def test_the_mail_leads_to_the_ordinary_booking_page(
    desk: Desk, alice: User, charlie: User
) -> None:
    visit = visit_of(desk, alice)
    wait(desk, charlie)
    cancel(appointment=visit, by=alice, now=NOW, reason="canary-cancel")
    offer_due(now=NOW)
    mail = only_mail()
    assert mail.subject == "A time has become free: Tuesday, November 10, 2026 at 9:00 am"
    for part in (mail.text, mail.html):
        assert "We do not keep it for you: whoever books it first has it." in part
        assert "12 Wharf Street" in part
        assert "Eastern Time (EST)" in part
        for secret in ("First visit", "canary", "Moreau", "Roux", "Reference", "1990"):
            assert secret not in part
    link = mail.text.split("offers/")[1].split()[0]
    answer = signed_in(charlie).get(f"/appointments/waitlist/offers/{link}")
    assert answer.status_code == 302
    assert answer.headers["Location"] == desk.page().replace(":", "%3A")
    page = signed_in(charlie).get(answer.headers["Location"])
    assert page.status_code == 200
    form = desk.form(key="from-the-mail")
    assert signed_in(charlie).post(desk.address, form).status_code == 302


def test_a_moved_visit_frees_its_old_time(desk: Desk, alice: User, charlie: User) -> None:
    visit = visit_of(desk, alice)
    wait(desk, charlie)
    reschedule(appointment=visit, starts_at=AT + HALF_HOUR, by=alice, key="m", now=NOW)
    offer_due(now=NOW)
    assert told() == [(charlie.email, "9:00 am")]


def test_a_replaced_visit_frees_its_time(desk: Desk, alice: User, charlie: User) -> None:
    visit_of(desk, alice)
    wait(desk, charlie)
    book(service=desk.service, patient=alice.chart, starts_at=AT + HALF_HOUR, by=alice,
         key="r", now=NOW, clash="replace")  # fmt: skip
    offer_due(now=NOW)
    assert told() == [(charlie.email, "9:00 am")]


def test_a_kept_time_that_is_given_back_is_no_news(desk: Desk, charlie: User) -> None:
    kept = hold(service=desk.service, starts_at=AT, now=NOW)
    wait(desk, charlie)
    release(kept.token)
    assert offer_due(now=NOW + timedelta(hours=1)) == 0


def test_what_is_called_off_is_offered_to_nobody_until_that_is_undone(
    desk: Desk, alice: User, charlie: User, administrator: User
) -> None:
    visit = visit_of(desk, alice)
    wait(desk, charlie)
    span: dict[str, Any] = {
        "starts_at": AT - timedelta(hours=1),
        "ends_at": AT + timedelta(hours=5),
    }
    hit = hit_by_time_off(doctor=desk.doctor, now=NOW, **span)
    take_time_off(doctor=desk.doctor, why="", what="tell", seen=look_of([visit]),
                  by=administrator, now=NOW, **span)  # fmt: skip
    assert len(hit) == 1
    assert offer_due(now=NOW) == 0
    assert not FreedTime.objects.exists()
    end_time_off(period=TimeOff.objects.get(), by=administrator, now=NOW)
    assert offer_due(now=NOW) == 1
    assert told() == [(charlie.email, "9:00 am")]


def test_more_hours_are_offered(desk: Desk, charlie: User, administrator: User) -> None:
    visits = [make_patient_user(f"p{number}@example.org") for number in range(2)]
    for number, user in enumerate(visits):
        visit_of(desk, user, AT + number * HALF_HOUR)
    wait(desk, charlie)
    change_hours(doctor=desk.doctor, hospital=desk.hospital, valid_from=WEEK_LATER,
                 valid_until=WEEK_LATER + timedelta(days=1), what="keep", seen=look_of([]),
                 spans=[Span(WEEK_LATER.weekday(), time(9), time(11))],
                 by=administrator, now=NOW)  # fmt: skip
    assert offer_due(now=NOW) == 1
    assert told() == [(charlie.email, "10:00 am")]


def test_a_holiday_on_which_the_hospital_opens_is_offered(
    desk: Desk, charlie: User, administrator: User
) -> None:
    closing: dict[str, Any] = {
        "hospital": desk.hospital, "day": WEEK_LATER, "name": "", "what": "keep",
        "seen": look_of([]), "by": administrator, "now": NOW,
    }  # fmt: skip
    change_day(is_open=False, **closing)
    wait(desk, charlie)
    assert offer_due(now=NOW) == 0
    change_day(is_open=True, **closing)
    assert offer_due(now=NOW) == 1


def test_a_time_taken_again_at_once_is_not_offered(desk: Desk, alice: User, charlie: User) -> None:
    visit = visit_of(desk, alice)
    wait(desk, charlie)
    cancel(appointment=visit, by=alice, now=NOW)
    visit_of(desk, make_patient_user("quick@example.org"))
    assert offer_due(now=NOW) == 0
    assert not FreedTime.objects.exists()


def test_a_refused_change_frees_nothing(desk: Desk, alice: User) -> None:
    visit = visit_of(desk, alice)
    with pytest.raises(Exception, match="sees nobody"):
        reschedule(appointment=visit, starts_at=AT + timedelta(hours=5), by=alice, key="m",
                   now=NOW)  # fmt: skip
    assert not FreedTime.objects.exists()


# --- To whom ------------------------------------------------------------------------------------


def freed(desk: Desk, *, at: datetime = AT, now: datetime = NOW) -> None:
    """Somebody books the time and gives it up."""
    somebody = make_patient_user(f"gone{Appointment.objects.count()}@example.org")
    visit = visit_of(desk, somebody, at, now=now)
    cancel(appointment=visit, by=somebody, now=now)


def both_taken(desk: Desk) -> Appointment:
    """The second time is taken, so that the first alone can become free."""
    return visit_of(desk, make_patient_user("second@example.org"), AT + HALF_HOUR)


def test_the_one_who_has_waited_longest_is_told_first_and_then_the_next(
    desk: Desk, alice: User, charlie: User, bob: User
) -> None:
    both_taken(desk)
    for number, user in enumerate((charlie, bob, alice)):
        wait(desk, user, now=NOW - timedelta(minutes=9 - number))
    freed(desk)
    assert offer_due(now=NOW) == 1
    assert offer_due(now=NOW + ROUND - timedelta(seconds=1)) == 0
    assert offer_due(now=NOW + ROUND) == 1
    assert offer_due(now=NOW + 2 * ROUND) == 1
    assert offer_due(now=NOW + 3 * ROUND) == 0
    assert told() == [(user.email, "9:00 am") for user in (charlie, bob, alice)]
    assert not FreedTime.objects.exists()


def test_once_it_is_booked_nobody_else_is_told(desk: Desk, alice: User, charlie: User) -> None:
    both_taken(desk)
    wait(desk, charlie)
    wait(desk, alice)
    freed(desk)
    offer_due(now=NOW)
    later = NOW + timedelta(minutes=5)
    visit_of(desk, charlie, now=later)
    assert offer_due(now=NOW + ROUND) == 0
    assert told() == [(charlie.email, "9:00 am")]
    assert [entry.patient for entry in waiting(later)] == [alice.chart]


def test_two_free_times_go_to_two_people_at_once(desk: Desk, alice: User, charlie: User) -> None:
    wait(desk, charlie)
    wait(desk, alice)
    staff = make_staff("dora@example.org", role=Role.ADMINISTRATOR)
    span: dict[str, Any] = {"starts_at": AT, "ends_at": AT + timedelta(hours=1)}
    take_time_off(
        doctor=desk.doctor, why="", what="keep", seen=look_of([]), by=staff, now=NOW, **span
    )
    end_time_off(period=TimeOff.objects.get(), by=staff, now=NOW)
    assert offer_due(now=NOW) == 2
    assert told() == [(charlie.email, "9:00 am"), (alice.email, "9:30 am")]


def test_an_entry_is_told_of_a_time_once_however_often_it_becomes_free(
    desk: Desk, charlie: User
) -> None:
    both_taken(desk)
    wait(desk, charlie)
    for number in range(3):
        moment = NOW + timedelta(hours=number)
        freed(desk, now=moment)
        offer_due(now=moment)
        FreedTime.objects.all().delete()
    assert told() == [(charlie.email, "9:00 am")]
    assert WaitlistOffer.objects.count() == 1


def test_who_gave_the_time_up_is_not_told_of_it(desk: Desk, alice: User) -> None:
    visit = visit_of(desk, alice)
    cancel(appointment=visit, by=alice, now=NOW)
    wait(desk, alice, now=NOW + timedelta(seconds=1))
    assert offer_due(now=NOW + timedelta(seconds=2)) == 0


@pytest.mark.parametrize(
    ("facts", "mails"),
    [
        ({"earliest": WEEK_LATER, "latest": WEEK_LATER}, 1),
        ({"latest": WEEK_LATER - timedelta(days=1)}, 0),
        ({"earliest": WEEK_LATER + timedelta(days=1), "latest": date(2026, 12, 1)}, 0),
        ({"parts": [MORNING]}, 1),
        ({"parts": [AFTERNOON, EVENING]}, 0),
    ],
)
def test_days_and_times_of_the_day_must_fit(
    desk: Desk, charlie: User, facts: dict[str, Any], mails: int
) -> None:
    wait(desk, charlie, **facts)
    freed(desk)
    assert offer_due(now=NOW) == mails


def test_a_longer_visit_needs_the_time_beside_it(desk: Desk, alice: User, charlie: User) -> None:
    hour = Service.objects.create(
        doctor=desk.doctor, hospital=desk.hospital, name="Long", minutes=60, position=1
    )
    second = both_taken(desk)
    wait(desk, charlie, wish=Wish(desk.hospital, service=hour))
    freed(desk)
    assert offer_due(now=NOW) == 0
    cancel(appointment=second, by=second.booked_by, now=NOW)
    assert offer_due(now=NOW) == 1
    assert told() == [(charlie.email, "9:00 am")]


def test_a_specialty_at_a_hospital_means_any_of_its_doctors(desk: Desk, charlie: User) -> None:
    specialty = desk.doctor.specialties.get()
    elsewhere = open_desk(name="Ben Ito")
    wait(desk, charlie, wish=Wish(elsewhere.hospital, specialty=specialty))
    freed(desk)
    assert offer_due(now=NOW) == 0
    freed(elsewhere)
    assert offer_due(now=NOW) == 1


@pytest.mark.parametrize(("visit", "mails"), [("", 1), (Visit.IN_PERSON, 1), (Visit.VIDEO, 0)])
def test_with_a_specialty_the_kind_of_visit_counts(
    desk: Desk, charlie: User, visit: str, mails: int
) -> None:
    specialty = desk.doctor.specialties.get()
    wait(desk, charlie, wish=Wish(desk.hospital, specialty=specialty, visit=visit))
    freed(desk)
    assert offer_due(now=NOW) == mails


def test_a_doctor_who_left_offers_nothing(desk: Desk, charlie: User) -> None:
    wait(desk, charlie)
    freed(desk)
    desk.doctor.withdrawn_at = NOW
    desk.doctor.save()
    assert offer_due(now=NOW) == 0
    assert not FreedTime.objects.exists()


def test_new_patients_are_not_told_of_times_they_could_not_book(desk: Desk, charlie: User) -> None:
    wait(desk, charlie)
    desk.doctor.accepts_new = False
    desk.doctor.save()
    staff = make_staff("dora@example.org", role=Role.ADMINISTRATOR)
    span: dict[str, Any] = {"starts_at": AT, "ends_at": AT + timedelta(hours=1)}
    take_time_off(
        doctor=desk.doctor, why="", what="keep", seen=look_of([]), by=staff, now=NOW, **span
    )
    end_time_off(period=TimeOff.objects.get(), by=staff, now=NOW)
    assert offer_due(now=NOW) == 0


def test_a_time_that_is_too_near_to_book_is_not_offered(
    desk: Desk, alice: User, charlie: User
) -> None:
    visit = visit_of(desk, alice)
    wait(desk, charlie)
    soon = AT - timedelta(minutes=20)  # an hour ahead is the doctor's limit
    cancel(appointment=visit, by=alice, now=soon)
    assert offer_due(now=soon) == 0
    assert offer_due(now=AT + timedelta(hours=1)) == 0
    assert not FreedTime.objects.exists()


def test_a_carer_who_asked_is_told_and_not_once_the_care_has_ended(
    desk: Desk, alice: User, bob: User
) -> None:
    both_taken(desk)
    wait(desk, bob, patient=alice.chart)
    freed(desk)
    offer_due(now=NOW)
    assert told() == [(bob.email, "9:00 am")]
    assert "\nFor\n  Alice\n" in only_mail().text
    OutgoingMail.objects.all().delete()
    WaitlistOffer.objects.all().delete()
    bob.cares_for.update(until=NOW)
    freed(desk)
    offer_due(now=NOW + timedelta(seconds=1))
    assert {to for to, _when in told()} == {alice.email}


def test_a_child_is_waited_for_by_its_carer(desk: Desk, bob: User) -> None:
    child = make_patient("Sam Tanaka")
    make_carer(bob, child)
    wait(desk, bob, patient=child)
    freed(desk)
    offer_due(now=NOW)
    assert told() == [(bob.email, "9:00 am")]


# --- An earlier time ------------------------------------------------------------------------------


@pytest.fixture
def later_visit(desk: Desk, alice: User) -> Appointment:
    """Alice's visit at half past nine; at nine somebody else has one."""
    return Appointment.objects.with_parts().get(pk=visit_of(desk, alice, AT + HALF_HOUR).pk)


def wait_for_earlier(desk: Desk, user: User, visit: Appointment) -> WaitlistEntry:
    wish = Wish(desk.hospital, service=desk.service, earlier_than=visit)
    return wait(desk, user, wish=wish)


def test_an_earlier_time_leads_to_moving_the_visit(
    desk: Desk, alice: User, later_visit: Appointment
) -> None:
    wait_for_earlier(desk, alice, later_visit)
    freed(desk)
    assert offer_due(now=NOW) == 1
    mail = only_mail()
    assert "An earlier time has become free." in mail.text
    link = mail.text.split("offers/")[1].split()[0]
    answer = signed_in(alice).get(f"/appointments/waitlist/offers/{link}")
    move = f"/appointments/{later_visit.public_id}/move/?at=2026-11-10T14%3A00%3A00Z"
    assert answer.headers["Location"] == move
    assert signed_in(alice).get(move).status_code == 200


def test_a_later_time_is_no_earlier_one(desk: Desk, alice: User) -> None:
    visit = visit_of(desk, alice)
    wait_for_earlier(desk, alice, visit)
    freed(desk, at=AT + HALF_HOUR)
    assert offer_due(now=NOW) == 0


@pytest.mark.parametrize("what", ["moved", "cancelled"])
def test_an_entry_ends_with_the_visit_it_wants_to_be_earlier_than(
    desk: Desk, alice: User, later_visit: Appointment, what: str
) -> None:
    wait_for_earlier(desk, alice, later_visit)
    if what == "moved":
        reschedule(appointment=later_visit, starts_at=AT, by=alice, key="m", now=NOW)
    else:
        cancel(appointment=later_visit, by=alice, now=NOW)
    assert not waiting(NOW).exists()
    assert remove_ended(now=NOW) == 1
    assert not WaitlistEntry.objects.exists()


def test_nothing_earlier_than_a_visit_that_began_or_is_somebody_elses(
    desk: Desk, alice: User, charlie: User, later_visit: Appointment
) -> None:
    with pytest.raises(NothingToWaitFor):
        wait_for_earlier(desk, charlie, later_visit)
    cancel(appointment=later_visit, by=alice, now=NOW)
    later_visit.refresh_from_db()
    with pytest.raises(NothingToWaitFor):
        wait_for_earlier(desk, alice, later_visit)


# --- Ending ---------------------------------------------------------------------------------------


def test_booking_what_was_waited_for_ends_the_entry(desk: Desk, charlie: User) -> None:
    wait(desk, charlie)
    visit = visit_of(desk, charlie, now=NOW + timedelta(minutes=1))
    assert not waiting(NOW).exists()
    cancel(appointment=visit, by=charlie, now=NOW + timedelta(minutes=2))
    assert waiting(NOW).exists()


def test_an_older_visit_with_the_doctor_ends_nothing(desk: Desk, charlie: User) -> None:
    visit_of(desk, charlie, now=NOW - timedelta(days=1))
    wait(desk, charlie)
    assert waiting(NOW).exists()


def test_an_entry_ends_after_its_last_day(desk: Desk, charlie: User) -> None:
    wait(desk, charlie)
    evening = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)  # still November 10 in New York
    assert waiting(evening).exists()
    assert remove_ended(now=evening) == 0
    over = datetime(2026, 11, 11, 13, 0, tzinfo=UTC)
    assert not waiting(over).exists()
    assert remove_ended(now=over) == 1


def test_leaving_twice_changes_nothing_more(desk: Desk, charlie: User) -> None:
    entry = wait(desk, charlie)
    for _time in range(2):
        leave(entry=entry, by=charlie, now=NOW)
    assert AuditEvent.objects.filter(action="waitlist.leave").count() == 1


# --- Together, and little -------------------------------------------------------------------------


def test_a_worker_that_dies_before_its_commit_leaves_everything_to_the_next(
    desk: Desk, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait(desk, charlie)
    freed(desk)
    with monkeypatch.context() as dying:

        def die(*_args: Any, **_facts: Any) -> int:
            raise SystemExit

        dying.setattr(waitlist_offers, "enqueue_mails", die)
        with pytest.raises(SystemExit):
            offer_due(now=NOW)
    assert told() == []
    assert not WaitlistOffer.objects.exists()
    assert offer_due(now=NOW) == 1


def test_booking_asks_nothing_about_the_list_and_cancelling_adds_one_row(
    desk: Desk, alice: User
) -> None:
    def about(queries: CaptureQueriesContext) -> list[str]:
        return [q["sql"].split()[0] for q in queries if "waitlist" in q["sql"]
                or "freedtime" in q["sql"]]  # fmt: skip

    with CaptureQueriesContext(connection) as booking:
        visit = visit_of(desk, alice)
    with CaptureQueriesContext(connection) as cancelling:
        cancel(appointment=visit, by=alice, now=NOW)
    assert about(booking) == []
    assert about(cancelling) == ["INSERT"]


def test_the_jobs_statements_do_not_grow_with_those_who_wait(desk: Desk) -> None:
    def statements(count: int) -> int:
        for number in range(count):
            user = make_patient_user(f"w{count}-{number}@example.org")
            wait(desk, user, now=NOW - timedelta(minutes=count))
        freed(desk)
        with CaptureQueriesContext(connection) as queries:
            assert offer_due(now=NOW) == 1
        FreedTime.objects.all().delete()
        return len(queries)

    both_taken(desk)
    assert statements(1) == statements(12)


# --- The link -------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["x", "a:b:c", "%00", "é", "." * 300, "W10:1:x"])
def test_a_link_that_was_not_made_here_leads_nowhere(alice: User, token: str) -> None:
    assert read_token(token) is None
    answer = signed_in(alice).get(f"/appointments/waitlist/offers/{token}/")
    assert answer.status_code == 404


def test_a_chart_that_waits_is_not_set_aside_unseen(desk: Desk, alice: User) -> None:
    """Joining charts by a code asks every table, so an entry is never lost with a chart."""
    assert not in_use(alice.chart)
    entry = wait(desk, alice)
    assert in_use(alice.chart)
    leave(entry=entry, by=alice, now=NOW)
    assert not in_use(alice.chart)
