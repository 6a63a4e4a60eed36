"""The least of a browser: one kept connection, TLS against our own authority, cookies by hand.

As browsers do, it tries the next address when one does not answer, and a request that may be
repeated (GET) once more when a kept connection turns out to be closed. Nothing else is repeated:
what a person would see as an error counts as one.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 15.0
CSRF = "a" * 32  # Django accepts this as a token and as the cookie that it must match
LARGEST_LINE = 64 * 1024


class Unreached(Exception):
    """No answer came; says why."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    edge: str

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


@dataclass(frozen=True)
class Site:
    """Where the stack is reached, and how its certificate is checked."""

    host: str
    port: int
    edges: tuple[str, ...]
    context: ssl.SSLContext
    session_cookie: str = "__Host-session"
    csrf_cookie: str = "__Host-csrf"

    @property
    def origin(self) -> str:
        return f"https://{self.host}" + ("" if self.port == 443 else f":{self.port}")


@dataclass
class Jar:
    """The session cookie, shared by the connections of one browser."""

    session: str = ""


class Browser:
    """One connection; a browser with several gives them one ``jar``."""

    def __init__(
        self, site: Site, *, address: str, chance: random.Random, jar: Jar | None = None
    ) -> None:
        self.site = site
        self.jar = jar or Jar()
        self.edge = ""
        self.connects = 0
        self.address = address  # of the visitor: each has one, as limits count by it
        self._chance = chance
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> Answer:
        return await self._ask("GET", path, b"")

    async def post(self, path: str, fields: Mapping[str, str]) -> Answer:
        return await self._ask(
            "POST", path, urlencode({"csrfmiddlewaretoken": CSRF, **fields}).encode()
        )

    async def _ask(self, method: str, path: str, body: bytes) -> Answer:
        is_kept = self._streams is not None
        try:
            return await self._once(method, path, body)
        except Unreached:
            if not is_kept or method != "GET":
                raise
            return await self._once(method, path, body)

    async def _once(self, method: str, path: str, body: bytes) -> Answer:
        reader, writer = self._streams or await self._connect()
        try:
            writer.write(self._request(method, path, body))
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await _read(reader, self.edge)
        except (OSError, EOFError, TimeoutError, ValueError, ssl.SSLError) as error:
            self.close()
            raise Unreached(f"{type(error).__name__} {error}".strip()) from error
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        self._keep_cookies(answer)
        return answer

    def _keep_cookies(self, answer: Answer) -> None:
        """A session gets a new name at times (a new secret key), and is told to go at others."""
        for line in answer.headers.get("set-cookie", "").split("\n"):
            name, _, value = line.partition(";")[0].partition("=")
            if name == self.site.session_cookie:
                self.jar.session = value.strip('"')

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The first of the addresses that answers, in any order."""
        problem: Exception | None = None
        for edge in self._chance.sample(self.site.edges, len(self.site.edges)):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    streams = await asyncio.open_connection(
                        edge,
                        self.site.port,
                        ssl=self.site.context,
                        server_hostname=self.site.host,
                        local_addr=(self.address, 0),
                        limit=LARGEST_LINE,
                    )
                self.edge, self._streams = edge, streams
                self.connects += 1
                return streams
            except (OSError, TimeoutError, ssl.SSLError) as error:
                problem = error
        raise Unreached(f"no address answers: {type(problem).__name__} {problem}")

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.site.origin.removeprefix('https://')}",
            "User-Agent: clinic-stack-test",
            "Accept: text/html",
        ]
        cookies = [f"{self.site.csrf_cookie}={CSRF}"] if method == "POST" else []
        if self.jar.session:
            cookies.append(f"{self.site.session_cookie}={self.jar.session}")
        if cookies:
            lines.append(f"Cookie: {'; '.join(cookies)}")
        if method == "POST":
            lines += [
                f"Origin: {self.site.origin}",
                "Content-Type: application/x-www-form-urlencoded",
                f"Content-Length: {len(body)}",
            ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def close(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            with suppress(Exception):
                streams[1].transport.abort()


async def _read(reader: asyncio.StreamReader, edge: str) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split()[1])
    headers: dict[str, str] = {}
    for line in head[1:]:
        name, _, value = line.partition(":")
        if name.lower() in headers:
            headers[name.lower()] += f"\n{value.strip()}"
        elif name:
            headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Answer(status, headers, await _chunks(reader), edge)
    length = headers.get("content-length")
    if length is None and status not in {204, 304}:
        return Answer(status, headers | {"connection": "close"}, await reader.read(), edge)
    return Answer(status, headers, await reader.readexactly(int(length or 0)), edge)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readline()
    return b"".join(parts)


def addresses(places: Sequence[str], count: int) -> list[str]:
    """``count`` visitors over the addresses there are."""
    return [places[number % len(places)] for number in range(count)]
