"""The patient's other visits in the way of a new one, and what the patient wants done."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from accounts.models import Patient
from appointments.models import Appointment
from appointments.refusals import PatientBusy, SecondVisit
from clinic.directory.models import Service

Clash = Literal["", "replace", "both"]

# Two visits to one doctor this close are more often a mistake than a wish, so the patient is asked.
SECOND_VISIT_DAYS = 6


def replaced_by(
    open_visits: Iterable[Appointment],
    service: Service,
    starts_at: datetime,
    ends_at: datetime,
    clash: Clash,
    now: datetime,
) -> list[Appointment]:
    """The patient's visits that the new one replaces; asks when the caller has not answered."""
    overlapping = [v for v in open_visits if v.starts_at < ends_at and starts_at < v.ends_at]
    if overlapping and clash != "replace":
        raise PatientBusy(overlapping[0])
    if overlapping:
        return overlapping
    near = [
        visit
        for visit in open_visits
        if visit.doctor_id == service.doctor_id
        and visit.starts_at > now  # the next visit is often booked during this one
        and abs(visit.starts_at - starts_at) < timedelta(days=SECOND_VISIT_DAYS)
    ]
    if not near or clash == "both":
        return []
    nearest = min(near, key=lambda visit: abs(visit.starts_at - starts_at))
    if not clash:
        raise SecondVisit(nearest)
    return [nearest]


def doctors_of_overlapping(
    patient: Patient, service: Service, starts_at: datetime, now: datetime
) -> set[int]:
    """Doctors whose visits this booking may replace: their locks are taken with the first ones."""
    ends_at = starts_at + timedelta(minutes=service.minutes)
    return set(
        Appointment.objects.filter(patient=patient, starts_at__lt=ends_at, ends_at__gt=starts_at)
        .upcoming(now)
        .values_list("doctor_id", flat=True)
    )
