"""SECURITY 31: the charset that a request names is no way into Python's codecs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.core.signals import request_started
from django.db import close_old_connections
from django.test import RequestFactory

from clinic.asgi import application as asgi
from clinic.bodies import plain_type
from clinic.wsgi import application as wsgi

FOREIGN = [
    "zlib",
    "base64",
    "idna",
    "punycode",
    "undefined",
    "unicode_escape",
    "utf-7",
    "utf-16",
    "latin-1",
    '"zlib"',
    "no-such-charset",
    "utf-8\x00",
]
ADDRESSES = ["/hospitals/?q=%5Cud800", "/doctors/?q=%5Cud800x", "/accounts/login/?next=%5Cud800"]


def over_wsgi(address: str, content_type: str) -> tuple[str, dict[str, str]]:
    answered: list[tuple[str, dict[str, str]]] = []
    environ = RequestFactory().get(address, headers={"host": "localhost"}).environ
    environ["CONTENT_TYPE"] = content_type
    # As the test client does: a server's connection ends with the request, the test's does not.
    request_started.disconnect(close_old_connections)
    try:
        list(wsgi(environ, lambda status, headers: answered.append((status, dict(headers)))))
    finally:
        request_started.connect(close_old_connections)
    return answered[0]


def over_asgi(address: str, content_type: str) -> int:
    path, _, query = address.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost"), (b"content-type", content_type.encode("latin-1"))],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "scheme": "http",
    }
    statuses: list[int] = []
    arrived = False

    async def receive() -> dict[str, Any]:
        nonlocal arrived
        if arrived:
            await asyncio.sleep(60)
        arrived = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asyncio.run(asgi(scope, receive, send))
    return statuses[0]


@pytest.mark.django_db
@pytest.mark.parametrize("address", ADDRESSES)
def test_s31_another_charset_than_utf_8_is_a_bad_request(address: str) -> None:
    for charset in FOREIGN:
        for kind in (f"text/plain; charset={charset}", f"multipart/form-data;CharSet={charset}"):
            status, headers = over_wsgi(address, kind)
            assert status.startswith("400"), kind
            assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.django_db
def test_s31_rfc_2231_is_no_way_around() -> None:
    for kind in ("text/plain; charset*=utf-8''zlib", "text/plain; charset*=zlib; charset=utf-8"):
        assert over_wsgi(ADDRESSES[0], kind)[0].startswith("400")


@pytest.mark.django_db
def test_s31_utf_8_is_named_in_vain() -> None:
    for charset in ("utf-8", "UTF-8", '"utf-8"', "utf8"):
        assert over_wsgi("/privacy/", f"text/plain; charset={charset}")[0].startswith("200")
    # With a charset Django reads the address so early that its own refusal would have no page.
    many = "/privacy/?" + "&".join(f"a{number}=1" for number in range(600))
    assert over_wsgi(many, "text/plain; charset=utf-8")[0][:3] in {"200", "400"}


@pytest.mark.django_db(transaction=True)
def test_s31_the_same_over_asgi() -> None:
    assert over_asgi("/livez", "text/plain; charset=zlib") == 200  # a probe reads nothing
    for charset in ("zlib", "idna", "unicode_escape"):
        assert over_asgi("/no/such/page/?q=1", f"text/plain; charset={charset}") == 400
    assert over_asgi("/no/such/page/?q=1", "text/plain; charset=utf-8") == 404


def test_s31_the_rest_of_a_content_type_stays() -> None:
    assert plain_type('multipart/form-data; charset=UTF-8; boundary="a;b"') == (
        'multipart/form-data; boundary="a;b"',
        False,
    )
    assert plain_type("application/x-www-form-urlencoded") == (
        "application/x-www-form-urlencoded",
        False,
    )
