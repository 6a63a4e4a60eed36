"""SECURITY 33: a request whose end two servers could see differently is refused at the edge."""

from __future__ import annotations

import pytest

from tests.deploy.edge import NAME, Edge
from tests.deploy.replicas import Replicas

pytestmark = pytest.mark.once

SMUGGLED = f"GET /smuggled/ HTTP/1.1\r\nHost: {NAME}\r\n\r\n"
CHUNKS = f"0\r\n\r\n{SMUGGLED}"
FIXED = f"Content-Length: {len(CHUNKS)}"
CHUNKED = "Transfer-Encoding: chunked"
# What stands between the Host header and the empty line.
AMBIGUOUS = {
    "CL.TE": f"{FIXED}\r\n{CHUNKED}",
    "TE.CL": f"{CHUNKED}\r\nContent-Length: 5",
    "TE.CL=0": f"{CHUNKED}\r\nContent-Length: 0",
    "two lengths": f"Content-Length: 5\r\n{FIXED}",
    "one length twice": f"{FIXED}\r\n{FIXED}",
    "a list of lengths": "Content-Length: 5, 5",
    "a signed length": "Content-Length: +5",
    "a negative length": "Content-Length: -1",
    "a hexadecimal length": "Content-Length: 0x5",
    "a length with a space": "Content-Length: 5 5",
    "two hosts": f"Host: evil.example.org\r\n{FIXED}",
    "one host twice": f"Host: {NAME}\r\n{FIXED}",
    "a folded line": f"X-Folded: 1\r\n {CHUNKED}\r\n{FIXED}",
    "a folded line with a tab": f"X-Folded: 1\r\n\t{CHUNKED}\r\n{FIXED}",
    "a space before the colon": f"Transfer-Encoding : chunked\r\n{FIXED}",
    "a tab before the colon": f"Transfer-Encoding\t: chunked\r\n{FIXED}",
    "an unknown coding": "Transfer-Encoding: xchunked",
    "a list of codings": "Transfer-Encoding: chunked, identity",
    "gzip first": "Transfer-Encoding: gzip, chunked",
    "a control character": "Transfer-Encoding: \x0bchunked",
    "codings twice": f"{CHUNKED}\r\nTransfer-Encoding: identity",
    "chunked twice": f"{CHUNKED}\r\n{CHUNKED}",
    "a lone CR": f"X-Any: a\r{CHUNKED}\r\n{FIXED}",
    "a NUL": f"X-Any: a\0b\r\n{FIXED}",
    "a header without a name": f": x\r\n{FIXED}",
}
BAD_CHUNKS = {
    "not a number": "xyz\r\nhello\r\n",
    "negative": "-5\r\nhello\r\n",
    "prefixed": "0x5\r\nhello\r\n",
    "too large": "ffffffffffffffff1\r\nhello\r\n",
    "longer than it says": "3\r\nhello\r\n",
}


def post(path: str, fields: str, body: str, version: str = "1.1") -> bytes:
    head = f"POST {path} HTTP/{version}\r\nHost: {NAME}\r\n{fields}\r\n\r\n"
    return (head + body).encode("latin-1")


def assert_refused_once(answer: bytes) -> None:
    assert answer.count(b"HTTP/1.1 ") == 1, "a second request was answered"
    assert answer.split()[1] in {b"400", b"421", b"501"}, answer[:200]
    assert b"<hr><center>nginx" not in answer, "a page that is not ours"


@pytest.mark.parametrize("path", ["/accounts/login/", "/ws/chat/", "/messages/x/"])
@pytest.mark.parametrize("fields", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_s33_an_ambiguous_request_is_refused_and_nothing_passes(
    edge: Edge, replicas: Replicas, path: str, fields: str
) -> None:
    before = len(replicas.seen)
    assert_refused_once(edge.dialogue(post(path, fields, CHUNKS)))
    assert len(replicas.seen) == before


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_s33_chunks_that_cannot_be_counted_are_refused(
    edge: Edge, replicas: Replicas, body: str
) -> None:
    before = len(replicas.seen)
    assert_refused_once(edge.dialogue(post("/x/", CHUNKED, body + SMUGGLED)))
    assert len(replicas.seen) == before


def test_s33_chunks_of_an_old_client_are_refused(edge: Edge, replicas: Replicas) -> None:
    before = len(replicas.seen)
    assert_refused_once(edge.dialogue(post("/x/", CHUNKED, CHUNKS, version="1.0")))
    assert len(replicas.seen) == before


def test_s33_another_host_in_the_request_line_is_not_ours(edge: Edge, replicas: Replicas) -> None:
    before = len(replicas.seen)
    raw = f"GET http://evil.example.org/ HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"
    assert_refused_once(edge.dialogue(raw.encode()))
    assert len(replicas.seen) == before


def test_s33_what_passes_is_framed_anew(edge: Edge, replicas: Replicas) -> None:
    """Chunk extensions, trailers and a body that looks like a request end at the edge."""
    size = f"{len(SMUGGLED):x}"
    chunks = f"{size};any=thing\r\n{SMUGGLED}\r\n0\r\nX-Trailer: x\r\nContent-Length: 9\r\n\r\n"
    sent = f"{CHUNKED}\r\nConnection: close"
    answer = edge.dialogue(post("/framed-anew/", sent, chunks))
    assert answer.count(b"HTTP/1.1 ") == 1 and answer.split()[1] == b"200"
    (seen,) = replicas.requests("/framed-anew/")
    assert seen.body == SMUGGLED.encode()
    assert seen.all("content-length") == [str(len(SMUGGLED))]
    assert seen.all("transfer-encoding") == []
    assert "x-trailer" not in seen.names
    assert replicas.requests("/smuggled/") == []


def test_s33_two_requests_on_one_connection_stay_two(edge: Edge, replicas: Replicas) -> None:
    first = post("/first-of-two/", "Content-Length: 5", "hello")
    last = f"GET /second-of-two/ HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"
    answer = edge.dialogue(first + last.encode())
    assert answer.count(b"HTTP/1.1 200") == 2
    (one,) = replicas.requests("/first-of-two/")
    (two,) = replicas.requests("/second-of-two/")
    assert (one.body, two.body) == (b"hello", b"")
