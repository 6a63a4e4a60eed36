"""Loads a release of the CMS hospital file."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from clinic.directory.importing.csv_file import WrongFile
from clinic.directory.importing.hospitals import Report, import_hospitals
from clinic.directory.models import ZipCode
from clinic.directory.reference import SHIPPED_COORDINATES, SHIPPED_HOSPITALS, load_zip_codes
from clinic.progress import Progress

ROWS_EXPECTED = 5_421  # of a release; only the bar's length depends on it
SHOWN = 20  # names of a long list; the rest is counted


class Command(BaseCommand):
    help = (
        "Imports hospitals from the CMS file “Hospital General Information”. Importing again "
        "updates; hospitals that a later release lacks are no longer shown."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", nargs="?", type=Path, help="CSV, also as .gz; default: the shipped release"
        )
        parser.add_argument("--coordinates", type=Path, help="CSV with the columns id, LAT and LON")
        parser.add_argument("--encoding", default="utf-8", help="of the files (utf-8)")
        parser.add_argument("--dry-run", action="store_true", help="report only, store nothing")
        parser.add_argument(
            "--allow-many-dropped",
            action="store_true",
            help="accept a file that lacks more than a fifth of the hospitals listed now",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path, coordinates = options["file"], options["coordinates"]
        if path is None:
            path, coordinates = SHIPPED_HOSPITALS, coordinates or SHIPPED_COORDINATES
        try:
            codecs.lookup(options["encoding"])
        except LookupError as error:
            raise CommandError(
                f"There is no encoding {options['encoding']!r}. Use utf-8 or cp1252."
            ) from error
        if not options["dry_run"] and not ZipCode.objects.exists():
            load_zip_codes()  # the search by distance needs them
        progress = Progress(self.stdout, "Hospitals", ROWS_EXPECTED)
        try:
            report = import_hospitals(
                path=path,
                coordinates=coordinates,
                encoding=options["encoding"],
                dry_run=options["dry_run"],
                allow_many_dropped=options["allow_many_dropped"],
                now=timezone.now(),
                progress=progress.done,
            )
        except WrongFile as error:
            raise CommandError(str(error)) from error
        progress.finish()
        self._say(report, dry_run=options["dry_run"])

    def _say(self, report: Report, *, dry_run: bool) -> None:
        self.stdout.write(
            f"{report.read:,} rows read: {report.created:,} created, {report.updated:,} updated, "
            f"{report.unchanged:,} unchanged, {len(report.refused):,} refused, "
            f"{report.blank:,} blank. {len(report.no_longer_listed):,} hospitals are no longer "
            f"listed, {len(report.listed_again):,} are listed again."
        )
        self._list("Refused", [f"line {line}: {why}" for line, why in report.refused], all_=True)
        self._list(
            "Coordinates refused",
            [f"line {line}: {why}" for line, why in report.coordinates_refused],
            all_=True,
        )
        self._list("No longer listed", report.no_longer_listed)
        self._list("Listed again", report.listed_again)
        self._list(
            "Coordinates far from the ZIP code, so its middle is used", report.coordinates_doubted
        )
        self._list("Without a time zone: set it in the admin", report.without_zone)
        if dry_run:
            self.stdout.write("This was a dry run: nothing was stored.")
        elif report.created:
            self.stdout.write(
                "Time zones were derived from the place. Confirm them in the admin before opening "
                "hours are entered."
            )

    def _list(self, title: str, lines: Sequence[str], *, all_: bool = False) -> None:
        if not lines:
            return
        shown = lines if all_ else lines[:SHOWN]
        self.stdout.write(f"{title} ({len(lines):,}):")
        for line in shown:
            self.stdout.write(f"  {line}")
        if len(shown) < len(lines):
            self.stdout.write(f"  … and {len(lines) - len(shown):,} more")
