"""Several windows save and sign one draft at once, on whichever database the suite runs on.

The control does what a rule must not: it reads, compares, and then writes. The same judge has to
catch it, or these tests would show nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from accounts.audit import verify_chain
from accounts.models import AuditEvent
from records.models import Note
from records.notes import save_draft, sign, start_note
from records.refusals import AlreadySigned, RecordRefused, StaleDraft
from tests.records.ward import NOW, Ward, open_ward

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

WINDOWS = 6
ROUNDS = 4
Act = Callable[[int, Note, Ward], str]


@pytest.fixture
def ward(transactional_db: None) -> Ward:
    return open_ward()


def at_once(act: Act, note: Note, ward: Ward) -> list[str]:
    """What came of ``act`` in each window; they start at the same moment."""
    start = threading.Barrier(WINDOWS)
    outcomes = ["error"] * WINDOWS

    def window(number: int) -> None:
        try:
            start.wait(10)
            outcomes[number] = act(number, note, ward)
        except RecordRefused as refusal:
            outcomes[number] = refusal.code
        finally:
            connections.close_all()

    threads = [threading.Thread(target=window, args=[number]) for number in range(WINDOWS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


# What a template or a slow network takes; longer than the windows' first connections take apart.
IN_BETWEEN = 0.5


def saves(number: int, note: Note, ward: Ward) -> str:
    body = f"Window {number}"
    save_draft(note=note, body=body, version=note.version, by=ward.by, now=NOW)
    return f"stored {body}"


def signs(number: int, note: Note, ward: Ward) -> str:
    body = f"Window {number}"
    sign(note=note, body=body, version=note.version, by=ward.by, now=NOW)
    return f"stored {body}"


def saves_carelessly(number: int, note: Note, ward: Ward) -> str:
    """Reads, compares, writes: the control."""
    stored = Note.objects.get(pk=note.pk)
    if stored.version != note.version:
        raise StaleDraft(stored)
    time.sleep(IN_BETWEEN)
    stored.body, stored.version = f"Window {number}", note.version + 1
    stored.save()
    return f"stored {stored.body}"


def signs_carelessly(number: int, note: Note, ward: Ward) -> str:
    stored = Note.objects.get(pk=note.pk)
    if stored.is_signed:
        raise AlreadySigned
    time.sleep(IN_BETWEEN)
    stored.body, stored.status = f"Window {number}", Note.Status.SIGNED
    stored.signed_at = NOW
    stored.save()
    return f"stored {stored.body}"


def lost_texts(outcomes: list[str], note: Note) -> list[str]:
    """Texts that a window was told are stored, and that are not there."""
    assert "error" not in outcomes
    note.refresh_from_db()
    return [said for said in outcomes if said.startswith("stored") and note.body not in said]


def fresh(ward: Ward, turn: int) -> Note:
    note = start_note(encounter=ward.encounter(), by=ward.by, now=NOW + timedelta(days=turn))
    return save_draft(note=note, body=f"Begun {turn}", version=note.version, by=ward.by, now=NOW)


@pytest.mark.parametrize(("act", "others"), [(saves, "stale_draft"), (signs, "already_signed")])
def test_one_window_wins_and_the_others_are_told(ward: Ward, act: Act, others: str) -> None:
    for turn in range(ROUNDS):
        note = fresh(ward, turn)
        version = note.version
        outcomes = at_once(act, note, ward)
        assert lost_texts(outcomes, note) == []
        told = Counter(said if said == others else "stored" for said in outcomes)
        assert told == {"stored": 1, others: WINDOWS - 1}
        assert note.version == version + 1
    actions = Counter(AuditEvent.objects.values_list("action", flat=True))
    action = "note.saved" if act is saves else "note.signed"
    assert actions[f"{action}.refused"] == ROUNDS * (WINDOWS - 1)
    assert actions["note.signed"] == (ROUNDS if act is signs else 0)
    assert verify_chain(ward.patient) == []


def test_a_save_and_a_signature_at_once_lose_neither(ward: Ward) -> None:
    def either(number: int, note: Note, ward: Ward) -> str:
        return (signs if number % 2 else saves)(number, note, ward)

    for turn in range(ROUNDS):
        note = fresh(ward, turn)
        outcomes = at_once(either, note, ward)
        assert lost_texts(outcomes, note) == []
        assert sum(said.startswith("stored") for said in outcomes) == 1
        if not note.is_signed:
            sign(note=note, body="The end", version=note.version, by=ward.by, now=NOW)


def test_two_windows_begin_one_draft(ward: Ward) -> None:
    encounter = ward.encounter()

    def begins(number: int, note: Note, ward: Ward) -> str:
        return f"stored {start_note(encounter=encounter, by=ward.by, now=NOW).pk}"

    outcomes: Any = at_once(begins, Note(), ward)
    assert len(set(outcomes)) == 1 and Note.objects.count() == 1


@pytest.mark.parametrize("act", [saves_carelessly, signs_carelessly])
def test_the_control_loses_texts_and_the_judge_sees_it(ward: Ward, act: Act) -> None:
    note = fresh(ward, 0)
    outcomes = at_once(act, note, ward)
    assert len(lost_texts(outcomes, note)) == WINDOWS - 1
