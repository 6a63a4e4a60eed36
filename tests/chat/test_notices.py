"""What a conversation is told: visits, the automatic answer, and questions that wait."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine

from accounts.models import User
from appointments.booking import cancel, reschedule
from appointments.models import Appointment, CareRelation
from chat.access import members_of
from chat.log import Entry
from chat.membership import hand_over
from chat.models import ChatSettings, Conversation, Event, Kind
from chat.office import (
    answers_when_closed,
    looked_at,
    office_at,
    reply_words,
    set_chat_settings,
    to_look_at,
    waiting_too_long,
)
from chat.opening import close
from clinic.directory.models import Hospital, HospitalDay, OpeningHours, ReplyTime, TimeOff
from tests.appointments.desk import AT, book, open_desk
from tests.cast import signed_in
from tests.chat.clinic import NIGHT, NOW, Clinic, address, form, open_clinic, say

pytestmark = pytest.mark.django_db


@pytest.fixture
def clinic(db: None) -> Clinic:
    return open_clinic()


@pytest.fixture
def talk(clinic: Clinic, alice: User) -> Conversation:
    clinic.take_into_care(alice.chart)
    return clinic.talk(alice.chart, by=alice)


@pytest.fixture(autouse=True)
def _nothing_looked_at() -> Iterator[None]:
    looked_at.forget()
    yield
    looked_at.forget()


def automatic(*entries: Entry, now: datetime) -> list[Entry]:
    return answers_when_closed(to_look_at(entries, now=now), now=now)


def notices(conversation: Conversation) -> list[str]:
    rows = Event.objects.filter(conversation=conversation, kind=Kind.NOTICE).order_by("seq")
    return list(rows.values_list("body", flat=True))


# --- Visits ---------------------------------------------------------------------------------


def make_talk(visit: Appointment) -> Conversation:
    return Conversation.objects.create(
        patient=visit.patient,
        doctor=visit.doctor,
        hospital=visit.hospital,
        pair=f"d{visit.doctor_id}.{visit.patient_id}",
    )


@time_machine.travel(NOW, tick=False)
def test_a_booked_moved_and_cancelled_visit_is_told_in_the_conversation(
    alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    desk = open_desk()
    with django_capture_on_commit_callbacks(execute=True):
        first = book(signed_in(alice), desk)
    assert not Conversation.objects.exists()  # a visit alone begins no conversation
    conversation = make_talk(first)
    with django_capture_on_commit_callbacks(execute=True):
        visit = book(signed_in(alice), desk, key="another", at="2026-11-20T14:00:00Z", clash="both")
    with django_capture_on_commit_callbacks(execute=True):
        reschedule(
            appointment=visit,
            starts_at=datetime(2026, 11, 20, 15, 0, tzinfo=UTC),
            by=alice,
            key="move",
            now=NOW,
        )
    with django_capture_on_commit_callbacks(execute=True):
        cancel(appointment=visit, by=alice, now=NOW)
    assert notices(conversation) == [
        "Visit booked: Friday, November 20, 2026, 9:00 am EST.",
        "Visit moved: now Friday, November 20, 2026, 10:00 am EST, "
        "before Friday, November 20, 2026, 9:00 am EST.",
        "Visit cancelled: Friday, November 20, 2026, 10:00 am EST.",
    ]
    assert not any(visit.reason in words for words in notices(conversation))
    conversation.refresh_from_db()
    assert conversation.last_seq == 3


@time_machine.travel(NOW, tick=False)
def test_a_closed_conversation_stays_as_it_is(
    alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    desk = open_desk()
    visit = book(signed_in(alice), desk)
    conversation = make_talk(visit)
    Conversation.objects.update(closed_at=NOW)
    with django_capture_on_commit_callbacks(execute=True):
        cancel(appointment=visit, by=alice, now=NOW)
    assert notices(conversation) == []
    assert visit.starts_at == AT


# --- Office hours ---------------------------------------------------------------------------


def test_the_office_is_open_when_the_doctor_has_hours(talk: Conversation) -> None:
    assert office_at(talk, NOW).is_open
    night = office_at(talk, NIGHT)
    assert not night.is_open
    assert night.opens_at == datetime(2026, 11, 4, 14, 0, tzinfo=UTC)  # 9 am the next day


def test_closed_days_and_time_off_count(clinic: Clinic, talk: Conversation) -> None:
    HospitalDay.objects.create(hospital=clinic.hospital, date=date(2026, 11, 4))
    TimeOff.objects.create(
        doctor=clinic.doctor,
        starts_at=datetime(2026, 11, 5, 5, 0, tzinfo=UTC),
        ends_at=datetime(2026, 11, 5, 17, 0, tzinfo=UTC),
    )
    night = office_at(talk, NIGHT)
    assert night.opens_at == datetime(2026, 11, 5, 17, 0, tzinfo=UTC)


def test_without_known_hours_nobody_is_told_that_it_is_closed(talk: Conversation) -> None:
    OpeningHours.objects.all().delete()
    assert office_at(talk, NIGHT).is_open
    assert "Closed" not in reply_words(talk, NIGHT)


def test_the_expected_reply_is_a_sentence(talk: Conversation) -> None:
    assert reply_words(talk, NOW) == "We aim to answer within one working day."
    assert reply_words(talk, NIGHT) == (
        "Closed now, open again Wed, Nov 4, 9:00 am EST. We aim to answer within one working day."
    )


def test_the_expected_reply_is_the_hospitals_and_then_the_doctors(
    clinic: Clinic, talk: Conversation
) -> None:
    Hospital.objects.update(reply_days=ReplyTime.THREE)
    talk.refresh_from_db()
    assert reply_words(talk, NOW) == "We aim to answer within three working days."
    chosen = ChatSettings.objects.create(user=clinic.doctor_user)
    assert reply_words(talk, NOW) == "We aim to answer within three working days."
    ChatSettings.objects.filter(pk=chosen.pk).update(reply_days=ReplyTime.SAME_DAY)
    assert reply_words(talk, NOW) == "We aim to answer on the same working day."


def test_a_cover_who_handed_the_conversation_over_takes_part_already(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    colleague = clinic.colleague()
    assert colleague.user is not None
    hand_over(conversation=talk, doctor=colleague, by=clinic.doctor_user, now=NOW)
    set_chat_settings(
        user=colleague.user,
        show_seen=True,
        reply_days=None,
        away_from=date(2026, 11, 2),
        away_until=date(2026, 11, 9),
        cover=clinic.doctor,
        now=NOW,
    )
    [answer] = automatic(say(talk, alice, "Hello"), now=NOW)
    assert "call 911" in answer.body


def test_a_failed_automatic_answer_is_not_told_as_a_failed_message(
    talk: Conversation, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise LookupError

    monkeypatch.setattr("chat.sending.answers_when_closed", fails)
    assert signed_in(alice).post(address(talk), form("Hello")).status_code == 302
    assert talk.events.get(kind=Kind.MESSAGE).body == "Hello"


def test_who_writes_at_night_gets_one_automatic_answer(talk: Conversation, alice: User) -> None:
    first = say(talk, alice, "Are you there?", now=NIGHT)
    [answer] = automatic(first, now=NIGHT)
    assert answer.kind == Kind.NOTICE
    assert answer.audience  # goes to everybody at once
    assert "open again Wednesday, November 4, 2026, 9:00 am EST" in answer.body
    assert "call 911" in answer.body
    later = NIGHT + timedelta(minutes=30)
    assert automatic(say(talk, alice, "Hello?", now=later), now=later) == []
    assert len(notices(talk)) == 1
    next_night = NIGHT + timedelta(days=1)
    again = automatic(say(talk, alice, "Still?", now=next_night), now=next_night)
    assert len(again) == 1


def test_nobody_is_answered_automatically_in_office_hours(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    assert automatic(say(talk, alice, "Hello"), now=NOW) == []
    by_doctor = say(talk, clinic.doctor_user, "Good evening", now=NIGHT)
    assert automatic(by_doctor, now=NIGHT) == []
    assert notices(talk) == []


def test_a_busy_conversation_is_asked_about_once_a_minute(
    talk: Conversation, alice: User, django_assert_num_queries: Any
) -> None:
    automatic(say(talk, alice, "One"), now=NOW)
    two = say(talk, alice, "Two", now=NOW + timedelta(seconds=59))
    with django_assert_num_queries(0):
        automatic(two, now=NOW + timedelta(seconds=59))


def test_an_absence_names_the_cover_who_can_then_answer(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    cover = clinic.colleague()
    assert cover.user is not None
    set_chat_settings(
        user=clinic.doctor_user,
        show_seen=True,
        reply_days=None,
        away_from=date(2026, 11, 2),
        away_until=date(2026, 11, 9),
        cover=cover,
        now=NOW,
    )
    words = reply_words(talk, NOW)
    assert words == (
        "Dr. Amara Okafor is away and back on Monday, November 9, 2026. "
        "Dr. Matthieu Lefebvre covers."
    )
    assert cover.user.pk not in members_of([talk.pk], NOW)[talk.pk]
    answers = automatic(say(talk, alice, "Hello"), now=NOW)
    assert [answer.body for answer in answers] == [
        f"Automatic answer: {words} If you think it is urgent, do not wait for an answer here: "
        "call 911.",
        "Dr. Matthieu Lefebvre covers and can answer here.",
    ]
    assert cover.user.pk in members_of([talk.pk], NOW)[talk.pk]
    assert not CareRelation.objects.filter(doctor=cover).exists()
    talk.refresh_from_db()
    assert talk.last_seq == 3
    back = datetime(2026, 11, 9, 15, 0, tzinfo=UTC)
    assert "away" not in reply_words(talk, back)


# --- Waiting --------------------------------------------------------------------------------


def test_questions_wait_until_somebody_of_the_clinic_answers(clinic: Clinic, alice: User) -> None:
    conversation = clinic.desk(alice.chart, by=alice)
    say(conversation, alice, "Where do I park?")
    soon, later = NOW + timedelta(hours=3, minutes=59), NOW + timedelta(hours=4)
    assert not waiting_too_long(clinic.reception, soon).exists()
    assert list(waiting_too_long(clinic.reception, later)) == [conversation]
    say(conversation, alice, "Hello?", now=soon)
    assert list(waiting_too_long(clinic.reception, later)) == [conversation]
    say(conversation, clinic.reception, "Behind the building.", now=later)
    assert not waiting_too_long(clinic.reception, later + timedelta(days=1)).exists()


def test_a_closed_conversation_does_not_wait(clinic: Clinic, alice: User) -> None:
    conversation = clinic.desk(alice.chart, by=alice)
    say(conversation, alice, "Where do I park?")
    close(conversation=conversation, by=clinic.reception, now=NOW)
    assert not waiting_too_long(clinic.reception, NOW + timedelta(days=1)).exists()


def test_the_doctors_choices_are_kept_in_one_row(clinic: Clinic) -> None:
    facts: dict[str, Any] = {
        "reply_days": 2, "away_from": None, "away_until": None, "cover": None, "now": NOW,
    }  # fmt: skip
    for show_seen in (False, True):
        set_chat_settings(user=clinic.doctor_user, show_seen=show_seen, **facts)
    chosen = ChatSettings.objects.get()
    assert (chosen.show_seen, chosen.reply_days) == (True, 2)
