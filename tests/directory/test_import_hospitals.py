"""Importing hospitals: the real file with its traps, and every file that is a wrong one."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEvent
from clinic.directory.importing.csv_file import WrongFile
from clinic.directory.importing.hospitals import Report, import_hospitals
from clinic.directory.models import Hospital, Schedule, ZipCode
from clinic.directory.reference import SHIPPED_COORDINATES, SHIPPED_HOSPITALS
from tests.directory.helpers import NOW, make_doctor, make_hospital

pytestmark = pytest.mark.django_db

DATA = Path(__file__).parent / "data"
HOSPITALS = DATA / "hospitals.csv"
COORDINATES = DATA / "coordinates.csv"
ROWS = 38  # of the excerpt

Table = list[list[str]]


def table() -> Table:
    with HOSPITALS.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def text_of(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


@pytest.fixture
def release(tmp_path: Path) -> Callable[[Table], Path]:
    def write(rows: Table) -> Path:
        path = tmp_path / "release.csv"
        path.write_text(text_of(rows), encoding="utf-8")
        return path

    return write


def load(path: Path = HOSPITALS, now: datetime = NOW, **options: Any) -> Report:
    return import_hospitals(path=path, now=now, **options)


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, len(report.refused)


def column(rows: Table, name: str) -> int:
    return rows[0].index(name)


def test_the_excerpt_is_imported_with_names_people_read() -> None:
    assert counts(load(coordinates=COORDINATES)) == (ROWS, 0, 0, 0)
    names = dict(Hospital.objects.values_list("cms_id", "name"))
    assert names["230041"] == "McLaren Bay Region"
    assert names["331305"] == "O'Connor Hospital"
    assert names["200034"] == "St Mary's Regional Medical Center"
    assert names["013300"] == "The Children's Hospital of Alabama"
    assert names["330239"].startswith("UPMC Chautauqua at ")
    assert names["02014F"] == "Bassett ACH (FT Wainwright)"  # was not in upper case: left as it is
    assert names["480001"] == "Roy Lester Schneider Hospital,The"
    alabama = Hospital.objects.get(cms_id="010001")  # the leading zero is part of the ID
    assert alabama.full_address == "1108 Ross Clark Circle, Dothan, AL 36301"
    assert (alabama.kind, alabama.phone) == ("Acute care hospital", "(334) 793-8701")
    assert (alabama.rating, alabama.emergency_care) == (4, True)
    assert Hospital.objects.get(cms_id="130049").city == "Coeur D'Alene"
    rows = table()
    unrated = {r[0] for r in rows if r[column(rows, "Hospital overall rating")] == "Not Available"}
    assert unrated
    assert set(Hospital.objects.filter(rating=None).values_list("cms_id", flat=True)) == unrated


@pytest.mark.parametrize(
    ("cms_id", "zone"),
    [
        ("010001", "America/Chicago"),
        ("020001", "America/Anchorage"),
        ("030002", "America/Phoenix"),
        ("120001", "Pacific/Honolulu"),
        ("130049", "America/Los_Angeles"),  # northern Idaho, where Boise has Mountain Time
        ("150001", "America/Indiana/Indianapolis"),
        ("150002", "America/Chicago"),  # Gary, Indiana
        ("200031", "America/New_York"),
        ("230041", "America/Detroit"),
        ("400001", "America/Puerto_Rico"),
        ("440002", "America/Chicago"),  # western Tennessee
        ("450002", "America/Denver"),  # El Paso, Texas
        ("640001", "Pacific/Pago_Pago"),
        ("650001", "Pacific/Guam"),
        ("660001", "Pacific/Saipan"),
    ],
)
def test_zones_follow_the_place_and_wait_for_staff(cms_id: str, zone: str) -> None:
    load(coordinates=COORDINATES)
    hospital = Hospital.objects.get(cms_id=cms_id)
    assert hospital.time_zone == zone
    assert hospital.time_zone_confirmed is False


def test_coordinates_far_from_the_zip_code_give_way_to_it() -> None:
    report = load(coordinates=COORDINATES)  # those of Guam's hospital are in Honolulu
    assert any(name.startswith("Guam Memorial") for name in report.coordinates_doubted)
    guam = Hospital.objects.get(cms_id="650001")
    assert guam.longitude is not None and 144 < guam.longitude < 146


def test_without_coordinates_the_zip_code_is_enough() -> None:
    report = load()
    assert report.without_zone == []
    gadsden = Hospital.objects.get(cms_id="014006")  # its ZIP code has no area of its own
    assert (gadsden.latitude, gadsden.time_zone) == (None, "America/Chicago")


def test_importing_again_changes_nothing() -> None:
    load(coordinates=COORDINATES)
    before = list(Hospital.objects.order_by("pk").values())
    assert counts(load(coordinates=COORDINATES)) == (0, 0, ROWS, 0)
    assert list(Hospital.objects.order_by("pk").values()) == before


def test_a_dry_run_reports_and_stores_nothing() -> None:
    assert counts(load(dry_run=True)) == (ROWS, 0, 0, 0)
    assert not Hospital.objects.exists()
    assert not AuditEvent.objects.exists()


def test_a_later_release_updates_adds_and_drops(release: Callable[[Table], Path]) -> None:
    load()
    rows = table()
    slugs = dict(Hospital.objects.values_list("cms_id", "slug"))
    rating = column(rows, "Hospital overall rating")
    changed = next(row for row in rows if row[0] == "010001")
    changed[rating], changed[1] = "5", "SOUTHEAST HEALTH"
    dropped = next(row for row in rows if row[0] == "660001")
    rows.remove(dropped)
    rows.append(["999999", "NEW HOSPITAL", *rows[1][2:]])

    report = load(release(rows), now=NOW + timedelta(days=90))

    assert counts(report) == (1, 1, ROWS - 2, 0)
    assert report.no_longer_listed == ["Commonwealth Health Center, Garapan, MP"]
    hospital = Hospital.objects.get(cms_id="010001")
    assert (hospital.name, hospital.rating) == ("Southeast Health", 5)
    assert hospital.slug == slugs["010001"]  # its address never changes
    assert Hospital.objects.get(cms_id="660001").is_listed is False
    # It comes back with the release that has it again.
    report = load()
    assert report.listed_again == ["Commonwealth Health Center, Garapan, MP"]
    assert Hospital.objects.get(cms_id="660001").is_listed is True


def test_hospitals_that_are_not_from_cms_are_left_alone() -> None:
    own = make_hospital(name="Own Clinic", is_sample=True)
    load()
    own.refresh_from_db()
    assert own.is_listed and own.name == "Own Clinic"


def test_a_confirmed_zone_is_never_overwritten() -> None:
    load()
    gary = Hospital.objects.get(cms_id="150002")
    gary.time_zone, gary.time_zone_confirmed = "America/New_York", True
    gary.save()
    load()
    gary.refresh_from_db()
    assert (gary.time_zone, gary.time_zone_confirmed) == ("America/New_York", True)


def test_each_bad_row_is_refused_with_its_line_and_the_rest_is_stored(
    release: Callable[[Table], Path],
) -> None:
    rows = table()
    emergency, rating = column(rows, "Emergency Services"), column(rows, "Hospital overall rating")
    rows[1][0] = "12-34"  # line 2
    rows[2][1] = ""  # 3
    rows[3][4] = "XX"  # 4
    rows[4][5] = "ABCDE"  # 5
    rows[5][emergency] = "Maybe"  # 6
    rows[6][rating] = "6"  # 7
    rows[7] = rows[7][:-3]  # 8
    rows[8][0] = rows[9][0]  # lines 9 and 10 are the same hospital
    report = load(release(rows))
    assert counts(report) == (ROWS - 8, 0, 0, 8)
    assert report.refused == [
        (2, "facility ID “12-34” is not six letters and digits"),
        (3, "Facility Name is empty"),
        (4, "“XX” is no US state or territory"),
        (5, "ZIP code “ABCDE” is not one"),
        (6, "emergency services “Maybe” is neither Yes nor No"),
        (7, "rating “6” is not 1 to 5"),
        (8, "has 35 columns instead of 38"),
        (10, f"facility ID {rows[9][0]} is in line 9 already"),
    ]


def test_a_refused_row_is_no_reason_to_hide_its_hospital(release: Callable[[Table], Path]) -> None:
    load()
    rows = table()
    rows[1][column(rows, "Hospital overall rating")] = "very good"
    report = load(release(rows))
    assert len(report.refused) == 1
    assert report.no_longer_listed == []
    assert Hospital.objects.get(cms_id=rows[1][0]).is_listed


def test_blank_rows_and_lost_leading_zeros_and_old_headers_are_understood(
    release: Callable[[Table], Path],
) -> None:
    rows = table()
    old = {
        "Facility ID": " Provider ID",
        "Facility Name": " Hospital Name ",
        "City/Town": "City",
        "Telephone Number": "Phone Number",
        "County/Parish": "County Name",
    }
    rows[0] = [old.get(name, name) for name in rows[0]]
    bangor = next(row for row in rows if row[0] == "200001")
    bangor[5] = "4401"
    york = next(row for row in rows if row[0] == "200020")
    york[5] = "39091234"  # ZIP+4 without its leading zero
    dothan = next(row for row in rows if row[0] == "010001")
    dothan[0] = "10001"
    blank = [""] * len(rows[0])
    rows = [rows[0], blank, *rows[1:], blank]
    report = load(release(rows))
    assert (report.blank, *counts(report)) == (2, ROWS, 0, 0, 0)
    assert Hospital.objects.get(cms_id="200001").zip_code == "04401"
    assert Hospital.objects.get(cms_id="200020").zip_code == "03909"
    assert Hospital.objects.get(cms_id="010001").city == "Dothan"


def refused(path: Path, **options: Any) -> str:
    """The sentence with which the file is refused; nothing may have been stored."""
    before = list(Hospital.objects.values_list("pk", "name", "is_listed"))
    audited = AuditEvent.objects.count()
    with pytest.raises(WrongFile) as caught:
        load(path, **options)
    assert list(Hospital.objects.values_list("pk", "name", "is_listed")) == before
    assert AuditEvent.objects.count() == audited
    return str(caught.value)


def test_a_file_that_was_cut_off_is_refused_whole(tmp_path: Path) -> None:
    content = HOSPITALS.read_bytes()
    cut = tmp_path / "cut.csv"
    for length in (len(content) // 2, len(content) - 60, len(content) // 3):
        cut.write_bytes(content[:length])
        assert "cut off in line" in refused(cut)
    cut.write_text(text_of(table())[:-30] + ',"never closed', encoding="utf-8")
    assert "cut off within a quoted value" in refused(cut)
    damaged = tmp_path / "cut.csv.gz"
    damaged.write_bytes(SHIPPED_HOSPITALS.read_bytes()[:100_000])
    assert "damaged or cut off" in refused(damaged)


def test_a_part_of_a_release_is_not_taken_for_a_release(release: Callable[[Table], Path]) -> None:
    load()
    part = release(table()[: ROWS // 2])
    assert "probably a part of a release" in refused(part)
    report = load(part, allow_many_dropped=True)
    assert len(report.no_longer_listed) == ROWS - ROWS // 2 + 1


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_another_encoding_is_named_and_can_be_given(tmp_path: Path, encoding: str) -> None:
    rows = table()
    rows[1][1] = "HOSPITAL SAN JOSÉ"
    path = tmp_path / "release.csv"
    path.write_text(text_of(rows), encoding=encoding)
    assert "is not in UTF-8" in refused(path)
    assert load(path, encoding=encoding).created == ROWS
    assert Hospital.objects.get(cms_id=rows[1][0]).name == "Hospital San José"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "lacks the columns “Facility ID”"),
        ("NPI,Provider Name\n1,2\n", "lacks the columns “Facility ID”"),
        (text_of(table()[:1]), "There is no hospital in the file"),
        ("\x00\x01\x02", "lacks the columns"),
    ],
)
def test_another_file_is_refused_by_what_it_lacks(
    tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "other.csv"
    path.write_text(content, encoding="utf-8")
    assert sentence in refused(path)


def test_a_missing_file_and_a_folder_have_their_own_sentences(tmp_path: Path) -> None:
    assert "There is no file" in refused(tmp_path / "nowhere.csv")
    assert "is a folder" in refused(tmp_path)


def test_bad_coordinates_are_reported_by_line(tmp_path: Path) -> None:
    path = tmp_path / "coordinates.csv"
    path.write_text("id,LAT,LON\n10001,31.2,-85.4\n010005,north,-86\n01014F,91,-86\n")
    report = load(coordinates=path)
    assert report.coordinates_refused == [
        (3, "latitude or longitude is no number"),
        (4, "latitude or longitude is out of range"),
    ]
    assert Hospital.objects.get(cms_id="010001").latitude == 31.2


def test_a_changed_zone_is_told_to_the_caches_of_free_times() -> None:
    load()
    hospital = Hospital.objects.get(cms_id="200001")
    doctor = make_doctor(hospital=hospital)
    hospital.opening_hours.create(
        doctor=doctor, weekday=0, opens="09:00", closes="12:00", valid_from="2026-01-01"
    )
    Hospital.objects.filter(pk=hospital.pk).update(time_zone="America/Chicago")
    version = Schedule.objects.get(doctor=doctor).version
    load()
    assert Schedule.objects.get(doctor=doctor).version == version + 1


def test_the_command_reports_and_turns_a_wrong_file_into_an_error(tmp_path: Path) -> None:
    ZipCode.objects.create(code="04101", latitude=43.66, longitude=-70.25)  # as if loaded before
    out = io.StringIO()
    call_command("import_hospitals", str(HOSPITALS), coordinates=COORDINATES, stdout=out)
    assert f"{ROWS} rows read: {ROWS} created, 0 updated, 0 unchanged, 0 refused" in out.getvalue()
    assert "Confirm them in the admin" in out.getvalue()
    with pytest.raises(CommandError, match="There is no file"):
        call_command("import_hospitals", str(tmp_path / "nowhere.csv"), stdout=out)
    with pytest.raises(CommandError, match="no encoding"):
        call_command("import_hospitals", str(HOSPITALS), encoding="klingon", stdout=out)


@pytest.mark.slow
def test_the_whole_release_is_imported() -> None:
    report = load(SHIPPED_HOSPITALS, coordinates=SHIPPED_COORDINATES)
    assert (report.read, *counts(report)) == (5_421, 5_421, 0, 0, 0)
    assert report.without_zone == []
    hospitals = Hospital.objects.all()
    assert hospitals.count() == 5_421
    assert hospitals.filter(emergency_care=True).count() == 4_505
    assert hospitals.filter(rating=None).count() == 2_552
    assert hospitals.filter(state="ME", time_zone="America/New_York").count() == 38
    assert hospitals.values("slug").distinct().count() == 5_421
    assert not hospitals.filter(name__regex=r"^[A-Z]{5,} [A-Z]{5,}").exists()  # nobody shouts
    assert counts(load(SHIPPED_HOSPITALS, coordinates=SHIPPED_COORDINATES)) == (0, 0, 5_421, 0)
