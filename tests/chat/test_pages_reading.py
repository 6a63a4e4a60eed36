"""What the pages of messages show: the list, a conversation, and pieces of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Role, User
from chat.marks import Mark, mark_all
from chat.models import ChatSettings, Conversation, Event, Kind, Participant
from chat.office import looked_at
from chat.opening import close
from chat.unread import heads_for, unread_conversations
from tests.cast import make_account, signed_in
from tests.chat.clinic import (
    NOW,
    Clinic,
    address,
    form,
    open_clinic,
    post_json,
    say,
    states,
    text_of,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    looked_at.forget()
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def clinic(db: None) -> Clinic:
    return open_clinic()


@pytest.fixture
def talk(clinic: Clinic, alice: User) -> Conversation:
    clinic.take_into_care(alice.chart)
    return clinic.talk(alice.chart, by=alice)


def test_getting_marks_nothing_as_read(clinic: Clinic, talk: Conversation, alice: User) -> None:
    say(talk, clinic.doctor_user, "News")
    client = signed_in(alice)
    for path in (address(talk), "/messages/", address(talk, "events?after=0"), "/messages/unread"):
        client.get(path)
    assert not Participant.objects.exists()
    assert unread_conversations(alice, NOW) == 1


def test_check_for_new_messages_marks_what_was_shown(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    say(talk, clinic.doctor_user, "One")
    client = signed_in(alice)
    page = client.get(address(talk)).content.decode()
    assert "Check for new messages" in page
    [shown] = re.findall(r'name="read" value="(\d+)"', page)
    say(talk, clinic.doctor_user, "Two")  # came in after the page was loaded
    response = client.post(address(talk, "marks/"), {"read": shown})
    assert response.headers["Location"] == f"{address(talk)}#latest"
    assert Participant.objects.get(user=alice).read_seq == 1
    assert unread_conversations(alice, NOW) == 1
    assert "Two" in text_of(client.get(address(talk)))


def test_who_answers_has_read_the_page(clinic: Clinic, talk: Conversation, alice: User) -> None:
    say(talk, clinic.doctor_user, "How are you?")
    client = signed_in(alice)
    client.post(address(talk), form("Well, thank you", shown="1"))
    assert Participant.objects.get(user=alice).read_seq == 2
    say(talk, clinic.doctor_user, "Good")
    client.post(address(talk), form("Bye", shown="2"))
    assert Participant.objects.get(user=alice).read_seq == 2


def test_marks_over_http_never_fall(clinic: Clinic, talk: Conversation, alice: User) -> None:
    for number in range(3):
        say(talk, clinic.doctor_user, str(number))
    client = signed_in(alice)
    where = address(talk, "marks/")
    assert post_json(client, where, {"read": "2"}).json() == {"read_seq": 2, "delivered_seq": 2}
    assert post_json(client, where, {"read": "1"}).json() == {"read_seq": 2, "delivered_seq": 2}
    answer = post_json(client, where, {"delivered": "99"})
    assert answer.json() == {"read_seq": 2, "delivered_seq": 3}
    assert post_json(client, where, {"read": "x"}).status_code == 200


def test_states_are_words(clinic: Clinic, talk: Conversation, alice: User) -> None:
    for number in range(3):
        say(talk, alice, str(number))
    mark_all([Mark(talk.public_id, clinic.doctor_user.pk, delivered=2, read=1)], now=NOW)
    page = signed_in(alice).get(address(talk))
    assert states(page) == ["Seen by Dr. Okafor, 10:00 am", "Delivered", "Sent"]


def test_seen_on_another_day_says_which(clinic: Clinic, talk: Conversation, alice: User) -> None:
    say(talk, alice, "Hello")
    mark_all([Mark(talk.public_id, clinic.doctor_user.pk, read=1)], now=NOW)
    with time_machine.travel(NOW + timedelta(days=1), tick=False):
        page = signed_in(alice).get(address(talk))
    assert states(page) == ["Seen by Dr. Okafor, November 3, 10:00 am"]


def test_a_doctor_may_keep_for_herself_what_she_has_seen(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    say(talk, alice, "Hello")
    mark_all([Mark(talk.public_id, clinic.doctor_user.pk, read=1)], now=NOW)
    ChatSettings.objects.create(user=clinic.doctor_user, show_seen=False)
    page = signed_in(alice).get(address(talk))
    assert states(page) == ["Delivered"]
    assert "Seen by" not in text_of(page)
    assert 'data-peer-read-seq="0"' in page.content.decode()


def test_messages_stand_by_day_and_sender(clinic: Clinic, talk: Conversation, alice: User) -> None:
    yesterday = NOW - timedelta(days=1)
    for moment, user, body in (
        (NOW - timedelta(days=9), alice, "Long ago"),
        (yesterday, alice, "Yesterday 1"),
        (yesterday, alice, "Yesterday 2"),
        (NOW, clinic.doctor_user, "Today"),
    ):
        say(talk, user, body, now=moment)
    page = signed_in(alice).get(address(talk)).content.decode().split("<template")[0]
    days = re.findall(r'log__day"[^>]*><span>([^<]*)<', page)
    assert days == [
        "Sunday, October 25, 2026",
        "Yesterday, Monday, November 2, 2026",
        "Today, Tuesday, November 3, 2026",
    ]
    assert page.count("message--follows") == 1
    assert '<div class="thread__log" role="log"' in page and "<ol" in page
    assert page.count("<h1") == 1


def test_the_times_are_the_readers(talk: Conversation, alice: User) -> None:
    say(talk, alice, "Hello")
    alice.time_zone = "America/Los_Angeles"
    alice.save()
    page = text_of(signed_in(alice).get(address(talk)))
    assert "7:00 am" in page and "Times are in Pacific Time (PST)." in page


def test_a_long_conversation_is_read_in_pages(talk: Conversation, alice: User) -> None:
    Event.objects.bulk_create(
        Event(
            conversation=talk, seq=seq, kind=Kind.MESSAGE, sender=alice,
            client_id=str(UUID(int=seq)), body=f"message number {seq};", at=NOW,
        )
        for seq in range(1, 10_001)
    )  # fmt: skip
    Conversation.objects.filter(pk=talk.pk).update(last_seq=10_000)
    client = signed_in(alice)
    page = client.get(address(talk)).content.decode()
    assert page.count('<li class="message') - page.count("<template") < 60
    assert "message number 10000;" in page and "message number 9951;" in page
    assert "message number 9950;" not in page
    assert f"{address(talk)}?before=9951#latest" in page
    part = client.get(address(talk, "?before=9951"), headers={"hx-request": "true"})
    assert "<html" not in part.content.decode()
    assert "message number 9950;" in part.content.decode()
    assert "message number 9951;" not in part.content.decode()
    first = client.get(address(talk, "?before=3")).content.decode()
    assert "Earlier messages" not in first and "Newest messages" in first
    found = client.get(address(talk, "?q=number+4321;"))
    assert "1 message with “number 4321;”" in text_of(found)


def test_search_finds_words_as_they_are_now(talk: Conversation, alice: User) -> None:
    client = signed_in(alice)
    for body in ("The tablets help", "Nothing here", "A typing mistake", "Tablets gone"):
        say(talk, alice, body)
    client.post(address(talk, "edit/"), form("About tablets too", target="3"))
    client.post(address(talk, "delete/"), form(target="4"))
    page = text_of(client.get(address(talk, "?q=tablets")))
    assert "2 messages with “tablets”" in page
    assert "The tablets help" in page and "About tablets too" in page
    assert "Tablets gone" not in page
    assert "0 messages with “mistake”" in text_of(client.get(address(talk, "?q=mistake")))


ODD = [
    "before=0",
    "before=-1",
    "before=x",
    "before=²",
    "q=%25",
    "reply_to=99",
    "edit=99",
    "delete=x",
]


@pytest.mark.parametrize("query", [*ODD, "q=" + "x" * 500])
def test_odd_addresses_are_pages_too(talk: Conversation, alice: User, query: str) -> None:
    say(talk, alice, "Hello")
    assert signed_in(alice).get(address(talk, f"?{query}")).status_code == 200


def test_events_are_the_sockets(clinic: Clinic, talk: Conversation, alice: User) -> None:
    for number in range(3):
        say(talk, clinic.doctor_user, str(number))
    client = signed_in(alice)
    answer = client.get(address(talk, "events?after=1&limit=1")).json()
    assert answer["more"] is True
    [event] = answer["events"]
    assert (event["type"], event["seq"], event["body"]) == ("message", 2, "1")
    assert event["sender"] == str(clinic.doctor_user.public_id)
    assert client.get(address(talk, "events")).json()["more"] is False
    for bad in ("events?after=x", "events?after=-1", "events?limit=0"):
        answer = client.get(address(talk, bad))
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_frame")


def test_the_list_says_with_whom_and_what_is_new(
    clinic: Clinic, talk: Conversation, alice: User, bob: User
) -> None:
    desk = clinic.desk(alice.chart, by=alice)
    say(talk, clinic.doctor_user, "Your results are in")
    say(talk, clinic.doctor_user, "Call me")
    say(desk, alice, "Where do I park?", now=NOW + timedelta(minutes=1))
    page = text_of(signed_in(alice).get("/messages/"))
    assert page.index("Casco Bay Clinic") < page.index("Dr. Amara Okafor")
    assert "You: Where do I park?" in page
    assert "Call me" in page and "2 new" in page
    assert "for Alice Moreau" in text_of(signed_in(bob).get("/messages/"))
    assert "Alice Moreau" in text_of(signed_in(clinic.doctor_user).get("/messages/"))
    assert "Call me" not in text_of(signed_in(clinic.reception).get("/messages/"))


def test_the_header_and_the_title_count_conversations(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    client = signed_in(alice)
    assert "Messages (" not in text_of(client.get("/appointments/"))
    say(talk, clinic.doctor_user, "One")
    say(talk, clinic.doctor_user, "Two")
    say(clinic.desk(alice.chart, by=alice), clinic.reception, "Hello")
    page = client.get("/appointments/").content.decode()
    assert "<title>(2) Your visits" in page
    assert "Messages" in page and ">(2)<" in page
    assert client.get("/messages/unread").json() == {"unread": 2}
    post_json(client, address(talk, "marks/"), {"read": "2"})
    assert client.get("/messages/unread").json() == {"unread": 1}
    assert signed_in(clinic.doctor_user).get("/messages/unread").json() == {"unread": 0}


def test_the_ends_of_the_newest_conversations(
    clinic: Clinic, talk: Conversation, alice: User, bob: User
) -> None:
    say(talk, clinic.doctor_user, "One")
    desk = clinic.desk(alice.chart, by=alice)
    say(desk, clinic.reception, "Hello")
    for pair in (talk, desk):
        pair.refresh_from_db()
    ends = {str(pair.public_id): pair.last_seq for pair in (talk, desk)}
    assert signed_in(alice).get("/messages/heads").json() == {"heads": ends}
    assert list(heads_for(alice, NOW, most=1)) == [str(desk.public_id)]
    assert signed_in(clinic.doctor_user).get("/messages/heads").json() == {
        "heads": {str(talk.public_id): talk.last_seq}
    }
    stranger = make_account("nobody@example.org", name="Nobody Here", role=Role.PATIENT)
    assert signed_in(stranger).get("/messages/heads").json() == {"heads": {}}


def test_what_a_colleague_answered_is_done_for_the_desk(clinic: Clinic, alice: User) -> None:
    other = make_account("desk2@example.org", name="Leo Park", role=Role.RECEPTION)
    clinic.hospital.staff.create(user=other)
    desk = clinic.desk(alice.chart, by=alice)
    say(desk, alice, "Where do I park?")
    assert unread_conversations(clinic.reception, NOW) == unread_conversations(other, NOW) == 1
    say(desk, other, "Behind the building.")
    assert unread_conversations(clinic.reception, NOW) == 0


def test_the_transcript_holds_everything_and_is_written_down(
    clinic: Clinic, talk: Conversation, alice: User
) -> None:
    for number in range(60):
        say(talk, alice, f"number {number};")
    page = text_of(signed_in(alice).get(address(talk, "transcript/")))
    assert "number 0;" in page and "number 59;" in page
    assert not AuditEvent.objects.filter(action="conversation.transcript").exists()
    signed_in(clinic.doctor_user).get(address(talk, "transcript/"))
    assert AuditEvent.objects.get(action="conversation.transcript").patient == alice.chart


CORPUS = [
    '"><script>alert(1)</script>',
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "https://evil.example/'onmouseover='alert(1)",
    'https://evil.example/"onmouseover="alert(1)',
    "https://evil.example/<script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "{{ settings.SECRET_KEY }}{% debug %}",
    "data:text/html,<script>alert(1)</script>",
]


def test_s27_what_people_write_never_becomes_markup(
    clinic: Clinic, alice: User, settings: Any
) -> None:
    alice.chart.name = CORPUS[0][:140]
    alice.chart.save(update_fields=["name"])
    clinic.take_into_care(alice.chart)
    talk = clinic.talk(alice.chart, by=alice)
    for seq, body in enumerate(CORPUS, start=1):
        say(talk, alice, body, reply_to=seq - 1 or None)
    close(conversation=talk, by=clinic.doctor_user, now=NOW)
    Conversation.objects.update(closed_at=None)
    pages = [address(talk, tail) for tail in ("", "?q=alert", "transcript/", "?edit=8", "?delete=8",
                                              "?reply_to=2")]  # fmt: skip
    for user in (alice, clinic.doctor_user):
        client = signed_in(user)
        for path in [*pages, "/messages/", "/messages/new/"]:
            html = client.get(path).content.decode()
            for piece in ("<script>alert", "<img src=x", "<svg/onload", 'onmouseover="alert'):
                assert piece not in html, (path, piece)
            for href in re.findall(r'href="([^"]*)"', html):
                assert not re.match(r"\s*(javascript|data):", href, re.IGNORECASE), href
            assert settings.SECRET_KEY not in html


def test_web_addresses_are_links_and_nothing_else_is(talk: Conversation, alice: User) -> None:
    say(talk, alice, "See https://example.org/a?b=1&c=2. Or http://example.org), not ftp://x.org")
    page = signed_in(alice).get(address(talk)).content.decode()
    links = re.findall(r'<a class="govuk-link" href="(https?://[^"]*)" rel="([^"]*)"', page)
    assert links == [
        ("https://example.org/a?b=1&amp;c=2", "noopener noreferrer nofollow"),
        ("http://example.org", "noopener noreferrer nofollow"),
    ]


def test_the_page_needs_as_many_queries_for_many_as_for_few(clinic: Clinic, alice: User) -> None:
    clinic.take_into_care(alice.chart)
    talk = clinic.talk(alice.chart, by=alice)
    client = signed_in(alice)

    def fill(first: int, last: int) -> None:
        for number in range(first, last):
            entry = say(talk, alice, f"number {number}", reply_to=1 if number else None)
            say(talk, clinic.doctor_user, "Yes", reply_to=entry.seq)

    def count(path: str) -> int:
        client.get(path)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        return len(queries)

    fill(0, 1)
    client.post(address(talk, "edit/"), form("Edited", target="1"))
    few = {
        path: count(path) for path in (address(talk), "/messages/", address(talk, "transcript/"))
    }
    fill(3, 15)
    for number in range(20):
        colleague = clinic.colleague(f"Doctor{number} Ames")
        clinic.take_into_care(alice.chart, colleague)
        other = Conversation.objects.create(
            patient=alice.chart,
            doctor=colleague,
            hospital=clinic.hospital,
            pair=f"d{colleague.pk}.{alice.chart.pk}",
        )
        say(other, alice, f"To {number}")
    many = {path: count(path) for path in few}
    assert many == few
    assert few[address(talk)] <= 40
