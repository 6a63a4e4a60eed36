"""Everybody who visits, on an event loop in a thread that lives in the nodes' network."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from deploy.swarm_test.browser import Site, addresses
from deploy.swarm_test.nodes import NodeFailed
from deploy.swarm_test.records import Records
from deploy.swarm_test.sockets import MOST_WAITING, Device
from deploy.swarm_test.visitors import Visitors

NETWORK = 0x40000000  # CLONE_NEWNET


def enter(namespace: str) -> None:
    """Moves the calling thread into a network namespace; sockets it opens belong there."""
    descriptor = os.open(Path("/run/netns", namespace), os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, NETWORK):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)


class Crowd:
    """``people`` on pages and a device for each of the world's sessions.

    ``pace``: seconds between the messages of a device, on average.
    """

    def __init__(
        self,
        site: Site,
        world: Mapping[str, Any],
        *,
        namespace: str,
        places: list[str],
        people: int,
        page_pause: float,
        pace: float,
    ) -> None:
        self.records = Records()
        self.visitors = Visitors(site, world, self.records, pause=page_pause)
        where = addresses(places, people + len(world["devices"]))
        self.addresses = where
        self._people = list(enumerate(where[:people]))
        self.devices = [
            Device(site, facts, address=address, seed=1000 + number, records=self.records)
            for number, (facts, address) in enumerate(
                zip(world["devices"], where[people:], strict=True)
            )
        ]
        self.pace = pace
        self.may_write = True
        self.loop = asyncio.new_event_loop()
        self._namespace = namespace
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._tasks: list[asyncio.Task[None]] = []
        self._further: list[Coroutine[Any, Any, None]] = []
        self.broken: list[str] = []  # of the driver itself

    def _run(self) -> None:
        enter(self._namespace)
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    # --- From the main thread -----------------------------------------------------------------

    def also(self, work: Coroutine[Any, Any, None]) -> None:
        """Something else that lives in the visitors' network, from the start to the end."""
        self._further.append(work)

    def start(self) -> None:
        self._thread.start()
        self.call(self._begin())

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        self.call(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)

    def call(self, work: Coroutine[Any, Any, Any], seconds: float = 60) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def pause_writing(self, seconds: float = 120) -> bool:
        """Nobody begins to write; whether everything that was begun got its answer in time."""
        self.may_write = self.visitors.may_write = False
        return wait_until(lambda: self.is_quiet, seconds)

    def resume_writing(self) -> None:
        self.may_write = self.visitors.may_write = True

    def unanswered(self) -> str:
        """What still waits for an answer, for a person to read."""
        waiting = [
            f"{device.journal.device} ({'up' if device.is_up else 'down'} at {device.edge}, "
            f"{len(device.waiting)} messages, {dict(device.journal.counts)})"
            for device in self.devices
            if device.waiting
        ]
        return f"{self.visitors.writing} bookings; {len(waiting)} devices: {waiting[:3]}"

    @property
    def is_quiet(self) -> bool:
        return not self.visitors.writing and not any(device.waiting for device in self.devices)

    def counts(self) -> Counter[str]:
        """What happened to all devices together."""
        return sum((device.journal.counts for device in self.devices), Counter())

    @property
    def up(self) -> int:
        return sum(device.is_up for device in self.devices)

    def is_level(self) -> bool:
        """Whether both devices of each conversation are equally far."""
        far: dict[str, set[int]] = {}
        for device in self.devices:
            for conversation in device.journal.conversations:
                far.setdefault(conversation, set()).add(device.have.get(conversation, 0))
        return all(len(positions) == 1 for positions in far.values())

    # --- On the loop --------------------------------------------------------------------------

    async def _begin(self) -> None:
        for work in self._further:
            self._start(work)
        for number, address in self._people:
            self._start(self.visitors.live(number, address))
        for device in self.devices:
            self._start(device.live())
            self._start(self._write(device))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.broken.append(f"{type(error).__name__}: {error}")

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, device: Device) -> None:
        number = 0
        while True:
            await asyncio.sleep(device.chance.expovariate(1 / self.pace))
            if self.may_write and len(device.waiting) < MOST_WAITING:
                number += 1
                await device.write(f"{device.journal.device} {number}")


def wait_until(holds: Callable[[], object], seconds: float, every: float = 0.2) -> bool:
    """Whether it came true in time. A Swarm without a leader answers nothing: not yet, then."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return True
        except NodeFailed:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
