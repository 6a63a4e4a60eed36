"""The checker finds each kind of fault, and only where there is one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chat.history import checker
from tests.chat.history.journal import Ack, Event, Journal, Stored, Written

TALK = "talk"
ALICE, AMARA, CHARLIE = "alice", "amara", "charlie"


class Told:
    """Alice and her doctor wrote three messages and a deletion; a good history until changed."""

    def __init__(self) -> None:
        self.alice = Journal("phone", ALICE, frozenset([TALK]))
        self.amara = Journal("laptop", AMARA, frozenset([TALK]))
        self.charlie = Journal("tablet", CHARLIE, frozenset())
        log = [
            Event(1, "message", "a1", ALICE, "Hello"),
            Event(2, "message", "d1", AMARA, "Hello to you"),
            Event(3, "message", "a2", ALICE, "Oh"),
            Event(4, "deleted", "a3", ALICE, "", target=3),
        ]
        for event in log:
            journal = self.alice if event.sender == ALICE else self.amara
            written = Written(event.client_id, event.kind, event.body, event.target)
            journal.wrote[TALK].append(written)
            journal.acks.append(Ack(event.client_id, TALK, event.seq))
        self.alice.got[TALK] = list(log)
        self.amara.got[TALK] = list(log)
        self.stored = Stored(
            {TALK: log},
            {TALK: 4},
            {TALK: frozenset([ALICE, AMARA])},
            [{(TALK, ALICE): (2, 1)}, {(TALK, ALICE): (4, 4)}],
        )

    @property
    def log(self) -> list[Event]:
        return self.stored.events[TALK]

    def broken_rules(self) -> set[str]:
        found = checker.faults([self.alice, self.amara, self.charlie], self.stored)
        return {what.partition(":")[0] for what in found}


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_good_history_has_no_fault(told: Told) -> None:
    assert told.broken_rules() == set()


def test_a_deleted_text_may_be_left_out_but_no_other(told: Told) -> None:
    told.amara.got[TALK][2] = replace(told.log[2], body="")
    assert told.broken_rules() == set()
    told.amara.got[TALK][0] = replace(told.log[0], body="")
    assert told.broken_rules() == {"everybody_saw_the_log"}


def test_a_lost_message_that_was_acknowledged(told: Told) -> None:
    del told.log[1]
    assert "acknowledged_is_stored_once" in told.broken_rules()
    assert "numbers_have_no_holes" in told.broken_rules()


def test_a_message_stored_twice(told: Told) -> None:
    again = replace(told.log[0], seq=5)
    told.log.append(again)
    told.alice.got[TALK].append(again)
    told.amara.got[TALK].append(again)
    told.stored.heads[TALK] = 5
    # The numbers are fine and everybody saw the same: only the ack's promise is broken.
    assert "acknowledged_is_stored_once" in told.broken_rules()


def test_an_ack_with_another_number(told: Told) -> None:
    told.alice.acks.append(Ack("a1", TALK, 2))
    assert told.broken_rules() == {"acknowledged_is_stored_once"}


def test_a_message_that_was_never_acknowledged(told: Told) -> None:
    told.alice.acks.pop()
    assert told.broken_rules() == {"written_is_acknowledged"}


def test_two_events_of_one_number(told: Told) -> None:
    told.log[2] = replace(told.log[2], seq=2)
    assert "numbers_have_no_holes" in told.broken_rules()


def test_a_head_that_is_not_the_last_number(told: Told) -> None:
    told.stored.heads[TALK] = 7
    assert told.broken_rules() == {"numbers_have_no_holes"}


@pytest.mark.parametrize("index", range(4))
def test_a_participant_who_missed_an_event(told: Told, index: int) -> None:
    del told.amara.got[TALK][index]
    assert told.broken_rules() == {"everybody_saw_the_log"}


def test_a_participant_who_saw_an_event_twice(told: Told) -> None:
    told.amara.got[TALK].append(told.log[3])
    assert told.broken_rules() == {"everybody_saw_the_log"}


def test_a_participant_who_saw_another_order(told: Told) -> None:
    got = told.amara.got[TALK]
    got[0], got[1] = got[1], got[0]
    assert told.broken_rules() == {"everybody_saw_the_log"}


def test_a_senders_messages_in_another_order(told: Told) -> None:
    wrote = told.alice.wrote[TALK]
    wrote[0], wrote[1] = wrote[1], wrote[0]
    assert told.broken_rules() == {"senders_keep_their_order"}


def test_a_text_that_nobody_wrote(told: Told) -> None:
    for log in (told.log, told.alice.got[TALK], told.amara.got[TALK]):
        log[0] = replace(log[0], body="Goodbye")
    assert told.broken_rules() == {"nothing_is_invented"}


@pytest.mark.parametrize("fallen", [(1, 1), (2, 0)])
def test_a_mark_that_fell(told: Told, fallen: tuple[int, int]) -> None:
    told.stored.marks.insert(1, {(TALK, ALICE): fallen})
    assert told.broken_rules() == {"marks_never_fall"}


def test_a_mark_beyond_the_end(told: Told) -> None:
    told.stored.marks.append({(TALK, ALICE): (9, 9)})
    assert told.broken_rules() == {"marks_never_fall"}


def test_somebody_outside_who_got_a_frame(told: Told) -> None:
    told.charlie.foreign.append("typing")
    assert told.broken_rules() == {"nobody_outside"}


def test_somebody_outside_who_saw_events(told: Told) -> None:
    told.charlie.got[TALK] = list(told.log)
    assert told.broken_rules() == {"nobody_outside"}


def test_anything_else_that_a_device_noted(told: Told) -> None:
    told.alice.wrongs.append("the epoch changed")
    assert told.broken_rules() == {"nothing_else_went_wrong"}
