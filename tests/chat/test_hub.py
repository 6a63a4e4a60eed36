"""Two socket servers on Redis, and Redis going away under them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from chat import log, publishing
from chat.models import Conversation, Event
from tests.chat.wire import ChatServer, Wire
from tests.servers import Redis

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.server]


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as running:
        yield running


@pytest.fixture
def two(redis: Redis, talk: Conversation) -> Iterator[tuple[ChatServer, ChatServer]]:
    with (
        ChatServer(redis_urls=[redis.url], CHAT_FRAMES_PER_MINUTE="100000") as one,
        ChatServer(redis_urls=[redis.url], CHAT_FRAMES_PER_MINUTE="100000") as other,
    ):
        yield one, other


def test_both_servers_deliver_one_order_without_holes(
    two: tuple[ChatServer, ChatServer], talk: Conversation, alice: User, amara: User
) -> None:
    with Wire(two[0], alice) as patient, Wire(two[1], amara) as doctor:
        patient.welcome()
        doctor.welcome()
        for number in range(100):
            patient.say(talk, f"p{number}")
            doctor.say(talk, f"d{number}")
        orders = []
        for wire in (patient, doctor):
            events = [wire.expect("message", 15) for _ in range(200)]
            assert [event["seq"] for event in events] == list(range(1, 201))
            orders.append([event["client_id"] for event in events])
        assert orders[0] == orders[1]


def test_typing_presence_and_marks_cross_servers(
    two: tuple[ChatServer, ChatServer], talk: Conversation, alice: User, amara: User
) -> None:
    place = str(talk.public_id)
    with Wire(two[0], alice) as patient:
        patient.welcome()
        with Wire(two[1], amara) as doctor:
            doctor.welcome()
            assert patient.expect("presence", online=True)["user"] == str(amara.public_id)
            doctor.send("typing", conversation=place)
            patient.expect("typing")
            patient.say(talk, "Hello")
            doctor.expect("message")
            doctor.send("read", conversation=place, seq=1)
            patient.expect("read", seq=1)
            with Wire(two[0], amara):  # a second device elsewhere keeps her online
                time.sleep(0.5)
                doctor.close()
                patient.nothing("presence", 3)
        patient.expect("presence", online=False)


def test_redis_killed_is_delivered_within_five_seconds_and_live_again_by_itself(
    two: tuple[ChatServer, ChatServer],
    redis: Redis,
    talk: Conversation,
    alice: User,
    amara: User,
) -> None:
    with Wire(two[0], alice) as patient, Wire(two[1], amara) as doctor:
        patient.welcome()
        doctor.welcome()
        patient.say(talk, "Live")
        doctor.expect("message", 1)
        redis.kill()
        for number in range(3):
            patient.say(talk, f"Without Redis {number}")
        ack = patient.expect("ack", seq=4)
        assert ack["live"] is False
        assert [doctor.expect("message", 5)["seq"] for _ in range(3)] == [2, 3, 4]
        doctor.say(talk, "I see you")
        patient.expect("message", 5, seq=5)
        redis.start()
        deadline = time.monotonic() + 10
        live = False
        while not live and time.monotonic() < deadline:
            client_id = patient.say(talk, "Back?")
            live = patient.expect("ack", client_id=client_id)["live"]
            time.sleep(0.25)
        assert live, "not live within 10 s after Redis was back"
        # The other side's subscription is back, too: at once, not by polling.
        time.sleep(2.5)
        doctor.seen.clear()
        begun = time.monotonic()
        client_id = patient.say(talk, "Live again")
        doctor.expect("message", 5, client_id=client_id)
        assert time.monotonic() - begun < 1.5
    seqs = list(Event.objects.order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_flushed_redis_changes_nothing(
    two: tuple[ChatServer, ChatServer],
    redis: Redis,
    talk: Conversation,
    alice: User,
    amara: User,
) -> None:
    with Wire(two[0], alice) as patient, Wire(two[1], amara) as doctor:
        patient.welcome()
        doctor.welcome()
        redis.ask("FLUSHALL")
        patient.say(talk, "Still here")
        assert patient.expect("ack")["live"] is True
        doctor.expect("message", 1)


def test_a_redis_that_was_away_at_the_start_is_found_later(
    redis: Redis, talk: Conversation, alice: User, amara: User
) -> None:
    redis.kill()
    with (
        ChatServer(redis_urls=[redis.url]) as one,
        ChatServer(redis_urls=[redis.url]) as other,
        Wire(one, alice) as patient,
        Wire(other, amara) as doctor,
    ):
        patient.welcome()
        doctor.welcome()
        patient.say(talk, "Without")
        assert patient.expect("ack")["live"] is False
        doctor.expect("message", 5, seq=1)
        redis.start()
        time.sleep(6)
        patient.say(talk, "With")
        assert patient.expect("ack")["live"] is True
        doctor.expect("message", 1, seq=2)


def test_an_idle_socket_stays_open_and_live(
    two: tuple[ChatServer, ChatServer], talk: Conversation, alice: User, amara: User
) -> None:
    """Longer than the read timeout with which redis-py 8 cut idle subscriptions."""
    with Wire(two[0], alice) as patient, Wire(two[1], amara) as doctor:
        patient.welcome()
        doctor.welcome()
        doctor.nothing("error", 12)
        patient.say(talk, "Hello")
        doctor.expect("message", 1)


def test_a_web_process_publishes_to_all_servers(
    redis: Redis,
    two: tuple[ChatServer, ChatServer],
    talk: Conversation,
    alice: User,
    amara: User,
    settings: object,
) -> None:
    settings.REDIS_URLS = [redis.url]  # type: ignore[attr-defined]
    with Wire(two[0], alice) as patient, Wire(two[1], amara) as doctor:
        patient.welcome()
        doctor.welcome()
        with transaction.atomic():
            entry = log.notice(talk, "Your visit was moved.", now=timezone.now())
        assert publishing.publish([entry]) is True
        for wire in (patient, doctor):
            assert wire.expect("notice", 1)["body"] == "Your visit was moved."
        redis.kill()
        with transaction.atomic():
            entry = log.notice(talk, "And moved again.", now=timezone.now())
        begun = time.monotonic()
        assert publishing.publish([entry]) is False
        assert publishing.publish([entry]) is False
        assert time.monotonic() - begun < 2
        patient.expect("notice", 5, seq=2)


@pytest.mark.skipif(
    "connection.vendor == 'sqlite'", reason="SQLite has one writer, so nobody can hold one row"
)
def test_a_locked_conversation_holds_up_only_itself(
    two: tuple[ChatServer, ChatServer], talk: Conversation, alice: User, amara: User, charlie: User
) -> None:
    from tests.chat.wire import make_conversation

    free = make_conversation(charlie)
    with Wire(two[0], alice) as patient, Wire(two[0], charlie) as other:
        patient.welcome()
        other.welcome()
        with transaction.atomic():
            Conversation.objects.select_for_update().get(pk=talk.pk)
            held = [patient.say(talk, f"{number}") for number in range(3)]
            for number in range(20):
                begun = time.monotonic()
                other.say(free, str(number))
                other.expect("ack", seq=number + 1)
                assert time.monotonic() - begun < 1
            assert not [frame for frame in patient.seen if frame["type"] == "ack"]
        assert [patient.expect("ack", 8)["client_id"] for _ in held] == held
    assert connection.vendor


def test_a_layer_that_drops_and_doubles_loses_and_doubles_nothing(
    redis: Redis, talk: Conversation, alice: User, amara: User
) -> None:
    lossy = {"DJANGO_SETTINGS_MODULE": "tests.chat.lossy", "CHAT_FRAMES_PER_MINUTE": "100000"}
    with (
        ChatServer(redis_urls=[redis.url], **lossy) as one,
        ChatServer(redis_urls=[redis.url], **lossy) as other,
        Wire(one, alice) as patient,
        Wire(other, amara) as doctor,
    ):
        patient.welcome()
        doctor.welcome()
        for number in range(100):
            patient.say(talk, f"p{number}")
            doctor.say(talk, f"d{number}")
            time.sleep(0.01)
        for wire in (patient, doctor):
            events = [wire.expect("message", 15) for _ in range(200)]
            assert [event["seq"] for event in events] == list(range(1, 201))
            wire.nothing("message", 0.5)


def test_several_redis_share_the_users(
    redis: Redis, talk: Conversation, alice: User, amara: User
) -> None:
    with Redis() as second:
        urls = [redis.url, second.url]
        with (
            ChatServer(redis_urls=urls) as one,
            ChatServer(redis_urls=urls) as other,
            Wire(one, alice) as patient,
            Wire(other, amara) as doctor,
        ):
            patient.welcome()
            doctor.welcome()
            patient.say(talk, "Hello")
            assert patient.expect("ack")["live"] is True
            doctor.expect("message", 1)
            doctor.say(talk, "Hello to you")
            patient.expect("message", 1, seq=2)
