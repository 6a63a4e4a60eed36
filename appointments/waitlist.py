"""The waiting list: who would like a time that is not free yet.

An entry waits until its last day has passed, its patient has booked what it asks for, or the visit
that it wants to be earlier than has changed. That is looked up where it matters (the own list, and
before something is offered) and not written down by booking, which asks nothing about the list.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.audit import record, record_refusal
from accounts.models import AuditEvent, Patient
from appointments.care import is_patient_of
from appointments.models import Appointment, Status, WaitlistEntry
from appointments.models_waitlist import WaitlistEntryQuerySet
from appointments.refusals import NotNewPatients, Refusal
from appointments.transactions import in_one_transaction, lock_patient
from appointments.zones import local
from clinic.directory.models import Hospital, Service, Specialty
from clinic.jobs.upkeep import delete_in_chunks

MORNING, AFTERNOON, EVENING = "mornings", "afternoons", "evenings"
NOON, EVENING_FROM = 12, 17  # hours, as on the doctor's page
FURTHEST = timedelta(days=365)
COUNT_FOR = timedelta(hours=1)
# The last zone in which a day ends; until then an entry for that day may still be of use.
LAST_ZONE = timedelta(hours=12)


class AlreadyWaiting(Refusal):
    code = "already_waiting"
    status = 409

    def __init__(self) -> None:
        super().__init__(_("This is on the waiting list already. Remove it there to change it."))


class TooManyWaiting(Refusal):
    code = "too_many_waiting"

    def __init__(self, limit: int) -> None:
        super().__init__(
            ngettext(
                "This patient has %(limit)d entry on the waiting list, which is the most at a "
                "time. Remove it first.",
                "This patient has %(limit)d entries on the waiting list, which is the most at a "
                "time. Remove one first.",
                limit,
            )
            % {"limit": limit}
        )


class TooManyAdded(Refusal):
    code = "too_many_added"
    status = 429

    def __init__(self) -> None:
        super().__init__(_("You added many entries within an hour. Wait an hour and try again."))


class NothingToWaitFor(Refusal):
    """The visit that should be earlier has begun, was cancelled, or is no longer offered."""

    code = "nothing_to_wait_for"

    def __init__(self) -> None:
        super().__init__(
            _("This visit has begun or was changed, so nothing earlier can be looked for.")
        )


class WrongDays(Refusal):
    """``field``: the form's field that is wrong."""

    code = "wrong_days"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Wish:
    """What somebody waits for: a service of a doctor, or a specialty at a hospital."""

    hospital: Hospital
    service: Service | None = None
    specialty: Specialty | None = None
    visit: str = ""  # with a specialty: in person or by video; empty: either
    earlier_than: Appointment | None = None

    @property
    def same(self) -> dict[str, Any]:
        """How entries that wish for the same are found."""
        return {
            "hospital": self.hospital,
            "service": self.service,
            "specialty": self.specialty,
            "visit": self.visit,
        }


def waiting(now: datetime) -> WaitlistEntryQuerySet:
    """Entries that still wait."""
    booked = Appointment.objects.filter(
        Q(doctor=OuterRef("doctor"))
        | Q(hospital=OuterRef("hospital"), doctor__specialties=OuterRef("specialty")),
        patient=OuterRef("patient"),
        created_at__gt=OuterRef("created_at"),
    ).exclude(status=Status.CANCELLED)
    unchanged = Q(
        earlier_than__status=Status.BOOKED,
        earlier_than__starts_at=F("before"),
        earlier_than__starts_at__gt=now,
    )
    return WaitlistEntry.objects.filter(
        ~Exists(booked),
        Q(earlier_than=None) | unchanged,
        latest__gte=(now - LAST_ZONE).date(),
    )


def join(
    *,
    patient: Patient,
    wish: Wish,
    earliest: date,
    latest: date,
    parts: Collection[str],
    by: Any,
    now: datetime,
) -> WaitlistEntry:
    """Puts a patient on the waiting list for what ``wish`` says, on days that the clinic's
    calendar counts, in ``parts`` of the day (`MORNING`, `AFTERNOON`, `EVENING`).

    Callers pass a patient and a visit that they were allowed to load. Raises `WrongDays`,
    `AlreadyWaiting`, `TooManyWaiting`, `TooManyAdded`, `NotNewPatients`, `NothingToWaitFor`.
    """

    def work() -> WaitlistEntry:
        lock_patient(patient.pk)  # one at a time, so that the limits hold
        _refuse_days(earliest, latest, wish, now)
        _refuse_visit(wish, patient, now)
        recent = AuditEvent.objects.filter(
            actor_id=by.pk, at__gt=now - COUNT_FOR, action="waitlist.join"
        )
        if recent.count() >= settings.WAITLIST_ENTRIES_PER_HOUR:
            raise TooManyAdded
        mine = waiting(now).filter(patient=patient)
        if mine.filter(**wish.same).exists():
            raise AlreadyWaiting
        if mine.count() >= settings.WAITLIST_ENTRIES_PER_PATIENT:
            raise TooManyWaiting(settings.WAITLIST_ENTRIES_PER_PATIENT)
        doctor = wish.service.doctor if wish.service is not None else None
        takes_new = doctor is None or doctor.accepts_new
        if not takes_new and not is_patient_of(patient.pk, doctor.pk if doctor else 0):
            raise NotNewPatients
        entry = WaitlistEntry(
            patient=patient,
            by=by,
            doctor=doctor,
            earlier_than=wish.earlier_than,
            before=wish.earlier_than.starts_at if wish.earlier_than is not None else None,
            earliest=earliest,
            latest=latest,
            created_at=now,
            **{part: part in parts for part in (MORNING, AFTERNOON, EVENING)},
            **wish.same,
        )
        entry.save(force_insert=True)
        record("waitlist.join", actor=by, patient=patient, subject=entry, now=now)
        return entry

    try:
        return in_one_transaction(work)
    except Refusal as refusal:
        record_refusal("waitlist.join", actor=by, patient=patient, reason=refusal.code, now=now)
        raise


def _refuse_days(earliest: date, latest: date, wish: Wish, now: datetime) -> None:
    today = local(now, wish.hospital.time_zone).date()
    if latest < today:
        raise WrongDays("latest", _("The last day is in the past. Choose a later one."))
    if latest < earliest:
        raise WrongDays("latest", _("The last day is before the first. Check both days."))
    if latest > today + FURTHEST:
        raise WrongDays("latest", _("The last day is too far away. Choose one within a year."))


def _refuse_visit(wish: Wish, patient: Patient, now: datetime) -> None:
    visit = wish.earlier_than
    if visit is not None:
        is_open = visit.status == Status.BOOKED and visit.starts_at > now
        if not is_open or visit.patient_id != patient.pk:
            raise NothingToWaitFor


def leave(*, entry: WaitlistEntry, by: Any, now: datetime) -> None:
    """Takes an entry off the list; one that is gone already changes nothing."""

    def work() -> None:
        lock_patient(entry.patient_id)
        gone, _by_model = WaitlistEntry.objects.filter(pk=entry.pk).delete()
        if gone:
            record("waitlist.leave", actor=by, patient=entry.patient, subject=entry, now=now)

    in_one_transaction(work)


def remove_ended(*, now: datetime) -> int:
    """Regular job: removes entries that wait no longer; returns how many."""
    over = WaitlistEntry.objects.filter(latest__lt=(now - LAST_ZONE).date())
    count = delete_in_chunks(over)
    # By numbers: MySQL deletes from no table that the same statement asks about. All first, so that
    # one that is added meanwhile is in neither list or in both.
    known = set(WaitlistEntry.objects.values_list("pk", flat=True))
    settled = known - set(waiting(now).values_list("pk", flat=True))
    return count + delete_in_chunks(WaitlistEntry.objects.filter(pk__in=settled))


def part_of(moment: datetime, zone: str) -> str:
    hour = local(moment, zone).hour
    return MORNING if hour < NOON else AFTERNOON if hour < EVENING_FROM else EVENING


@dataclass(frozen=True)
class Time:
    """A time that can be had, with what an entry asks of it."""

    starts_at: datetime
    service: Service
    day: date
    part: str

    @classmethod
    def of(cls, service: Service, starts_at: datetime) -> Time:
        zone = service.hospital.time_zone
        return cls(starts_at, service, local(starts_at, zone).date(), part_of(starts_at, zone))

    @property
    def occupied_until(self) -> datetime:
        minutes = self.service.minutes + self.service.buffer_minutes
        return self.starts_at + timedelta(minutes=minutes)


def wants(entry: WaitlistEntry, time: Time) -> bool:
    """Whether a time is what the entry waits for; the doctor is looked at before."""
    if entry.service_id is not None:
        if entry.service_id != time.service.pk:
            return False
    elif entry.hospital_id != time.service.hospital_id or (
        entry.visit and entry.visit != time.service.visit
    ):
        return False
    return (
        entry.earliest <= time.day <= entry.latest
        and bool(getattr(entry, time.part))
        and (entry.before is None or time.starts_at < entry.before)
    )


def parts_of(entry: WaitlistEntry) -> list[str]:
    return [part for part in (MORNING, AFTERNOON, EVENING) if getattr(entry, part)]
