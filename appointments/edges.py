"""What the pages about visits share: the lookup in which access is decided."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import Http404

from accounts.audit import record_refusal
from appointments.models import Appointment, AppointmentQuerySet


def visit_or_404(visits: AppointmentQuerySet, *, public_id: uuid.UUID, user: Any) -> Appointment:
    """The visit among ``visits``, those that ``user`` may have here. Somebody else's does not exist
    here; who knows its id leaves a trace in the patient's trail."""
    found = visits.filter(public_id=public_id).first()
    if found is not None:
        return found
    other = Appointment.objects.select_related("patient").filter(public_id=public_id).first()
    if other is not None:
        record_refusal(
            "visit.access", actor=user, patient=other.patient, subject=other, reason="not theirs"
        )
    raise Http404
