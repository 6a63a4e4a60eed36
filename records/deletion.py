"""A patient's wish that what the clinic keeps be deleted, and reception's decision.

Medical records and their audit trail are kept for as long as the law says, whoever asks; what can
go are files the patient sent in that no doctor took up, contact data, and the rights of carers.
Granting a wish deletes exactly that, in the transaction of the decision, and the answer says what
was deleted and what is kept. Deleted files are gone from storage within a day.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.audit import record, record_refusal
from accounts.carers import end_all_carers
from accounts.models import Patient, Role, User
from accounts.people import end_codes
from appointments.care import known_to_reception
from appointments.transactions import in_one_transaction, lock_patient
from records.models import DeletionRequest, Document
from records.refusals import MissingWords, NotYourPatient, RecordRefused
from records.writing import words

WORDS_AT_MOST = 1000
Decision = DeletionRequest.Decision


class AskedAlready(RecordRefused):
    code = "asked_already"
    status = 409

    def __init__(self) -> None:
        super().__init__(_("You have asked already. Reception will answer; you see it here."))


class Decided(RecordRefused):
    code = "decided"
    status = 409

    def __init__(self) -> None:
        super().__init__(_("This request was decided or withdrawn already."))


def open_at_desk(user: Any) -> QuerySet[DeletionRequest]:
    """Requests of patients whom ``user`` knows at reception, oldest first."""
    known = known_to_reception(user).values("pk")
    return (
        DeletionRequest.objects.filter(patient__in=known)
        .select_related("patient", "decided_by")
        .order_by("asked_at", "pk")
    )


def asked_at_desk(*, public_id: uuid.UUID, by: User, now: datetime) -> DeletionRequest:
    """A request about which ``by`` may decide at reception.

    Raises `DeletionRequest.DoesNotExist` for anybody else's, and audits that.
    """
    try:
        return open_at_desk(by).get(public_id=public_id)
    except DeletionRequest.DoesNotExist:
        other = DeletionRequest.objects.select_related("patient").filter(public_id=public_id)
        found = other.first()
        if found is not None:
            record_refusal(
                "deletion.viewed", actor=by, patient=found.patient, subject=found,
                reason="not_found", now=now,
            )  # fmt: skip
        raise


def ask(*, patient: Patient, what: str, by: User, now: datetime) -> DeletionRequest:
    """The patient, signed in, asks. Raises `NotYourPatient`, `AskedAlready`, `TooLong`."""

    def work() -> DeletionRequest:
        chart = Patient.objects.select_for_update().get(pk=patient.pk)
        if chart.account_id != by.pk:
            raise NotYourPatient
        if chart.deletion_requests.filter(decision=Decision.OPEN).exists():
            raise AskedAlready
        return DeletionRequest.objects.create(
            patient=chart,
            asked_by=by,
            asked_at=now,
            words=words(what, WORDS_AT_MOST, field="words"),
        )

    return _audited("deletion.asked", patient, by, now, work)


def withdraw(*, request: DeletionRequest, by: User, now: datetime) -> DeletionRequest:
    """The patient takes an open request back. Raises `NotYourPatient`, `Decided`."""

    def work() -> DeletionRequest:
        row = _open_row(request)
        if row.patient.account_id != by.pk:
            raise NotYourPatient
        row.decision, row.decided_by, row.decided_at = Decision.WITHDRAWN, by, now
        row.save(update_fields=["decision", "decided_by", "decided_at"])
        return row

    return _audited("deletion.withdrawn", request.patient, by, now, work)


def decide(
    *, request: DeletionRequest, grant: bool, answer: str, by: User, now: datetime
) -> DeletionRequest:
    """Reception grants or refuses, with a sentence that the patient reads.

    Raises `NotYourPatient` for a patient of another reception, `Decided`, `MissingWords`.
    """

    def work() -> DeletionRequest:
        if by.role != Role.RECEPTION or not open_at_desk(by).filter(pk=request.pk).exists():
            raise NotYourPatient
        if not answer.strip():
            raise MissingWords(_("Write what the patient should know."), field="answer")
        said = words(answer, WORDS_AT_MOST, field="answer")
        row = _open_row(request)
        if grant:
            _delete_what_may_go(row.patient, by, now)
        row.decision = Decision.GRANTED if grant else Decision.REFUSED
        row.decided_by, row.decided_at, row.answer = by, now, said
        row.save(update_fields=["decision", "decided_by", "decided_at", "answer"])
        return row

    return _audited("deletion.decided", request.patient, by, now, work)


def what_may_go(patient: Patient) -> QuerySet[Document]:
    """Files that the patient sent in and that no encounter took up."""
    return Document.objects.filter(patient=patient, by_patient=True, encounter=None)


def _delete_what_may_go(patient: Patient, by: User, now: datetime) -> None:
    # A document without ``kept_at`` is seen by nobody, and the hourly job removes row and bytes.
    what_may_go(patient).update(kept_at=None)
    end_all_carers(patient=patient, by=by, now=now)
    end_codes(patient=patient, now=now)
    patient.phone = patient.email = ""
    patient.save(update_fields=["phone", "email"])


def _open_row(request: DeletionRequest) -> DeletionRequest:
    # No join in the locking read: MariaDB would lock whatever is joined as well.
    locked = DeletionRequest.objects.select_for_update().filter(pk=request.pk).first()
    if locked is None or locked.decision != Decision.OPEN:
        raise Decided
    return locked


def _audited(action: str, patient: Patient, by: User, now: datetime, work: Any) -> Any:
    def audited() -> DeletionRequest:
        lock_patient(patient.pk)  # first, as every rule does: rows of this patient come after it
        row: DeletionRequest = work()
        record(action, actor=by, patient=patient, subject=row, detail=row.decision, now=now)
        return row

    try:
        return in_one_transaction(audited)
    except RecordRefused as refusal:
        record_refusal(action, actor=by, patient=patient, reason=refusal.code, now=now)
        raise
