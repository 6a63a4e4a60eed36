"""When doctors see patients: opening hours, time off, special days, and what is accepted as such.

Guarantee: every change is checked, audited, and seen by the caches of free times, in one
transaction. Changing hours changes no visit that is already booked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.audit import record
from clinic.directory.models import (
    Doctor,
    Hospital,
    HospitalDay,
    OpeningHours,
    Schedule,
    Service,
    TimeOff,
    bump_schedules,
)

GRAIN_MINUTES = 5  # all holds are counted in steps of it
MINUTES_A_DAY = 24 * 60
WEEKDAYS = [str(name) for _number, name in OpeningHours._meta.get_field("weekday").choices or []]


class HoursRefused(ValidationError):
    """Hours, time off or a service that cannot be; the message says how to put it right."""


@dataclass(frozen=True)
class Span:
    """One line of a week form: wall-clock hours on a weekday (0 is Monday)."""

    weekday: int
    opens: time
    closes: time  # 00:00 is midnight at the end of the day


def minute_of_day(moment: time) -> int:
    return moment.hour * 60 + moment.minute


def closing_minute(closes: time) -> int:
    return minute_of_day(closes) or MINUTES_A_DAY


def check_grain(minutes: int, what: str) -> None:
    """Refuses a number of minutes that is no multiple of 5."""
    if minutes % GRAIN_MINUTES:
        raise HoursRefused(
            _("%(what)s: enter a number of minutes that 5 divides, such as %(near)d.")
            % {"what": what, "near": round(minutes / GRAIN_MINUTES) * GRAIN_MINUTES or 5},
            code="off_grain",
        )


def check_service(service: Service) -> None:
    """Refuses a service whose length or pause does not fit the grain of holds."""
    check_grain(service.minutes, _("Length"))
    check_grain(service.buffer_minutes, _("Pause"))
    if service.minutes <= 0:
        raise HoursRefused(_("Length: enter at least 5 minutes."), code="no_length")


def check_zone(hospital: Hospital) -> None:
    """Refuses opening hours at a hospital whose time zone nobody has confirmed."""
    if not hospital.time_zone or not hospital.time_zone_confirmed:
        raise HoursRefused(
            _(
                "The time zone of %(hospital)s is not confirmed. Check it on the hospital's page "
                "in the admin and tick “time zone confirmed”, then enter the hours."
            )
            % {"hospital": hospital.name},
            code="zone_not_confirmed",
        )


def check_span(span: Span | OpeningHours) -> None:
    """Refuses hours that end before they begin or do not lie on the grain."""
    for moment in (span.opens, span.closes):
        if moment.second or moment.microsecond or moment.minute % GRAIN_MINUTES:
            raise HoursRefused(
                _("%(time)s: enter a time whose minutes 5 divides.")
                % {"time": moment.strftime("%H:%M:%S")},
                code="off_grain",
            )
    if minute_of_day(span.opens) >= closing_minute(span.closes):
        raise HoursRefused(
            _("%(weekday)s: the hours end before they begin. Check both times.")
            % {"weekday": WEEKDAYS[span.weekday]},
            code="ends_before_it_begins",
        )


def overlap(one: OpeningHours, other: OpeningHours) -> bool:
    """Whether two lines of hours of a doctor share a time, at whichever hospital."""
    return (
        one.weekday == other.weekday
        and (one.valid_until is None or other.valid_from < one.valid_until)
        and (other.valid_until is None or one.valid_from < other.valid_until)
        and minute_of_day(one.opens) < closing_minute(other.closes)
        and minute_of_day(other.opens) < closing_minute(one.closes)
    )


def check_no_overlap(lines: Sequence[OpeningHours]) -> None:
    """Refuses lines of one doctor that overlap: nobody is at two places, or twice at one."""
    ordered = sorted(lines, key=lambda line: (line.weekday, minute_of_day(line.opens)))
    for index, line in enumerate(ordered):
        for other in ordered[index + 1 :]:
            if overlap(line, other):
                raise HoursRefused(
                    _(
                        "%(weekday)s: %(one)s at %(first)s and %(other)s at %(second)s overlap. "
                        "Shorten one of them."
                    )
                    % {
                        "weekday": WEEKDAYS[line.weekday],
                        "one": f"{line.opens:%H:%M}–{line.closes:%H:%M}",
                        "first": line.hospital.name,
                        "other": f"{other.opens:%H:%M}–{other.closes:%H:%M}",
                        "second": other.hospital.name,
                    },
                    code="overlap",
                )


def _lock(doctor: Doctor) -> None:
    """Waits for bookings in progress; holds them off until the change is committed."""
    Schedule.objects.select_for_update().get(doctor=doctor)


def set_opening_hours(
    *,
    doctor: Doctor,
    hospital: Hospital,
    spans: Iterable[Span],
    valid_from: date,
    valid_until: date | None = None,
    by: Any,
    now: datetime,
) -> list[OpeningHours]:
    """Gives ``doctor`` a new week at ``hospital`` for ``valid_from <= day < valid_until``.

    Older hours there end on ``valid_from`` (those that would begin later within the period are
    replaced, and those that reach beyond ``valid_until`` go on from it), so days before keep the
    hours they had. Raises `HoursRefused`.
    """
    check_zone(hospital)
    lines = [
        OpeningHours(
            doctor=doctor,
            hospital=hospital,
            weekday=span.weekday,
            opens=span.opens,
            closes=span.closes,
            valid_from=valid_from,
            valid_until=valid_until,
        )
        for span in spans
    ]
    for line in lines:
        check_span(line)
    if valid_until is not None and valid_until <= valid_from:
        raise HoursRefused(
            _("The hours end before they begin to be valid. Check both dates."),
            code="ends_before_it_begins",
        )
    with transaction.atomic():
        _lock(doctor)
        _make_room(doctor, hospital, valid_from, valid_until)
        OpeningHours.objects.bulk_create(lines)
        check_no_overlap(
            list(
                OpeningHours.objects.filter(doctor=doctor)
                .filter(Q(valid_until=None) | Q(valid_until__gt=valid_from))
                .select_related("hospital")
            )
        )
        bump_schedules([doctor.pk])
        record(
            "hours.changed",
            actor=by,
            subject=doctor,
            detail=f"{hospital.slug} from {valid_from}",
            now=now,
        )
    return lines


def _make_room(
    doctor: Doctor, hospital: Hospital, valid_from: date, valid_until: date | None
) -> None:
    """Ends, splits or removes the hours at ``hospital`` that lie in the period."""
    touched = OpeningHours.objects.filter(doctor=doctor, hospital=hospital).filter(
        Q(valid_until=None) | Q(valid_until__gt=valid_from)
    )
    if valid_until is not None:
        touched = touched.filter(valid_from__lt=valid_until)
    for line in touched:
        if valid_until is not None and (line.valid_until is None or line.valid_until > valid_until):
            OpeningHours.objects.create(
                doctor=doctor,
                hospital=hospital,
                weekday=line.weekday,
                opens=line.opens,
                closes=line.closes,
                valid_from=valid_until,
                valid_until=line.valid_until,
            )
        if line.valid_from < valid_from:
            line.valid_until = valid_from
            line.save(update_fields=["valid_until"])
        else:
            line.delete()


def add_time_off(
    *,
    doctor: Doctor,
    starts_at: datetime,
    ends_at: datetime,
    why: str = "",
    by: Any,
    now: datetime,
) -> TimeOff:
    """Takes a period out of the times of ``doctor`` everywhere. Raises `HoursRefused`."""
    with transaction.atomic():
        _lock(doctor)
        return add_time_off_under_lock(
            doctor=doctor, starts_at=starts_at, ends_at=ends_at, why=why, by=by, now=now
        )


def add_time_off_under_lock(
    *, doctor: Doctor, starts_at: datetime, ends_at: datetime, why: str, by: Any, now: datetime
) -> TimeOff:
    """`add_time_off` for callers that hold the doctor's lock; the same period is added once."""
    if ends_at <= starts_at:
        raise HoursRefused(
            _("The time off ends before it begins. Check both dates."),
            code="ends_before_it_begins",
        )
    period, made = TimeOff.objects.get_or_create(
        doctor=doctor, starts_at=starts_at, ends_at=ends_at, defaults={"why": why}
    )
    if made:
        bump_schedules([doctor.pk])
        record("time_off.added", actor=by, subject=doctor, now=now)
    return period


def remove_time_off(*, period: TimeOff, by: Any, now: datetime) -> None:
    with transaction.atomic():
        _lock(period.doctor)
        period.delete()
        bump_schedules([period.doctor_id])
        record("time_off.removed", actor=by, subject=period.doctor, now=now)


def set_special_day(
    *, hospital: Hospital, day: date, is_open: bool, name: str = "", by: Any, now: datetime
) -> HospitalDay:
    """Closes ``hospital`` on ``day``, or opens it although the day is a public holiday."""
    with transaction.atomic():
        special, _made = HospitalDay.objects.update_or_create(
            hospital=hospital, date=day, defaults={"is_open": is_open, "name": name}
        )
        bump_hospital(hospital)
        record(
            "special_day.set",
            actor=by,
            subject=hospital,
            detail=f"{day} {'open' if is_open else 'closed'}",
            now=now,
        )
    return special


def bump_hospital(hospital: Hospital) -> None:
    """Tells the caches of free times of every doctor with hours at ``hospital``."""
    bump_schedules(OpeningHours.objects.filter(hospital=hospital).values("doctor_id"))
