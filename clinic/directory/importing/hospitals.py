"""Importing a release of the CMS hospital file.

Guarantee: one release is stored in one transaction or not at all; importing it again changes
nothing; a hospital is known by its CMS facility ID for ever. Hospitals that a release no longer
has stay, because visits refer to them, but are no longer shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.audit import record
from clinic.directory.hours import bump_hospital
from clinic.directory.importing import cms
from clinic.directory.importing.cms import HospitalFacts, RowRefused
from clinic.directory.importing.csv_file import Row, WrongFile, read_rows
from clinic.directory.importing.places import Places, Position
from clinic.directory.models import Hospital, hospital_search_text
from clinic.directory.slugs import Slugs

# A release drops a few hospitals. A file that lacks this share of them is more likely a part.
LARGEST_SHARE_DROPPED = 0.2
COORDINATE_COLUMNS = {
    "cms_id": ["id", "Facility ID", "Provider ID"],
    "latitude": ["LAT", "latitude"],
    "longitude": ["LON", "lng", "longitude"],
}
ROWS_AT_ONCE = 500


@dataclass
class Report:
    """What an import did, or would do. Lines are (line number, what, why)."""

    read: int = 0
    blank: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    coordinates_refused: list[tuple[int, str]] = field(default_factory=list)
    coordinates_doubted: list[str] = field(default_factory=list)
    no_longer_listed: list[str] = field(default_factory=list)
    listed_again: list[str] = field(default_factory=list)
    without_zone: list[str] = field(default_factory=list)


def import_hospitals(
    *,
    path: Path,
    coordinates: Path | None = None,
    encoding: str = "utf-8",
    dry_run: bool = False,
    allow_many_dropped: bool = False,
    now: datetime,
    progress: Callable[[int], None] = lambda count: None,
) -> Report:
    """Stores the release in ``path`` and returns what changed; ``progress`` gets rows read so far.

    Raises `WrongFile`. Rows that cannot be understood are refused one by one and reported; their
    hospitals stay as they are.
    """
    report = Report()
    positions = _positions(coordinates, encoding, report) if coordinates else {}
    with transaction.atomic():
        run = _Run(report, positions)
        rows = read_rows(path, columns=cms.COLUMNS, required=cms.REQUIRED, encoding=encoding)
        for row in rows:
            run.take(row)
            progress(report.read)
        run.finish(allow_many_dropped=allow_many_dropped)
        record(
            "hospitals.imported",
            actor=None,
            detail=f"{report.created} created, {report.updated} updated, "
            f"{len(report.no_longer_listed)} no longer listed",
            now=now,
        )
        if dry_run:
            transaction.set_rollback(True)
    return report


def _positions(path: Path, encoding: str, report: Report) -> dict[str, Position]:
    positions: dict[str, Position] = {}
    rows = read_rows(
        path, columns=COORDINATE_COLUMNS, required=list(COORDINATE_COLUMNS), encoding=encoding
    )
    for row in rows:
        if not row.values and not row.problem:
            continue
        try:
            if row.problem:
                raise RowRefused(row.problem)
            positions[cms.clean_id(row.values["cms_id"])] = _position(row.values)
        except RowRefused as refusal:
            report.coordinates_refused.append((row.line, str(refusal)))
    return positions


def _position(values: dict[str, str]) -> Position:
    try:
        latitude, longitude = float(values["latitude"]), float(values["longitude"])
    except ValueError as error:
        raise RowRefused(_("latitude or longitude is no number")) from error
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise RowRefused(_("latitude or longitude is out of range"))
    return latitude, longitude


class _Run:
    """One import: what is known, what was seen, what is to be stored."""

    def __init__(self, report: Report, positions: dict[str, Position]) -> None:
        self._report, self._positions = report, positions
        self._places = Places()
        self._known: dict[str, Hospital] = {
            str(hospital.cms_id): hospital
            for hospital in Hospital.objects.exclude(cms_id=None).select_for_update()
        }
        self._slugs = Slugs(Hospital.objects.values_list("slug", flat=True))
        self._lines: dict[str, int] = {}  # facility ID and the line it was first seen in
        self._new: list[Hospital] = []

    def take(self, row: Row) -> None:
        report = self._report
        report.read += 1
        if not row.values and not row.problem:
            report.blank += 1
            return
        try:
            facts = self._facts(row)
        except RowRefused as refusal:
            report.refused.append((row.line, str(refusal)))
            return
        hospital = self._known.get(facts.cms_id)
        if hospital is None:
            self._create(facts)
        else:
            self._update(hospital, facts)

    def _facts(self, row: Row) -> HospitalFacts:
        identifier = ""
        try:
            identifier = cms.clean_id(row.values.get("cms_id", ""))
        except RowRefused:
            if not row.problem:
                raise
        first = self._lines.setdefault(identifier, row.line) if identifier else row.line
        if row.problem:
            raise RowRefused(row.problem)
        if first != row.line:
            raise RowRefused(
                _("facility ID %(id)s is in line %(line)d already")
                % {"id": identifier, "line": first}
            )
        return cms.read_hospital(row.values)

    def _placed(self, facts: HospitalFacts) -> dict[str, Any]:
        """All columns of the hospital as this release has them; the zone only if it is known."""
        place = self._places.find(facts.zip_code, self._positions.get(facts.cms_id))
        name = f"{facts.name}, {facts.city}, {facts.state}"
        if place.doubted:
            self._report.coordinates_doubted.append(name)
        if not place.zone:
            self._report.without_zone.append(name)
        latitude, longitude = place.position or (None, None)
        return asdict(facts) | {
            "latitude": latitude,
            "longitude": longitude,
            "time_zone": place.zone,
        }

    def _create(self, facts: HospitalFacts) -> None:
        slug = self._slugs.give(f"{facts.name} {facts.city} {facts.state}")
        hospital = Hospital(slug=slug, **self._placed(facts))
        hospital.search_text = hospital_search_text(hospital)
        self._new.append(hospital)
        self._report.created += 1
        if len(self._new) >= ROWS_AT_ONCE:
            self._store_new()

    def _update(self, hospital: Hospital, facts: HospitalFacts) -> None:
        values = self._placed(facts)
        if hospital.time_zone_confirmed or not values["time_zone"]:
            del values["time_zone"]  # what staff confirmed is better than what we derive
        changed = [name for name, value in values.items() if getattr(hospital, name) != value]
        for name in changed:
            setattr(hospital, name, values[name])
        if not hospital.is_listed:
            hospital.is_listed = True
            changed.append("is_listed")
            self._report.listed_again.append(f"{hospital.name}, {hospital.town}")
        if not changed:
            self._report.unchanged += 1
            return
        hospital.search_text = hospital_search_text(hospital)
        hospital.save(update_fields=[*changed, "search_text"])
        if "time_zone" in changed or "state" in changed:
            bump_hospital(hospital)
        self._report.updated += 1

    def _store_new(self) -> None:
        Hospital.objects.bulk_create(self._new)
        self._new.clear()

    def finish(self, *, allow_many_dropped: bool) -> None:
        self._store_new()
        if not self._lines:
            raise WrongFile(_("There is no hospital in the file. Nothing was stored."))
        listed = [h for h in self._known.values() if h.is_listed]
        dropped = [h for h in listed if h.cms_id not in self._lines]
        if len(dropped) > len(listed) * LARGEST_SHARE_DROPPED and not allow_many_dropped:
            raise WrongFile(
                _(
                    "The file lacks %(dropped)d of the %(listed)d hospitals that are listed now, "
                    "so it is probably a part of a release. If it is complete, import it with "
                    "--allow-many-dropped. Nothing was stored."
                )
                % {"dropped": len(dropped), "listed": len(listed)}
            )
        Hospital.objects.filter(pk__in=[h.pk for h in dropped]).update(is_listed=False)
        self._report.no_longer_listed = sorted(f"{h.name}, {h.town}" for h in dropped)
