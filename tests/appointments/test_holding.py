"""Keeping a time for ten minutes: how long, for whom, and what is left when it is given back."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as site

from accounts.models import User
from appointments.booking import book
from appointments.free_times import free_times
from appointments.holding import current_hold, hold, release
from appointments.models import Appointment, DoctorHold, SlotHold
from appointments.refusals import NotOffered, SlotTaken, TooManyHolds
from appointments.slots import grain_at
from clinic.directory.models import Schedule
from clinic.jobs.models import OutgoingMail
from tests.appointments.desk import AT, NOW, Desk, open_desk

pytestmark = pytest.mark.django_db

QUARTER = timedelta(minutes=15)
HALF_HOUR = timedelta(minutes=30)
MINUTES = timedelta(minutes=1)
HERE, THERE = "203.0.113.7", "2001:db8::7"


@pytest.fixture
def desk() -> Desk:
    return open_desk()


@pytest.fixture
def other() -> Desk:
    return open_desk(name="Ben Osei")


def keep(desk: Desk, at: datetime = AT, **more: Any) -> SlotHold:
    facts: dict[str, Any] = {"service": desk.service, "starts_at": at, "now": NOW}
    return hold(**(facts | more))


def make(desk: Desk, user: User, **more: Any) -> Appointment:
    facts: dict[str, Any] = {
        "service": desk.service,
        "patient": user.chart,
        "starts_at": AT,
        "by": user,
        "key": "k",
        "now": NOW,
    }
    return book(**(facts | more))


def is_free(desk: Desk, at: datetime = AT, now: datetime = NOW) -> bool:
    return at in free_times([desk.service], first=at.date(), days=1, now=now)[desk.service.pk]


def held_grains(desk: Desk) -> list[int]:
    rows = DoctorHold.objects.filter(doctor=desk.doctor)
    return list(rows.order_by("grain").values_list("grain", flat=True))


# --- Keeping --------------------------------------------------------------------------------
def test_a_kept_time_is_kept_for_ten_minutes_with_what_was_typed(desk: Desk) -> None:
    desk.service.buffer_minutes = 10
    kept = keep(desk, reason="Cough", patient_choice="me", address=HERE)
    kept = SlotHold.objects.get(pk=kept.pk)
    assert kept.held_until == NOW + timedelta(minutes=10)
    assert (kept.reason, kept.patient_choice, kept.address) == ("Cough", "me", HERE)
    assert (kept.starts_at, kept.occupied_until) == (AT, AT + timedelta(minutes=40))
    assert held_grains(desk) == list(range(grain_at(AT), grain_at(AT) + 8))
    assert set(DoctorHold.objects.values_list("held_until", flat=True)) == {kept.held_until}
    assert not Appointment.objects.exists() and not OutgoingMail.objects.exists()
    assert current_hold(kept.token) == kept


def test_tokens_are_random_and_unknown_ones_name_nothing(desk: Desk, other: Desk) -> None:
    one, two = keep(desk), keep(other)
    assert one.token != two.token and min(len(one.token), len(two.token)) >= 32
    assert current_hold("") is None and current_hold("guessed") is None
    release("guessed")
    assert SlotHold.objects.count() == 2


def test_a_token_that_nobody_gave_out_is_not_taken_over(desk: Desk) -> None:
    """A session that lost its hold asks with the old token and gets a new one."""
    assert keep(desk, token="of-yesterday").token != "of-yesterday"


def test_others_cannot_keep_or_see_a_kept_time(desk: Desk) -> None:
    assert is_free(desk)
    keep(desk)
    assert not is_free(desk)
    with pytest.raises(SlotTaken) as caught:
        keep(desk, AT + QUARTER)
    assert caught.value.nearest == [AT + HALF_HOUR, AT + 3 * QUARTER, AT + 4 * QUARTER]
    assert SlotHold.objects.count() == 1


def test_a_booked_time_cannot_be_kept(desk: Desk, alice: User) -> None:
    make(desk, alice)
    with pytest.raises(SlotTaken):
        keep(desk)
    assert not SlotHold.objects.exists()


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (NOW - QUARTER, "past"),
        (NOW + QUARTER, "too_soon"),
        (AT + timedelta(days=200), "too_far"),
        (AT + timedelta(minutes=5), "off_grid"),
        (AT - timedelta(hours=3), "closed"),
    ],
)
def test_what_is_not_offered_is_not_kept(desk: Desk, at: datetime, code: str) -> None:
    before = Schedule.objects.get(doctor=desk.doctor).version
    with pytest.raises(NotOffered) as caught:
        keep(desk, at)
    assert caught.value.code == code and len(caught.value.nearest) == 3
    assert not SlotHold.objects.exists() and not DoctorHold.objects.exists()
    assert Schedule.objects.get(doctor=desk.doctor).version == before


# --- Expiring -------------------------------------------------------------------------------
def test_it_counts_until_its_end_and_not_a_moment_longer(desk: Desk) -> None:
    kept = keep(desk)
    with pytest.raises(SlotTaken):
        keep(desk, now=kept.held_until - timedelta(seconds=1))
    taken_over = keep(desk, now=kept.held_until)
    assert taken_over.pk != kept.pk
    assert set(DoctorHold.objects.values_list("slot_hold", flat=True)) == {taken_over.pk}


def test_an_expired_hold_is_free_for_all_to_see(desk: Desk, settings: Any) -> None:
    kept = keep(desk)
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert not is_free(desk, now=kept.held_until - timedelta(seconds=1))
    assert is_free(desk, now=kept.held_until)


def test_a_cached_answer_does_not_outlive_the_hold_in_it(desk: Desk) -> None:
    """Nothing bumps the version when a hold runs out, so the entry's own life is short."""
    late = NOW + timedelta(seconds=site.HOLD_SECONDS - 1)
    keep(desk)
    assert not is_free(desk, now=late)  # cached for the second that is left
    time.sleep(1.1)
    assert is_free(desk, now=late + timedelta(seconds=1))


def test_the_answers_outlive_the_time(desk: Desk, alice: User) -> None:
    kept = keep(desk, reason="Cough")
    make(desk, alice, now=kept.held_until)
    left = current_hold(kept.token)
    assert left is not None and left.reason == "Cough"
    assert set(DoctorHold.objects.values_list("slot_hold", flat=True)) == {None}


def test_whoever_kept_an_expired_time_may_book_it_while_nobody_took_it(
    desk: Desk, alice: User
) -> None:
    kept = keep(desk)
    visit = make(desk, alice, hold_token=kept.token, now=kept.held_until + QUARTER)
    assert set(DoctorHold.objects.values_list("appointment", flat=True)) == {visit.pk}


# --- Extending ------------------------------------------------------------------------------
def test_ten_extensions_work_and_each_gives_ten_minutes_more(desk: Desk) -> None:
    kept = keep(desk)
    for number in range(1, 11):
        now = NOW + 9 * number * MINUTES
        again = keep(desk, token=kept.token, now=now)
        assert again.pk == kept.pk and again.token == kept.token
        assert again.held_until == now + 10 * MINUTES
        assert again.extensions == number
        assert set(DoctorHold.objects.values_list("held_until", flat=True)) == {again.held_until}
    assert len(held_grains(desk)) == 6
    with pytest.raises(SlotTaken):
        keep(desk, now=NOW + 99 * MINUTES)


def test_extensions_end(desk: Desk) -> None:
    kept = keep(desk)
    for number in range(site.HOLD_EXTENSIONS):
        kept = keep(desk, token=kept.token, now=NOW + number * MINUTES)
    until = kept.held_until
    with pytest.raises(NotOffered) as caught:
        keep(desk, token=kept.token, now=until - MINUTES)
    assert caught.value.code == "hold_used_up"
    assert "Confirm the booking now" in caught.value.message
    kept.refresh_from_db()
    assert kept.held_until == until, "the time that is left stays"
    assert keep(desk, now=until)  # then others may


def test_what_was_typed_last_is_what_stays(desk: Desk) -> None:
    kept = keep(desk, reason="Cough")
    keep(desk, token=kept.token, reason="Cough and fever", now=NOW + MINUTES)
    assert SlotHold.objects.get().reason == "Cough and fever"


# --- Another time instead -------------------------------------------------------------------
def test_choosing_another_time_gives_the_old_one_back(desk: Desk) -> None:
    kept = keep(desk)
    later = AT + timedelta(hours=2)
    moved = keep(desk, later, token=kept.token, now=NOW + MINUTES)
    assert (moved.pk, moved.token, moved.extensions) == (kept.pk, kept.token, 0)
    assert held_grains(desk) == list(range(grain_at(later), grain_at(later) + 6))
    assert is_free(desk) and not is_free(desk, later)


def test_a_neighbouring_time_may_overlap_ones_own(desk: Desk) -> None:
    kept = keep(desk)
    assert keep(desk, AT + QUARTER, token=kept.token).starts_at == AT + QUARTER
    assert len(held_grains(desk)) == 6


def test_choosing_another_doctor_gives_the_old_time_back(desk: Desk, other: Desk) -> None:
    assert is_free(desk)
    kept = keep(desk)
    assert not is_free(desk)
    keep(other, token=kept.token)
    assert held_grains(desk) == [] and len(held_grains(other)) == 6
    assert is_free(desk) and not is_free(other)
    assert SlotHold.objects.count() == 1


def test_a_refused_change_keeps_the_old_time(desk: Desk, alice: User) -> None:
    kept = keep(desk)
    later = AT + timedelta(hours=2)
    make(desk, alice, starts_at=later)
    with pytest.raises(SlotTaken):
        keep(desk, later, token=kept.token)
    kept.refresh_from_db()
    assert kept.starts_at == AT and not is_free(desk)


# --- Giving back ----------------------------------------------------------------------------
def test_a_time_that_is_given_back_is_free_at_once(desk: Desk) -> None:
    kept = keep(desk)
    assert not is_free(desk)
    release(kept.token)
    assert is_free(desk)
    assert not SlotHold.objects.exists() and not DoctorHold.objects.exists()
    release(kept.token)  # again, as when the button is pressed twice


def test_nobody_else_s_time_is_given_back(desk: Desk, other: Desk) -> None:
    kept, mine = keep(desk), keep(other)
    release(mine.token)
    assert list(SlotHold.objects.all()) == [kept]
    assert len(held_grains(desk)) == 6


# --- How many from one address --------------------------------------------------------------
def test_times_kept_from_one_address_are_limited(desk: Desk, other: Desk, settings: Any) -> None:
    settings.HOLDS_PER_ADDRESS = 2
    first = keep(desk, address=HERE)
    keep(desk, AT + HALF_HOUR, address=HERE)
    with pytest.raises(TooManyHolds) as caught:
        keep(other, address=HERE)
    assert (caught.value.code, caught.value.status) == ("too_many_holds", 429)
    assert "book without keeping" in caught.value.message
    assert SlotHold.objects.count() == 2 and held_grains(other) == []
    assert keep(other, address=THERE)
    # One's own is not counted against oneself, and an expired one against nobody.
    assert keep(desk, token=first.token, address=HERE, now=NOW + MINUTES)
    assert keep(other, AT + HALF_HOUR, address=HERE, now=NOW + 10 * MINUTES)


def test_the_limit_does_not_stop_a_booking(desk: Desk, other: Desk, alice: User) -> None:
    for number in range(3):
        keep(desk, AT + number * HALF_HOUR, address=HERE)
    assert make(other, alice)
