"""This server's way to the other socket servers, on Channels' own layer API.

One channel and one receiving loop per process, in the group of all socket servers (`chat.names`).
The layer may lose, double or reorder messages, and Redis may be away: every two seconds the link
asks itself a question over the layer, and ``live`` says whether that works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import structlog
from channels.layers import get_channel_layer

from chat import names
from chat.loops import Tasks, for_ever

PROBE_SECONDS = 2.0  # between questions whether the layer works
PROBE_PATIENCE = 1.5  # how long an answer may take
PUBLISH_PATIENCE = 1.5  # how long an ack waits for the fan-out of its event
AWAY_PATIENCE = 0.05  # the same, while the layer is known to be away
REJOIN_SECONDS = 600.0  # the group is joined again, because a layer may forget it

logger = structlog.get_logger("chat.link")


class Link:
    """``got`` takes what other servers say; ``changed`` is called when it is away, or back."""

    def __init__(
        self, *, got: Callable[[dict[str, Any]], None], changed: Callable[[], None]
    ) -> None:
        self.origin = uuid4().hex
        self.live = True
        self._layer = get_channel_layer()
        self._got = got
        self._changed = changed
        self._channel: str | None = None
        self._groups: Sequence[str] = (names.SERVERS,)
        self._joined = asyncio.Event()
        self._waiting: dict[str, list[names.Message]] = {}  # by origin, for the next packet
        self._sending: asyncio.Task[bool] | None = None
        self._probes: dict[int, asyncio.Event] = {}
        self._tasks = Tasks()

    def start(self) -> None:
        for work in (self._receive, self._probe, self._rejoin_now_and_then):
            self._tasks.spawn(for_ever(work))

    def stop(self) -> None:
        self._tasks.cancel()

    async def wait_until_joined(self) -> None:
        """Before it has joined the group, what others say does not come here."""
        if self.live and not self._joined.is_set():
            try:
                async with asyncio.timeout(PUBLISH_PATIENCE):
                    await self._joined.wait()
            except TimeoutError as error:
                self._is_away(error)

    # --- To the others ----------------------------------------------------------------------

    async def publish(self, messages: Sequence[names.Message], origin: str | None = None) -> bool:
        """Whether the messages went out to all servers. False while the layer is away.

        ``origin`` is this server, whose sockets have been told, unless it says otherwise.
        """
        if not messages:
            return self.live
        self._waiting.setdefault(self.origin if origin is None else origin, []).extend(messages)
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send())
        return await asyncio.shield(self._sending)

    async def _send(self) -> bool:
        await asyncio.sleep(0)  # what is told in the same turn of the loop goes together
        waiting, self._waiting = self._waiting, {}
        sending, self._sending = self._sending, None
        if sending is not None:
            self._tasks.keep(sending)
        packets = [
            packet
            for origin, messages in waiting.items()
            for packet in names.packets(messages, origin, self._groups)
        ]
        try:
            async with asyncio.timeout(PUBLISH_PATIENCE if self.live else AWAY_PATIENCE):
                for group, packet in packets:
                    await self._layer.group_send(group, packet)
        except Exception as error:
            self._is_away(error)
            return False
        return self.live

    # --- From the others --------------------------------------------------------------------

    async def _receive(self) -> None:
        """Reads this server's one channel until the layer fails; then is started anew."""
        if self._channel is None:
            try:
                self._channel = await self._layer.new_channel("chat.hub.")
                await self._rejoin()
            except Exception as error:
                self._is_away(error)
                raise
        while True:
            packet = await self._layer.receive(self._channel)
            try:
                self._open(packet)
            except Exception:
                logger.exception("chat_message_failed", kind=packet.get("type"))

    def _open(self, packet: dict[str, Any]) -> None:
        if packet["type"] == names.PROBE:
            answered = self._probes.get(packet["number"])
            if answered is not None:
                answered.set()
        elif packet["origin"] != self.origin:
            for message in packet["messages"]:
                self._got(message)

    # --- Whether it works -------------------------------------------------------------------

    def _is_away(self, error: BaseException | None = None) -> None:
        if self.live:
            self.live = False
            logger.warning("chat_layer_away", error=type(error).__name__ if error else "")
            self._changed()

    async def _probe(self) -> None:
        """Goes the whole way through the layer, over every Redis, every two seconds."""
        number = 0
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            if self._channel is None:
                self._is_away()
                continue
            number += 1
            if await self._layer_works(number):
                if not self.live:
                    await self._rejoin()
                    self.live = True
                    logger.info("chat_layer_back")
                    self._changed()
            else:
                self._is_away()

    async def _layer_works(self, number: int) -> bool:
        groups = self._one_on_each(f"chat.probe.{self.origin}")
        answers = {number * 1000 + index: group for index, group in enumerate(groups)}
        self._probes = {key: asyncio.Event() for key in answers}
        try:
            async with asyncio.timeout(PROBE_PATIENCE):
                for key, group in answers.items():
                    await self._layer.group_add(group, self._channel)
                    await self._layer.group_send(group, {"type": names.PROBE, "number": key})
                for answered in self._probes.values():
                    await answered.wait()
        except Exception:
            return False
        return True

    def _one_on_each(self, name: str) -> Sequence[str]:
        """Groups, one on each Redis."""
        spread: Sequence[str] = (
            self._layer.one_on_each(name) if hasattr(self._layer, "one_on_each") else (name,)
        )
        return spread

    async def _rejoin(self) -> None:
        if self._channel is not None:
            self._groups = self._one_on_each(names.SERVERS)
            for group in self._groups:
                await self._layer.group_add(group, self._channel)
            self._joined.set()

    async def _rejoin_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(REJOIN_SECONDS)
            await self._rejoin()
