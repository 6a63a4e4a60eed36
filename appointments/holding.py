"""Keeping a time for ten minutes while somebody fills in the form or signs up.

A provisional hold takes the same unique rows as a visit, so nobody else can book the time; it
counts until ``held_until`` and is replaced afterwards under the lock. The typed answers stay with
it, also when the time is lost. A session has at most one; it is named by a random token that the
session keeps, since the session's own key changes at sign-in.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError
from django.utils.translation import gettext as _

from appointments.free_times import nearest_free
from appointments.models import DoctorHold, SlotHold, new_token
from appointments.offers import refuse_unoffered_clock, refuse_unoffered_day
from appointments.refusals import NotOffered, Refusal, SlotTaken, TooManyHolds
from appointments.slots import grain_at, grain_end
from appointments.transactions import in_one_transaction, lock_schedules
from clinic.directory.models import Service, bump_schedules

# How long the answers typed beside a lost time can still be shown again.
KEEP_ANSWERS = timedelta(days=1)


def hold(
    *,
    service: Service,
    starts_at: datetime,
    token: str = "",
    reason: str = "",
    patient_choice: str = "",
    address: str | None = None,
    now: datetime,
) -> SlotHold:
    """Keeps the time, in place of what ``token`` kept before; the same time again is extended.

    Raises `SlotTaken` and `NotOffered` with the nearest free times, and `TooManyHolds` when too
    many are kept from ``address``. A hold can be extended ``HOLD_EXTENSIONS`` times.
    """
    # Looked at before the transaction: a plain read in front of the lock would fix the snapshot.
    seen = current_hold(token)

    def work() -> SlotHold:
        lock_schedules({service.doctor_id} | ({seen.doctor_id} if seen else set()))
        # Read again: between the first look and the lock another tab may have moved the hold.
        previous = SlotHold.objects.filter(pk=seen.pk).first() if seen else None
        refuse_unoffered_clock(service, starts_at, now)
        refuse_unoffered_day(service, starts_at, now)
        same = (
            previous is not None
            and previous.doctor_id == service.doctor_id
            and previous.service_id == service.pk
            and previous.starts_at == starts_at
        )
        _refuse_crowd(address, service.doctor_id, token, now)
        kept = previous or SlotHold(token=new_token(), created_at=now, extensions=0)
        if same and kept.held_until > now:
            if kept.extensions >= settings.HOLD_EXTENSIONS:
                raise NotOffered(
                    "hold_used_up",
                    _("This time cannot be kept any longer. Confirm the booking now."),
                )
            kept.extensions += 1
        elif not same:
            kept.extensions = 0
        changed = {service.doctor_id} | ({kept.doctor_id} if previous else set())
        if previous:
            previous.doctor_holds.all().delete()
        ends_at = starts_at + timedelta(minutes=service.minutes + service.buffer_minutes)
        kept.doctor, kept.service = service.doctor, service
        kept.starts_at, kept.occupied_until = starts_at, ends_at
        kept.held_until = now + timedelta(seconds=settings.HOLD_SECONDS)
        kept.reason, kept.patient_choice, kept.address = reason, patient_choice, address
        kept.save()
        start, end = grain_at(starts_at), grain_end(ends_at)
        DoctorHold.objects.filter(
            doctor=service.doctor_id, grain__gte=start, grain__lt=end, held_until__lte=now
        ).delete()
        DoctorHold.objects.bulk_create(
            DoctorHold(
                doctor_id=service.doctor_id,
                grain=grain,
                slot_hold=kept,
                held_until=kept.held_until,
            )
            for grain in range(start, end)
        )
        bump_schedules(changed)
        return kept

    try:
        return in_one_transaction(work)
    except IntegrityError:
        raise SlotTaken(nearest_free(service, around=starts_at, now=now)) from None
    except Refusal as refusal:
        if not isinstance(refusal, TooManyHolds):
            refusal.nearest = nearest_free(service, around=starts_at, now=now)
        raise


def _refuse_crowd(address: str | None, doctor: int, token: str, now: datetime) -> None:
    # Counted without a lock of its own: this limits a nuisance, and one hold more does no harm.
    if address is None:
        return
    kept = SlotHold.objects.filter(address=address, held_until__gt=now).exclude(token=token)
    of_doctors = list(kept.values_list("doctor_id", flat=True))
    if (
        len(of_doctors) >= settings.HOLDS_PER_ADDRESS
        or of_doctors.count(doctor) >= settings.HOLDS_PER_ADDRESS_AND_DOCTOR
    ):
        raise TooManyHolds


def current_hold(token: str) -> SlotHold | None:
    """What ``token`` keeps or kept; whether it still counts is for the caller's clock to say."""
    if not token:
        return None
    return SlotHold.objects.filter(token=token).select_related("service", "doctor").first()


def release(token: str) -> None:
    """Gives the time back at once and forgets the answers."""
    kept = current_hold(token)  # before the transaction, whose first statement is the lock
    if kept is None:
        return

    def work() -> None:
        lock_schedules({kept.doctor_id})
        DoctorHold.objects.filter(slot_hold=kept.pk).delete()
        SlotHold.objects.filter(pk=kept.pk).delete()
        bump_schedules({kept.doctor_id})

    in_one_transaction(work)
