"""Who works at which hospital's reception."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from accounts.models import Role
from clinic.directory.models import Hospital


def hospitals_of(user: Any) -> QuerySet[Hospital]:
    """Hospitals at whose reception ``user`` works; none for anybody else."""
    if not (user.is_authenticated and user.is_active and user.role == Role.RECEPTION):
        return Hospital.objects.none()
    return Hospital.objects.filter(staff__user=user)
