"""Which conversations a server knows of its people, and what it does about holes in their logs."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import Role, User
from chat import sight
from chat.hub import Hub
from chat.lines import Line
from chat.loops import Tasks
from chat.models import Conversation
from clinic.directory.models import Hospital, HospitalStaff
from tests.appointments.town import hospital as make_hospital
from tests.cast import make_account, make_patient_user

NEWEST = 3


def _at(hospital: Hospital, number: int, at: datetime) -> Conversation:
    patient = make_patient_user(f"p{hospital.pk}.{number}@example.org", name=f"P {number}").chart
    return Conversation.objects.create(
        patient=patient, hospital=hospital, pair=f"h{hospital.pk}.{patient.pk}", last_event_at=at
    )


def _desk(name: str) -> tuple[Hospital, User]:
    place = make_hospital(name)
    email = f"{place.slug}@example.org"
    user = make_account(email, name=name, role=Role.RECEPTION, is_staff=True)
    HospitalStaff.objects.create(hospital=place, user=user)
    return place, user


@pytest.mark.django_db
def test_a_busy_hospital_does_not_crowd_out_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sight, "MOST_NAMED", NEWEST)
    for way in sight._NEWEST.values():
        monkeypatch.setattr(way, "_kept", {})  # compiled with the limit as it was
    now = timezone.now()
    small, rita = _desk("Small Clinic")
    large, sam = _desk("Large Clinic")
    mine = _at(small, 0, now - timedelta(days=2))
    for number in range(8):
        _at(large, number, now - timedelta(minutes=number))
    found = sight.places_of([rita.pk, sam.pk], now)
    assert [place.pk for place in found[rita.pk]] == [mine.pk]
    assert len(found[sam.pk]) == NEWEST


class _Away:
    """Reads of a log while the database is away, and how many there were."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, question: object) -> list[object]:
        self.asked += 1
        raise ConnectionError


def test_a_hole_that_could_not_be_filled_is_tried_again_at_every_look() -> None:
    async def looks() -> tuple[int, bool]:
        hub = Hub.__new__(Hub)
        away = _Away()
        hub.__dict__.update(lines={}, link=SimpleNamespace(live=False), _fills=away, _tasks=Tasks())
        line = hub.lines[1] = Line(1, uuid4(), 5)
        for _ in range(3):
            hub._head_is(line, 6)
            await asyncio.sleep(0.01)
        return away.asked, line.is_behind

    assert asyncio.run(looks()) == (3, True)
