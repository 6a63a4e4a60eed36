"""What the races are about, and what is true after them; runs inside the writers' program."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.management import CommandError, call_command

from accounts.audit import verify_chain
from accounts.models import AuditEvent, Patient, User
from appointments.booking import book, cancel, reschedule
from appointments.care import AFTER_VISIT
from appointments.free_times import nearest_free
from appointments.models import (
    Appointment,
    BookingRequest,
    CareRelation,
    Status,
)
from clinic.directory.models import OpeningHours, Service
from clinic.jobs.models import OutgoingMail
from tests.appointments.visits import make_doctor, make_hospital
from tests.cast import make_patient_user
from tests.races import remind, waiting

# Far ahead, because check_bookings looks at holds by the real clock and leaves out the past.
NOW = datetime(2040, 6, 4, 12, 0, tzinfo=UTC)  # a Monday, 8 am in New York
SHAPES = [(30, 0), (15, 5), (45, 15), (60, 0)]  # minutes and the pause after them


def open_ward(*, doctors: int, patients: int) -> dict[str, Any]:
    """New doctors who start a visit every 5 minutes from 8 to 6, and new patients.

    ``services[doctor][shape]`` are primary keys, in the order of ``SHAPES``.
    """
    hospital = make_hospital(keeps_public_holidays=False)
    services = []
    for _number in range(doctors):
        doctor = make_doctor(
            verified_at=NOW - timedelta(days=30), grid_minutes=5, lead_minutes=0, horizon_days=60
        )
        OpeningHours.objects.bulk_create(
            OpeningHours(
                doctor=doctor,
                hospital=hospital,
                weekday=weekday,
                opens=time(8),
                closes=time(18),
                valid_from=date(2026, 1, 1),
            )
            for weekday in range(7)
        )
        services.append(
            [
                Service.objects.create(
                    doctor=doctor,
                    hospital=hospital,
                    name=f"{minutes} minutes",
                    minutes=minutes,
                    buffer_minutes=pause,
                ).pk
                for minutes, pause in SHAPES
            ]
        )
    known = Patient.objects.count()
    people = [
        make_patient_user(f"writer{known + number}@example.org") for number in range(patients)
    ]
    return {
        "services": services,
        "patients": [user.chart.pk for user in people],
        "users": [user.pk for user in people],
    }


def warm_up() -> None:
    """Books, moves and cancels once, so that no writer starts with cold templates and zones."""
    ward = open_ward(doctors=1, patients=1)
    service = Service.objects.select_related("doctor", "hospital").get(pk=ward["services"][0][0])
    by = User.objects.get(pk=ward["users"][0])
    opens = NOW + timedelta(days=1)
    visit = book(service=service, patient=by.chart, starts_at=opens, by=by, key="warm-up", now=NOW)
    nearest_free(service, around=opens, now=NOW)
    later = opens + timedelta(hours=1)
    moved = reschedule(appointment=visit, starts_at=later, by=by, key="warm-up-move", now=NOW)
    cancel(appointment=moved, by=by, now=NOW)


def verdict() -> dict[str, Any]:
    """Everything that can be told from the tables; lists of what is wrong are empty when all is
    well."""
    visits = list(Appointment.objects.order_by("pk"))
    active = [visit for visit in visits if visit.status != Status.CANCELLED]
    relations = {relation.appointment_id: relation for relation in CareRelation.objects.all()}
    mails = Counter(
        key.partition(":")[0] for key in OutgoingMail.objects.values_list("key", flat=True)
    )
    return {
        "visits": [
            [
                *(visit.pk, visit.doctor_id, visit.patient_id),
                *(visit.starts_at.isoformat(), visit.ends_at.isoformat()),
                visit.occupied_until.isoformat(),
            ]
            for visit in active
        ],
        "booked": len(visits),
        "cancelled": len(visits) - len(active),
        "moved": sum(visit.calendar_sequence for visit in visits) - (len(visits) - len(active)),
        "mails": dict(mails),
        "keys": BookingRequest.objects.count(),
        "audit": dict(Counter(AuditEvent.objects.values_list("action", flat=True))),
        "broken_chains": [
            f"{patient.pk}: {verify_chain(patient)}"
            for patient in Patient.objects.all()
            if verify_chain(patient)
        ],
        "wrong_care": [
            visit.pk
            for visit in visits
            if visit.pk not in relations
            or relations[visit.pk].doctor_id != visit.doctor_id
            or relations[visit.pk].patient_id != visit.patient_id
            or relations[visit.pk].until != (visit.cancelled_at or visit.ends_at + AFTER_VISIT)
        ],
        "relations": len(relations),
        "check_bookings": _check_bookings(),
    }


def _check_bookings() -> list[Any]:
    """The command's exit code and what it printed."""
    said = io.StringIO()
    try:
        call_command("check_bookings", stdout=said)
    except CommandError as error:
        return [error.returncode, f"{said.getvalue()}{error}"]
    return [0, said.getvalue()]


def remove_unsafe() -> None:
    """Removes the visits of the unsafe writers, which alone have no key."""
    Appointment.objects.exclude(pk__in=BookingRequest.objects.values("appointment")).delete()


def due(visits: list[int]) -> str:
    """See `remind.due`; the moment as text, for another process."""
    return remind.due(visits).isoformat()


def mails(visits: list[int]) -> dict[str, int]:
    return remind.mails(visits)


def free_and_wait(services: list[int], users: list[int]) -> list[int]:
    return waiting.free_and_wait(services, users, NOW)


def told(entries: list[int]) -> list[int]:
    return waiting.told(entries)


def existing(keys: list[str]) -> dict[str, int]:
    """Which visit each key booked."""
    return dict(BookingRequest.objects.filter(key__in=keys).values_list("key", "appointment_id"))
