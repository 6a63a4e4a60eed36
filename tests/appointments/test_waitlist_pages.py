"""The pages of the waiting list: who gets in, what they say, and what bad input gets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from appointments.booking import book, cancel
from appointments.models import Appointment, WaitlistEntry
from appointments.waitlist_offers import offer_due
from clinic.directory.models import OpeningHours, Service
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.cast import make_account, make_patient_user, signed_in

pytestmark = pytest.mark.django_db

LIST, ADD = "/appointments/waitlist/", "/appointments/waitlist/add/"


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def desk(db: None) -> Desk:
    return open_desk()


def of_doctor(desk: Desk) -> str:
    return f"{ADD}?doctor={desk.doctor.slug}&service={desk.service.code}"


def earlier(visit: Appointment) -> str:
    return f"{ADD}?earlier={visit.public_id}"


def visit_of(desk: Desk, user: User) -> Appointment:
    return book(service=desk.service, patient=user.chart, starts_at=AT, by=user, key="k", now=NOW)


def form(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "earliest_month": "11", "earliest_day": "4", "earliest_year": "2026",
        "latest_month": "nov", "latest_day": "20", "latest_year": "2026",
        "parts": ["mornings", "afternoons"],
    } | changes  # fmt: skip
    return {name: value for name, value in fields.items() if value is not None}


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


# --- The way -------------------------------------------------------------------------------------


def test_from_a_doctor_without_times_to_the_list_and_off_it(desk: Desk, alice: User) -> None:
    OpeningHours.objects.all().delete()
    client = signed_in(alice)
    page = text(client.get(f"/doctors/{desk.doctor.slug}/"))
    assert "No free times in November 2026." in page
    assert of_doctor(desk).replace("&", "&amp;") in page
    asked = text(client.get(of_doctor(desk)))
    assert "Dr. Amara Okafor" in asked
    assert "We do not keep it: whoever books it first has it." in asked
    answer = client.post(of_doctor(desk), form())
    assert (answer.status_code, answer.headers["Location"]) == (302, LIST)
    listed = text(client.get(LIST))
    assert "You are on the waiting list. We mail you when a time becomes free." in listed
    assert "First visit, 30 minutes, $120, Harbour Clinic" in listed
    assert "Wednesday, November 4, 2026 to Friday, November 20, 2026" in listed
    assert "Mornings, until noon; Afternoons, noon to 5 pm" in listed
    entry = WaitlistEntry.objects.get()
    assert (entry.patient, entry.by, entry.service) == (alice.chart, alice, desk.service)
    removed = client.post(f"{LIST}{entry.public_id}/remove/")
    assert (removed.status_code, removed.headers["Location"]) == (302, LIST)
    assert "Nothing on the waiting list" in text(client.get(LIST))


def test_from_a_visit_to_an_earlier_time(desk: Desk, alice: User) -> None:
    visit, client = visit_of(desk, alice), signed_in(alice)
    assert earlier(visit) in text(client.get(f"/appointments/{visit.public_id}/"))
    page = text(client.get(earlier(visit)))
    assert "Earlier than the visit on Tuesday, November 10, 2026, 9:00 am EST" in page
    assert 'name="latest_day" value="10"' in page
    assert client.post(earlier(visit), form()).status_code == 302
    assert WaitlistEntry.objects.get().earlier_than == visit
    assert "Dr. Amara Okafor, earlier" in text(client.get(LIST))


def test_from_an_empty_search_to_a_specialty_at_a_hospital(desk: Desk, alice: User) -> None:
    specialty = desk.doctor.specialties.get()
    desk.doctor.accepts_new = False
    desk.doctor.save()
    query = f"specialty={specialty.slug}&hospital={desk.hospital.slug}"
    client = signed_in(alice)
    page = text(client.get(f"/doctors/?{query}&new=1"))
    assert f"{ADD}?{query}".replace("&", "&amp;") in page
    assert client.post(f"{ADD}?{query}", form(visit="video")).status_code == 302
    entry = WaitlistEntry.objects.get()
    assert (entry.specialty, entry.hospital, entry.visit) == (specialty, desk.hospital, "video")
    assert entry.doctor is None
    assert specialty.name in text(client.get(LIST))


def test_one_of_the_doctors_kinds_of_visit_is_chosen(desk: Desk, alice: User) -> None:
    second = Service.objects.create(
        doctor=desk.doctor, hospital=desk.hospital, name="Check-up", minutes=15, position=2
    )
    client = signed_in(alice)
    assert "Check-up, 15 minutes" in text(client.get(of_doctor(desk)))
    assert client.post(of_doctor(desk), form()).status_code == 422
    assert client.post(of_doctor(desk), form(service=second.code)).status_code == 302
    assert WaitlistEntry.objects.get().service == second


def test_a_carer_waits_for_the_patient(desk: Desk, alice: User, bob: User) -> None:
    client = signed_in(bob)
    chart = str(alice.chart.public_id)
    assert chart in text(client.get(of_doctor(desk)))
    assert client.post(of_doctor(desk), form(patient=chart)).status_code == 302
    entry = WaitlistEntry.objects.get()
    assert (entry.patient, entry.by) == (alice.chart, bob)
    assert "For Alice Moreau" in text(client.get(LIST))
    assert "Okafor" in text(signed_in(alice).get(LIST))
    assert signed_in(alice).post(f"{LIST}{entry.public_id}/remove/").status_code == 302


def test_what_was_mailed_stands_in_the_list(desk: Desk, alice: User, charlie: User) -> None:
    visit = visit_of(desk, alice)
    client = signed_in(charlie)
    client.post(of_doctor(desk), form())
    cancel(appointment=visit, by=alice, now=NOW)
    offer_due(now=NOW)
    page = text(client.get(LIST))
    assert "We mailed you about:" in page
    assert "Tuesday, November 10, 2026, 9:00 am EST" in page
    with time_machine.travel(AT + timedelta(hours=1), tick=False):
        assert f"/doctors/{desk.doctor.slug}/book/" not in text(client.get(LIST))


# --- Strangers -----------------------------------------------------------------------------------


@pytest.fixture
def entry(desk: Desk, alice: User) -> WaitlistEntry:
    signed_in(alice).post(of_doctor(desk), form())
    return WaitlistEntry.objects.get()


def test_somebody_elses_entry_does_not_exist(
    entry: WaitlistEntry, charlie: User, reception: User
) -> None:
    for user in (charlie, reception):
        client = signed_in(user)
        assert client.post(f"{LIST}{entry.public_id}/remove/").status_code == 404
        assert "Okafor" not in text(client.get(LIST))
    assert WaitlistEntry.objects.exists()


def test_a_carer_whose_care_ended_sees_nothing(entry: WaitlistEntry, bob: User) -> None:
    bob.cares_for.update(until=NOW)
    assert "Okafor" not in text(signed_in(bob).get(LIST))
    assert signed_in(bob).post(f"{LIST}{entry.public_id}/remove/").status_code == 404


def test_visitors_are_asked_to_sign_in_and_come_back(desk: Desk, entry: WaitlistEntry) -> None:
    for path in (LIST, of_doctor(desk)):
        answer = Client().get(path)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/accounts/login/?next=/appointments/waitlist")
    assert Client().post(f"{LIST}{entry.public_id}/remove/").status_code == 302
    assert Client().post(of_doctor(desk), form()).status_code == 302
    assert WaitlistEntry.objects.count() == 1


def test_a_form_without_its_token_changes_nothing(
    desk: Desk, entry: WaitlistEntry, alice: User
) -> None:
    client = signed_in(alice, enforce_csrf_checks=True)
    assert client.post(f"{LIST}{entry.public_id}/remove/").status_code == 403
    assert client.post(of_doctor(desk), form()).status_code == 403
    assert WaitlistEntry.objects.count() == 1


def test_reading_changes_nothing(entry: WaitlistEntry, alice: User) -> None:
    assert signed_in(alice).get(f"{LIST}{entry.public_id}/remove/").status_code == 405
    assert WaitlistEntry.objects.exists()


def test_nobody_waits_for_somebody_elses_chart_or_visit(
    desk: Desk, alice: User, charlie: User
) -> None:
    visit = visit_of(desk, alice)
    client = signed_in(charlie)
    assert client.get(earlier(visit)).status_code == 404
    assert client.post(earlier(visit), form()).status_code == 404
    taken = form(patient=str(alice.chart.public_id))
    assert client.post(of_doctor(desk), taken).status_code == 404
    assert not WaitlistEntry.objects.exists()


def test_further_fields_change_nothing(desk: Desk, alice: User, charlie: User) -> None:
    more = {"by": charlie.pk, "patient_id": charlie.chart.pk, "created_at": "2000-01-01",
            "doctor": "1", "hospital": "1"}  # fmt: skip
    assert signed_in(alice).post(of_doctor(desk), form(**more)).status_code == 302
    entry = WaitlistEntry.objects.get()
    assert (entry.by, entry.patient, entry.created_at) == (alice, alice.chart, NOW)


# --- Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"parts": None}, "Select at least one time of the day."),
        ({"parts": ["nights"]}, "Select a valid choice"),
        ({"latest_day": "31"}, "There is no such date"),
        ({"latest_day": ""}, "The date must also have a day."),
        ({"latest_year": "26"}, "The year must have 4 digits, for example 2026."),
        ({"latest_year": "2025"}, "The last day is in the past. Choose a later one."),
        ({"latest_year": "9999"}, "The last day is too far away. Choose one within a year."),
        ({"latest_day": "3"}, "The last day is before the first. Check both days."),
        ({"earliest_month": "\x00"}, "The month must be a number from 1 to 12"),
        ({"earliest_day": "9" * 5000}, "The day must be a number from 1 to 31."),
        (
            {"earliest_day": None, "earliest_month": None, "earliest_year": None},
            "Enter the day as month, day and year, for example 11 30 2026.",
        ),
    ],
)
def test_what_cannot_be_gets_a_sentence(
    desk: Desk, alice: User, changes: dict[str, Any], sentence: str
) -> None:
    answer = signed_in(alice).post(of_doctor(desk), form(**changes))
    page = text(answer)
    assert answer.status_code == 422
    assert "<title>Error:" in page
    assert sentence in page
    assert not WaitlistEntry.objects.exists()


def test_twice_the_same_and_too_many_get_a_sentence(desk: Desk, alice: User, settings: Any) -> None:
    client = signed_in(alice)
    client.post(of_doctor(desk), form())
    again = client.post(of_doctor(desk), form())
    assert again.status_code == 409
    assert "This is on the waiting list already." in text(again)
    settings.WAITLIST_ENTRIES_PER_HOUR = 1
    stopped = client.post(of_doctor(desk), form())
    assert stopped.status_code == 429
    assert "Wait an hour and try again." in text(stopped)
    assert WaitlistEntry.objects.count() == 1


@pytest.mark.parametrize(
    "query",
    [
        "", "doctor=nobody", "doctor=%00", "specialty=x&hospital=y", "earlier=x",
        "earlier=01890000-0000-7000-8000-000000000000", f"doctor={'x' * 3000}",
        "specialty=canary-specialty-oncology",
    ],
)  # fmt: skip
def test_what_does_not_exist_cannot_be_waited_for(desk: Desk, alice: User, query: str) -> None:
    for answer in (signed_in(alice).get(f"{ADD}?{query}"),
                   signed_in(alice).post(f"{ADD}?{query}", form())):  # fmt: skip
        assert answer.status_code == 404


def test_a_visit_that_was_cancelled_has_nothing_earlier(desk: Desk, alice: User) -> None:
    visit = visit_of(desk, alice)
    cancel(appointment=visit, by=alice, now=NOW)
    answer = signed_in(alice).get(earlier(visit))
    assert answer.status_code == 422
    assert "This visit has begun or was changed" in text(answer)


def test_who_has_no_chart_is_told_to_add_a_person(desk: Desk) -> None:
    client = signed_in(make_account("nobody@example.org"))
    assert "Add a person" in text(client.get(of_doctor(desk)))
    assert client.post(of_doctor(desk), form()).status_code == 422
    assert not WaitlistEntry.objects.exists()


def test_the_lists_statements_do_not_grow_with_its_lines(desk: Desk, alice: User) -> None:
    def statements() -> int:
        client = signed_in(alice)
        client.get(LIST)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(LIST).status_code == 200
        return len(queries)

    client = signed_in(alice)
    client.post(of_doctor(desk), form())
    one = statements()
    for number in range(3):
        more = Service.objects.create(
            doctor=desk.doctor, hospital=desk.hospital, name=f"Visit {number}", position=number
        )
        assert client.post(of_doctor(desk), form(service=more.code)).status_code == 302
    assert statements() == one


def test_names_are_text(desk: Desk, charlie: User) -> None:
    desk.doctor.name = desk.service.name = "<script>alert(1)</script>"
    desk.doctor.save()
    desk.service.save()
    client = signed_in(make_patient_user("xss@example.org", name="<img src=x onerror=alert(1)>"))
    page = text(client.get(of_doctor(desk)))
    client.post(of_doctor(desk), form())
    for shown in (page, text(client.get(LIST))):
        assert "<script>alert" not in shown
        assert "<img" not in shown
