"""Pruning clears what no longer decides anything, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from accounts.models import AuditEvent, User
from appointments.booking import book, cancel
from appointments.holding import KEEP_ANSWERS, current_hold, hold
from appointments.models import (
    Appointment,
    BookingRequest,
    CareRelation,
    DoctorHold,
    PatientHold,
    SlotHold,
)
from appointments.refusals import SlotTaken
from appointments.upkeep import KEEP_BOOKING_KEYS, KEEP_HOLDS, prune_holds
from clinic.jobs.models import OutgoingMail
from tests.appointments.desk import AT, NOW, Desk, open_desk

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


@pytest.fixture
def desk() -> Desk:
    return open_desk()


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


def test_what_is_coming_stays(desk: Desk, alice: User) -> None:
    make(desk, alice)
    kept = hold(service=desk.service, starts_at=AT + timedelta(hours=1), now=NOW)
    assert prune_holds(NOW) == 0
    assert DoctorHold.objects.count() == 12 and PatientHold.objects.count() == 6
    assert current_hold(kept.token) == kept


def test_a_hold_is_pruned_when_it_ends_and_not_before(desk: Desk) -> None:
    kept = hold(service=desk.service, starts_at=AT, now=NOW)
    assert prune_holds(kept.held_until - SECOND) == 0
    assert prune_holds(kept.held_until) == 6
    assert not DoctorHold.objects.exists()


def test_the_answers_beside_a_lost_time_stay_for_a_day(desk: Desk) -> None:
    kept = hold(service=desk.service, starts_at=AT, reason="Cough", now=NOW)
    prune_holds(kept.held_until + KEEP_ANSWERS - SECOND)
    left = current_hold(kept.token)
    assert left is not None and left.reason == "Cough"
    assert prune_holds(kept.held_until + KEEP_ANSWERS) == 1
    assert not SlotHold.objects.exists()


def test_an_extended_hold_is_not_pruned_by_its_first_end(desk: Desk) -> None:
    kept = hold(service=desk.service, starts_at=AT, now=NOW)
    later = NOW + timedelta(minutes=5)
    hold(service=desk.service, starts_at=AT, token=kept.token, now=later)
    assert prune_holds(kept.held_until) == 0


def test_the_grains_of_visits_stay_a_week_after_them(
    desk: Desk, alice: User, charlie: User
) -> None:
    visit = make(desk, alice)
    prune_holds(AT + KEEP_HOLDS)
    assert DoctorHold.objects.count() == PatientHold.objects.count() == 6
    with pytest.raises(SlotTaken):
        make(desk, charlie)
    assert prune_holds(visit.ends_at + KEEP_HOLDS) == 12
    assert not DoctorHold.objects.exists() and not PatientHold.objects.exists()


def test_a_key_still_answers_for_thirty_days(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    just_before = NOW + KEEP_BOOKING_KEYS - SECOND
    prune_holds(just_before)
    assert make(desk, alice, now=just_before) == visit
    prune_holds(NOW + KEEP_BOOKING_KEYS)
    assert not BookingRequest.objects.exists()


def test_visits_their_trail_mails_and_relations_are_never_pruned(desk: Desk, alice: User) -> None:
    make(desk, alice)
    later = make(desk, alice, starts_at=AT + timedelta(days=7), key="k2")
    cancel(appointment=later, by=alice, now=NOW)
    counted = (Appointment, CareRelation, AuditEvent, OutgoingMail)
    before = [model._default_manager.count() for model in counted]
    prune_holds(NOW + timedelta(days=3650))
    assert [model._default_manager.count() for model in counted] == before == [2, 2, 3, 3]


def test_pruning_twice_is_harmless(desk: Desk, alice: User) -> None:
    make(desk, alice)
    much_later = AT + timedelta(days=60)
    assert prune_holds(much_later) == 13
    assert prune_holds(much_later) == 0
