"""Makes who visits and who talks, and prints them as JSON with the sessions they are signed in by.

Piped to ``python - WRITERS BOOKERS SLOTS`` in an application container, on sample data. Signing 650
people in through the form would be a test of Argon2; the load signs in through the form as well,
at a person's pace.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.hashers import make_password  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import Patient, Role, User  # noqa: E402
from appointments.free_times import free_times  # noqa: E402
from chat.access import members_of  # noqa: E402
from chat.models import Conversation  # noqa: E402
from clinic.directory.models import Doctor, Service  # noqa: E402

SLOTS_PER_BOOKER = 8  # below the limit of open bookings
FIRST_DAY, DAYS = 3, 25
PASSWORD = make_password(None)


def account(name: str) -> User:
    return User.objects.create(
        email=f"{name}@example.org",
        name=name,
        role=Role.PATIENT,
        password=PASSWORD,
        terms_version=settings.TERMS_VERSION,
        terms_accepted_at=timezone.now(),
    )


def session_of(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def writers(sockets: int) -> dict[str, Any]:
    """Pairs of a patient's telephone and laptop, each with a conversation with a doctor.

    Both devices write and both must see everything, so every message crosses servers.
    """
    doctors = list(Doctor.objects.public().exclude(user=None).order_by("pk")[:20])
    hospital = Service.objects.filter(doctor=doctors[0])[0].hospital
    devices, places = [], []
    for number in range(sockets // 2):
        user = account(f"writer{number}")
        chart = Patient.objects.create(account=user, name=user.name)
        doctor = doctors[number % len(doctors)]
        place = Conversation.objects.create(
            patient=chart, doctor=doctor, hospital=hospital, pair=f"d{doctor.pk}.{chart.pk}"
        )
        places.append(place)
        for device in ("telephone", "laptop"):
            devices.append(
                {
                    "name": f"{user.name}.{device}",
                    "user": str(user.public_id),
                    "session": session_of(user),
                    "conversations": [str(place.public_id)],
                }
            )
    members = members_of([place.pk for place in places], timezone.now())
    return {
        "devices": devices,
        "places": [
            {
                "pk": place.pk,
                "conversation": str(place.public_id),
                "members": [str(one.public_id) for one in members[place.pk].values()],
            }
            for place in places
        ],
    }


def apart(service: Service, starts: list[datetime]) -> Iterator[datetime]:
    """Of the free starts those that can all be taken."""
    free_at = None
    for at in starts:
        if free_at is None or at >= free_at:
            yield at
            free_at = at + timedelta(minutes=service.minutes + service.buffer_minutes)


def slots(wanted: int, bookers: int) -> list[dict[str, Any]]:
    """Times that nobody else of the load wants, each with a person who has no other visit then."""
    services: dict[int, Service] = {}
    for service in Service.objects.filter(
        doctor__in=Doctor.objects.public().filter(accepts_new=True), is_active=True
    ).select_related("doctor", "hospital"):
        services.setdefault(service.doctor_id, service)  # one of each, or they would collide
    now = timezone.now()
    first = (now + timedelta(days=FIRST_DAY)).date()
    found = free_times(list(services.values()), first=first, days=DAYS, now=now)
    every = [
        (at, service)
        for service in services.values()
        for at in apart(service, found.get(service.pk, []))
    ]
    chance = random.Random(1)
    chance.shuffle(every)
    busy: list[list[tuple[datetime, datetime]]] = [[] for _ in range(bookers)]
    taken: list[dict[str, Any]] = []
    for at, service in every:
        ends = at + timedelta(minutes=service.minutes)
        for number in chance.sample(range(bookers), min(bookers, 12)):
            if len(busy[number]) < SLOTS_PER_BOOKER and all(
                ends <= start or end <= at for start, end in busy[number]
            ):
                busy[number].append((at, ends))
                taken.append(
                    {
                        "slug": service.doctor.slug,
                        "service": service.code,
                        "at": at.isoformat().replace("+00:00", "Z"),
                        "booker": number,
                    }
                )
                break
        if len(taken) == wanted:
            break
    return taken


def main() -> dict[str, Any]:
    sockets, bookers, wanted = (int(text) for text in sys.argv[1:4])
    people = []
    for number in range(bookers):
        user = account(f"booker{number}")
        Patient.objects.create(account=user, name=user.name)
        people.append(session_of(user))
    specialties = Doctor.objects.public().values_list("specialties__slug", flat=True).distinct()
    return {
        **writers(sockets),
        "bookers": people,
        "slots": slots(wanted, bookers),
        "slugs": list(Doctor.objects.public().values_list("slug", flat=True)[:60]),
        "specialties": sorted({slug for slug in specialties if slug}),
        "cookie": settings.SESSION_COOKIE_NAME,
        "csrf_cookie": settings.CSRF_COOKIE_NAME,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()))
