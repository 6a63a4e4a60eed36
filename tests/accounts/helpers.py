"""How the tests of accounts fill in forms and read mails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.db import connection
from django.http.response import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.hashers import ClinicArgon2
from clinic.jobs.models import OutgoingMail

NEW_ADDRESS = "newcomer@example.org"
LONG_PASSWORD = "quiet harbour lights at noon"


def signup_facts(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Noa Castell",
        "email": NEW_ADDRESS,
        "birth_date_month": "3",
        "birth_date_day": "31",
        "birth_date_year": "1985",
        "phone": "207-555-0142",
        "time_zone": "",
        "password1": LONG_PASSWORD,
        "accept": "on",
    } | changes


def mails_to(address: str) -> list[OutgoingMail]:
    return list(OutgoingMail.objects.filter(to=address).order_by("pk"))


def mailed_code(address: str) -> str:
    """The code in the newest mail to ``address``: the only line that is one upper-case word."""
    found = re.findall(r"^\s*([0-9A-Z][0-9A-Z-]{4,})\s*$", mails_to(address)[-1].text, re.M)
    assert len(found) == 1, mails_to(address)[-1].text
    return str(found[0])


def sign_in(client: Client, email: str, password: str, **extra: Any) -> Any:
    return client.post("/accounts/login/", {"login": email, "password": password}, **extra)


TOKENS = [
    re.compile(rb'(name="csrfmiddlewaretoken" value=")[^"]+'),
    re.compile(rb'(name="email"[^>]* value=")[^"]+'),
]


def comparable(response: HttpResponseBase, *addresses: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer without tokens and without the address typed in."""
    headers = {
        name: value
        for name, value in response.headers.items()
        # Its own id and moment for every answer, and a length that follows from the address.
        if name not in {"X-Request-ID", "Expires", "Content-Length"}
    }
    body: bytes = response.content  # type: ignore[attr-defined]
    for token in TOKENS:
        body = token.sub(rb"\1", body)
    for address in addresses:
        body = body.replace(address.encode(), b"ADDRESS")
    return response.status_code, headers, body


class Work:
    """What a request cost: password hashes and database queries."""

    def __init__(self) -> None:
        self.hashes = 0
        self.queries: list[str] = []


@contextmanager
def counted_work() -> Iterator[Work]:
    """Counts, and does, the work: the real hasher runs."""
    work = Work()
    encode, verify = ClinicArgon2.encode, ClinicArgon2.verify

    def counting_encode(self: ClinicArgon2, password: str, salt: str) -> str:
        work.hashes += 1
        return encode(self, password, salt)

    def counting_verify(self: ClinicArgon2, password: str, encoded: str) -> bool:
        work.hashes += 1
        return verify(self, password, encoded)

    with (
        patch.object(ClinicArgon2, "encode", counting_encode),
        patch.object(ClinicArgon2, "verify", counting_verify),
        CaptureQueriesContext(connection) as queries,
    ):
        yield work
    work.queries = [str(query["sql"]) for query in queries.captured_queries]
