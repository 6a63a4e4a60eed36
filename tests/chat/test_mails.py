"""Mails about unread messages: after a while, once a burst, and never with content."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import User
from chat.frames import Delete
from chat.log import Act, append
from chat.mails import mail_about_unread
from chat.marks import Mark, mark_all
from chat.models import Conversation
from clinic.jobs.models import OutgoingMail
from tests.chat.clinic import NOW, Clinic, open_clinic, say

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(minutes=31)
CANARY = "canary-chest-pain"


@pytest.fixture
def clinic(db: None) -> Clinic:
    return open_clinic()


@pytest.fixture
def talk(clinic: Clinic, alice: User) -> Conversation:
    clinic.take_into_care(alice.chart)
    return clinic.talk(alice.chart, by=alice)


def mails() -> list[OutgoingMail]:
    return list(OutgoingMail.objects.order_by("pk"))


def test_a_message_unread_for_half_an_hour_is_mailed_about_without_its_content(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    say(talk, clinic.doctor_user, CANARY)
    assert mail_about_unread(now=NOW + timedelta(minutes=29)) == 0
    assert mail_about_unread(now=LATER) == 1
    [mail] = mails()
    assert mail.to == alice.email
    assert mail.subject == "You have a new message at Harbour Health"
    everything = f"{mail.subject} {mail.text} {mail.html}"
    for secret in (CANARY, "Okafor", "Casco Bay", "Alice", "ardiolog", "canary-specialty"):
        assert secret not in everything
    assert f"/messages/{talk.public_id}/" in mail.text
    assert f"/messages/{talk.public_id}/" in mail.html


def test_a_burst_is_one_mail_until_its_reader_was_there(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    for number in range(3):
        say(talk, clinic.doctor_user, f"{number}", now=NOW + timedelta(minutes=number))
    late = NOW + timedelta(minutes=40)
    assert mail_about_unread(now=late) == 1
    assert mail_about_unread(now=late) == 0
    say(talk, clinic.doctor_user, "Another", now=late)
    assert mail_about_unread(now=late + timedelta(hours=1)) == 0
    mark_all([Mark(talk.public_id, alice.pk, read=4)], now=late)
    say(talk, clinic.doctor_user, "The next day", now=late + timedelta(hours=20))
    assert mail_about_unread(now=late + timedelta(hours=21)) == 1
    assert len(mails()) == 2


def test_what_was_read_deleted_or_ones_own_is_not_mailed_about(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    entry = say(talk, clinic.doctor_user, "Oops")
    what = Delete(talk.public_id, "0b9c2f3e-7d7c-4f6e-9b51-1c7d2f7d3a10", entry.seq)
    append([Act(clinic.doctor_user.pk, what)], now=NOW)
    say(talk, alice, "A question")
    mark_all([Mark(talk.public_id, clinic.doctor_user.pk, read=3)], now=NOW)
    assert mail_about_unread(now=LATER) == 0
    assert mails() == []


def test_everybody_who_has_not_read_it_is_told_but_reception(
    clinic: Clinic, talk: Conversation, alice: User, bob: User
) -> None:
    say(talk, clinic.doctor_user, "To you both")
    desk = clinic.desk(alice.chart, by=alice)
    say(desk, alice, "To the desk")
    assert mail_about_unread(now=LATER) == 3
    assert sorted(mail.to for mail in mails()) == [alice.email, bob.email, bob.email]


def test_a_carer_whose_right_ended_is_not_told(
    clinic: Clinic, talk: Conversation, alice: User, bob: User
) -> None:
    say(talk, clinic.doctor_user, "News")
    bob.cares_for.update(until=NOW)
    mail_about_unread(now=LATER)
    assert [mail.to for mail in mails()] == [alice.email]
