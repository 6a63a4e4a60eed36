"""Looks for audit rows that were edited, removed or slipped in; exits 1 when it finds any."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts import anchors
from accounts.audit import PAGE, verify_chain
from accounts.models import AuditEvent, Patient
from clinic.progress import Progress


class Command(BaseCommand):
    help = (
        "Checks the audit trail: every patient's chain and the daily anchors. Reads only, a page "
        "at a time, while the site runs. Exits 1 when something was edited, removed or added."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since",
            type=_day,
            metavar="YYYY-MM-DD",
            help="only anchors since then, and whole chains of patients with rows since then",
        )
        parser.add_argument(
            "--patient", type=UUID, metavar="UUID", help="only the chain of this patient"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        since: datetime | None = options["since"]
        faults: list[str] = []
        patients = self._patients(since, options["patient"])
        progress = Progress(self.stderr, "Chains", patients.count)
        for number, patient in enumerate(patients, 1):
            for fault in verify_chain(patient):
                faults.append(f"patient {patient.public_id}: row {fault.number}: {fault.what}")
            progress.done(number)
        progress.finish()
        if options["patient"] is None:
            faults += self._anchors(since)
        for line in faults:
            self.stdout.write(line)
        if faults:
            raise CommandError(
                f"{len(faults)} faults. Keep this output, and a copy of the database as it is now.",
                returncode=1,
            )
        self.stdout.write(f"{patients.count:,} chains checked: no fault found.")

    def _patients(self, since: datetime | None, public_id: UUID | None) -> Patients:
        if public_id is not None and not Patient.objects.filter(public_id=public_id).exists():
            raise CommandError("There is no patient with this id.")
        return Patients(since, public_id)

    def _anchors(self, since: datetime | None) -> list[str]:
        progress = Progress(self.stderr, "Anchors", anchors.covered(since))
        found = [
            f"anchor of {fault.anchor.at:%Y-%m-%d} (rows {fault.anchor.first_id} to "
            f"{fault.anchor.last_id}): {fault.what}"
            for fault in anchors.verify_anchors(since=since, progress=progress.done)
        ]
        found += [f"row {pk} was edited" for pk in anchors.edited_since_last()]
        if (waiting := anchors.overdue()) is not None:
            found.append(
                f"rows since {waiting:%Y-%m-%d} are in no anchor: see why the daily job "
                "anchor_audit_trail fails (the worker's log, and the status page)"
            )
        progress.finish()
        return found


class Patients:
    """The patients whose chains are checked, a page at a time; those without a row as well, whose
    whole chain may be gone."""

    def __init__(self, since: datetime | None, public_id: UUID | None) -> None:
        patients = Patient.objects.order_by("pk")
        if public_id is not None:
            patients = patients.filter(public_id=public_id)
        if since is not None:
            recent = AuditEvent.objects.filter(
                at__gte=since, patient__isnull=False, pk__gt=anchors.last_before(since)
            )
            patients = patients.filter(pk__in=recent.values("patient"))
        self._patients = patients
        self.count = patients.count()

    def __iter__(self) -> Iterator[Patient]:
        last = 0
        while page := list(self._patients.filter(pk__gt=last)[:PAGE]):
            yield from page
            last = page[-1].pk


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
