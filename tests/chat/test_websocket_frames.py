"""Frames between the socket and the application: the short way, and what goes the long one."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from accounts.models import User
from clinic.websocket_server import read_text_frame, text_frame
from tests.chat.wire import ChatServer, session_of

PING = '{"type":"ping"}'


def client_frame(payload: bytes, first: int = 0x81, *, masked: bool = True) -> bytes:
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65_536:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 125, 126, 127, 4_000, 65_535])
def test_a_whole_text_frame_is_read_wherever_it_begins(size: int) -> None:
    text = ("aé€🙂" * size)[: size // 4] or "x" * size
    frame = client_frame(text.encode())
    data = b"??" + frame + client_frame(b"next")
    assert read_text_frame(data, 2) == (text, 2 + len(frame))
    assert read_text_frame(data, 2 + len(frame)) == ("next", len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        client_frame(b"Hello")[:-1],  # not all of it
        client_frame(b"x" * 300)[:3],
        client_frame(b"Hello", masked=False),
        client_frame(b"Hello", 0x01),  # the first piece of a message
        client_frame(b"Hello", 0x80),  # the last one
        client_frame(b"Hello", 0x82),  # binary
        client_frame(b"Hello", 0xC1),  # compressed
        client_frame(b"", 0x89),  # ping
        client_frame(b"\x03\xe8", 0x88),  # close
        client_frame(b"x" * 70_000),
        bytes((0x81, 0xFE, 0, 5)) + b"\0\0\0\0Hello",  # a length in more bytes than it needs
        client_frame(b"\xff\xfe"),  # no UTF-8
        client_frame("\ud800".encode(errors="surrogatepass")),
    ],
    ids=lambda data: f"{len(data)} bytes",  # masks are random; names of tests are not
)
def test_everything_else_is_left_to_the_library(data: bytes) -> None:
    assert read_text_frame(data, 0) is None


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_what_the_server_writes_is_one_unmasked_frame(size: int) -> None:
    frame = text_frame("x" * size)
    assert frame == client_frame(b"x" * size, masked=False)


@contextmanager
def line(server: ChatServer, user: User) -> Iterator[socket.socket]:
    """A connection after its handshake, with nothing between the test and the bytes."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as found:
        found.sendall(
            (
                f"GET /ws/chat/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                f"Origin: {server.origin}\r\nCookie: session={session_of(user)}\r\n\r\n"
            ).encode()
        )
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += found.recv(1)
        assert b" 101 " in answer
        assert said(found)["type"] == "welcome"
        yield found


def take(found: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = found.recv(size - len(data))
        assert piece, "the server closed the connection"
        data += piece
    return data


def frame_of(found: socket.socket) -> tuple[int, bytes]:
    first, size = take(found, 2)
    if size == 126:
        size = int.from_bytes(take(found, 2), "big")
    return first, take(found, size)


def said(found: socket.socket) -> dict[str, Any]:
    """The next text frame."""
    while True:
        first, payload = frame_of(found)
        if first == 0x81:
            frame: dict[str, Any] = json.loads(payload)
            return frame


@pytest.mark.django_db(transaction=True)
def test_frames_may_come_in_any_pieces(chat_server: ChatServer, alice: User) -> None:
    ping = client_frame(PING.encode())
    unknown = client_frame(b'{"type":"x"}')
    with line(chat_server, alice) as found:
        found.sendall(ping * 3)  # several at once
        assert [said(found)["type"] for _ in range(3)] == ["pong"] * 3
        found.sendall(ping + unknown[:4])  # one and a piece
        assert said(found)["type"] == "pong"
        found.sendall(unknown[4:] + ping)  # the rest, and another
        assert {said(found)["type"] for _ in range(2)} == {"error", "pong"}
        for at in range(len(ping)):  # byte by byte
            found.sendall(ping[at : at + 1])
        assert said(found)["type"] == "pong"
        # A message in two frames, with a ping of the protocol's own between them.
        found.sendall(client_frame(PING[:5].encode(), 0x01) + client_frame(b"now?", 0x89))
        assert frame_of(found) == (0x8A, b"now?")
        found.sendall(client_frame(PING[5:].encode(), 0x80) + ping)
        assert [said(found)["type"] for _ in range(2)] == ["pong"] * 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (client_frame(b"\xff\xfe"), 1007),
        (client_frame(PING.encode(), masked=False), 1002),
        (client_frame(PING.encode(), 0xC1), 1002),
        (client_frame(PING.encode(), 0x80), 1002),  # the rest of nothing
        (client_frame(b"x" * 70_000), 1009),
    ],
    # Masks are random; names of tests are not.
    ids=["no text", "unmasked", "compressed", "no beginning", "too long"],
)
def test_what_breaks_the_protocol_ends_the_socket(
    chat_server: ChatServer, alice: User, frame: bytes, code: int
) -> None:
    with line(chat_server, alice) as found:
        found.sendall(frame)
        first, payload = frame_of(found)
        assert first == 0x88 and int.from_bytes(payload[:2], "big") == code
