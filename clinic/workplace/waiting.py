"""Who waits for an answer from somebody who works here, the longest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.roles import Role
from chat.models import Conversation
from chat.office import waiting_too_long
from chat.unread import ways_in
from clinic.workplace.day import how_long

SHOWN = 8


@dataclass(frozen=True)
class Waiting:
    """A question that nobody answered yet. ``is_own``: who looks takes part and can open it."""

    conversation: Conversation
    name: str
    waits: str
    is_own: bool


def waiting_for_doctor(user: Any, now: datetime) -> tuple[list[Waiting], int]:
    """Unanswered questions in the doctor's own conversations and those they were added to."""
    # The first two ways are those of patients and carers.
    ways = [
        way.filter(waiting_since__isnull=False, closed_at=None).order_by().values("pk")
        for way in ways_in(user, now)[2:]
    ]
    if user.role != Role.DOCTOR or not ways:
        return [], 0
    found = Conversation.objects.filter(pk__in=list(_keys(ways))).select_related("patient")
    rows = sorted(found, key=lambda one: (one.waiting_since or now, one.pk))
    return [_row(one, now, is_own=True) for one in rows[:SHOWN]], len(rows)


def _keys(ways: list[Any]) -> set[int]:
    return {row["pk"] for row in ways[0].union(*ways[1:])}


def waiting_for_reception(user: Any, now: datetime) -> tuple[list[Waiting], int]:
    """Questions that wait too long at the own hospitals. Of a doctor's conversation reception
    learns that somebody waits, so that it can tell the doctor; it cannot open it."""
    found = waiting_too_long(user, now)
    rows = [_row(one, now, is_own=one.doctor_id is None) for one in found[:SHOWN]]
    return rows, len(rows) if len(rows) < SHOWN else found.count()


def _row(one: Conversation, now: datetime, *, is_own: bool) -> Waiting:
    since = one.waiting_since or now
    return Waiting(one, one.patient.name, how_long(now - since), is_own)
