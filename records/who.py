"""Who opened a record, in the words of the person it is about.

Read from the audit trail: reads and changes by others, never the patient's own. A refusal is shown
too: somebody tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import AuditEvent, Patient, Role, User
from clinic.directory.models import Doctor

WORDS: dict[str, Any] = {
    "record.viewed": gettext_lazy("Opened the record"),
    "record.exported": gettext_lazy("Exported the record"),
    "record.imported": gettext_lazy("Imported entries into the record"),
    "chart.viewed": gettext_lazy("Looked at the contact data"),
    "chart.compared": gettext_lazy("Compared name and date of birth with a new patient's"),
    "chart.changed": gettext_lazy("Changed the contact data"),
    "chart.made": gettext_lazy("Made the chart"),
    "chart.registered": gettext_lazy("Registered the chart at another hospital"),
    "visit.viewed": gettext_lazy("Looked at a visit"),
    "visit.book": gettext_lazy("Booked a visit"),
    "visit.move": gettext_lazy("Moved a visit"),
    "visit.cancel": gettext_lazy("Cancelled a visit"),
    "document.opened": gettext_lazy("Opened a document"),
    "document.stored": gettext_lazy("Added a document"),
    "emergency.opened": gettext_lazy("Opened the record in an emergency, for 60 minutes"),
    "access.reviewed": gettext_lazy("Looked into an emergency access to the record"),
    "conversation.open": gettext_lazy("Began a conversation"),
    "conversation.close": gettext_lazy("Closed a conversation"),
    "deletion.viewed": gettext_lazy("Read the request for deletion"),
    "note.viewed": gettext_lazy("Went on with an own note, without the record"),
    "deletion.decided": gettext_lazy("Decided about the request for deletion"),
    "link_code.given": gettext_lazy("Gave a one-time code"),
    "care.rights": gettext_lazy("Changed what a carer may do"),
    "care.ended": gettext_lazy("Ended what a carer may do"),
}
# What an action begins with, for those without words of their own.
GROUPS: dict[str, Any] = {
    "visit": gettext_lazy("Changed a visit"),
    "note": gettext_lazy("Wrote in a note"),
    "allergy": gettext_lazy("Changed what is recorded about allergies"),
    "allergies": gettext_lazy("Changed what is recorded about allergies"),
    "condition": gettext_lazy("Changed what is recorded about conditions"),
    "medication": gettext_lazy("Changed the list of medications"),
    "prescription": gettext_lazy("Changed a prescription"),
    "observation": gettext_lazy("Recorded a measurement"),
    "encounter": gettext_lazy("Recorded an encounter"),
    "document": gettext_lazy("Changed a document"),
    "entry": gettext_lazy("Marked an entry as entered in error"),
    "referral": gettext_lazy("Dealt with a referral"),
    "emergency": gettext_lazy("Asked for emergency access"),
    "conversation": gettext_lazy("Changed a conversation"),
    "attachment": gettext_lazy("Opened a file in a conversation"),
    "waitlist": gettext_lazy("Changed the waiting list"),
}


@dataclass(frozen=True)
class Look:
    """One line of "Who opened my record"."""

    at: datetime
    who: str
    role: str
    what: str
    refused: bool
    emergency: bool


def events_of(patient: Patient) -> QuerySet[AuditEvent]:
    """What others did with the data of ``patient``, newest first, from the chain's index."""
    return AuditEvent.objects.filter(patient=patient).exclude(
        actor_id=patient.account_id or 0
    ).order_by("-number")  # fmt: skip


def looks(events: Sequence[AuditEvent]) -> list[Look]:
    """The lines for some events, with names and roles as they are now, in two queries."""
    users = User.objects.in_bulk([event.actor_id for event in events if event.actor_id])
    doctors = dict(Doctor.objects.filter(user__in=users).values_list("user_id", "name"))
    lines = []
    for event in events:
        user = users.get(event.actor_id or 0)
        action, _dot, _rest = event.action.partition(".refused")
        doctor = doctors.get(event.actor_id or 0)
        lines.append(
            Look(
                at=event.at,
                who=_who(user, doctor, event),
                role=_role(user),
                what=str(WORDS.get(action) or GROUPS.get(action.split(".")[0]) or _("Other")),
                refused=event.action.endswith(".refused"),
                emergency=action.startswith("emergency"),
            )
        )
    return lines


def _who(user: User | None, doctor: str | None, event: AuditEvent) -> str:
    if doctor:
        return f"Dr. {doctor}"
    if user is not None:
        return user.name or _("Somebody without a name")
    return _("An account that no longer exists") if event.actor_id else _("The system")


def _role(user: User | None) -> str:
    if user is None:
        return ""
    if user.role == Role.PATIENT:
        return _("Carer")
    return str(Role(user.role).label)
