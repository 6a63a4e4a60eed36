"""A mail server that keeps every mail's identity, so that one sent twice is seen."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

PORT = 2525
_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


class Mailbox:
    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    @property
    def doubled(self) -> int:
        return sum(times > 1 for times in list(self.seen.values()))

    async def serve(self, address: str) -> None:
        server = await asyncio.start_server(self._talk, address, PORT, limit=1024 * 1024)
        async with server:
            await server.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 stack-test\r\n")
            while line := await reader.readline():
                command = line[:4].upper()
                if command == b"DATA":
                    writer.write(b"354 go on\r\n")
                    text = await reader.readuntil(b"\r\n.\r\n")
                    found = _MESSAGE_ID.search(text)
                    self.seen[found[1].decode() if found else "none"] += 1
                writer.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
                await writer.drain()
                if command == b"QUIT":
                    break
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
