"""A record that is given out and taken in again is the same record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from fhir.resources.R4B.bundle import Bundle
from hypothesis import HealthCheck, given, settings

from accounts.models import AuditEvent, Patient
from records.documents import store as store_file
from records.entries import retract
from records.fhir import exporting
from records.fhir.exporting import export_bundle
from records.fhir.importing import import_bundle
from records.models import Allergy, Condition, Document, Encounter, Note, Observation
from records.notes import save_draft, sign, start_note
from records.refusals import NotYourPatient
from tests import files
from tests.cast import make_carer, make_patient, make_patient_user
from tests.records import invented
from tests.records.bundles import FILES, bundle_of, counted, fact, load, subject_of
from tests.records.same import meaning
from tests.records.ward import NOW, Ward, refused, trail

BORN = date(1990, 2, 28)


def given_out(ward: Ward, patient: Patient) -> dict[str, Any]:
    """The bundle as a file would hold it, and valid."""
    text = json.dumps(export_bundle(patient=patient, by=ward.by, now=NOW))
    Bundle.model_validate_json(text)
    found: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return found


def namesake(patient: Patient) -> Patient:
    """An empty chart of the same person."""
    assert patient.birth_date is not None
    return make_patient(patient.name, birth_date=patient.birth_date)


def assert_round_trip(ward: Ward, patient: Patient) -> None:
    bundle = given_out(ward, patient)
    empty = namesake(patient)
    report = import_bundle(bundle=bundle, patient=empty, by=None, now=NOW)
    assert not report.left_out, report.left_out
    assert report.created.total() + 1 == len(bundle["entry"])
    assert meaning(empty) == meaning(patient)
    # What came in is given out again as the same, and its own chart knows it.
    ward.treat(empty)
    again = given_out(ward, empty)
    assert counted(again) == counted(bundle)
    before = meaning(empty)
    assert import_bundle(bundle=again, patient=empty, by=None, now=NOW).created.total() == 0
    assert meaning(empty) == before


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition("_")[0])
def test_the_shipped_bundles_survive_the_round_trip(records: Ward, path: Path) -> None:
    found = load(path)
    patient = subject_of(found)
    records.treat(patient)
    import_bundle(bundle=found, patient=patient, by=None, now=NOW)
    assert_round_trip(records, patient)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(found=invented.RECORDS)
def test_any_record_survives_the_round_trip(records: Ward, found: dict[str, Any]) -> None:
    with undone():
        patient = make_patient("Nora Ames", birth_date=BORN)
        records.treat(patient)
        invented.store(found, patient, records)
        assert_round_trip(records, patient)


@contextmanager
def undone() -> Iterator[None]:
    """Takes back what the block stored, so that one invented record does not spoil the next.

    A plain savepoint: rules are durable, which no ``atomic`` of a test's own may surround.
    """
    before = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(before)
        transaction.set_rollback(False)


def test_documents_survive_the_round_trip(records: Ward, uploads: Path) -> None:
    for name, data, by in [
        ("letter.pdf", files.pdf(), records.owner),
        ("arm.jpg", files.jpeg(), records.by),
        ("arm.png", files.png(), records.by),
    ]:
        store_file(
            patient=records.patient,
            upload=SimpleUploadedFile(name, data),
            title=f"Title of {name}",
            by=by,
            now=NOW,
            by_patient=by == records.owner,
        )
    assert_round_trip(records, records.patient)


def test_a_bundle_given_out_is_known_in_its_own_record(records: Ward, uploads: Path) -> None:
    found = bundle_of(fact("Encounter"), fact("Condition"), fact("AllergyIntolerance"))
    import_bundle(bundle=found, patient=records.patient, by=None, now=NOW)
    upload = SimpleUploadedFile("letter.pdf", files.pdf())
    store_file(patient=records.patient, upload=upload, title="", by=records.by, now=NOW)
    before = meaning(records.patient)
    bundle = given_out(records, records.patient)
    report = import_bundle(bundle=bundle, patient=records.patient, by=None, now=NOW)
    assert (report.created.total(), report.updated.total(), report.left_out.total()) == (0, 0, 0)
    assert meaning(records.patient) == before


def test_drafts_and_errors_stay_here(records: Ward) -> None:
    note = start_note(encounter=records.encounter(), by=records.by, now=NOW)
    save_draft(note=note, body="sparrow-draft", version=1, by=records.by, now=NOW)
    import_bundle(
        bundle=bundle_of(fact("Condition", code={"text": "sparrow-error"})),
        patient=records.patient,
        by=None,
        now=NOW,
    )
    retract(entry=Condition.objects.get(), why="Wrong", by=records.by, now=NOW)
    text = json.dumps(given_out(records, records.patient))
    assert "sparrow" not in text
    sign(note=note, body="Signed", version=2, by=records.by, now=NOW)
    assert counted(given_out(records, records.patient))["DocumentReference"] == 1


def test_nobody_elses_record_is_in_the_bundle(records: Ward) -> None:
    other = make_patient("Somebody Else")
    for patient, name in [(records.patient, "hers"), (other, "sparrow-other")]:
        Allergy.objects.create(patient=patient, name=name, recorded_at=NOW)
    text = json.dumps(given_out(records, records.patient))
    assert "hers" in text and "sparrow" not in text and "Somebody" not in text


def test_s37_who_takes_a_record_away_is_in_its_trail(records: Ward) -> None:
    export_bundle(patient=records.patient, by=records.owner, now=NOW)
    export_bundle(patient=records.patient, by=records.by, now=NOW)
    assert trail(records.patient) == ["record.exported", "record.exported"]
    actors = AuditEvent.objects.filter(patient=records.patient).order_by("number")
    assert [event.actor_id for event in actors] == [records.owner.pk, records.by.pk]


def test_s15_only_readers_take_a_record_away(records: Ward) -> None:
    carer = make_patient_user("carl@example.org", name="Carl Ames")
    for nobody in (records.stranger, carer):
        with refused(NotYourPatient, records.patient, "record.exported"):
            export_bundle(patient=records.patient, by=nobody, now=NOW)
    row = make_carer(carer, records.patient)
    with refused(NotYourPatient, records.patient, "record.exported"):
        export_bundle(patient=records.patient, by=carer, now=NOW)
    row.may_read_record, row.agreed_at = True, NOW
    row.save()
    assert export_bundle(patient=records.patient, by=carer, now=NOW)["entry"]


def test_large_files_are_named_when_they_no_longer_fit(
    records: Ward, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day, name in enumerate(["old.pdf", "new.pdf"]):
        data = files.pdf(name.encode())
        store_file(
            patient=records.patient,
            upload=SimpleUploadedFile(name, data),
            title=name,
            by=records.by,
            now=NOW + timedelta(days=day),
        )
    size = Document.objects.get(name="new.pdf").size
    monkeypatch.setattr(exporting, "FILES_LIMIT", size)
    bundle = given_out(records, records.patient)
    found = [
        entry["resource"]["content"][0]["attachment"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "DocumentReference"
    ]
    assert [(file["title"], "data" in file) for file in found] == [
        ("new.pdf", True),
        ("old.pdf", False),
    ]


def test_the_number_of_queries_does_not_grow_with_the_record(
    records: Ward,
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            export_bundle(patient=records.patient, by=records.by, now=NOW)
        return len(found)

    def grow(count: int) -> None:
        for _number in range(count):
            meeting = Encounter.objects.create(
                patient=records.patient, doctor=records.doctor, starts_at=NOW, recorded_at=NOW
            )
            Note.objects.create(
                patient=records.patient, encounter=meeting, author=records.by, body="x",
                status="signed", signed_at=NOW, created_at=NOW, saved_at=NOW,
            )  # fmt: skip
            Observation.objects.create(
                patient=records.patient, encounter=meeting, name="x", value_text="y",
                observed_at=NOW, recorded_at=NOW,
            )  # fmt: skip

    grow(1)
    few = queries()
    grow(19)
    assert queries() == few
