"""Accounts for the browser tests, each with a session that is signed in already.

Signing in by the page is what a few tests are about; for all others it would cost a password hash
and two pages each.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from tests.site import Site

_MAKE = """
import json
from django.test import Client
from accounts.models import User
from tests.cast import make_patient_user
made = []
for number in range({count}):
    user = make_patient_user(
        f"browser{{number}}@example.org", name=f"Robin Ames {{number}}", time_zone={zone!r}
    )
    client = Client()
    client.force_login(user)
    made.append([user.email, user.name, client.cookies["session"].value])
for email in {known!r}:
    user = User.objects.get(email=email)
    client = Client()
    client.force_login(user)
    made.append([user.email, user.name, client.cookies["session"].value])
print(json.dumps(made))
"""
KNOWN = (
    "patient1@example.org",
    "patient2@example.org",
    "doctor1@example.org",
    "reception@example.org",
    "admin@example.org",
)
CAST = 80  # more than there are tests that take one


@dataclass(frozen=True)
class Person:
    email: str
    name: str
    session: str


@dataclass
class People:
    """Fresh accounts, one per call of `fresh`, and the sample's own by their address."""

    site: Site
    waiting: list[Person] = field(default_factory=list)
    known: dict[str, Person] = field(default_factory=dict)

    @classmethod
    def of(cls, site: Site, *, count: int = CAST, known: tuple[str, ...] = KNOWN) -> People:
        printed = site.shell(_MAKE.format(count=count, zone="", known=known))
        made = [Person(*facts) for facts in json.loads(printed.splitlines()[-1])]
        return cls(
            site,
            waiting=made[:count],
            known={person.email: person for person in made[count:]},
        )

    def fresh(self, *, zone: str = "") -> Person:
        """Somebody with a chart and no visits."""
        person = self.waiting.pop(0)
        if zone:
            run(self.site, "UPDATE accounts_user SET time_zone = ? WHERE email = ?", zone, person)
        return person


def run(site: Site, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of a statement against the site's database; changes are stored. A person counts as the
    address of the account."""
    plain = [value.email if isinstance(value, Person) else value for value in values]
    path = site.folder / "site.sqlite3"
    with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        return connection.execute(statement, plain).fetchall()


def visits(site: Site, person: Person) -> list[dict[str, Any]]:
    """The visits booked by an account, oldest first."""
    rows = run(
        site,
        "SELECT a.public_id, a.status, a.reason, a.starts_at FROM appointments_appointment a "
        "JOIN accounts_user u ON u.id = a.booked_by_id WHERE u.email = ? ORDER BY a.id",
        person,
    )
    return [
        {
            "id": str(uuid.UUID(public_id)),
            "status": status,
            "reason": reason,
            "starts_at": starts_at,
        }
        for public_id, status, reason, starts_at in rows
    ]


def end_holds(site: Site) -> None:
    """Lets every kept time end now, as if ten minutes had passed."""
    for table in ("slothold", "doctorhold"):
        run(
            site,
            f"UPDATE appointments_{table} SET held_until = datetime('now', '-1 minute') "  # noqa: S608
            "WHERE held_until IS NOT NULL",
        )
