"""All devices of a history, on an event loop of their own thread.

The servers are started and killed from the main thread: the kernel ends a server together with the
thread that started it.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from tests.chat.history.client import MOST_RETRY, MOST_WAITING, Device, Stranger
from tests.chat.history.journal import Journal
from tests.chat.history.people import STRANGER, People
from tests.chat.history.stack import Entrance


class Crowd:
    """``messages`` in total are written, each device its share, about ``pace`` seconds apart.

    Nobody writes beyond ``gate`` (of all messages), so that a schedule that counts messages can
    keep a slow machine and a fast one in step.
    """

    def __init__(
        self,
        people: People,
        entrance: Entrance,
        *,
        messages: int,
        seed: int,
        pace: float = 0.3,
        cut_rate: float = 0.0,
        most_retry: float = MOST_RETRY,
    ) -> None:
        self.devices: list[Device] = []
        self.strangers: list[Stranger] = []
        self.gate = messages
        self.written = 0
        self.acknowledged = 0
        self._pace = pace
        self._places = [place.conversation for place in people.places]
        for person in people.persons:
            for number, session in enumerate(person.sessions):
                name = f"{person.name}.{number}"
                of_stranger = person.name == STRANGER
                device = (Stranger if of_stranger else Device)(
                    Journal(name, person.user, frozenset(person.conversations)),
                    session=session,
                    entrance=entrance,
                    seed=seed + len(self.devices),
                    on_ack=self._count,
                    most_retry=most_retry,
                )
                device.cut_rate = cut_rate
                if isinstance(device, Stranger):
                    self.strangers.append(device)
                else:
                    self.devices.append(device)
        share, rest = divmod(messages, len(self.devices))
        self._shares = [share + (number < rest) for number in range(len(self.devices))]
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._writing: list[asyncio.Task[None]] = []
        self._living: list[asyncio.Task[None]] = []

    @property
    def journals(self) -> list[Journal]:
        return [device.journal for device in (*self.devices, *self.strangers)]

    def _count(self) -> None:
        self.acknowledged += 1

    # --- From the main thread -----------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        self.call(self._arrive())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.call(self._go())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def call(self, work: Coroutine[Any, Any, None], seconds: float = 60) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop)

    def start_writing(self) -> None:
        async def begin() -> None:
            for device, share in zip(self.devices, self._shares, strict=True):
                self._writing.append(asyncio.ensure_future(self._write(device, share)))

        self.call(begin())

    @property
    def is_done(self) -> bool:
        """Everything is written and acknowledged."""
        return all(task.done() for task in self._writing) and not any(
            device.waiting for device in self.devices
        )

    def is_level(self, heads: dict[str, int]) -> bool:
        """Whether every device has everything."""
        return all(
            device.have[conversation] >= heads[conversation]
            for device in self.devices
            for conversation in device.journal.conversations
        )

    # --- On the loop --------------------------------------------------------------------------

    async def _arrive(self) -> None:
        for device in (*self.devices, *self.strangers):
            self._living.append(asyncio.ensure_future(device.live()))
        for stranger in self.strangers:
            self._living.append(asyncio.ensure_future(self._intrude(stranger)))
        while not all(device.is_up for device in self.devices):
            await asyncio.sleep(0.05)

    async def _go(self) -> None:
        tasks = [*self._writing, *self._living]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, device: Device, share: int) -> None:
        for number in range(share):
            await asyncio.sleep(device.random.expovariate(1 / self._pace))
            while self.written >= self.gate or device.waiting >= MOST_WAITING:
                await asyncio.sleep(0.05)
            self.written += 1
            device.write(f"{device.journal.device} {number}")

    async def _intrude(self, stranger: Stranger) -> None:
        chance = random.Random(0)
        while True:
            await asyncio.sleep(1)
            stranger.intrude(chance.choice(self._places))


def wait_until(holds: Callable[[], bool], seconds: float, every: float = 0.05) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
