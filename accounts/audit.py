"""The audit trail: one append-only row for everything that happens to a patient's data.

`record` is called by every rule, inside the rule's own transaction, so that a change and its row
are stored together or not at all. `record_refusal` is called after a refused rule's rollback and
commits on its own. Rows of one patient are chained: each hash covers the row before it, and the
patient's row (locked while a row is added) holds the end of the chain. Chains per patient rather
than one for all, because one lock for everybody would serialize every booking of the clinic. Rows
of no patient (sign-ins, the directory) are in no chain; the daily anchors hold them
(`accounts.anchors`). Nothing here is ever updated or deleted (`settings.AUDIT_TABLES`), and nothing
prunes it: it is kept for six years and longer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from accounts.models import AuditEvent, Patient
from clinic.metrics import REFUSALS


@dataclass(frozen=True)
class Origin:
    """Where the current request came from; commands and tasks have none."""

    address: str | None = None
    request_id: str = ""


NOWHERE = Origin()
current_origin: ContextVar[Origin] = ContextVar("current_origin", default=NOWHERE)


def chain_hash(previous_hash: str, fields: dict[str, Any]) -> str:
    """SHA-256 over the previous hash and the row's fields as canonical JSON."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{previous_hash}\n{text}".encode()).hexdigest()


def hashed_fields(event: AuditEvent) -> dict[str, Any]:
    """The fields of ``event`` that its hash covers."""
    return {
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor_id": event.actor_id,
        "actor": event.actor,
        "patient": event.patient_id,
        "number": event.number,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "detail": event.detail,
        "address": event.address,
        "request_id": event.request_id,
    }


def record(
    action: str,
    *,
    actor: Any,
    patient: Patient | None = None,
    subject: models.Model | None = None,
    detail: str = "",
    now: datetime | None = None,
) -> AuditEvent:
    """Adds one row for ``action`` by ``actor`` (None: the system) on ``subject``.

    With a ``patient`` the row joins that patient's chain; the patient's row is locked until the
    surrounding transaction ends. ``detail`` names the circumstances and never health data.
    """
    known = actor is not None and getattr(actor, "pk", None)
    origin = current_origin.get()
    with transaction.atomic(savepoint=False):
        event = AuditEvent(
            at=now or timezone.now(),
            actor_id=actor.pk if known else None,
            actor=actor.email if known else "",
            patient=patient,
            action=action,
            object_type=subject._meta.model_name or "" if subject is not None else "",
            object_id=str(getattr(subject, "public_id", None) or subject.pk) if subject else "",
            detail=detail[:200],
            address=origin.address,
            request_id=origin.request_id[:64],
        )
        if patient is not None:
            head, count = (
                Patient.objects.select_for_update()
                .values_list("audit_head", "audit_count")
                .get(pk=patient.pk)
            )
            event.number, event.previous_hash = count + 1, head
        event.hash = chain_hash(event.previous_hash, hashed_fields(event))
        event.save(force_insert=True)
        if patient is not None:
            Patient.objects.filter(pk=patient.pk).update(
                audit_head=event.hash, audit_count=event.number
            )
    return event


def record_shown(
    action: str,
    *,
    actor: Any,
    patient: Patient,
    subject: models.Model | None = None,
    now: datetime,
) -> None:
    """Adds a row for a page that answers a form and shows ``patient``, unless a rule of this
    request has left one. ``patient`` is the chart as it was looked up when the request began.
    """
    left = AuditEvent.objects.filter(
        patient=patient,
        number__gt=patient.audit_count,
        actor_id=actor.pk,
        request_id=current_origin.get().request_id[:64],
    )
    if not left.exists():
        record(action, actor=actor, patient=patient, subject=subject, now=now)


def record_refusal(
    action: str,
    *,
    actor: Any,
    patient: Patient | None = None,
    subject: models.Model | None = None,
    reason: str,
    now: datetime | None = None,
) -> AuditEvent:
    """Adds a row for something that was refused; call it after the rollback."""
    REFUSALS.labels(action, reason).inc()
    return record(
        f"{action}.refused", actor=actor, patient=patient, subject=subject, detail=reason, now=now
    )


@dataclass(frozen=True)
class ChainFault:
    number: int
    what: str


PAGE = 2_000  # rows read at once; MySQL's driver would take a whole result into memory


def events_of(patient_id: int) -> Iterator[AuditEvent]:
    """The rows of one patient's chain in order, a page at a time."""
    last = 0
    while page := list(
        AuditEvent.objects.filter(patient=patient_id, number__gt=last).order_by("number")[:PAGE]
    ):
        yield from page
        last = page[-1].number


def verify_chain(patient: Patient) -> list[ChainFault]:
    """Faults of one patient's chain: an edited row, a missing one, or a wrong end.

    The end is read first: rows that are added while this runs come after it and are no fault.
    """
    head, count = Patient.objects.values_list("audit_head", "audit_count").get(pk=patient.pk)
    faults: list[ChainFault] = []
    previous, expected, head_found = "", 1, ""
    for event in events_of(patient.pk):
        if event.number != expected:
            faults.append(ChainFault(expected, "missing"))
        elif event.previous_hash != previous:
            faults.append(ChainFault(event.number, "does not follow the row before it"))
        if event.hash != chain_hash(event.previous_hash, hashed_fields(event)):
            faults.append(ChainFault(event.number, "edited"))
        if event.number == count:
            head_found = event.hash
        previous, expected = event.hash, event.number + 1
    if head_found != head or expected - 1 < count:
        faults.append(ChainFault(count, "the end of the chain is missing"))
    return faults
