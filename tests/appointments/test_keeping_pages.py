"""The booking page keeps a time, also while somebody signs up in the middle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import User
from appointments.models import Appointment, DoctorHold, SlotHold
from tests.accounts.helpers import mailed_code
from tests.appointments.desk import (
    AT,
    NOW,
    REASON,
    Desk,
    book,
    iso,
    offered_times,
    open_desk,
    text,
    text_of,
)
from tests.cast import PASSWORD, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def desk() -> Desk:
    return open_desk()


def test_a_visitor_who_continues_keeps_the_time_and_goes_to_sign_up(
    desk: Desk, client: Client
) -> None:
    answer = client.post(desk.address, desk.form(action="hold"))
    assert answer.status_code == 302
    location = answer.headers["Location"]
    assert location.startswith("/accounts/signup/?next=%2Fdoctors%2F")
    assert "Chest" not in location
    kept = SlotHold.objects.get()
    assert (kept.starts_at, kept.reason) == (AT, REASON)
    assert kept.held_until == NOW + timedelta(minutes=10)
    said = text_of(client.get(location))
    assert "We keep Tuesday, November 10, 2026, 9:00 am EST, for you until 10:10 am EST." in said
    assert not Appointment.objects.exists()


def test_the_page_of_a_kept_time_has_what_was_typed_and_until_when(
    desk: Desk, client: Client
) -> None:
    client.post(desk.address, desk.form(action="hold"))
    answer = client.get(desk.page())
    assert answer.status_code == 200
    page = text(answer)
    assert REASON in page
    assert "10:10 am EST" in page
    assert 'data-hold-until="2026-11-03T15:10:00+00:00"' in page


def test_a_time_kept_by_somebody_else_is_taken(desk: Desk, alice: User) -> None:
    Client().post(desk.address, desk.form(action="hold"))
    client = signed_in(alice)
    assert client.get(desk.page()).status_code == 409
    answer = client.post(desk.address, desk.form())
    assert answer.status_code == 409
    assert not Appointment.objects.exists()


def test_a_signed_in_patient_keeps_the_time_and_stays_on_the_page(
    desk: Desk, alice: User, bob: User
) -> None:
    client = signed_in(bob)
    sent = desk.form(action="hold", patient=str(alice.chart.public_id))
    answer = client.post(desk.address, sent)
    assert answer.status_code == 302
    page = text(client.get(answer.headers["Location"]))
    assert REASON in page
    chosen = re.search(r'<input[^>]*name="patient"[^>]*checked[^>]*>', page)
    assert chosen and str(alice.chart.public_id) in chosen[0]


def test_keeping_again_extends_and_confirming_uses_the_hold_up(desk: Desk, alice: User) -> None:
    client = signed_in(alice)
    with time_machine.travel(NOW, tick=False) as clock:
        client.post(desk.address, desk.form(action="hold"))
        clock.shift(timedelta(minutes=8))
        client.post(desk.address, desk.form(action="hold", reason="Longer text"))
        kept = SlotHold.objects.get()
        assert kept.held_until == NOW + timedelta(minutes=18)
        assert kept.reason == "Longer text"
        book(client, desk)
    assert not SlotHold.objects.exists()
    assert "slot_hold" not in client.session
    assert DoctorHold.objects.exclude(appointment=None).count() == 6
    assert DoctorHold.objects.count() == 6


def test_a_time_may_be_kept_at_least_ten_times_and_not_for_ever(desk: Desk, client: Client) -> None:
    statuses = [client.post(desk.address, desk.form(action="hold")).status_code for _ in range(20)]
    assert statuses[:11] == [302] * 11
    assert statuses[-1] == 422
    answer = client.post(desk.address, desk.form(action="hold"))
    assert "cannot be kept any longer" in text_of(answer)
    assert REASON in text(answer)


def test_what_was_typed_survives_a_hold_that_ran_out_and_a_lost_time(
    desk: Desk, alice: User, charlie: User
) -> None:
    client = signed_in(alice)
    with time_machine.travel(NOW, tick=False) as clock:
        client.post(desk.address, desk.form(action="hold"))
        clock.shift(timedelta(minutes=11))
        still_free = client.get(desk.page())
        assert still_free.status_code == 200
        assert REASON in text(still_free)
        assert "data-hold-until" not in text(still_free)
        book(signed_in(charlie), desk)
        lost = client.get(desk.page())
        assert lost.status_code == 409
        assert REASON in text(lost)
        assert len(offered_times(lost)) == 3


def test_what_was_typed_for_one_doctor_is_not_shown_to_another(desk: Desk, client: Client) -> None:
    other = open_desk(name="Ben Ito")
    client.post(desk.address, desk.form(action="hold"))
    assert REASON not in text(client.get(other.page()))
    assert REASON in text(client.get(desk.page(AT + timedelta(hours=1))))


def test_too_many_kept_times_from_one_address_are_429(desk: Desk, settings: Any) -> None:
    settings.HOLDS_PER_ADDRESS = 2
    for index in range(2):
        at = iso(AT + timedelta(hours=1 + index))
        assert Client().post(desk.address, desk.form(action="hold", at=at)).status_code == 302
    answer = Client().post(desk.address, desk.form(action="hold"))
    assert answer.status_code == 429
    assert "Too many times are being kept" in text_of(answer)
    assert SlotHold.objects.count() == 2


# --- Signing up in the middle -------------------------------------------------------------------
def test_a_new_patient_comes_back_from_sign_up_to_the_kept_time_with_everything_typed(
    desk: Desk, client: Client
) -> None:
    sign_up = client.post(desk.address, desk.form(action="hold")).headers["Location"]
    answer = client.post(
        sign_up,
        {
            "name": "Maya Chen",
            "birth_date_month": "3",
            "birth_date_day": "31",
            "birth_date_year": "1985",
            "email": "maya@example.org",
            "password1": "several words in a row",
            "accept": "on",
        },
    )
    assert answer.status_code == 302, text_of(answer)
    code = mailed_code("maya@example.org")
    answer = client.post(answer.headers["Location"], {"code": code})
    assert answer.status_code == 302
    assert answer.headers["Location"] == desk.page().replace(":", "%3A")
    page = client.get(answer.headers["Location"])
    assert page.status_code == 200
    assert REASON in text(page)
    assert "data-hold-until" in text(page)
    assert "You (Maya Chen)" in text_of(page)
    visit = book(client, desk)
    assert visit.patient.name == "Maya Chen"
    assert not SlotHold.objects.exists()


def test_a_patient_who_signs_in_comes_back_to_the_kept_time(
    desk: Desk, client: Client, alice: User
) -> None:
    client.post(desk.address, desk.form(action="hold"))
    sign_in = client.post(desk.address, desk.form(action="confirm")).headers["Location"]
    answer = client.post(sign_in, {"login": alice.email, "password": PASSWORD})
    assert answer.status_code == 302
    page = client.get(answer.headers["Location"])
    assert page.status_code == 200
    assert REASON in text(page)
    assert "data-hold-until" in text(page)
