"""What the database holds at the end, for the test to compare with what was acknowledged; as JSON.

Piped to ``python - `` in an application container.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import django

django.setup()

from django.core.management import CommandError, call_command  # noqa: E402

from accounts.audit import verify_chain  # noqa: E402
from accounts.models import AuditEvent, Patient, User  # noqa: E402
from appointments.models import Appointment, BookingRequest, Status  # noqa: E402
from chat.models import Conversation, Event  # noqa: E402
from clinic.jobs.models import OutgoingMail  # noqa: E402


def check_bookings() -> str:
    said = io.StringIO()
    try:
        call_command("check_bookings", stdout=said, stderr=said)
    except CommandError as error:
        return f"{said.getvalue()}{error}"
    return ""


def truth() -> dict[str, Any]:
    people = {pk: str(public_id) for pk, public_id in User.objects.values_list("pk", "public_id")}
    writers = Conversation.objects.filter(patient__account__email__startswith="writer")
    events = Event.objects.filter(conversation__in=writers).order_by("conversation", "seq")
    return {
        "bookings": [
            [key, str(visit), status == Status.CANCELLED]
            for key, visit, status in BookingRequest.objects.values_list(
                "key", "appointment__public_id", "appointment__status"
            )
        ],
        "events": [
            [
                str(conversation),
                seq,
                kind,
                str(client_id or ""),
                people.get(sender, ""),
                body,
                target,
            ]
            for conversation, seq, kind, client_id, sender, body, target in events.values_list(
                *("conversation__public_id", "seq", "kind", "client_id", "sender_id", "body"),
                "target",
            )
        ],
        "heads": {str(place): seq for place, seq in writers.values_list("public_id", "last_seq")},
        "broken_chains": [
            f"{patient.pk}: {faults}"
            for patient in Patient.objects.exclude(audit_count=0)
            if (faults := verify_chain(patient))
        ],
        "audit_rows": AuditEvent.objects.count(),
        "check_bookings": check_bookings(),
        "visits": Appointment.objects.count(),
        "mails_waiting": OutgoingMail.objects.filter(sent_at=None).count(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(truth()))
