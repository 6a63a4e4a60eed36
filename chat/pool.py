"""Threads for the chat's database work: bounded, its own, with connections that are looked after.

Django's asynchronous bridge runs everything on one thread; here a slow query holds up only its own
job. Around jobs, connections that broke or got too old are closed, as Django does around each
request (`CONN_MAX_AGE`); otherwise a long-lived process meets "server has gone away". Django also
asks the server each time whether the connection still works; one that just did is not asked.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

TRUSTED_SECONDS = 1.0  # how long a connection that worked is taken to work still


class Pool:
    """At most ``threads`` pieces of database work at once."""

    def __init__(self, threads: int, name: str = "chat") -> None:
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: _with_fresh_connections(lambda: work(*args, **kwargs))
        )

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class _Thread(threading.local):
    """When a job on this thread last went well, by the monotonic clock."""

    good_at = float("-inf")


_thread = _Thread()


def _with_fresh_connections(work: Callable[[], T]) -> T:
    if time.monotonic() > _thread.good_at + TRUSTED_SECONDS:
        _close_unusable()
    try:
        found = work()
    except BaseException:
        _thread.good_at = float("-inf")
        _close_unusable()
        raise
    now = time.monotonic()
    if any(
        one.errors_occurred or (one.close_at is not None and now >= one.close_at)
        for one in connections.all(initialized_only=True)
    ):
        _close_unusable()
    _thread.good_at = now
    return found


def _close_unusable() -> None:
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()


class Gathered(Generic[T, R]):
    """Answers single questions in batches: what is asked while a batch runs goes into the next.

    ``work`` gets a list of questions and answers them in the same order, in few queries. When it
    fails, everybody who asked in that batch gets its exception.
    """

    def __init__(
        self, pool: Pool, work: Callable[[Sequence[T]], Sequence[R]], *, most: int = 200
    ) -> None:
        self._pool = pool
        self._work = work
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    def ask(self, question: T) -> asyncio.Future[R]:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._answer())
        return answer

    async def _answer(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                try:
                    found = await self._pool.run(self._work, [question for question, _ in batch])
                except Exception as error:
                    for _, answer in batch:
                        if not answer.done():
                            answer.set_exception(error)
                    continue
                for (_, answer), result in zip(batch, found, strict=True):
                    if not answer.done():
                        answer.set_result(result)
        finally:
            self._task = None
