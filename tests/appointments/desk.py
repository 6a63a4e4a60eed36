"""A clinic that can be booked, and the forms that browsers send to it."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.test import Client

from appointments.models import Appointment, SlotHold
from clinic.directory.models import Doctor, Hospital, OpeningHours, Service
from tests.appointments.visits import make_doctor, make_hospital

NOW = datetime(2026, 11, 3, 15, 0, tzinfo=UTC)  # a Tuesday, 10 am in New York
AT = datetime(2026, 11, 10, 14, 0, tzinfo=UTC)  # a week later, 9 am
REASON = "Chest pain on stairs"


@dataclass
class Desk:
    """A doctor who is there every day from 9 to 5, and one service of 30 minutes."""

    hospital: Hospital
    doctor: Doctor
    service: Service

    @property
    def address(self) -> str:
        return f"/doctors/{self.doctor.slug}/book/"

    def page(self, at: datetime | str = AT, service: str | None = None) -> str:
        code = self.service.code if service is None else service
        return f"{self.address}?service={code}&at={at if isinstance(at, str) else iso(at)}"

    def form(self, **changes: Any) -> dict[str, Any]:
        """What the form sends; None leaves a field out."""
        fields = {
            "service": self.service.code,
            "at": iso(AT),
            "key": "a-key-of-this-form",
            "reason": REASON,
            "action": "confirm",
        } | changes
        return {name: value for name, value in fields.items() if value is not None}


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def open_desk(
    *, name: str = "Amara Okafor", zone: str = "America/New_York", minutes: int = 30, **facts: Any
) -> Desk:
    hospital = make_hospital(time_zone=zone, keeps_public_holidays=False)
    doctor = make_doctor(name=name, verified_at=NOW - timedelta(days=9), credentials="MD", **facts)
    service = Service.objects.create(
        doctor=doctor,
        hospital=hospital,
        name="First visit",
        minutes=minutes,
        price_cents=12_000,
        bring="Your insurance card",
    )
    OpeningHours.objects.bulk_create(
        OpeningHours(
            doctor=doctor,
            hospital=hospital,
            weekday=weekday,
            opens=time(9),
            closes=time(17),
            valid_from=date(2026, 1, 1),
        )
        for weekday in range(7)
    )
    return Desk(hospital, doctor, service)


def book(client: Client, desk: Desk, **changes: Any) -> Appointment:
    """Books through the page and returns the visit."""
    answer = client.post(desk.address, desk.form(**changes))
    assert answer.status_code == 302, answer.content.decode()
    public_id = answer.headers["Location"].rstrip("/").rpartition("/")[2]
    return Appointment.objects.with_parts().get(public_id=public_id)


def nothing_was_written() -> bool:
    return not Appointment.objects.exists() and not SlotHold.objects.exists()


def text_of(answer: Any) -> str:
    """What a page says, without markup."""
    body = re.sub(r"<(script|style).*?</\1>", "", answer.content.decode(), flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def offered_times(answer: Any) -> list[str]:
    return re.findall(
        r'<input[^>]*name="at" value="([^"]+)"[^>]*id="id_at_', answer.content.decode()
    )


def text(answer: Any) -> str:
    return str(answer.content.decode())
