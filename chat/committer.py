"""Group commit: the acts that wait go into one transaction together, and are answered after it.

Kept here: acts of one conversation are stored in the order they came; a conversation whose row
somebody else holds is tried again with a later batch, and when that does not help on its own, and
its later acts queue behind it, while all others go on; every act is answered exactly once, and with
an `Entry` only when it was committed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from chat import log
from chat.frames import UNAVAILABLE
from chat.log import Act, Busy, Entry, Outcome, Refused
from chat.pool import Pool
from clinic.metrics import ACK_SECONDS, MESSAGES

logger = structlog.get_logger("chat.committer")

MOST_IN_BATCH = 200  # acts in one transaction: longer ones hold their locks for too long
MOST_OF_ONE = 20  # acts of one conversation in a batch, so that a flood leaves room for others
BATCHES = 2  # one commits while the next is prepared
# At least this long between the beginnings of two batches. Ordinary talk never waits, since the
# batch before is long over; when there is much to do, a batch serves several acts.
GATHER_SECONDS = 0.008
# A row that is held is mostly held by a batch of another server, for some milliseconds. So often it
# is tried again with a later batch before somebody waits for it.
BUSY_TRIES = 4
BUSY_SECONDS = 0.01
# Seconds between attempts while the database is away; then the acts are refused for now. A lock
# that is waited for takes long by itself, so there is an end by the clock too.
RETRY_AFTER = (0.3, 1.0, 2.0)
GIVE_UP_AFTER = 8.0

# Gets what became of an act, and whether its event went out live.
Done = Callable[[Outcome, bool], None]


@dataclass(frozen=True, slots=True)
class Job:
    act: Act
    done: Done
    since: float = field(default_factory=time.monotonic)


class Committer:
    """``stored`` is called with the entries of each commit and says whether they went out live."""

    def __init__(
        self,
        pool: Pool,
        slow_pool: Pool,
        stored: Callable[[Sequence[Entry]], Awaitable[bool]],
        *,
        batches: int = BATCHES,
    ) -> None:
        self._pool = pool
        self._slow_pool = slow_pool
        self._stored = stored
        self._batches = batches
        self._queues: dict[UUID, deque[Job]] = {}
        self._ready: deque[UUID] = deque()  # conversations with acts, none of them in flight
        self._in_flight: set[UUID] = set()
        self._tried: dict[UUID, int] = {}  # how often a conversation's row was held
        self._running = 0
        self._scheduled = False
        self._begun = float("-inf")  # the last batch, by the loop's clock
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, act: Act, done: Done) -> None:
        place = act.what.conversation
        queue = self._queues.get(place)
        if queue is None:
            queue = self._queues[place] = deque()
            if place not in self._in_flight:
                self._ready.append(place)
        queue.append(Job(act, done))
        self._wake()

    @property
    def is_idle(self) -> bool:
        return not self._tasks and not self._queues and not self._in_flight

    def _wake(self) -> None:
        if not self._scheduled and self._ready and self._running < self._batches:
            self._scheduled = True
            loop = asyncio.get_running_loop()
            left = self._begun + GATHER_SECONDS - loop.time()
            if left > 0:
                loop.call_later(left, self._start)
            else:
                # After this turn of the loop, so that all that arrived in it goes together.
                loop.call_soon(self._start)

    def _start(self) -> None:
        self._scheduled = False
        if self._ready and self._running < self._batches:
            self._begun = asyncio.get_running_loop().time()
        while self._ready and self._running < self._batches:
            batch: list[Job] = []
            while self._ready and len(batch) < MOST_IN_BATCH:
                place = self._ready.popleft()
                queue = self._queues[place]
                room = min(MOST_OF_ONE, MOST_IN_BATCH - len(batch))
                batch.extend(queue.popleft() for _ in range(min(room, len(queue))))
                if not queue:
                    del self._queues[place]
                self._in_flight.add(place)
            self._running += 1
            self._spawn(self._commit(batch))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _commit(self, batch: list[Job]) -> None:
        outcomes: list[Outcome] = []
        busy: dict[UUID, list[Job]] = {}
        try:
            outcomes = await self._append(batch, self._pool, wait=False)
            for job, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Busy):
                    busy.setdefault(job.act.what.conversation, []).append(job)
        finally:
            self._running -= 1
            self._release({job.act.what.conversation for job in batch} - set(busy))
        for place, jobs in busy.items():
            tries = self._tried[place] = self._tried.get(place, 0) + 1
            if tries <= BUSY_TRIES:
                asyncio.get_running_loop().call_later(BUSY_SECONDS, self._again, place, jobs)
            else:
                self._spawn(self._commit_alone(jobs))
        await self._answer(batch, outcomes)

    def _again(self, place: UUID, jobs: list[Job]) -> None:
        """Puts the jobs before those that came meanwhile."""
        self._queues.setdefault(place, deque()).extendleft(reversed(jobs))
        self._in_flight.discard(place)
        self._ready.append(place)
        self._wake()

    async def _commit_alone(self, jobs: list[Job]) -> None:
        """Waits for the conversation's row on a thread of the slow pool."""
        outcomes: list[Outcome] = []
        try:
            outcomes = await self._append(jobs, self._slow_pool, wait=True)
        finally:
            self._release({jobs[0].act.what.conversation})
        await self._answer(jobs, outcomes)

    def _release(self, places: set[UUID]) -> None:
        for place in places:
            self._in_flight.discard(place)
            self._tried.pop(place, None)
            if place in self._queues:
                self._ready.append(place)
        self._wake()

    async def _append(self, jobs: list[Job], pool: Pool, *, wait: bool) -> list[Outcome]:
        """What became of each act; never raises."""
        acts = [job.act for job in jobs]
        loop = asyncio.get_running_loop()
        give_up = loop.time() + GIVE_UP_AFTER
        for pause in RETRY_AFTER:
            try:
                return await pool.run(log.append, acts, now=timezone.now(), wait=wait)
            except (OperationalError, InterfaceError) as error:  # the database is away
                logger.warning("chat_commit_failed", error=type(error).__name__, acts=len(acts))
                if loop.time() > give_up:
                    return [_unavailable() for _ in jobs]
                await asyncio.sleep(pause)
            except Exception:
                logger.exception("chat_commit_failed", acts=len(acts))
                if len(jobs) == 1:
                    return [_unavailable()]
                # One act that the database cannot take must not take the others along.
                alone = [await self._append([job], pool, wait=True) for job in jobs]
                return [outcome for outcomes in alone for outcome in outcomes]
        return [_unavailable() for _ in jobs]

    async def _answer(self, jobs: list[Job], outcomes: list[Outcome]) -> None:
        entries = [found for found in outcomes if isinstance(found, Entry) and found.is_new]
        live = True
        if entries:
            try:
                live = await self._stored(entries)
            except Exception:
                logger.exception("chat_publish_failed")
                live = False
        MESSAGES.inc(len(entries))
        now = time.monotonic()
        for job, outcome in zip(jobs, outcomes, strict=True):
            if not isinstance(outcome, Busy):
                ACK_SECONDS.observe(now - job.since)
                try:
                    job.done(outcome, live)
                except Exception:
                    logger.exception("chat_answer_failed")


def _unavailable() -> Refused:
    return Refused(UNAVAILABLE, "The message could not be stored just now. Send it again.")
