"""Replicas behind the edge that note every request as it reached them, byte by byte.

Two listen on one port, on 127.0.0.1 and 127.0.0.2, as two tasks of one service do. What one
answers is asked for in the path:

/says/<status>   that status, with a small page
…/closes/        the connection is closed without an answer, by both
…/closes-once/   the same, but only by whoever is asked first
…/waits/         answers when ``release`` is called
anything else    200
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

ADDRESSES = ("127.0.0.1", "127.0.0.2")


@dataclass(frozen=True)
class Seen:
    """A request as it arrived at one replica."""

    replica: str
    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def names(self) -> set[str]:
        return {key.lower() for key, _ in self.headers}


class Replicas:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._closed: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._released, self._ended = asyncio.Event(), asyncio.Event()
        self._sockets = self._listen()
        self.port: int = self._sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    @staticmethod
    def _listen() -> list[socket.socket]:
        first = socket.create_server((ADDRESSES[0], 0))
        return [first, socket.create_server((ADDRESSES[1], first.getsockname()[1]))]

    def requests(self, part: str) -> list[Seen]:
        """Those whose first line holds ``part``."""
        return [request for request in self.seen if part in request.line]

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._released.set)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve_until_ended())
        self._loop.close()

    async def _serve_until_ended(self) -> None:
        servers = [
            await asyncio.start_server(self._serving(replica), sock=listening)
            for replica, listening in zip(ADDRESSES, self._sockets, strict=True)
        ]
        await self._ended.wait()
        for server in servers:
            server.close()
        open_ones = asyncio.all_tasks() - {asyncio.current_task()}
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)

    def _serving(
        self, replica: str
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await self._one(replica, reader, writer):
                    pass
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        return serve

    async def _one(
        self, replica: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip().split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (row.partition(":") for row in rest)]
        request = Seen(replica, line, headers, b"")
        if request.all("transfer-encoding"):
            body = await _chunks(reader)
        else:
            body = await reader.readexactly(int("".join(request.all("content-length")) or 0))
        self.seen.append(Seen(replica, line, headers, body))
        path = line.split()[1]
        if "/closes/" in path:
            return False
        if "/closes-once/" in path and path not in self._closed:
            self._closed.add(path)
            return False
        if "/waits/" in path:
            await self._released.wait()
        status = path.split("/")[2] if path.startswith("/says/") else "200"
        text = b"from the site"
        writer.write(
            f"HTTP/1.1 {status} Said\r\nContent-Type: text/html\r\n"
            f"Content-Length: {len(text)}\r\nRetry-After: 17\r\n\r\n".encode()
            + (b"" if line.startswith("HEAD ") else text)
        )
        await writer.drain()
        return True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(5)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
