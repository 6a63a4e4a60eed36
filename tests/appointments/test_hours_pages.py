"""The pages on which hours are changed, as a doctor, reception and others see them."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role, User
from appointments.booking import book
from appointments.hours_changes import look_of
from appointments.models import Appointment, Status
from clinic.directory.models import HospitalDay, HospitalStaff, OpeningHours, TimeOff
from tests.appointments.desk import Desk, open_desk
from tests.cast import make_staff, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    desk = open_desk()
    desk.doctor.user = make_staff("doc@example.org", role=Role.DOCTOR, name="Amara Okafor")
    desk.doctor.save()
    return desk


@pytest.fixture
def doctor(desk: Desk) -> Client:
    assert desk.doctor.user is not None
    return signed_in(desk.doctor.user)


@pytest.fixture
def rita(desk: Desk) -> User:
    user = make_staff()
    HospitalStaff.objects.create(hospital=desk.hospital, user=user)
    return user


@pytest.fixture
def visit(desk: Desk, alice: User) -> Appointment:
    """Tomorrow week at 9 am or thereabouts, by the real clock: pages have no other."""
    now = timezone.now()
    at = (now + timedelta(days=8)).replace(hour=16, minute=0, second=0, microsecond=0)
    return book(service=desk.service, patient=alice.chart, starts_at=at, by=alice, key="k", now=now)


def page(name: str, desk: Desk) -> str:
    return reverse(name, args=[desk.doctor.slug])


def week(desk: Desk, opens: str = "13:00", closes: str = "17:00", **more: Any) -> dict[str, Any]:
    entries: dict[str, Any] = {
        "hospital": desk.hospital.slug,
        "valid_from": (timezone.now() + timedelta(days=2)).date().isoformat(),
    }
    for day in range(7):
        entries |= {f"opens_{day}_0": opens, f"closes_{day}_0": closes}
    return entries | more


def test_a_doctor_comes_to_the_own_hours(desk: Desk, doctor: Client) -> None:
    answer = doctor.get("/admin/hours/", follow=True)
    assert answer.redirect_chain[-1][0] == page("hours_doctor", desk)
    text = answer.content.decode()
    assert "Monday: 9:00 am – 5:00 pm" in text
    form = doctor.get(page("hours_week", desk)).content.decode()
    assert 'value="09:00"' in form  # begins with the week as it is
    assert 'value="17:00"' in form


def test_a_week_that_hits_nobody_is_stored_at_once(desk: Desk, doctor: Client) -> None:
    answer = doctor.post(page("hours_week", desk), week(desk))
    assert (answer.status_code, answer["Location"]) == (302, page("hours_doctor", desk))
    assert OpeningHours.objects.filter(opens=time(13)).count() == 7


def test_a_week_asks_about_the_visits_it_hits(
    desk: Desk, doctor: Client, visit: Appointment
) -> None:
    late = week(desk, "20:00", "21:00")
    asked = doctor.post(page("hours_week", desk), late)
    text = asked.content.decode()
    assert asked.status_code == 200
    assert "This hits 1 booked visit" in text
    assert visit.patient.name in text
    assert not OpeningHours.objects.filter(opens=time(20)).exists()

    unanswered = doctor.post(
        page("hours_week", desk), late | {"asked": "1", "seen": look_of([visit])}
    )
    assert unanswered.status_code == 422
    assert "Choose what happens to these visits." in unanswered.content.decode()

    stale = doctor.post(page("hours_week", desk), late | {"asked": "1", "what": "tell"})
    assert stale.status_code == 409
    assert not OpeningHours.objects.filter(opens=time(20)).exists()

    stored = doctor.post(
        page("hours_week", desk),
        late | {"asked": "1", "what": "tell", "seen": look_of([visit])},
    )
    assert stored.status_code == 302
    visit.refresh_from_db()
    assert visit.status == Status.CANCELLED
    assert OpeningHours.objects.filter(opens=time(20)).count() == 7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"closes_1_0": "12:00"}, "the hours end before they begin"),
        ({"opens_1_1": "16:00", "closes_1_1": "18:00"}, "overlap"),
        ({"closes_1_0": ""}, "enter both times, or none"),
        ({"opens_1_0": "13:02"}, "enter a time whose minutes 5 divides"),
        ({"opens_1_0": "midday"}, "Enter a valid time"),
        ({"valid_from": ""}, "Enter a date"),
        ({"valid_until": "2026-01-01"}, "Enter a day after"),
        ({"hospital": "elsewhere"}, "Select a valid choice"),
    ],
)
def test_hours_that_cannot_be_are_answered_with_a_sentence(
    desk: Desk, doctor: Client, changes: dict[str, str], words: str
) -> None:
    before = sorted(OpeningHours.objects.values_list())
    answer = doctor.post(page("hours_week", desk), week(desk, **changes))
    text = answer.content.decode()
    assert answer.status_code == 422
    assert words in text
    assert "<title>Error:" in text
    assert sorted(OpeningHours.objects.values_list()) == before


def test_one_day_differs_and_the_days_around_it_do_not(desk: Desk, doctor: Client) -> None:
    day = (timezone.now() + timedelta(days=10)).date()
    entries = {
        "hospital": desk.hospital.slug, "day": day.isoformat(), "opens": "10:00", "closes": "11:00"
    }  # fmt: skip
    assert doctor.post(page("hours_day", desk), entries).status_code == 302

    def on(at: date) -> list[tuple[time, time]]:
        lines = OpeningHours.objects.filter(weekday=at.weekday(), valid_from__lte=at)
        return [
            (line.opens, line.closes)
            for line in lines
            if line.valid_until is None or at < line.valid_until
        ]

    assert on(day) == [(time(10), time(11))]
    assert on(day - timedelta(days=7)) == on(day + timedelta(days=7)) == [(time(9), time(17))]


def test_time_off_is_entered_and_taken_back(desk: Desk, doctor: Client, visit: Appointment) -> None:
    day = visit.starts_at.date().isoformat()
    entries = {"first_day": day, "last_day": day, "why": "Dentist"}
    assert b"This hits 1 booked visit" in doctor.post(page("hours_off", desk), entries).content
    stored = doctor.post(
        page("hours_off", desk),
        entries | {"asked": "1", "what": "keep", "seen": look_of([visit])},
    )
    assert stored.status_code == 302
    period = TimeOff.objects.get()
    assert period.ends_at - period.starts_at >= timedelta(hours=23)
    shown = doctor.get(page("hours_doctor", desk)).content.decode()
    assert "Dentist" in shown

    assert doctor.get(page("hours_off_end", desk)).status_code == 405
    ended = doctor.post(page("hours_off_end", desk), {"period": period.pk})
    assert ended.status_code == 302
    assert not TimeOff.objects.exists()


@pytest.mark.parametrize("period", ["", "0", "abc", "9" * 30, "٣"])
def test_time_off_of_nobody_is_not_found(desk: Desk, doctor: Client, period: str) -> None:
    assert doctor.post(page("hours_off_end", desk), {"period": period}).status_code == 404


def test_reception_closes_its_hospital_for_a_day(
    desk: Desk, rita: User, visit: Appointment
) -> None:
    client = signed_in(rita)
    address = reverse("hospital_days", args=[desk.hospital.slug])
    local = visit.starts_at.date().isoformat()
    entries = {"day": local, "state": "closed", "name": "Water damage"}
    assert b"This hits 1 booked visit" in client.post(address, entries).content
    answer = {"asked": "1", "what": "tell", "seen": look_of([visit])}
    assert client.post(address, entries | answer).status_code == 302
    assert HospitalDay.objects.get().name == "Water damage"
    visit.refresh_from_db()
    assert visit.status == Status.CANCELLED
    assert "Water damage" in client.get(address).content.decode()


def test_the_directory_sees_no_patients(desk: Desk, visit: Appointment) -> None:
    client = signed_in(make_staff("dir@example.org", role=Role.DIRECTORY))
    asked = client.post(page("hours_week", desk), week(desk, "20:00", "21:00"))
    text = asked.content.decode()
    assert visit.reference in text
    assert visit.patient.name not in text
    assert desk.doctor.display_name in client.get("/admin/hours/").content.decode()


def test_others_find_no_such_page(desk: Desk, rita: User, alice: User) -> None:
    elsewhere = make_staff("other@example.org")
    colleague = make_staff("colleague@example.org", role=Role.DOCTOR)
    addresses = [
        page(name, desk) for name in ("hours_doctor", "hours_week", "hours_day", "hours_off")
    ] + [reverse("hospital_days", args=[desk.hospital.slug])]
    patient = signed_in(alice)
    for address in addresses:
        assert patient.get(address, follow=True).status_code == 404
        patient.post(address, week(desk))
    for user in (elsewhere, colleague):
        client = signed_in(user)
        for address in addresses:
            assert client.get(address).status_code == 404
            refused = client.post(address, week(desk)).status_code
            assert refused == (405 if address == addresses[0] else 404), address
        assert client.post(page("hours_off_end", desk), {"period": "1"}).status_code == 404
    assert OpeningHours.objects.filter(opens=time(13)).count() == 0
    for address in addresses:
        assert Client().get(address).status_code == 302


def test_a_page_of_hours_takes_as_many_queries_for_one_week_as_for_ten(
    desk: Desk, doctor: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(10):
        entries = week(
            desk, valid_from=(timezone.now() + timedelta(days=2 + number)).date().isoformat()
        )
        doctor.post(page("hours_week", desk), entries)
    with django_assert_max_num_queries(14):
        doctor.get(page("hours_doctor", desk))
