"""What a doctor offers at all: each reason against it has its own code and sentence."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from appointments.booking import book, reschedule
from appointments.free_times import free_times, nearest_free, next_free
from appointments.holding import hold
from appointments.models import Appointment, DoctorHold
from appointments.offers import refuse_unoffered_clock, refuse_unoffered_day, service_of
from appointments.refusals import NotOffered, SlotTaken
from appointments.zones import time_words, zone_words
from clinic.directory.hours import add_time_off, set_special_day
from clinic.directory.models import OpeningHours, Service
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.appointments.visits import make_hospital
from tests.cast import make_patient_user, make_staff

pytestmark = pytest.mark.django_db

DAY = AT.date()


@pytest.fixture
def desk() -> Desk:
    return open_desk()


def refused(service: Service, at: datetime, now: datetime = NOW) -> NotOffered:
    with pytest.raises(NotOffered) as caught:
        offered(service, at, now)
    return caught.value


def offered(service: Service, at: datetime, now: datetime = NOW) -> bool:
    refuse_unoffered_clock(service, at, now)
    refuse_unoffered_day(service, at, now)
    return True


def free_on(service: Service, day: date, now: datetime = NOW) -> list[datetime]:
    return free_times([service], first=day, days=1, now=now)[service.pk]


def clock(service: Service, day: date, now: datetime = NOW) -> list[str]:
    zone = service.hospital.time_zone
    return [time_words(moment, zone) for moment in free_on(service, day, now)]


# --- Each reason ----------------------------------------------------------------------------
def test_a_time_that_is_offered_is_not_refused(desk: Desk) -> None:
    assert offered(desk.service, AT)
    assert AT in free_on(desk.service, DAY)


def test_the_past(desk: Desk) -> None:
    found = refused(desk.service, NOW - timedelta(days=1))
    assert found.code == "past"
    assert found.message == "That time is in the past. Choose a later time."


def test_now_is_the_past(desk: Desk) -> None:
    assert refused(desk.service, NOW).code == "past"


def test_sooner_than_the_doctor_wants(desk: Desk) -> None:
    desk.doctor.lead_minutes = 90
    found = refused(desk.service, NOW + timedelta(minutes=75))
    assert found.code == "too_soon"
    assert "at least 90 minutes ahead" in found.message and "call the clinic" in found.message
    assert offered(desk.service, NOW + timedelta(minutes=90))


def test_one_minute_ahead_is_said_in_the_singular(desk: Desk) -> None:
    desk.doctor.lead_minutes = 1
    found = refused(desk.service, NOW + timedelta(seconds=30))
    assert "at least 1 minute ahead" in found.message


def test_beyond_the_horizon(desk: Desk) -> None:
    desk.doctor.horizon_days = 10
    last = datetime(2026, 11, 13, 21, 30, tzinfo=UTC)  # 4:30 pm, ten days on
    assert offered(desk.service, last)
    found = refused(desk.service, last + timedelta(hours=16, minutes=30))
    assert found.code == "too_far"
    assert "up to Friday, November 13, 2026" in found.message
    days = free_times([desk.service], first=date(2026, 11, 13), days=2, now=NOW)
    assert days[desk.service.pk][-1] == last


@pytest.mark.parametrize("off", [timedelta(minutes=5), timedelta(seconds=1), timedelta(minutes=10)])
def test_off_the_grid(desk: Desk, off: timedelta) -> None:
    found = refused(desk.service, AT + off)
    assert found.code == "off_grid"
    assert "start every 15 minutes" in found.message


def test_the_grid_is_anchored_to_local_midnight_by_the_wall_clock() -> None:
    """Forty minutes do not divide a day; the first start of each day is still the same."""
    desk = open_desk(zone="Asia/Kolkata")  # half an hour off UTC's hours
    desk.doctor.grid_minutes = 40
    assert clock(desk.service, DAY)[:3] == ["9:20 am", "10:00 am", "10:40 am"]
    assert clock(desk.service, DAY + timedelta(days=1))[0] == "9:20 am"


def test_outside_opening_hours(desk: Desk) -> None:
    found = refused(desk.service, AT - timedelta(minutes=30))
    assert found.code == "closed"
    assert "sees nobody at that time" in found.message
    assert refused(desk.service, AT + timedelta(hours=7, minutes=45)).code == "closed"
    assert offered(desk.service, AT + timedelta(hours=7, minutes=30))  # ends at closing time


def test_on_a_day_without_hours(desk: Desk) -> None:
    OpeningHours.objects.filter(doctor=desk.doctor, weekday=DAY.weekday()).delete()
    assert refused(desk.service, AT).code == "closed"


def test_hours_count_from_and_until_their_days(desk: Desk) -> None:
    OpeningHours.objects.filter(doctor=desk.doctor).update(
        valid_from=DAY, valid_until=DAY + timedelta(days=2)
    )
    assert refused(desk.service, AT - timedelta(days=1)).code == "closed"
    assert offered(desk.service, AT) and offered(desk.service, AT + timedelta(days=1))
    assert refused(desk.service, AT + timedelta(days=2)).code == "closed"


def test_time_off(desk: Desk) -> None:
    by = make_staff()
    add_time_off(
        doctor=desk.doctor,
        starts_at=AT + timedelta(hours=1),
        ends_at=AT + timedelta(hours=2),
        by=by,
        now=NOW,
    )
    found = refused(desk.service, AT + timedelta(hours=1, minutes=30))
    assert found.code == "time_off"
    assert found.message == "Dr. Amara Okafor is away then. Choose another day."
    assert refused(desk.service, AT + timedelta(minutes=45)).code == "time_off"  # would run into it
    assert offered(desk.service, AT + timedelta(minutes=30))
    assert offered(desk.service, AT + timedelta(hours=2))
    assert "10:00 am" not in clock(desk.service, DAY)


def test_a_public_holiday(desk: Desk) -> None:
    desk.hospital.keeps_public_holidays = True
    thanksgiving = datetime(2026, 11, 26, 15, 0, tzinfo=UTC)
    assert refused(desk.service, thanksgiving).code == "closed"
    assert free_on(desk.service, thanksgiving.date()) == []
    set_special_day(
        hospital=desk.hospital, day=thanksgiving.date(), is_open=True, by=make_staff(), now=NOW
    )
    assert offered(desk.service, thanksgiving)


def test_a_day_on_which_the_hospital_is_closed(desk: Desk) -> None:
    set_special_day(hospital=desk.hospital, day=DAY, is_open=False, by=make_staff(), now=NOW)
    assert refused(desk.service, AT).code == "closed"
    assert free_on(desk.service, DAY) == []


@pytest.mark.parametrize("what", ["service", "unverified", "withdrawn", "zone"])
def test_what_can_no_longer_be_booked(desk: Desk, what: str) -> None:
    if what == "service":
        desk.service.is_active = False
    elif what == "unverified":
        desk.doctor.verified_at = None
    elif what == "withdrawn":
        desk.doctor.withdrawn_at = NOW
    else:
        desk.hospital.time_zone = ""
    found = refused(desk.service, AT)
    assert found.code == "closed"
    assert found.message == "This service can no longer be booked. Choose another one."


def test_a_hospital_whose_zone_nobody_set_has_no_free_times(desk: Desk) -> None:
    desk.hospital.time_zone = ""
    assert free_on(desk.service, DAY) == []
    assert next_free([desk.service], first=DAY, now=NOW) == {desk.service.pk: []}
    assert nearest_free(desk.service, around=AT, now=NOW) == []


# --- Both nights, at the level of what can be booked ----------------------------------------
def night_desk(zone: str) -> Desk:
    desk = open_desk(zone=zone, lead_minutes=0, horizon_days=365)
    OpeningHours.objects.filter(doctor=desk.doctor).update(opens=time(1), closes=time(4))
    desk.doctor.grid_minutes = 30
    return desk


def test_the_repeated_hour_can_be_booked_twice_and_the_missing_hour_never() -> None:
    desk = night_desk("America/New_York")
    now = datetime(2026, 10, 30, 12, 0, tzinfo=UTC)
    autumn = date(2026, 11, 1)
    assert clock(desk.service, autumn, now) == [
        *("1:00 am EDT", "1:30 am EDT", "1:00 am EST", "1:30 am EST"),
        *("2:00 am", "2:30 am", "3:00 am", "3:30 am"),
    ]
    alice, dan = make_patient_user(), make_patient_user("dan@example.org")
    first, second = (
        moment
        for moment in free_on(desk.service, autumn, now)
        if time_words(moment, "America/New_York").startswith("1:30")
    )
    for user, moment in ((alice, first), (dan, second)):
        book(service=desk.service, patient=user.chart, starts_at=moment, by=user, key="k", now=now)
    assert second - first == timedelta(hours=1)
    spring = date(2027, 3, 14)
    assert clock(desk.service, spring, now) == ["1:00 am", "1:30 am", "3:00 am", "3:30 am"]
    # 2:30 am as somebody might write it by hand is 3:30 am EDT or 1:30 am EST, never itself.
    for hour in (6, 7):
        assert offered(desk.service, datetime(2027, 3, 14, hour, 30, tzinfo=UTC), now)


def test_berlins_nights_too() -> None:
    desk = night_desk("Europe/Berlin")
    now = datetime(2026, 10, 20, 12, 0, tzinfo=UTC)
    assert clock(desk.service, date(2026, 10, 25), now) == [
        *("1:00 am", "1:30 am", "2:00 am CEST", "2:30 am CEST", "2:00 am CET", "2:30 am CET"),
        *("3:00 am", "3:30 am"),
    ]
    assert clock(desk.service, date(2027, 3, 28), now) == [
        *("1:00 am", "1:30 am", "3:00 am", "3:30 am")
    ]


def test_phoenix_stays_as_it_is() -> None:
    desk = night_desk("America/Phoenix")
    now = datetime(2026, 10, 30, 12, 0, tzinfo=UTC)
    usual = ["1:00 am", "1:30 am", "2:00 am", "2:30 am", "3:00 am", "3:30 am"]
    assert clock(desk.service, date(2026, 11, 1), now) == usual
    assert clock(desk.service, date(2027, 3, 14), now) == usual


# --- One doctor, two hospitals, two zones ---------------------------------------------------
@pytest.fixture
def elsewhere(desk: Desk) -> Service:
    """The same doctor in Chicago, from noon to 3 there, which is 1 to 4 in New York."""
    chicago = make_hospital(
        name="Lakeside", time_zone="America/Chicago", state="IL", keeps_public_holidays=False
    )
    OpeningHours.objects.bulk_create(
        OpeningHours(
            doctor=desk.doctor,
            hospital=chicago,
            weekday=weekday,
            opens=time(12),
            closes=time(15),
            valid_from=date(2026, 1, 1),
        )
        for weekday in range(7)
    )
    return Service.objects.create(
        doctor=desk.doctor, hospital=chicago, name="Follow-up", minutes=60
    )


def test_each_hospital_has_its_own_hours_on_its_own_clock(desk: Desk, elsewhere: Service) -> None:
    found = free_times([desk.service, elsewhere], first=DAY, days=1, now=NOW)
    assert found[desk.service.pk] == free_on(desk.service, DAY)
    here, there = found[desk.service.pk], found[elsewhere.pk]
    assert (here[0], here[-1]) == (AT, AT + timedelta(hours=7, minutes=30))  # 9 to 5 EST
    assert (there[0], there[-1]) == (AT + timedelta(hours=4), AT + timedelta(hours=6))  # noon CST
    assert time_words(there[0], "America/Chicago") == "12:00 pm"
    assert zone_words(there[0], "America/Chicago") == "Central Time (CST)"


def test_a_visit_in_one_town_takes_the_time_in_the_other(desk: Desk, elsewhere: Service) -> None:
    alice, dan = make_patient_user(), make_patient_user("dan@example.org")
    one_pm = AT + timedelta(hours=4)
    book(service=desk.service, patient=alice.chart, starts_at=one_pm, by=alice, key="k", now=NOW)
    assert clock(elsewhere, DAY) == [
        *("12:30 pm", "12:45 pm", "1:00 pm", "1:15 pm", "1:30 pm", "1:45 pm", "2:00 pm")
    ]
    with pytest.raises(SlotTaken) as caught:
        book(service=elsewhere, patient=dan.chart, starts_at=one_pm, by=dan, key="k", now=NOW)
    assert caught.value.nearest == [one_pm + timedelta(minutes=m) for m in (30, 45, 60)]
    assert Appointment.objects.count() == 1
    with pytest.raises(SlotTaken):
        hold(service=elsewhere, starts_at=one_pm + timedelta(minutes=15), now=NOW)
    assert DoctorHold.objects.count() == 6
    hold(service=elsewhere, starts_at=one_pm + timedelta(minutes=30), now=NOW)
    assert AT + timedelta(hours=5) not in free_on(desk.service, DAY)


def test_the_horizon_ends_with_the_day_of_each_hospital(desk: Desk, elsewhere: Service) -> None:
    """Midnight in Chicago is an hour after midnight in New York."""
    OpeningHours.objects.filter(doctor=desk.doctor).update(opens=time(0), closes=time(0))
    desk.doctor.horizon_days = 3
    end = datetime(2026, 11, 7, 5, 0, tzinfo=UTC)  # midnight after the third day in New York
    assert refused(desk.service, end).code == "too_far"
    assert offered(elsewhere, end - timedelta(minutes=15))
    assert refused(elsewhere, end + timedelta(hours=1)).code == "too_far"


# --- The service as it was booked -----------------------------------------------------------
def test_a_visit_keeps_its_length_when_the_service_changes(desk: Desk) -> None:
    alice = make_patient_user()
    visit = book(
        service=desk.service, patient=alice.chart, starts_at=AT, by=alice, key="k", now=NOW
    )
    Service.objects.filter(pk=desk.service.pk).update(minutes=60, is_active=False)
    visit = Appointment.objects.with_parts().get(pk=visit.pk)
    assert service_of(visit).minutes == 30
    later = AT + timedelta(minutes=15)  # overlaps itself, which is no obstacle
    moved = reschedule(appointment=visit, starts_at=later, by=alice, key="m", now=NOW)
    assert (moved.starts_at, moved.ends_at) == (later, later + timedelta(minutes=30))
    assert DoctorHold.objects.filter(appointment=moved).count() == 6


def test_a_visit_of_a_service_that_is_gone_can_be_moved(desk: Desk) -> None:
    alice = make_patient_user()
    visit = book(
        service=desk.service, patient=alice.chart, starts_at=AT, by=alice, key="k", now=NOW
    )
    Service.objects.all().delete()
    visit = Appointment.objects.with_parts().get(pk=visit.pk)
    later = AT + timedelta(days=1)
    assert reschedule(appointment=visit, starts_at=later, by=alice, key="m", now=NOW)
    assert nearest_free(service_of(visit), around=AT, now=NOW, count=1) == [AT]
