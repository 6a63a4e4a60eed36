"""Marks of the sockets here on their way into the database, and to whom they concern.

Reading moves a mark with every message: those of about a second are stored together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from uuid import UUID

import structlog
from django.utils import timezone

from chat.loops import Tasks
from chat.marks import Mark, Moved, mark_all
from chat.pool import Pool

TOGETHER_SECONDS = 0.05  # those of the same moment go together
EVERY_SECONDS = 1.0  # marks are stored at most this often
MOST_KEPT = 20_000  # that the database did not take and that are tried again

logger = structlog.get_logger("chat.marking")


class Marking:
    """``moved`` is told what has moved in the database."""

    def __init__(self, pool: Pool, tasks: Tasks, moved: Callable[[Iterable[Moved]], None]) -> None:
        self._pool = pool
        self._tasks = tasks
        self._moved = moved
        self._marks: dict[tuple[UUID, int], Mark] = {}
        self._is_storing = False

    def add(self, mark: Mark) -> None:
        """Stores a mark within a second and tells everybody whom it concerns."""
        self._keep(mark)
        if not self._is_storing:
            self._is_storing = True
            self._tasks.spawn(self._store())

    def _keep(self, mark: Mark) -> None:
        key = (mark.conversation, mark.user)
        known = self._marks.get(key)
        if known is not None:
            mark = Mark(
                mark.conversation,
                mark.user,
                max(mark.delivered, known.delivered),
                max(mark.read, known.read),
            )
        self._marks[key] = mark

    def _again(self, marks: Iterable[Mark]) -> None:
        """Clients tell a mark once: what the database did not take now, it is given again."""
        for mark in marks:
            if len(self._marks) < MOST_KEPT:
                self._keep(mark)

    async def _store(self) -> None:
        try:
            while self._marks:
                await asyncio.sleep(TOGETHER_SECONDS)
                marks, self._marks = list(self._marks.values()), {}
                try:
                    self._moved(await self._pool.run(mark_all, marks, now=timezone.now()))
                except Exception as error:
                    logger.warning("chat_marks_failed", error=type(error).__name__)
                    self._again(marks)
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            self._is_storing = False
