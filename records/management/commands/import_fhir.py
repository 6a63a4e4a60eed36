"""Takes a FHIR R4 bundle into the record of a patient."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.models import Patient
from appointments.models import Appointment
from clinic.progress import Progress
from records.fhir.importing import import_bundle
from records.fhir.storing import Report
from records.refusals import RecordRefused

# A bundle is held in memory several times over while it is read.
LARGEST_FILE = 200 * 1024 * 1024


class Command(BaseCommand):
    help = (
        "Imports a FHIR R4 bundle of one patient into a chart. Name and date of birth have to be "
        "the chart's. Importing again changes nothing; what came changed updates its entry."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a bundle as JSON")
        parser.add_argument(
            "--patient",
            required=True,
            help="the chart: its id (as in the chart's address), or the reference of a visit",
        )
        parser.add_argument("--dry-run", action="store_true", help="report only, store nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        patient = self._patient(options["patient"])
        bundle = self._bundle(options["file"])
        entries = bundle.get("entry") if isinstance(bundle, dict) else None
        count = len(entries) if isinstance(entries, list) else 0
        progress = Progress(self.stdout, "Resources", count)
        try:
            report = import_bundle(
                bundle=bundle,
                patient=patient,
                by=None,
                now=timezone.now(),
                dry_run=options["dry_run"],
                progress=progress.done,
            )
        except RecordRefused as refusal:
            raise CommandError(f"{refusal.message} Nothing was stored.") from refusal
        progress.finish()
        self._say(report, dry_run=options["dry_run"])

    def _patient(self, text: str) -> Patient:
        charts = Patient.objects.current()
        try:
            found = charts.filter(public_id=uuid.UUID(text)).first()
        except ValueError:
            visit = Appointment.objects.filter(reference=text.strip().upper()).first()
            found = charts.filter(pk=visit.patient_id).first() if visit else None
        if found is None:
            raise CommandError(
                "There is no such chart. Give the id in its address, or the reference of a visit."
            )
        return found

    def _bundle(self, path: Path) -> Any:
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise CommandError(
                    f"{path} is larger than {LARGEST_FILE // 1024**2} MB. Split the bundle."
                )
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise CommandError(f"{path} is not UTF-8. Save it as UTF-8.") from error
        try:
            # Decimal numbers stay as they are written.
            return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise CommandError(
                f"{path} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
            ) from error
        except (ValueError, RecursionError) as error:
            raise CommandError(f"{path} is not JSON that a bundle can have.") from error

    def _say(self, report: Report, *, dry_run: bool) -> None:
        self._table("Created", report.created)
        self._table("Updated", report.updated)
        self._table("Unchanged", report.unchanged)
        left_out = Counter(
            {f"{kind}, {why}": count for (kind, why), count in report.left_out.items()}
        )
        self._table("Not taken", left_out)
        self.stdout.write("The patient was compared, not changed.")
        if report.without_resource:
            self.stdout.write(f"{report.without_resource:,} entries had no resource.")
        if dry_run:
            self.stdout.write("This was a dry run: nothing was stored.")

    def _table(self, title: str, counts: Counter[str]) -> None:
        self.stdout.write(f"{title}: {counts.total():,}")
        for name, count in sorted(counts.items()):
            if count:
                self.stdout.write(f"  {count:>6,}  {name}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
