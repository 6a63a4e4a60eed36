"""Rows of the waiting list and of the reminders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from appointments.models import WaitlistEntry
from appointments.waitlist import Wish, join
from appointments.waitlist_offers import Choice, token_of
from tests.appointments.desk import AT, NOW
from tests.security.row import NOBODY, Row
from tests.security.world import World

SIGNED_IN = "302 200 200 200 200 200 200 200"
EVERYBODY_IN = "alice bob charlie doctor other reception administrator"
BOTH_DONE = "302 302 302 404 404 404 404 404"


def entry(world: World) -> WaitlistEntry:
    """Alice waits for the doctor; made when a row first asks for it."""
    found = WaitlistEntry.objects.filter(patient=world.users["alice"].chart).first()
    return found or join(
        patient=world.users["alice"].chart,
        wish=Wish(world.desk.hospital, service=world.desk.service),
        earliest=date(2026, 11, 4),
        latest=date(2026, 11, 30),
        parts=["mornings"],
        by=world.users["alice"],
        now=NOW,
    )


def removing(world: World) -> str:
    return f"/appointments/waitlist/{entry(world).public_id}/remove/"


def mailed_link(world: World) -> str:
    token = token_of(Choice(entry(world), world.desk.service, AT))
    return f"/appointments/waitlist/offers/{token}/"


def adding(world: World) -> str:
    desk = world.other_desk
    return f"/appointments/waitlist/add/?doctor={desk.doctor.slug}&service={desk.service.code}"


def earlier(world: World) -> str:
    return f"/appointments/waitlist/add/?earlier={world.visit.public_id}"


DAYS: dict[str, Any] = {
    "earliest_month": "11", "earliest_day": "4", "earliest_year": "2026",
    "latest_month": "11", "latest_day": "9", "latest_year": "2026",
    "parts": ["mornings"],
}  # fmt: skip


def for_alice(world: World) -> dict[str, Any]:
    """Whoever sends it. With what stands in the address, which a HEAD is asked by."""
    chart = str(world.users["alice"].chart.public_id)
    desk = world.other_desk
    return DAYS | {"patient": chart, "doctor": desk.doctor.slug, "service": desk.service.code}


def sooner(world: World) -> dict[str, Any]:
    return DAYS | {"earlier": str(world.visit.public_id)}


def _add(case: str, address: Callable[[World], str], **more: Any) -> Row:
    return Row("appointments/waitlist/add/", post=BOTH_DONE, address=address,
               changes="alice bob", case=case, **more)  # fmt: skip


WAITLIST_ROWS = [
    Row("appointments/waitlist/", SIGNED_IN),
    _add("a doctor", adding, get=SIGNED_IN, form=for_alice),
    _add("earlier", earlier, get="302 200 200 404 404 404 404 404", form=sooner,
         audited="charlie doctor other reception administrator",
         unknown=f"/appointments/waitlist/add/?earlier={NOBODY}"),
    Row(
        "appointments/waitlist/<uuid:public_id>/remove/",
        "405",
        BOTH_DONE,
        address=removing,
        unknown=f"/appointments/waitlist/{NOBODY}/remove/",
        changes="alice bob",
    ),
    # It leads to the public page of booking, and says nothing about who waits.
    Row("appointments/waitlist/offers/<str:token>/", "302", address=mailed_link),
    Row("appointments/reminders/", SIGNED_IN, "302", form={"hours": "48"}, changes=EVERYBODY_IN),
]  # fmt: skip
