"""Changes of a doctor's hours, and what happens to the visits that they hit.

Guarantee: a change is stored only together with the answer to every visit it hits. Whoever changes
hours first sees those visits; what was seen comes back with the change, and when another visit was
hit meanwhile (or one is gone), nothing is stored and the list is shown again. Visits are kept as
they are, or cancelled with a mail that leads the patient to new times (`calling_off`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.audit import record_refusal
from accounts.models import Role
from appointments import calling_off, mails
from appointments.desk import NotAtYourDesk, may_call_off, works_for
from appointments.freed import hours_freed
from appointments.models import Appointment, Status
from appointments.refusals import Refusal
from appointments.reminders import carers_of
from appointments.slots import GRAIN_MINUTES, grain_at, mask, open_periods, pieces_of_day
from appointments.transactions import in_one_transaction, lock_schedules
from appointments.zones import local, zone_info
from clinic.directory.hours import (
    HoursRefused,
    Span,
    add_time_off_under_lock,
    closing_minute,
    minute_of_day,
    remove_time_off,
    set_opening_hours,
    set_special_day,
)
from clinic.directory.models import Doctor, Hospital, TimeOff
from clinic.directory.staff import hospitals_of

What = Literal["keep", "tell"]


class HitsChanged(Refusal):
    """Other visits are hit than those that were looked at."""

    code = "hits_changed"
    status = 409

    def __init__(self, visits: list[Appointment]) -> None:
        super().__init__(
            _("The visits that this would hit have changed. Look at the list again, then save.")
        )
        self.visits = visits


@dataclass(frozen=True)
class Changed:
    """Visits that a change hit, each ``called_off`` or ``kept``.

    ``to_phone`` are called off and have no mail address. While ``is_under_way`` a worker cancels
    them one after the other.
    """

    hit: list[Appointment] = field(default_factory=list)
    called_off: list[Appointment] = field(default_factory=list)
    kept: list[Appointment] = field(default_factory=list)
    to_phone: list[Appointment] = field(default_factory=list)
    is_under_way: bool = False


def look_of(visits: Iterable[Appointment]) -> str:
    """What stands for a look at just these visits, however many there are."""
    ids = sorted(str(visit.public_id) for visit in visits)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def may_change(user: Any, doctor: Doctor) -> bool:
    """Whether ``user`` keeps this doctor's hours: the doctor, their reception, the directory's."""
    if not (user.is_authenticated and user.is_active and user.is_staff):
        return False
    return user.role in {Role.DIRECTORY, Role.ADMINISTRATOR} or works_for(user, doctor)


def _upcoming(now: datetime, **which: Any) -> list[Appointment]:
    visits = Appointment.objects.with_parts().filter(status=Status.BOOKED, starts_at__gt=now)
    visits = visits.select_related("patient__account")
    return list(visits.filter(**which).order_by("starts_at", "pk"))


def hit_by_hours(
    *,
    doctor: Doctor,
    hospital: Hospital,
    spans: Iterable[Span],
    valid_from: date,
    valid_until: date | None,
    now: datetime,
) -> list[Appointment]:
    """Booked visits at ``hospital`` that new hours would leave outside, in time order."""
    spans = list(spans)
    hit = []
    for visit in _upcoming(now, doctor=doctor, hospital=hospital):
        day = local(visit.starts_at, hospital.time_zone).date()
        if day < valid_from or (valid_until is not None and day >= valid_until):
            continue
        if not _is_within(visit, spans, hospital.time_zone, day):
            hit.append(visit)
    return hit


def _is_within(visit: Appointment, spans: Sequence[Span], zone: str, day: date) -> bool:
    periods = [
        period
        for span in spans
        if span.weekday == day.weekday()
        for period in open_periods(
            zone, day, minute_of_day(span.opens), closing_minute(span.closes)
        )
    ]
    base = pieces_of_day(zone, day)[0].start
    start = grain_at(visit.starts_at)
    end = start + visit.minutes // GRAIN_MINUTES
    needed = mask([(start, end)], base, end - base)
    return mask(periods, base, end - base) & needed == needed


def hit_by_time_off(
    *, doctor: Doctor, starts_at: datetime, ends_at: datetime, now: datetime
) -> list[Appointment]:
    """Booked visits of a doctor that run in a period, in time order."""
    return _upcoming(now, doctor=doctor, starts_at__lt=ends_at, ends_at__gt=starts_at)


def hit_by_closing(*, hospital: Hospital, day: date, now: datetime) -> list[Appointment]:
    """Booked visits of all doctors at ``hospital`` on a local day, in time order."""
    around = datetime(day.year, day.month, day.day, tzinfo=now.tzinfo)
    near = _upcoming(
        now,
        hospital=hospital,
        starts_at__gt=around - timedelta(days=1),
        starts_at__lt=around + timedelta(days=2),
    )
    return [v for v in near if local(v.starts_at, hospital.time_zone).date() == day]


def change_hours(
    *,
    doctor: Doctor,
    hospital: Hospital,
    spans: Iterable[Span],
    valid_from: date,
    valid_until: date | None,
    what: What,
    seen: str,
    by: Any,
    now: datetime,
) -> Changed:
    """Stores a new week at ``hospital`` with what becomes of the visits outside it.

    ``seen`` is the `look_of` the visits that ``by`` was shown. Raises `NotAtYourDesk` (reception
    changes hours at its own hospitals), `HitsChanged`, and `HoursRefused` for hours that cannot be.
    """
    spans = list(spans)
    allowed = may_change(by, doctor) and (
        by.role != Role.RECEPTION or hospitals_of(by).filter(pk=hospital.pk).exists()
    )
    _refuse_others(allowed, "hours.changed", doctor, by, now)

    def hits() -> list[Appointment]:
        return hit_by_hours(
            doctor=doctor,
            hospital=hospital,
            spans=spans,
            valid_from=valid_from,
            valid_until=valid_until,
            now=now,
        )

    def store() -> None:
        set_opening_hours(
            doctor=doctor,
            hospital=hospital,
            spans=spans,
            valid_from=valid_from,
            valid_until=valid_until,
            by=by,
            now=now,
        )
        # What had been free before as well is offered along with what is new: the job asks for the
        # first time that fits, and who waits for one has seen none.
        last = local(now, hospital.time_zone).date() + timedelta(days=doctor.horizon_days + 1)
        hours_freed(
            [doctor.pk],
            starts_at=_midnight(valid_from, hospital),
            ends_at=_midnight(min(valid_until or last, last), hospital),
            now=now,
        )

    return _change({doctor.pk}, hits, store, what=what, seen=seen, by=by, now=now)


def take_time_off(
    *,
    doctor: Doctor,
    starts_at: datetime,
    ends_at: datetime,
    why: str,
    what: What,
    seen: str,
    by: Any,
    now: datetime,
) -> Changed:
    """Stores a period off with what becomes of the visits in it. Raises as `change_hours` does.

    With ``what="tell"`` this calls a part of a day off: patients are told and led to new times. The
    doctor is away everywhere; visits that ``by`` may not cancel (`may_call_off`) stay booked.
    """
    _refuse_others(may_change(by, doctor), "time_off.added", doctor, by, now)
    if ends_at <= now:
        raise HoursRefused(_("This time is over. Check both times."), code="over")

    def hits() -> list[Appointment]:
        return hit_by_time_off(doctor=doctor, starts_at=starts_at, ends_at=ends_at, now=now)

    def store() -> None:
        add_time_off_under_lock(
            doctor=doctor, starts_at=starts_at, ends_at=ends_at, why=why, by=by, now=now
        )

    return _change({doctor.pk}, hits, store, what=what, seen=seen, by=by, now=now)


def change_day(
    *,
    hospital: Hospital,
    day: date,
    is_open: bool,
    name: str,
    what: What,
    seen: str,
    by: Any,
    now: datetime,
) -> Changed:
    """Closes a hospital on a day, or opens it on a holiday, with what becomes of the visits."""
    allowed = by.is_staff and (
        by.role in {Role.DIRECTORY, Role.ADMINISTRATOR}
        or hospitals_of(by).filter(pk=hospital.pk).exists()
    )
    _refuse_others(allowed, "special_day.set", hospital, by, now)

    def hits() -> list[Appointment]:
        return [] if is_open else hit_by_closing(hospital=hospital, day=day, now=now)

    def store() -> None:
        set_special_day(hospital=hospital, day=day, is_open=is_open, name=name, by=by, now=now)
        if is_open:
            hours_freed(
                doctors,
                starts_at=_midnight(day, hospital),
                ends_at=_midnight(day + timedelta(days=1), hospital),
                now=now,
            )

    doctors = set(hospital.opening_hours.values_list("doctor_id", flat=True))
    doctors |= {visit.doctor_id for visit in hits()}
    return _change(doctors, hits, store, what=what, seen=seen, by=by, now=now)


def end_time_off(*, period: TimeOff, by: Any, now: datetime) -> None:
    """Takes a period off back; visits that were cancelled for it stay cancelled."""
    with transaction.atomic():
        remove_time_off(period=period, by=by, now=now)
        hours_freed([period.doctor_id], starts_at=period.starts_at, ends_at=period.ends_at, now=now)


def _midnight(day: date, hospital: Hospital) -> datetime:
    """The beginning of a local day."""
    return datetime.combine(day, time(), tzinfo=zone_info(hospital.time_zone)).astimezone(UTC)


def _refuse_others(allowed: bool, action: str, subject: Any, by: Any, now: datetime) -> None:
    if not allowed:
        refusal = NotAtYourDesk()
        record_refusal(action, actor=by, subject=subject, reason=refusal.code, now=now)
        raise refusal


def _change(
    doctors: set[int],
    hits: Callable[[], list[Appointment]],
    store: Callable[[], None],
    *,
    what: What,
    seen: str,
    by: Any,
    now: datetime,
) -> Changed:
    def work() -> Changed:
        lock_schedules(doctors)
        visits = hits()
        if look_of(visits) != seen:
            raise HitsChanged(visits)
        off: set[int] = may_call_off(by, visits) if what == "tell" else set()
        called_off = [visit for visit in visits if visit.pk in off]
        kept = [visit for visit in visits if visit.pk not in off]
        at_once = len(called_off) <= calling_off.AT_ONCE
        store()
        if at_once:
            to_phone = _to_phone(called_off, now)
            calling_off.cancel_all(called_off, by=by, now=now)
            return Changed(visits, called_off, kept, to_phone)
        calling_off.cancel_soon(called_off, by=by)
        return Changed(visits, called_off, kept, is_under_way=True)

    changed = in_one_transaction(work)
    if changed.is_under_way:
        return replace(changed, to_phone=_to_phone(changed.called_off, now))
    return changed


def _to_phone(visits: Sequence[Appointment], now: datetime) -> list[Appointment]:
    """Those visits whom no mail can be sent about."""
    carers = carers_of({visit.patient_id for visit in visits}, now=now)
    return [
        visit
        for visit in visits
        if not mails.recipient_of(
            visit.patient, visit.booked_by, now=now, carers=carers.get(visit.patient_id, [])
        )[1]
    ]
