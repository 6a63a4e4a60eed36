"""Taking a FHIR R4 bundle into a patient's record.

Guarantee: one transaction, so a bundle is in the record as a whole or not at all; and an import can
be repeated. Each entry keeps where it came from (``source``) and the digest of what came. The same
again is left alone, with whatever was changed here since; a changed resource updates its entry. An
entry that was marked as entered in error here stays so.

What is taken is said in `records.fhir.taking`; everything else is counted in the report.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from accounts.audit import record
from accounts.models import Patient, PatientQuerySet, User
from records.access import treated_by
from records.fhir.reading import read
from records.fhir.storing import Plan, Report
from records.refusals import RecordRefused
from records.writing import audit_refusal, in_chart


class _DryRun(Exception):
    """Rolls the transaction back; the report stays."""


def everybody(by: Any, now: datetime) -> PatientQuerySet:
    """For the operator's command, which acts for nobody who signed in."""
    return Patient.objects.current()


def import_bundle(
    *,
    bundle: Any,
    patient: Patient,
    by: User | None,
    now: datetime,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Takes ``bundle``, parsed JSON with decimal numbers, into the record of ``patient``.

    ``by`` is a doctor of the patient, or None for the operator. ``progress`` is told how many
    resources are done. Raises `NotYourPatient` and the refusals of `records.fhir.refusals`, after
    which nothing is stored.
    """
    charts = everybody if by is None else treated_by

    def write(work: Callable[[Patient], Any]) -> Any:
        return in_chart(
            work, action="record.imported", patient=patient, by=by, now=now, charts=charts
        )

    chart: Patient = write(lambda found: found)
    try:
        parsed = read(bundle, chart)
        plan = Plan(parsed, by=by, now=now, progress=progress)
    except RecordRefused as refusal:
        audit_refusal("record.imported", refusal.code, patient=patient, by=by, now=now)
        raise

    def work(found: Patient) -> Report:
        report = plan.store(found, keep_files=not dry_run)
        if dry_run:
            raise _DryRun
        record("record.imported", actor=by, patient=found, detail=report.words(), now=now)
        return report

    try:
        report: Report = write(work)
    except _DryRun:
        return plan.report
    except BaseException:
        plan.drop_files()
        raise
    return report
