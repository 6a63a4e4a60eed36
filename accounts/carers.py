"""What carers may do for a patient, and who agreed to it.

Guarantee: an adult's record is shared only after the adult agreed, signed in or at reception; a
child's with a parent or guardian, who made the chart as such or is noted as such by reception,
until the child is of age. The patient takes any right back at any time, with the own account or at
reception; sockets and pages know it within seconds. Every change is stored with its audit row,
every refusal leaves one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.audit import record, record_refusal
from accounts.models import Carer, Patient, Relation, Role, User, of_age_since
from accounts.people import Refused, lock_chart


class NotYourCarer(Refused):
    reason = "not your carer"
    sentence = _("This person does not act for you.")


class PatientAgrees(Refused):
    reason = "the patient agrees"
    sentence = _(
        "An adult decides who reads the record. Ask them to agree with their own account, or at "
        "reception."
    )


class GuardianReads(Refused):
    reason = "a guardian reads"
    sentence = _(
        "Only a parent or guardian reads a child's record. Reception notes who that is, in person."
    )


def carers_of(patient: Patient, now: datetime) -> Any:
    """Who acts for ``patient`` now, with their accounts, and whether each ``reads`` the record."""
    running = Carer.objects.running(now).with_reads(now)
    running = running.filter(patient=patient, user__is_active=True)
    return running.select_related("user").order_by("since", "pk")


def is_child(patient: Patient, now: datetime) -> bool:
    """Under age, and without an account of their own that could decide."""
    born = patient.birth_date
    return born is not None and born > of_age_since(now.date()) and patient.account_id is None


def set_rights(
    *, carer: Carer, may_message: bool, may_read_record: bool, by: User, now: datetime
) -> None:
    """The patient, signed in, says what a carer may do. Raises `NotYourCarer`."""

    def change(row: Carer) -> None:
        if row.patient.account_id != by.pk:
            raise NotYourCarer
        _store(row, may_message, may_read_record, Carer.Agreed.ACCOUNT, by, now)

    _with(carer, "care.rights", by, now, change)


def share_at_reception(
    *, carer: Carer, relation: str, may_read_record: bool, by: User, now: datetime
) -> None:
    """Reception notes who a carer is, and that the patient, in front of them, shares the record or
    no longer does. A child's is shared with a parent or guardian (`Relation.CHILD`) alone, until
    the child is of age.

    The caller has looked the chart up among those that ``by`` knows. Raises `PatientAgrees` for a
    patient with an account, who decides there, and `GuardianReads`.
    """

    def change(row: Carer) -> None:
        if not (by.is_active and by.is_staff and by.role == Role.RECEPTION):
            raise NotYourCarer
        row.relation = Relation(relation)
        child = is_child(row.patient, now)
        if may_read_record and row.patient.account_id is not None and not _reads(row, now):
            raise PatientAgrees
        if may_read_record and child and row.relation != Relation.CHILD:
            raise GuardianReads
        how = Carer.Agreed.MINOR if child else Carer.Agreed.RECEPTION
        _store(row, row.may_message, may_read_record, how, by, now)

    _with(carer, "care.rights", by, now, change)


def share_as_guardian(*, carer: Carer, by: User, now: datetime) -> None:
    """A parent or guardian says so, and reads the child's record until the child is of age.

    Raises `PatientAgrees` unless the chart is a child's without an account of its own, and
    `GuardianReads` for a carer who is not noted as parent or guardian.
    """

    def change(row: Carer) -> None:
        if row.user_id != by.pk:
            raise NotYourCarer
        if not is_child(row.patient, now):
            raise PatientAgrees
        if row.relation != Relation.CHILD:
            raise GuardianReads
        _store(row, row.may_message, True, Carer.Agreed.MINOR, by, now)

    _with(carer, "care.rights", by, now, change)


def end_carer(*, carer: Carer, by: User, now: datetime) -> None:
    """Ends what a carer may do, by the patient's own account or by reception."""

    def change(row: Carer) -> None:
        is_reception = by.is_active and by.is_staff and by.role == Role.RECEPTION
        if row.patient.account_id != by.pk and not is_reception:
            raise NotYourCarer
        row.until = now
        row.save(update_fields=["until"])

    _with(carer, "care.ended", by, now, change)


def end_all_carers(*, patient: Patient, by: User, now: datetime) -> None:
    """Ends what all carers may do, with a row for each, in the transaction of whoever decided it
    and locked the chart."""
    for row in Carer.objects.running(now).filter(patient=patient).order_by("pk"):
        row.until = now
        row.save(update_fields=["until"])
        record("care.ended", actor=by, patient=patient, subject=row, now=now)


def _reads(row: Carer, now: datetime) -> bool:
    return Carer.objects.reading(now).filter(pk=row.pk).exists()


def _store(
    row: Carer, may_message: bool, may_read_record: bool, how: str, by: User, now: datetime
) -> None:
    row.may_message = may_message
    # A guardian's right that ended with childhood is in the row still, and counts for nothing.
    if not may_read_record or not _reads(row, now):
        row.may_read_record = may_read_record
        row.agreed, row.agreed_at = (how, now) if may_read_record else ("", None)
    row.save(update_fields=["relation", "may_message", "may_read_record", "agreed", "agreed_at"])


def _with(
    carer: Carer, action: str, by: User, now: datetime, change: Callable[[Carer], None]
) -> None:
    """Runs ``change`` on the row as it stands, with its audit row; a refusal leaves one too."""
    try:
        with transaction.atomic():
            lock_chart(carer.patient_id)
            # No join in the locking read: MariaDB would lock the chart and the account as well.
            found = Carer.objects.running(now).select_for_update().filter(pk=carer.pk).first()
            row = found and Carer.objects.select_related("patient").get(pk=found.pk)
            if row is None:
                raise NotYourCarer
            change(row)
            rights = f"{row.relation}, messages {row.may_message}, record {row.may_read_record}"
            detail = rights if action == "care.rights" else ""
            record(action, actor=by, patient=row.patient, subject=row, detail=detail, now=now)
    except Refused as refusal:
        record_refusal(
            action, actor=by, patient=carer.patient, subject=carer, reason=refusal.reason, now=now
        )
        raise
