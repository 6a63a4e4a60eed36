"""Messages, the time to their acknowledgement, and open sockets are counted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.test import Client

from chat.committer import Committer
from chat.log import Act, Entry
from chat.pool import Pool
from tests.monitoring.test_metrics import numbers


class Stored(Committer):
    """The committer with a log that stores at once: what is counted is what it answers."""

    async def _append(self, jobs: Any, pool: Any, *, wait: bool) -> Any:
        return [
            Entry(
                conversation=job.act.what.conversation, conversation_id=1, seq=number,
                kind="message", at=datetime.now(UTC), is_new=number != 2,
            )
            for number, job in enumerate(jobs, 1)
        ]  # fmt: skip


class What:
    def __init__(self) -> None:
        self.conversation = uuid4()


def scraped() -> dict[str, float]:
    return numbers(Client().get("/metrics").content.decode())


def test_each_act_is_timed_and_each_new_event_counted() -> None:
    async def live(_entries: Any) -> bool:
        return True

    async def three() -> None:
        committer = Stored(Pool(1), Pool(1), live)
        for _number in range(3):
            act: Any = Act(1, What())  # type: ignore[arg-type]
            committer.submit(act, lambda _outcome, _live: None)
        while not committer.is_idle:
            await asyncio.sleep(0.01)

    before = scraped()
    asyncio.run(three())
    after = scraped()
    assert after["clinic_messages_total{}"] - before["clinic_messages_total{}"] == 2
    assert after["clinic_ack_seconds_count{}"] - before["clinic_ack_seconds_count{}"] == 3
