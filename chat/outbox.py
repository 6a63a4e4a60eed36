"""What waits to be sent on one socket: bounded, so that a client that stops reading costs little.

Frames go straight to the transport until it says that its buffer is full; from then on they wait
here. At half of the bound typing and presence are dropped, at the bound the socket is closed with
4008: the client comes back and fetches what it missed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

MOST_FRAMES = 1_000
MOST_BYTES = 1024 * 1024
SLOW_READER = 4008


class Outgoing:
    """A frame's text, shared by all sockets it goes to; ``prepared`` is the transport's form."""

    __slots__ = ("prepared", "size", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.size = len(text)
        self.prepared: Any = None


class Flow(Protocol):
    """The way to the client; our server puts one into the scope (clinic/websocket_server.py)."""

    paused: bool
    resumed: Callable[[], None] | None
    # Gets each text that the client sends, and None for a binary message. Where the server does not
    # know it, they come through ASGI's ``receive``.
    received: Callable[[str | None], None] | None

    def write(self, outgoing: Outgoing) -> None: ...
    def close(self, code: int) -> None: ...


class AsgiFlow:
    """The way to the client on any other ASGI server: one frame at a time by ``send``."""

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.paused = False
        self.resumed: Callable[[], None] | None = None
        self.received: Callable[[str | None], None] | None = None
        self._send = send
        self._task: asyncio.Task[None] | None = None
        self._code: int | None = None

    def write(self, outgoing: Outgoing) -> None:
        self.paused = True
        self._task = asyncio.create_task(self._write(outgoing))

    async def _write(self, outgoing: Outgoing) -> None:
        try:
            await self._send({"type": "websocket.send", "text": outgoing.text})
        except Exception:  # the client is gone; the socket hears of it by `receive`
            return
        self.paused = False
        if self._code is not None:
            await self._send({"type": "websocket.close", "code": self._code})
        elif self.resumed is not None:
            self.resumed()

    def close(self, code: int) -> None:
        if self.paused and self._code is None:
            self._code = code
        else:
            self._task = asyncio.ensure_future(
                self._send({"type": "websocket.close", "code": code})
            )


class Outbox:
    __slots__ = ("_bytes", "_flow", "_waiting", "closed", "on_close")

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._waiting: deque[Outgoing] | None = None  # most sockets never need one
        self._bytes = 0
        self.closed = False
        self.on_close: Callable[[], None] | None = None
        flow.resumed = self._drain

    def put(self, outgoing: Outgoing, *, may_drop: bool = False) -> None:
        if self.closed:
            return
        waiting = self._waiting
        if not waiting and not self._flow.paused:
            self._flow.write(outgoing)
            return
        if waiting is None:
            waiting = self._waiting = deque()
        if may_drop and (len(waiting) >= MOST_FRAMES // 2 or self._bytes >= MOST_BYTES // 2):
            return
        # One long answer alone may be larger than the bound; what waits behind it may not.
        if waiting and (len(waiting) >= MOST_FRAMES or self._bytes + outgoing.size > MOST_BYTES):
            self.close(SLOW_READER)
            return
        waiting.append(outgoing)
        self._bytes += outgoing.size

    @property
    def has_room(self) -> bool:
        """Whether a long answer may be put in without coming near the bound."""
        return self._bytes < MOST_BYTES // 4

    def _drain(self) -> None:
        waiting = self._waiting
        while waiting and not self._flow.paused and not self.closed:
            outgoing = waiting.popleft()
            self._bytes -= outgoing.size
            self._flow.write(outgoing)
        if not waiting:
            self._waiting = None

    def close(self, code: int) -> None:
        """Nothing is sent after this but the close frame."""
        if self.closed:
            return
        self.closed = True
        self._waiting = None
        self._bytes = 0
        if self.on_close is not None:
            self.on_close()
        self._flow.close(code)
