"""The socket server: daphne, and what it lacks.

``python -m clinic.websocket_server -b HOST -p PORT``

* It leaves well. On SIGTERM it stops listening, says `bye` on every socket, closes them with 4012
  spread over some seconds, finishes what was being stored, and ends. daphne alone cuts everybody.
* Sockets see back-pressure: the transport's pause and resume reach the application, which bounds
  what it keeps for a client that does not read.
* A client that does not get its request's head across in 30 s is dropped.
* A frame may have 64 KiB; sockets live as long as they answer pings; it does not name itself.
* uvloop, where it is installed: about a third less CPU.
* A whole text frame, which is nearly all there is, goes from the socket to the application and back
  without Autobahn, whose Python was most of what reading and writing one cost. Everything else is
  Autobahn's: pings, closing, pieces of frames, and whatever breaks the protocol.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket as sockets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

FRAME_LIMIT = 64 * 1024
PING_SECONDS = 20
PONG_SECONDS = 30
CLOSE_SECONDS = 5  # how long a client may take to answer a close frame
SLOW_CLOSE_SECONDS = 30  # the same, when it still has to read what was sent before
SEND_BUFFER = 256 * 1024  # bytes the kernel keeps for one socket: the rest is ours to bound
DRAIN_SECONDS = 4.0
SWITCH_SECONDS = 0.001
HEAD_SECONDS = 30.0  # how long a request's head may take, however steadily it drips
REQUESTS_SECONDS = 5.0  # how long pages under way (embedded default) may take when it leaves


TEXT = 0x81  # a text message in one frame
MASKED = 0x80
SHORT = 126  # frames below this length have it in one byte; the number announces two bytes
MEDIUM = 0x10000


def text_frame(text: str) -> bytes:
    """A server's frame: not masked, not compressed."""
    payload = text.encode()
    size = len(payload)
    if size < SHORT:
        return bytes((TEXT, size)) + payload
    if size < MEDIUM:
        return bytes((TEXT, SHORT, size >> 8, size & 0xFF)) + payload
    return bytes((TEXT, SHORT + 1)) + size.to_bytes(8, "big") + payload


def read_text_frame(data: bytes, start: int) -> tuple[str, int] | None:
    """The text of a client's frame that begins at ``start``, and where it ends.

    None for whatever is not a whole text frame as it should be.
    """
    if len(data) - start < 6 or data[start] != TEXT or data[start + 1] < MASKED:
        return None
    size, mask = data[start + 1] - MASKED, start + 2
    if size == SHORT:
        size, mask = int.from_bytes(data[mask : mask + 2], "big"), mask + 2
        if size < SHORT:
            return None
    elif size > SHORT:
        return None
    body = mask + 4
    end = body + size
    if end > len(data):
        return None
    key = (data[mask:body] * (size // 4 + 1))[:size]
    plain = int.from_bytes(data[body:end], "little") ^ int.from_bytes(key, "little")
    try:
        return plain.to_bytes(size, "little").decode(), end
    except UnicodeDecodeError:
        return None


def use_uvloop() -> None:
    """Before daphne is imported, which makes its loop while it is."""
    try:
        import uvloop
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def make_server(application: Any, host: str, port: int, *, drain_seconds: float) -> Any:
    """A daphne server that is not running yet."""
    use_uvloop()
    from daphne.server import Server
    from daphne.ws_protocol import WebSocketProtocol
    from twisted.internet import reactor as installed_reactor
    from twisted.internet.interfaces import IPushProducer
    from twisted.web.http import HTTPChannel
    from zope.interface import implementer

    # Twisted's types are partial: its classes count as untyped, as daphne's do.
    reactor: Any = installed_reactor
    channel: Any = HTTPChannel

    @implementer(IPushProducer)
    class TransportFlow:
        """The way to one client (`chat.outbox.Flow`), and what its transport says about it."""

        __slots__ = ("_protocol", "paused", "received", "resumed", "socket")

        def __init__(self, protocol: Any) -> None:
            self._protocol = protocol
            self.socket: sockets.socket | None = None
            self.paused = False
            self.resumed: Callable[[], None] | None = None
            self.received: Callable[[str | None], None] | None = None

        def write(self, outgoing: Any) -> None:
            protocol = self._protocol
            if protocol.state != protocol.STATE_OPEN:
                return
            data = outgoing.prepared
            if data is None:  # once for all sockets that it goes to
                data = outgoing.prepared = text_frame(outgoing.text)
            transport = protocol.transport
            # With nothing before it in Twisted's buffers it can go out now. Through them it takes
            # another turn of the loop, and two calls of the kernel to ask for that and to end it.
            if self.socket is not None and not transport.dataBuffer and not transport._tempDataLen:
                try:
                    sent = self.socket.send(data)
                except OSError:  # full, or broken: the transport finds out, and tells
                    sent = 0
                if sent == len(data):
                    return
                data = data[sent:]
            transport.write(data)

        def close(self, code: int) -> None:
            protocol = self._protocol
            if protocol.state == protocol.STATE_OPEN:
                if self.paused:
                    protocol.closeHandshakeTimeout = SLOW_CLOSE_SECONDS
                protocol.sendCloseFrame(code=code, isReply=False)

        def pauseProducing(self) -> None:  # noqa: N802  (Twisted's name)
            self.paused = True

        def resumeProducing(self) -> None:  # noqa: N802
            self.paused = False
            if self.resumed is not None:
                self.resumed()

        def stopProducing(self) -> None:  # noqa: N802
            self.paused = True

    class SocketProtocol(WebSocketProtocol):
        def onOpen(self) -> None:  # noqa: N802
            with suppress(Exception):  # the HTTP side is the producer until now
                self.transport.unregisterProducer()
            self.transport.registerProducer(self.flow, True)
            handle = self.transport.getHandle()
            handle.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER)
            handle.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
            if type(handle) is sockets.socket:
                self.flow.socket = handle
            super().onOpen()

        def dataReceived(self, data: bytes) -> None:  # noqa: N802
            start = 0
            # While Autobahn has a part of a frame or message, the next bytes belong to it.
            if (
                self.state == self.STATE_OPEN
                and not self.data
                and self.current_frame is None
                and not self.inside_message
            ):
                while self.state == self.STATE_OPEN and self.flow.received is not None:
                    found = read_text_frame(data, start)
                    if found is None:
                        break
                    text, start = found
                    if self.autoPingTimeoutCall:
                        self._cancelAutoPingTimeoutCall()
                    self._heard(text)
            if start < len(data):
                super().dataReceived(data[start:] if start else data)

        def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803
            if self.flow.received is None or self.muted:
                super().onMessage(payload, isBinary)
            else:
                self._heard(None if isBinary else payload.decode())

        def _heard(self, text: str | None) -> None:
            self.last_ping = time.time()
            self.flow.received(text)

    class ImpatientChannel(channel):
        """Twisted's own timeout starts anew with every byte, so one byte now and then held a
        connection for ever."""

        head_due: Any = None
        is_head_read = False

        def connectionMade(self) -> None:  # noqa: N802  (Twisted's names)
            super().connectionMade()
            self._start_waiting()

        def dataReceived(self, data: bytes) -> None:  # noqa: N802
            if self.head_due is None and not self.is_head_read:
                self._start_waiting()
            super().dataReceived(data)

        def allHeadersReceived(self) -> None:  # noqa: N802
            self._stop_waiting()
            self.is_head_read = True
            super().allHeadersReceived()

        def requestDone(self, request: Any) -> None:  # noqa: N802
            self.is_head_read = False
            super().requestDone(request)

        def connectionLost(self, reason: Any) -> None:  # noqa: N802
            self._stop_waiting()
            super().connectionLost(reason)

        def _start_waiting(self) -> None:
            self.head_due = reactor.callLater(HEAD_SECONDS, self._give_up)

        def _stop_waiting(self) -> None:
            due, self.head_due = self.head_due, None
            if due is not None and due.active():
                due.cancel()

        def _give_up(self) -> None:
            self.transport.abortConnection()

    class DrainingServer(Server):
        def run(self) -> None:
            self.ports: list[Any] = []
            self.leaving: asyncio.Task[None] | None = None
            super().run()

        def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
            if scope["type"] == "websocket":
                protocol.flow = scope["clinic.flow"] = TransportFlow(protocol)
            return super().create_application(protocol, scope)

        def listen_success(self, port: Any) -> None:
            self.ports.append(port)
            super().listen_success(port)

        def about_to_run(self) -> None:
            self.http_factory.protocol = ImpatientChannel
            self.ws_factory.protocol = SocketProtocol
            # Without failByDrop=False a frame that is too large ends the connection with no code.
            self.ws_factory.setProtocolOptions(
                closeHandshakeTimeout=CLOSE_SECONDS, failByDrop=False
            )
            loop = reactor._asyncioEventloop
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.leave)

        def leave(self) -> None:
            """Ends well; asked a second time, at once."""
            if self.leaving is not None:
                self.stop()
                return
            self.leaving = asyncio.ensure_future(self._leave())

        async def _leave(self) -> None:
            from chat.hub import running_hub

            try:
                for port in self.ports:
                    port.stopListening()
                hub = running_hub()
                if hub is not None:
                    await hub.drain(spread=drain_seconds)
                deadline = asyncio.get_running_loop().time() + REQUESTS_SECONDS
                while self._is_busy() and asyncio.get_running_loop().time() < deadline:
                    await asyncio.sleep(0.05)
                if hub is not None:
                    hub.stop()
            finally:
                self.stop()

        def _is_busy(self) -> bool:
            return any("disconnected" not in about for about in self.connections.values())

    server = DrainingServer(
        application=application,
        endpoints=[f"tcp:port={port}:interface={host.replace(':', chr(92) + ':')}:backlog=2048"],
        signal_handlers=False,
        ping_interval=PING_SECONDS,
        ping_timeout=PONG_SECONDS,
        websocket_timeout=-1,
        websocket_max_message_size=FRAME_LIMIT,
        websocket_max_frame_size=FRAME_LIMIT,
        server_name="",
        verbosity=0,
    )
    server.ready_callable = server.about_to_run
    return server


def main() -> int:
    parser = argparse.ArgumentParser(prog="clinic.websocket_server", description=__doc__)
    parser.add_argument("-b", "--bind", default="127.0.0.1")
    parser.add_argument("-p", "--port", type=int, default=8001)
    parser.add_argument("--drain-seconds", type=float, default=DRAIN_SECONDS)
    asked = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinic.settings")
    use_uvloop()
    # Database threads hand the interpreter back and forth with the loop at each answer; at the
    # default of 5 ms, a busy loop makes a batch of ten queries wait for a tenth of a second.
    sys.setswitchinterval(SWITCH_SECONDS)
    from clinic.asgi import application
    from clinic.warm import keep_loaded

    server = make_server(application, asked.bind, asked.port, drain_seconds=asked.drain_seconds)
    keep_loaded()
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
