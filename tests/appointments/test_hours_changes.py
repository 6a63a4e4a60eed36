"""Hours that change under booked visits: nothing is stored before every visit has its answer."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from accounts.audit import verify_chain
from accounts.models import Role, User
from appointments.booking import book
from appointments.checker import find_faults
from appointments.desk import NotAtYourDesk
from appointments.free_times import free_times
from appointments.hours_changes import (
    HitsChanged,
    change_day,
    change_hours,
    hit_by_hours,
    hit_by_time_off,
    look_of,
    take_time_off,
)
from appointments.models import Appointment, Status
from clinic.directory.hours import HoursRefused, Span
from clinic.directory.models import HospitalDay, HospitalStaff, OpeningHours, TimeOff
from clinic.jobs.models import OutgoingMail
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.cast import make_patient, make_patient_user, make_staff

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
TUESDAY = date(2026, 11, 10)  # the day of AT, which is 9 am there
AFTERNOONS = [Span(day, time(13), time(17)) for day in range(7)]
MORNINGS = [Span(day, time(9), time(12)) for day in range(7)]


@pytest.fixture
def desk() -> Desk:
    return open_desk()


@pytest.fixture
def rita(desk: Desk) -> User:
    user = make_staff()
    HospitalStaff.objects.create(hospital=desk.hospital, user=user)
    return user


@pytest.fixture
def visit(desk: Desk, alice: User) -> Appointment:
    return book(service=desk.service, patient=alice.chart, starts_at=AT, by=alice, key="k", now=NOW)


def week(desk: Desk, by: User, **more: Any) -> Any:
    facts: dict[str, Any] = {
        "doctor": desk.doctor,
        "hospital": desk.hospital,
        "spans": AFTERNOONS,
        "valid_from": date(2026, 11, 9),
        "valid_until": None,
        "what": "keep",
        "seen": look_of([]),
        "by": by,
        "now": NOW,
    }
    return change_hours(**(facts | more))


def hours() -> list[tuple[Any, ...]]:
    return sorted(OpeningHours.objects.values_list("weekday", "opens", "valid_from", "valid_until"))


def test_hours_that_hit_a_visit_are_not_stored_before_it_was_seen(
    desk: Desk, rita: User, visit: Appointment
) -> None:
    before = hours()
    with pytest.raises(HitsChanged) as refusal:
        week(desk, rita)

    assert [hit.pk for hit in refusal.value.visits] == [visit.pk]
    assert hours() == before

    done = week(desk, rita, seen=look_of([visit]))
    assert [hit.pk for hit in done.hit] == [visit.pk]
    assert hours() != before
    visit.refresh_from_db()
    assert (visit.status, visit.starts_at) == (Status.BOOKED, AT)  # kept as it was
    free = free_times([desk.service], first=TUESDAY, days=1, now=NOW)[desk.service.pk]
    assert min(free) == AT + 4 * HOUR
    assert list(find_faults(NOW)) == []


def test_patients_are_told_and_led_to_new_times(
    desk: Desk, rita: User, visit: Appointment, alice: User
) -> None:
    OutgoingMail.objects.all().delete()
    week(desk, rita, seen=look_of([visit]), what="tell")

    visit.refresh_from_db()
    assert visit.status == Status.CANCELLED
    mail = OutgoingMail.objects.get()
    assert mail.to == alice.email
    assert f"/doctors/{desk.doctor.slug}/" in mail.text
    assert list(find_faults(NOW)) == []


def test_a_visit_booked_meanwhile_is_shown_first(
    desk: Desk, rita: User, visit: Appointment, charlie: User
) -> None:
    other = book(
        service=desk.service,
        patient=charlie.chart,
        starts_at=AT + HOUR,
        by=charlie,
        key="k",
        now=NOW,
    )
    before = hours()
    with pytest.raises(HitsChanged) as refusal:
        week(desk, rita, seen=look_of([visit]), what="tell")
    assert [hit.pk for hit in refusal.value.visits] == [visit.pk, other.pk]
    assert hours() == before
    assert not Appointment.objects.filter(status=Status.CANCELLED).exists()


@pytest.mark.parametrize(
    ("spans", "valid_from", "valid_until", "is_hit"),
    [
        (MORNINGS, TUESDAY, None, False),
        (AFTERNOONS, TUESDAY, None, True),
        (AFTERNOONS, TUESDAY + timedelta(days=1), None, False),
        (AFTERNOONS, date(2026, 11, 1), TUESDAY, False),
        (AFTERNOONS, date(2026, 11, 1), TUESDAY + timedelta(days=1), True),
        ([], TUESDAY, None, True),
        ([Span(1, time(9), time(9, 30))], TUESDAY, None, False),
        ([Span(1, time(9), time(9, 25))], TUESDAY, None, True),
        ([Span(1, time(9, 5), time(12))], TUESDAY, None, True),
        ([Span(0, time(9), time(12))], TUESDAY, None, True),  # a Monday
        ([Span(1, time(9), time(9, 15)), Span(1, time(9, 15), time(10))], TUESDAY, None, False),
    ],
)
def test_a_visit_is_hit_when_the_new_hours_do_not_hold_all_of_it(
    desk: Desk,
    visit: Appointment,
    spans: list[Span],
    valid_from: date,
    valid_until: date | None,
    is_hit: bool,
) -> None:
    hit = hit_by_hours(
        doctor=desk.doctor,
        hospital=desk.hospital,
        spans=spans,
        valid_from=valid_from,
        valid_until=valid_until,
        now=NOW,
    )
    assert [found.pk for found in hit] == ([visit.pk] if is_hit else [])


@pytest.mark.parametrize(
    "spans",
    [
        [Span(1, time(12), time(9))],
        [Span(1, time(9), time(12)), Span(1, time(11), time(15))],
        [Span(1, time(9, 3), time(12))],
    ],
    ids=["end before they start", "overlap", "off the grain"],
)
def test_hours_that_cannot_be_change_nothing(
    desk: Desk, rita: User, visit: Appointment, spans: list[Span]
) -> None:
    before = hours()
    for what in ("keep", "tell"):
        for seen in (look_of([]), look_of([visit])):
            with pytest.raises((HoursRefused, HitsChanged)):
                week(desk, rita, spans=spans, what=what, seen=seen)
    assert hours() == before
    visit.refresh_from_db()
    assert visit.status == Status.BOOKED


def test_time_off_asks_about_its_visits_too(desk: Desk, rita: User, visit: Appointment) -> None:
    facts: dict[str, Any] = {
        "doctor": desk.doctor,
        "starts_at": AT + timedelta(minutes=15),
        "ends_at": AT + HOUR,
        "why": "Dentist",
        "what": "tell",
        "by": rita,
        "now": NOW,
    }
    with pytest.raises(HitsChanged):
        take_time_off(**facts, seen=look_of([]))
    assert not TimeOff.objects.exists()
    take_time_off(**facts, seen=look_of([visit]))
    assert TimeOff.objects.get().why == "Dentist"
    visit.refresh_from_db()
    assert visit.status == Status.CANCELLED


def test_a_morning_is_called_off_as_a_whole(desk: Desk, rita: User) -> None:
    nora = make_patient()  # no account and no mail address
    mailed = [make_patient_user(f"p{n}@example.org", name=f"Pat {n}") for n in range(3)]
    for number, user in enumerate(mailed):
        book(
            service=desk.service,
            patient=user.chart,
            starts_at=AT + number * HOUR,
            by=user,
            key="k",
            now=NOW,
        )
    by_phone, later = (
        book(
            service=desk.service,
            patient=nora,
            starts_at=AT + hours * HOUR,
            by=rita,
            key=str(hours),
            now=NOW,
            clash="both",
        )
        for hours in (3, 6)
    )
    OutgoingMail.objects.all().delete()
    hit = hit_by_time_off(doctor=desk.doctor, starts_at=AT, ends_at=AT + 4 * HOUR, now=NOW)

    done = take_time_off(
        doctor=desk.doctor,
        starts_at=AT,
        ends_at=AT + 4 * HOUR,
        why="Broken arm",
        what="tell",
        seen=look_of(hit),
        by=rita,
        now=NOW,
    )

    assert len(done.hit) == 4
    assert [visit.pk for visit in done.to_phone] == [by_phone.pk]
    later.refresh_from_db()
    assert later.status == Status.BOOKED
    assert Appointment.objects.filter(status=Status.CANCELLED).count() == 4
    mails = list(OutgoingMail.objects.all())
    assert {mail.to for mail in mails} == {user.email for user in mailed}
    for mail in mails:
        assert f"/doctors/{desk.doctor.slug}/" in mail.text  # to choose again
        assert "arm" not in mail.text + mail.html
    free = free_times([desk.service], first=date(2026, 11, 10), days=1, now=NOW)
    assert all(not AT <= moment < AT + 4 * HOUR for moment in free[desk.service.pk])
    assert list(find_faults(NOW)) == []
    for user in mailed:
        assert verify_chain(user.chart) == []


def test_time_off_is_stored_once_and_lies_ahead(desk: Desk, rita: User) -> None:
    facts: dict[str, Any] = {
        "doctor": desk.doctor,
        "starts_at": AT,
        "ends_at": AT + HOUR,
        "why": "ill",
        "what": "tell",
        "seen": look_of([]),
        "by": rita,
        "now": NOW,
    }
    take_time_off(**facts)
    assert take_time_off(**facts).hit == []
    assert TimeOff.objects.count() == 1
    for wrong in (
        {"ends_at": AT},
        {"ends_at": AT - HOUR},
        {"starts_at": NOW - 2 * HOUR, "ends_at": NOW - HOUR},
    ):
        with pytest.raises(HoursRefused):
            take_time_off(**(facts | wrong))
    assert TimeOff.objects.count() == 1


def test_closing_the_hospital_for_a_day(desk: Desk, rita: User, visit: Appointment) -> None:
    facts: dict[str, Any] = {
        "hospital": desk.hospital,
        "day": TUESDAY,
        "name": "Water damage",
        "what": "keep",
        "by": rita,
        "now": NOW,
    }
    with pytest.raises(HitsChanged):
        change_day(**facts, is_open=False, seen=look_of([]))
    change_day(**facts, is_open=False, seen=look_of([visit]))
    assert not HospitalDay.objects.get().is_open
    assert free_times([desk.service], first=TUESDAY, days=1, now=NOW)[desk.service.pk] == []
    change_day(**facts, is_open=True, seen=look_of([]))
    assert free_times([desk.service], first=TUESDAY, days=1, now=NOW)[desk.service.pk]


def test_others_change_no_hours(desk: Desk, rita: User, visit: Appointment, alice: User) -> None:
    before = hours()
    elsewhere = make_staff("other@example.org")
    doctor = make_staff("doc@example.org", role=Role.DOCTOR)
    seen = look_of([visit])
    for by in (alice, elsewhere, doctor):
        with pytest.raises(NotAtYourDesk):
            week(desk, by, seen=seen)
        with pytest.raises(NotAtYourDesk):
            take_time_off(
                doctor=desk.doctor,
                starts_at=AT,
                ends_at=AT + HOUR,
                why="",
                what="tell",
                seen=seen,
                by=by,
                now=NOW,
            )
        with pytest.raises(NotAtYourDesk):
            change_day(
                hospital=desk.hospital,
                day=TUESDAY,
                is_open=False,
                name="",
                what="keep",
                seen=seen,
                by=by,
                now=NOW,
            )
    assert hours() == before
    assert not TimeOff.objects.exists()
    assert not HospitalDay.objects.exists()


def test_the_doctor_and_the_directory_change_hours(desk: Desk) -> None:
    own = make_staff("own@example.org", role=Role.DOCTOR)
    desk.doctor.user = own
    desk.doctor.save()
    for number, by in enumerate((own, make_staff("dir@example.org", role=Role.DIRECTORY))):
        start = date(2026, 12, 7) + timedelta(days=7 * number)
        week(desk, by, valid_from=start, spans=MORNINGS)
        assert OpeningHours.objects.filter(valid_from=start).count() == 7


def test_the_night_the_clock_goes_back_is_whole(desk: Desk, alice: User) -> None:
    """1:30 am comes twice on November 1; a visit in either is inside hours around it."""
    OpeningHours.objects.update(opens=time(0), closes=time(3))
    for at in (
        datetime(2026, 11, 1, 5, 30, tzinfo=NOW.tzinfo),
        datetime(2026, 11, 1, 6, 30, tzinfo=NOW.tzinfo),
    ):
        book(
            service=desk.service,
            patient=alice.chart,
            starts_at=at,
            by=alice,
            key=str(at),
            now=datetime(2026, 10, 25, 12, tzinfo=NOW.tzinfo),
            clash="both",
        )

    def hit(opens: time, closes: time) -> int:
        return len(
            hit_by_hours(
                doctor=desk.doctor,
                hospital=desk.hospital,
                spans=[Span(6, opens, closes)],
                valid_from=date(2026, 10, 26),
                valid_until=None,
                now=datetime(2026, 10, 25, 12, tzinfo=NOW.tzinfo),
            )
        )

    assert hit(time(1), time(2)) == 0
    assert hit(time(1), time(1, 45)) == 2
    assert hit(time(2), time(3)) == 2
