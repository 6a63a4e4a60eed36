"""Times that became free are offered to those who wait, one after the other.

A time is mailed to one entry at a time, the one that has waited longest first; half an hour later,
when it is still free, to the next. It is not held: whoever books first has it, in the ordinary way
(docs/adr/0015). Guarantee: an entry is mailed about a time once. The job locks the freed time,
stores the offers and their mails and puts the freed time off in one transaction, so a worker that
is killed leaves everything as it was, and a second one passes over what another has in hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core import signing
from django.db import connection
from django.db.models import Exists, OuterRef

from appointments import mails
from appointments.asked import Unreadable, moment
from appointments.free_times import free_times
from appointments.models import (
    CareRelation,
    FreedTime,
    WaitlistEntry,
    WaitlistOffer,
)
from appointments.reminders import carers_of
from appointments.templatetags.times import utc_iso
from appointments.transactions import in_one_transaction
from appointments.waitlist import Time, waiting, wants
from appointments.zones import local
from clinic.directory.models import Service
from clinic.jobs.outbox import Draft, enqueue_mails

ROUND = timedelta(minutes=30)  # how long somebody alone knows of a time, before the next is told
LOOKED_AT = 200  # entries per round and freed time; the others come with the next round
SALT = "appointments.waitlist"


@dataclass(frozen=True)
class Choice:
    """A time for an entry."""

    entry: WaitlistEntry
    service: Service
    starts_at: datetime


def offer_due(*, now: datetime) -> int:
    """Regular job: offers what became free to the next who wait; returns how many were mailed."""
    mailed = 0
    while True:
        found, count = in_one_transaction(lambda: _one(now))
        mailed += count
        if not found:
            return mailed


def claim(now: datetime) -> FreedTime | None:
    """Locks the next freed time that is due until the transaction ends."""
    rows = FreedTime.objects.select_for_update(
        skip_locked=connection.features.has_select_for_update_skip_locked
    )
    return rows.filter(due_at__lte=now).order_by("due_at", "pk").first()


def _one(now: datetime) -> tuple[bool, int]:
    freed = claim(now)
    if freed is None:
        return False, 0
    choices = choose(freed, now=now) if freed.ends_at > now else []
    drafts = _offer(choices, now)
    if choices:
        freed.due_at = now + ROUND
        freed.save(update_fields=["due_at"])
    else:
        freed.delete()
    return True, enqueue_mails(drafts, now=now)


def choose(freed: FreedTime, *, now: datetime) -> list[Choice]:
    """Who is told about which time in this round: entries in their order, and no time twice.

    Six queries at most, however many wait.
    """
    services = list(
        Service.objects.filter(
            doctor=freed.doctor_id,
            is_active=True,
            doctor__verified_at__isnull=False,
            doctor__withdrawn_at=None,
        )
        .exclude(hospital__time_zone="")
        .select_related("doctor", "hospital")
        .order_by("position", "pk")
    )
    entries = _who_wait(freed, services, now) if services else []
    if not entries:
        return []
    times = _times(freed, services, now)
    offered: dict[int, set[datetime]] = defaultdict(set)
    for pk, starts_at in WaitlistOffer.objects.filter(
        entry__in=entries, doctor=freed.doctor_id
    ).values_list("entry", "starts_at"):
        offered[pk].add(starts_at)
    chosen: list[Choice] = []
    given: list[tuple[datetime, datetime]] = []
    for entry in entries:
        for time in times:
            if not wants(entry, time) or time.starts_at in offered[entry.pk]:
                continue
            starts_at, ends_at = time.starts_at, time.occupied_until
            if any(starts_at < high and low < ends_at for low, high in given):
                continue
            given.append((starts_at, ends_at))
            chosen.append(Choice(entry, time.service, starts_at))
            break
    return chosen


def _who_wait(freed: FreedTime, services: Sequence[Service], now: datetime) -> list[WaitlistEntry]:
    """Entries that could want this doctor's time and were not told of it, the oldest first."""
    doctor = services[0].doctor
    zones = [service.hospital.time_zone for service in services]
    told = WaitlistOffer.objects.filter(
        entry=OuterRef("pk"), doctor=doctor, mailed_at__gte=freed.created_at,
        starts_at__gt=freed.starts_at - timedelta(days=1), starts_at__lt=freed.ends_at,
    )  # fmt: skip
    could = (
        waiting(now)
        .filter(
            ~Exists(told),
            earliest__lte=max(local(freed.ends_at, zone).date() for zone in zones),
            latest__gte=min(local(max(freed.starts_at, now), zone).date() for zone in zones),
        )
        .exclude(patient=freed.given_up_by_id)
        .with_parts()
        .order_by("created_at", "pk")
    )
    by_doctor = could.filter(doctor=doctor)[:LOOKED_AT]
    # Asked apart: an OR over two indexes makes MySQL read every entry there is.
    by_specialty = could.filter(
        hospital__in={service.hospital_id for service in services},
        specialty__in=doctor.specialties.all(),
    )[:LOOKED_AT]
    entries = sorted([*by_doctor, *by_specialty], key=lambda entry: (entry.created_at, entry.pk))[
        :LOOKED_AT
    ]
    if doctor.accepts_new or not entries:
        return entries
    known = set(
        CareRelation.objects.filter(
            doctor=doctor, patient__in={entry.patient_id for entry in entries}
        )
        .exclude(why=CareRelation.Why.EMERGENCY)
        .values_list("patient_id", flat=True)
    )
    return [entry for entry in entries if entry.patient_id in known]


def _times(freed: FreedTime, services: Sequence[Service], now: datetime) -> list[Time]:
    """Free times that need a part of what became free, the nearest to its beginning first."""
    zone, a_day = services[0].hospital.time_zone, timedelta(days=1)
    first = local(max(freed.starts_at, now), zone).date() - a_day
    last = local(freed.ends_at, zone).date() + a_day
    free = free_times(services, first=first, days=(last - first).days + 1, now=now)
    times = [
        Time.of(service, starts_at)
        for service in services
        for starts_at in free[service.pk]
        if starts_at < freed.ends_at
    ]
    fitting = [time for time in times if freed.starts_at < time.occupied_until]
    return sorted(fitting, key=lambda time: abs(time.starts_at - freed.starts_at))


def _offer(choices: Sequence[Choice], now: datetime) -> list[Draft]:
    """Notes each choice as offered and writes its mail. Nobody to tell: noted, and no mail."""
    if not choices:
        return []
    carers = carers_of({choice.entry.patient_id for choice in choices}, now=now)
    drafts: list[Draft] = []
    for choice in choices:
        entry = choice.entry
        account, address = mails.recipient_of(
            entry.patient, entry.by, now=now, carers=carers.get(entry.patient_id, [])
        )
        if address:
            drafts.append(
                mails.time_free(
                    entry,
                    service=choice.service,
                    starts_at=choice.starts_at,
                    link_token=token_of(choice),
                    account=account,
                    address=address,
                )
            )
    WaitlistOffer.objects.bulk_create(
        WaitlistOffer(
            entry=choice.entry,
            doctor=choice.service.doctor,
            service=choice.service,
            starts_at=choice.starts_at,
            mailed_at=now,
        )
        for choice in choices
    )
    return drafts


# --- The link in the mail -----------------------------------------------------------------------
@dataclass(frozen=True)
class Link:
    """What the link says: the service's code, the moment, and the visit to be moved, if any."""

    code: str
    starts_at: datetime
    visit: str


def token_of(choice: Choice) -> str:
    """Signed, so that nobody else's mail can send people to a time of their making."""
    visit = choice.entry.earlier_than
    what = [choice.service.code, utc_iso(choice.starts_at), str(visit.public_id) if visit else ""]
    return signing.dumps(what, salt=SALT)


def read_token(token: str) -> Link | None:
    """What a link says; None when it was not made here."""
    try:
        what: Any = signing.loads(token, salt=SALT)
        code, starts_at, visit = what
        return Link(str(code), moment(str(starts_at)), str(visit))
    except (signing.BadSignature, Unreadable, TypeError, ValueError):
        return None
