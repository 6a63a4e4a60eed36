"""Who works at which hospital's reception."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Role
from clinic.directory.models import Doctor, Hospital, OpeningHours, Service


def hospitals_of(user: Any) -> QuerySet[Hospital]:
    """Hospitals at whose reception ``user`` works; none for anybody else."""
    if not (user.is_authenticated and user.is_active and user.role == Role.RECEPTION):
        return Hospital.objects.none()
    return Hospital.objects.filter(staff__user=user)


def _current_hours() -> QuerySet[OpeningHours]:
    yesterday = timezone.now().date() - timedelta(days=1)  # today may not have begun there
    return OpeningHours.objects.filter(Q(valid_until=None) | Q(valid_until__gt=yesterday))


def works_at(hospitals: QuerySet[Hospital] | Iterable[Hospital]) -> Q:
    """Of doctors: those with hours now or to come, or with something that can be booked, there."""
    hours = _current_hours().filter(hospital__in=hospitals)
    services = Service.objects.filter(is_active=True, hospital__in=hospitals)
    return Q(pk__in=hours.values("doctor_id")) | Q(pk__in=services.values("doctor_id"))


def hospitals_where(doctor: Doctor) -> QuerySet[Hospital]:
    """Where `works_at` finds this doctor."""
    services = Service.objects.filter(is_active=True, doctor=doctor)
    return Hospital.objects.filter(
        Q(pk__in=_current_hours().filter(doctor=doctor).values("hospital_id"))
        | Q(pk__in=services.values("hospital_id"))
    )
