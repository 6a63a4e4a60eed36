"""What happened to a visit, as a notice in the conversation of its patient and doctor.

A notice says when the visit is and nothing else. It begins no conversation, and reopens none.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from appointments.models import Appointment
from appointments.templatetags.times import when_at
from chat.announcing import after_commit
from chat.log import notice
from chat.models import Conversation


def visit_was_booked(*, appointment: Appointment, **_more: Any) -> None:
    _tell(appointment, _("Visit booked: %(when)s.") % {"when": _when(appointment)})


def visit_was_moved(*, appointment: Appointment, previous: datetime, **_more: Any) -> None:
    words = {
        "when": _when(appointment),
        "previous": when_at(previous, appointment.hospital.time_zone),
    }
    _tell(appointment, _("Visit moved: now %(when)s, before %(previous)s.") % words)


def visit_was_cancelled(*, appointment: Appointment, **_more: Any) -> None:
    _tell(appointment, _("Visit cancelled: %(when)s.") % {"when": _when(appointment)})


def _when(appointment: Appointment) -> str:
    return when_at(appointment.starts_at, appointment.hospital.time_zone)


def _tell(appointment: Appointment, words: str) -> None:
    with transaction.atomic():
        conversation = Conversation.objects.filter(
            doctor=appointment.doctor_id, patient=appointment.patient_id, closed_at=None
        ).first()
        if conversation is not None:
            after_commit(notice(conversation, words, now=timezone.now()))
