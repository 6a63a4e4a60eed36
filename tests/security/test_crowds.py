"""What one visitor without an account can keep from others, and what that costs us."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client, RequestFactory

from appointments.models import SlotHold
from clinic.net import counted_address
from tests.appointments.desk import AT, Desk, iso, open_desk

pytestmark = pytest.mark.django_db


def keep(desk: Desk, number: int, **options: Any) -> int:
    """Keeps the ``number``th time of the day in a browser of its own."""
    at = iso(AT + timedelta(minutes=30 * number))
    return Client(**options).post(desk.address, desk.form(action="hold", at=at)).status_code


def test_new_browsers_of_one_address_cannot_keep_a_whole_day_of_a_doctor() -> None:
    desk, other = open_desk(), open_desk(name="Ben Ito")
    answers = [keep(desk, number) for number in range(8)]
    most = settings.HOLDS_PER_ADDRESS_AND_DOCTOR
    assert answers == [302] * most + [429] * (8 - most)
    assert keep(other, 0) == 302
    assert keep(desk, 8, REMOTE_ADDR="198.51.100.7") == 302  # somebody else is not in the way
    assert SlotHold.objects.count() == most + 2


def test_one_address_cannot_keep_a_whole_clinic(settings: Any) -> None:
    settings.HOLDS_PER_ADDRESS = 6
    desks = [open_desk(name=name) for name in ("Amara Okafor", "Ben Ito", "Cleo Park")]
    answers = [keep(desks[number % 3], number) for number in range(12)]
    assert answers == [302] * 6 + [429] * 6


def test_a_forged_header_gives_no_new_address() -> None:
    desk = open_desk()
    answers = [
        keep(desk, number, HTTP_X_FORWARDED_FOR=f"203.0.113.{number}") for number in range(6)
    ]
    assert answers[-1] == 429


def test_a_new_ipv6_address_of_the_same_network_gives_no_new_count() -> None:
    desk = open_desk()
    answers = [keep(desk, number, REMOTE_ADDR=f"2001:db8:1:2::{number + 1}") for number in range(6)]
    assert answers == [302] * 5 + [429]
    assert keep(desk, 7, REMOTE_ADDR="2001:db8:1:3::1") == 302


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", None),
    ],
)
def test_limits_count_ipv6_by_network(peer: str, counted: str | None) -> None:
    assert counted_address(RequestFactory().get("/", REMOTE_ADDR=peer)) == counted


def test_sign_ins_are_counted_by_network_too(settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | {"login": "3/m/ip"}
    answers = [
        Client(REMOTE_ADDR=f"2001:db8:1:2::{number + 1}")
        .post("/accounts/login/", {"login": f"nobody{number}@example.org", "password": "x"})
        .status_code
        for number in range(5)
    ]
    assert answers[0] == 422
    assert answers[-1] == 429
