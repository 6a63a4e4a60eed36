"""Whether a doctor offers a time at all, whoever asks and whether or not it is taken."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from appointments.free_times import Facts, bookable_span
from appointments.models import Appointment
from appointments.overrides import NOTHING, Limit, Override, begins_now
from appointments.refusals import NotOffered
from appointments.slots import (
    GRAIN_MINUTES,
    Period,
    grain_at,
    is_on_grain,
    mask,
    open_periods,
    pieces_of_day,
)
from appointments.zones import date_words, local
from clinic.directory.models import Service


def refuse_unoffered_clock(
    service: Service, starts_at: datetime, now: datetime, override: Override = NOTHING
) -> None:
    """Raises `NotOffered` for what the clock alone decides: past, soon, far, off the grid.

    With the lead time set aside a visit may begin in the 5 minutes that run.
    """
    doctor, zone = service.doctor, service.hospital.time_zone
    if not service.is_active or not doctor.is_public or not zone:
        raise NotOffered("closed", _("This service can no longer be booked. Choose another one."))
    earliest, before = bookable_span(service, now)
    at_short_notice = Limit.LEAD in override
    if starts_at < begins_now(now) or (starts_at <= now and not at_short_notice):
        raise NotOffered("past", _("That time is in the past. Choose a later time."))
    if starts_at < earliest and not at_short_notice:
        raise NotOffered(
            "too_soon",
            ngettext(
                "Visits with %(doctor)s are booked at least %(count)d minute ahead. "
                "Choose a later time, or call the clinic.",
                "Visits with %(doctor)s are booked at least %(count)d minutes ahead. "
                "Choose a later time, or call the clinic.",
                doctor.lead_minutes,
            )
            % {"doctor": doctor.display_name, "count": doctor.lead_minutes},
        )
    if starts_at >= before and Limit.HORIZON not in override:
        raise NotOffered(
            "too_far",
            _("Visits with %(doctor)s can be booked up to %(date)s. Choose an earlier time.")
            % {
                "doctor": doctor.display_name,
                "date": date_words(before - timedelta(seconds=1), zone),
            },
        )
    wall = local(starts_at, zone)
    off_grid = (wall.hour * 60 + wall.minute) % doctor.grid_minutes
    if not is_on_grain(starts_at) or (off_grid and Limit.GRID not in override):
        raise NotOffered(
            "off_grid",
            _(
                "Visits with %(doctor)s start every %(count)d minutes. "
                "Choose one of the times shown."
            )
            % {"doctor": doctor.display_name, "count": doctor.grid_minutes},
        )


def refuse_unoffered_day(
    service: Service, starts_at: datetime, now: datetime, override: Override = NOTHING
) -> None:
    """Raises `NotOffered` for what the schedule decides: closed then, or the doctor is away.

    Hours can be set aside, absence cannot: the doctor is not there. Call it under the doctor's
    lock: whoever changes hours or time off bumps the same row.
    """
    zone = service.hospital.time_zone
    day = local(starts_at, zone).date()
    facts = Facts([service], first=day, until=day + timedelta(days=1), now=now, with_busy=False)
    start = grain_at(starts_at)
    end = start + service.minutes // GRAIN_MINUTES
    occupied = end + service.buffer_minutes // GRAIN_MINUTES
    name = service.doctor.display_name
    if any(low < occupied and start < high for low, high in facts.away(service)):
        raise NotOffered(
            "time_off", _("%(doctor)s is away then. Choose another day.") % {"doctor": name}
        )
    if Limit.HOURS in override:
        return
    periods: list[Period] = [
        period
        for opens, closes in facts.hours_on(service, day)
        for period in open_periods(zone, day, opens, closes)
    ]
    base = pieces_of_day(zone, day)[0].start
    needed = mask([(start, end)], base, end - base)
    if mask(periods, base, end - base) & needed != needed:
        raise NotOffered(
            "closed", _("%(doctor)s sees nobody at that time. Choose one of the times shown.")
            % {"doctor": name},
        )  # fmt: skip


def service_of(appointment: Appointment) -> Service:
    """The service as it was booked: what a move must find room for.

    A service that was changed or withdrawn since then does not change the visit.
    """
    booked = appointment.service
    if booked is not None and (booked.minutes, booked.buffer_minutes, booked.hospital_id) == (
        appointment.minutes,
        appointment.buffer_minutes,
        appointment.hospital_id,
    ):
        booked.doctor, booked.hospital = appointment.doctor, appointment.hospital
        booked.is_active = True
        return booked
    return Service(
        pk=-appointment.pk,  # a key of its own for the cache of free times
        code="",
        doctor=appointment.doctor,
        hospital=appointment.hospital,
        name=appointment.service_name,
        minutes=appointment.minutes,
        buffer_minutes=appointment.buffer_minutes,
        price_cents=appointment.price_cents,
        visit=appointment.visit,
    )
