"""Opening hours, time off, special days and holidays: what is accepted, and who is told."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, User
from clinic.directory.holidays import closed_days, public_holidays
from clinic.directory.hours import (
    HoursRefused,
    Span,
    add_time_off,
    check_service,
    remove_time_off,
    set_opening_hours,
    set_special_day,
)
from clinic.directory.models import Doctor, OpeningHours, Schedule, Service, TimeOff
from tests.directory.helpers import NOW, make_doctor, make_hospital

pytestmark = pytest.mark.django_db

MORNING = Span(0, time(9), time(12))
AFTERNOON = Span(0, time(13), time(17))
FROM = date(2026, 12, 1)


def version(doctor: Doctor) -> int:
    return Schedule.objects.get(doctor=doctor).version


def lines(doctor: Doctor) -> list[tuple[str, date, date | None]]:
    return [
        (str(line), line.valid_from, line.valid_until)
        for line in OpeningHours.objects.filter(doctor=doctor).order_by("valid_from", "opens")
    ]


def test_new_hours_end_the_old_ones_and_are_audited(administrator: User) -> None:
    hospital, doctor = make_hospital(), make_doctor()
    common: dict[str, Any] = {
        "doctor": doctor,
        "hospital": hospital,
        "by": administrator,
        "now": NOW,
    }
    set_opening_hours(**common, spans=[MORNING, AFTERNOON], valid_from=FROM)
    before = version(doctor)
    set_opening_hours(**common, spans=[Span(1, time(8), time(0))], valid_from=date(2027, 1, 4))
    assert lines(doctor) == [
        ("Monday 09:00–12:00", FROM, date(2027, 1, 4)),
        ("Monday 13:00–17:00", FROM, date(2027, 1, 4)),
        ("Tuesday 08:00–00:00", date(2027, 1, 4), None),
    ]
    assert version(doctor) == before + 1
    assert AuditEvent.objects.filter(action="hours.changed").count() == 2


def test_hours_for_a_while_leave_those_before_and_after(administrator: User) -> None:
    hospital, doctor = make_hospital(), make_doctor()
    common: dict[str, Any] = {
        "doctor": doctor,
        "hospital": hospital,
        "by": administrator,
        "now": NOW,
    }
    set_opening_hours(**common, spans=[MORNING], valid_from=FROM)
    first, until = date(2026, 12, 20), date(2027, 1, 3)
    set_opening_hours(**common, spans=[AFTERNOON], valid_from=first, valid_until=until)
    assert lines(doctor) == [
        ("Monday 09:00–12:00", FROM, first),
        ("Monday 13:00–17:00", first, until),
        ("Monday 09:00–12:00", until, None),
    ]


@pytest.mark.parametrize(
    ("spans", "code"),
    [
        ([Span(0, time(12), time(9))], "ends_before_it_begins"),
        ([Span(0, time(9), time(9))], "ends_before_it_begins"),
        ([Span(0, time(9, 3), time(12))], "off_grain"),
        ([Span(0, time(9), time(12, 0, 1))], "off_grain"),
        ([MORNING, Span(0, time(11, 55), time(13))], "overlap"),
    ],
)
def test_impossible_hours_are_refused_and_nothing_is_stored(
    administrator: User, spans: list[Span], code: str
) -> None:
    hospital, doctor = make_hospital(), make_doctor()
    common: dict[str, Any] = {
        "doctor": doctor,
        "hospital": hospital,
        "by": administrator,
        "now": NOW,
    }
    set_opening_hours(**common, spans=[AFTERNOON], valid_from=FROM)
    before = (lines(doctor), version(doctor), AuditEvent.objects.count())
    with pytest.raises(HoursRefused) as caught:
        set_opening_hours(**common, spans=spans, valid_from=FROM)
    assert caught.value.code == code
    assert (lines(doctor), version(doctor), AuditEvent.objects.count()) == before


def test_hours_at_two_hospitals_must_not_overlap(administrator: User) -> None:
    doctor = make_doctor()
    common: dict[str, Any] = {"doctor": doctor, "by": administrator, "now": NOW, "valid_from": FROM}
    set_opening_hours(**common, hospital=make_hospital(), spans=[MORNING])
    with pytest.raises(HoursRefused, match="overlap"):
        set_opening_hours(**common, hospital=make_hospital(), spans=[Span(0, time(11), time(14))])
    set_opening_hours(**common, hospital=make_hospital(), spans=[Span(0, time(12), time(14))])
    assert len(lines(doctor)) == 2


def test_no_hours_before_the_time_zone_is_confirmed(administrator: User) -> None:
    doctor = make_doctor()
    for fields in ({"time_zone_confirmed": False}, {"time_zone": ""}):
        with pytest.raises(HoursRefused, match="is not confirmed"):
            set_opening_hours(
                doctor=doctor,
                hospital=make_hospital(**fields),
                spans=[MORNING],
                valid_from=FROM,
                by=administrator,
                now=NOW,
            )
    assert lines(doctor) == []


def test_time_off_comes_and_goes_with_an_audit_row(administrator: User) -> None:
    doctor = make_doctor()
    start, end = datetime(2026, 12, 1, 5, tzinfo=UTC), datetime(2026, 12, 2, 5, tzinfo=UTC)
    with pytest.raises(HoursRefused):
        add_time_off(doctor=doctor, starts_at=end, ends_at=start, by=administrator, now=NOW)
    assert version(doctor) == 1
    period = add_time_off(doctor=doctor, starts_at=start, ends_at=end, by=administrator, now=NOW)
    assert version(doctor) == 2
    remove_time_off(period=period, by=administrator, now=NOW)
    assert version(doctor) == 3
    assert not TimeOff.objects.exists()
    assert AuditEvent.objects.count() == 2


@pytest.mark.parametrize(
    ("minutes", "buffer", "allowed"),
    [(5, 0, True), (45, 5, True), (0, 0, False), (7, 0, False), (30, 3, False)],
)
def test_services_fit_the_grain(minutes: int, buffer: int, allowed: bool) -> None:
    service = Service(minutes=minutes, buffer_minutes=buffer)
    if allowed:
        check_service(service)
    else:
        with pytest.raises(HoursRefused):
            check_service(service)


def test_the_database_refuses_impossible_rows_too() -> None:
    hospital, doctor = make_hospital(), make_doctor()
    common: dict[str, Any] = {"doctor": doctor, "hospital": hospital, "valid_from": FROM}
    for line in (
        OpeningHours(**common, weekday=7, opens=time(9), closes=time(10)),
        OpeningHours(**common, weekday=0, opens=time(9), closes=time(9)),
        OpeningHours(**common, weekday=0, opens=time(9), closes=time(10), valid_until=FROM),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            line.save()
    for fields in ({"minutes": 0}, {"minutes": 500}, {"buffer_minutes": 250}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Service.objects.create(doctor=doctor, hospital=hospital, name="x", **fields)


# --- Closed days ----------------------------------------------------------------------------
THANKSGIVING = date(2026, 11, 26)
CHRISTMAS = date(2026, 12, 25)


def test_public_holidays_are_those_of_the_state() -> None:
    assert THANKSGIVING in public_holidays("ME", 2026)
    assert date(2026, 4, 20) in public_holidays("ME", 2026)  # Patriots' Day
    assert date(2026, 4, 20) not in public_holidays("NY", 2026)
    assert date(2026, 7, 21) in public_holidays("GU", 2026)  # Liberation Day of Guam
    assert date(2026, 7, 3) in public_holidays("ME", 2026)  # the Fourth is a Saturday: observed
    assert THANKSGIVING in public_holidays("ZZ", 2026)  # unknown: those of the whole country


def test_closed_days_with_exceptions_both_ways(administrator: User) -> None:
    usual, always_open, own = make_hospital(), make_hospital(keeps_public_holidays=False), None
    own = make_hospital()
    doctor = make_doctor()
    set_opening_hours(
        doctor=doctor, hospital=own, spans=[MORNING], valid_from=FROM, by=administrator, now=NOW
    )
    before = version(doctor)
    common: dict[str, Any] = {"by": administrator, "now": NOW}
    set_special_day(hospital=own, day=THANKSGIVING, is_open=True, **common)
    set_special_day(hospital=own, day=date(2026, 12, 1), is_open=False, name="Move", **common)
    assert version(doctor) == before + 2
    days = closed_days([usual, always_open, own], date(2026, 11, 20), date(2027, 1, 1))
    assert days == {
        usual.pk: {THANKSGIVING, CHRISTMAS},
        always_open.pk: set(),
        own.pk: {date(2026, 12, 1), CHRISTMAS},
    }
    # Half-open, across the end of a year, and empty.
    assert closed_days([usual], date(2026, 12, 25), date(2027, 1, 2))[usual.pk] == {
        CHRISTMAS,
        date(2027, 1, 1),
    }
    assert closed_days([usual], date(2026, 11, 20), THANKSGIVING)[usual.pk] == set()
    assert closed_days([usual], THANKSGIVING, THANKSGIVING)[usual.pk] == set()


def test_closed_days_never_change_what_is_kept_for_the_next_caller() -> None:
    hospital = make_hospital()
    closed_days([hospital], date(2026, 1, 1), date(2027, 1, 1))[hospital.pk].clear()
    assert THANKSGIVING in closed_days([hospital], THANKSGIVING, date(2026, 12, 1))[hospital.pk]


def test_closed_days_take_one_query_for_any_number_of_hospitals() -> None:
    for hospitals in ([make_hospital()], [make_hospital() for _ in range(20)]):
        with CaptureQueriesContext(connection) as captured:
            closed_days(hospitals, date(2026, 11, 1), date(2027, 2, 1))
        assert len(captured) == 1
