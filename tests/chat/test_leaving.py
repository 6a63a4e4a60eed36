"""A server that leaves, and a client that does not read."""

from __future__ import annotations

import os
import signal
import time

import pytest

from accounts.models import User
from chat.models import Conversation, Event
from tests.chat.wire import ChatServer, Wire

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_leaving_server_says_goodbye_and_closes_with_4012(
    talk: Conversation, alice: User, amara: User
) -> None:
    with ChatServer() as server:
        wires = [Wire(server, user) for user in (alice, amara) * 5]
        for wire in wires:
            wire.welcome()
        sent = [wire.say(talk, "Before it leaves") for wire in wires]
        server.terminate()
        acknowledged = set()
        for wire in wires:
            assert wire.closed_with(10) == 4012
            [bye] = [frame for frame in wire.seen if frame["type"] == "bye"]
            assert 0 < bye["retry_ms"] <= 5_000
            acknowledged |= {f["client_id"] for f in wire.seen if f["type"] == "ack"}
        assert server.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            Wire(server, alice)
    # What was acknowledged is stored; what was on its way was not cut off half-way.
    stored = set(Event.objects.values_list("client_id", flat=True))
    assert acknowledged == set(sent) == stored


def test_a_server_without_sockets_leaves_at_once() -> None:
    with ChatServer() as server:
        begun = time.monotonic()
        server.terminate()
        assert server.wait() == 0
        assert time.monotonic() - begun < 5


def test_a_second_signal_ends_it_at_once(talk: Conversation, alice: User) -> None:
    with ChatServer() as server, Wire(server, alice) as wire:
        wire.welcome()
        server.terminate()
        os.kill(server.pid, signal.SIGTERM)
        assert server.wait(5) == 0


def test_a_slow_reader_is_closed_with_4008_and_costs_little(
    talk: Conversation, alice: User, amara: User
) -> None:
    body = "ä" * 4_000
    with ChatServer(CHAT_FRAMES_PER_MINUTE="100000") as server:
        with Wire(server, amara) as doctor:
            doctor.welcome()
            slow = Wire(server, alice, max_queue=1)
            slow.welcome()
            before = server.memory()
            sent = 0
            deadline = time.monotonic() + 40
            while time.monotonic() < deadline and sent < 4_000:
                for _ in range(50):
                    doctor.say(talk, body)
                    sent += 1
                for _ in range(50):
                    doctor.expect("ack")
                doctor.seen.clear()
            grown = server.memory() - before
            code = slow.closed_with(15)
        assert code == 4008
        assert grown < 40 * 1024 * 1024
        # The client comes back and fetches what it missed.
        with Wire(server, alice) as again:
            [row] = again.welcome()["conversations"]
            assert row["last_seq"] == sent
            got: list[int] = []
            more = True
            while more:
                again.send("sync", conversation=str(talk.public_id), after=len(got), limit=200)
                answer = again.expect("history", 10)
                got += [event["seq"] for event in answer["events"]]
                more = answer["more"]
            assert got == list(range(1, sent + 1))


def test_a_killed_server_loses_nothing_that_it_acknowledged(
    talk: Conversation, alice: User
) -> None:
    server = ChatServer(CHAT_FRAMES_PER_MINUTE="100000")
    try:
        server.start()
        acknowledged = []
        with Wire(server, alice) as wire:
            wire.welcome()
            for number in range(300):
                wire.say(talk, str(number))
            for _ in range(20):
                acknowledged.append(wire.expect("ack")["client_id"])
            server.kill()
            assert wire.closed_with() == 1006
            acknowledged += [f["client_id"] for f in wire.seen if f["type"] == "ack"]
    finally:
        server.stop()
    stored = list(Event.objects.order_by("seq").values_list("seq", "client_id"))
    assert set(acknowledged) <= {client_id for _, client_id in stored}
    assert [seq for seq, _ in stored] == list(range(1, len(stored) + 1))
