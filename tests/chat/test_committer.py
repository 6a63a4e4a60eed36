"""Group commit: order, fairness, and an answer for every act, whatever the database does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError

from chat import committer as module
from chat.committer import Committer
from chat.frames import Send
from chat.log import Act, Busy, Entry, Outcome, Refused


class Log:
    """Stands for the threads: takes acts as `chat.log.append` would, and can be told to fail."""

    def __init__(self) -> None:
        self.batches: list[list[Act]] = []
        self.stored: list[Act] = []
        self.running: list[set[UUID]] = []
        self.locked: set[UUID] = set()
        self.unlocked = asyncio.Event()
        self.poison: set[str] = set()
        self.waits = 0  # how often a thread waited for a row
        self.failures = 0

    async def run(self, work: Any, acts: Sequence[Act], *, now: Any, wait: bool) -> list[Outcome]:
        places = {act.what.conversation for act in acts}
        for others in self.running:
            assert not others & places, "two batches touch one conversation"
        self.running.append(places)
        assert len(self.running) <= module.BATCHES + len(self.locked)
        try:
            self.batches.append(list(acts))
            self.waits += wait
            await asyncio.sleep(0.001)
            if self.failures:
                self.failures -= 1
                raise OperationalError(2002, "no server")
            if any(act.what.client_id in self.poison for act in acts):
                raise ValueError("poison")
            if wait and places & self.locked:
                await self.unlocked.wait()
            return [self._take(act, wait) for act in acts]
        finally:
            self.running.remove(places)

    def _take(self, act: Act, wait: bool) -> Outcome:
        if act.what.conversation in self.locked and not wait:
            return Busy()
        self.stored.append(act)
        from django.utils import timezone

        return Entry(act.what.conversation, 1, len(self.stored), "message", timezone.now())


class Desk:
    """A committer on such a log, and everybody's answers."""

    def __init__(self) -> None:
        self.log = Log()
        self.published: list[Entry] = []
        self.answers: dict[str, Outcome] = {}
        self.committer = Committer(self.log, self.log, self._stored)  # type: ignore[arg-type]

    async def _stored(self, entries: Sequence[Entry]) -> bool:
        self.published.extend(entries)
        return True

    def submit(self, place: UUID, text: str) -> None:
        def done(outcome: Outcome, live: bool) -> None:
            assert text not in self.answers, "answered twice"
            self.answers[text] = outcome

        self.committer.submit(Act(1, Send(place, text, text)), done)

    async def settle(self) -> None:
        async with asyncio.timeout(10):
            while not self.committer.is_idle:
                await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_AFTER", (0.01, 0.01, 0.01))


def test_what_waits_is_committed_together_and_answered_once() -> None:
    async def scene() -> None:
        desk = Desk()
        places = [uuid4() for _ in range(5)]
        for number in range(100):
            desk.submit(places[number % 5], f"{number}")
        await desk.settle()
        assert set(desk.answers) == {f"{number}" for number in range(100)}
        assert len(desk.log.batches) < 10
        for place in places:
            mine = [
                int(act.what.client_id) for act in desk.log.stored if act.what.conversation == place
            ]
            assert mine == sorted(mine) and len(mine) == 20
        assert len(desk.published) == 100

    asyncio.run(scene())


def test_a_flood_in_one_conversation_leaves_room_for_others() -> None:
    async def scene() -> None:
        desk = Desk()
        flood, quiet = uuid4(), uuid4()
        for number in range(1_000):
            desk.submit(flood, f"flood {number}")
        desk.submit(quiet, "one question")
        await asyncio.sleep(0.05)
        assert "one question" in desk.answers
        assert len(desk.log.batches[0]) <= module.MOST_IN_BATCH
        await desk.settle()
        assert len(desk.answers) == 1_001

    asyncio.run(scene())


def test_a_locked_conversation_waits_alone_and_keeps_its_order() -> None:
    async def scene() -> None:
        desk = Desk()
        locked, free = uuid4(), uuid4()
        desk.log.locked = {locked}
        desk.submit(locked, "first")
        desk.submit(free, "a")
        await asyncio.sleep(0.05)
        desk.submit(locked, "second")
        desk.submit(free, "b")
        await asyncio.sleep(0.05)
        assert set(desk.answers) == {"a", "b"}
        desk.log.locked = set()
        desk.log.unlocked.set()
        await desk.settle()
        order = [a.what.client_id for a in desk.log.stored if a.what.conversation == locked]
        assert order == ["first", "second"]
        assert all(isinstance(outcome, Entry) for outcome in desk.answers.values())

    asyncio.run(scene())


def test_a_row_that_is_held_for_a_moment_keeps_no_thread_waiting() -> None:
    async def scene() -> None:
        desk = Desk()
        place = uuid4()
        desk.log.locked = {place}
        for number in range(3):
            desk.submit(place, f"{number}")
        await asyncio.sleep(0.015)
        desk.submit(place, "3")
        assert not desk.answers and not desk.committer.is_idle
        desk.log.locked = set()
        await desk.settle()
        assert [act.what.client_id for act in desk.log.stored] == ["0", "1", "2", "3"]
        assert desk.log.waits == 0

    asyncio.run(scene())


def test_a_database_that_comes_back_loses_no_act() -> None:
    async def scene() -> None:
        desk = Desk()
        desk.log.failures = 2
        desk.submit(uuid4(), "patience")
        await desk.settle()
        assert isinstance(desk.answers["patience"], Entry)

    asyncio.run(scene())


def test_a_database_that_stays_away_is_told_and_nothing_is_published() -> None:
    async def scene() -> None:
        desk = Desk()
        desk.log.failures = 100
        for number in range(3):
            desk.submit(uuid4(), f"{number}")
        await desk.settle()
        for outcome in desk.answers.values():
            assert isinstance(outcome, Refused) and outcome.code == "unavailable"
        assert len(desk.answers) == 3 and not desk.published and not desk.log.stored

    asyncio.run(scene())


def test_one_act_that_cannot_be_stored_does_not_take_others_along() -> None:
    async def scene() -> None:
        desk = Desk()
        place = uuid4()
        desk.log.poison = {"poison"}
        for text in ("before", "poison", "after"):
            desk.submit(place, text)
        desk.submit(uuid4(), "elsewhere")
        await desk.settle()
        poisoned = desk.answers.pop("poison")
        assert isinstance(poisoned, Refused) and poisoned.code == "unavailable"
        assert all(isinstance(outcome, Entry) for outcome in desk.answers.values())
        assert [a.what.client_id for a in desk.log.stored if a.what.conversation == place] == [
            "before",
            "after",
        ]

    asyncio.run(scene())
