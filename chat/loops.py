"""Work that goes on for as long as the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

REST_SECONDS = 0.5

logger = structlog.get_logger("chat.loops")


class Tasks:
    """Tasks that nobody waits for, kept until they are done: the loop itself would forget them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    def spawn(self, work: Awaitable[Any]) -> None:
        self.keep(asyncio.ensure_future(work))

    def keep(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        for task in list(self._tasks):
            task.cancel()


async def for_ever(work: Callable[[], Awaitable[None]]) -> None:
    """Runs a loop again whenever it fails: the layer or the database may be away."""
    while True:
        try:
            await work()
        except Exception as error:
            logger.warning("chat_loop_failed", loop=work.__name__, error=type(error).__name__)
        await asyncio.sleep(REST_SECONDS)
