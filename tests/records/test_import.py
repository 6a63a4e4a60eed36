"""Bundles that are taken in: what becomes of them, again and again, and which are refused."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Patient
from records.conditions import resolve_condition
from records.entries import retract
from records.fhir.importing import import_bundle
from records.fhir.reading import is_same_person
from records.fhir.refusals import (
    BrokenReference,
    BundleRefused,
    NoOnePatient,
    NotABundle,
    NotR4,
    OtherPatient,
    TwiceInBundle,
)
from records.fhir.storing import Report
from records.models import (
    Allergy,
    AllergyStatement,
    Condition,
    Document,
    Encounter,
    Immunization,
    Medication,
    Note,
    Observation,
    Prescription,
    Procedure,
)
from records.refusals import NotYourPatient
from tests import files
from tests.cast import make_patient
from tests.records.bundles import FILES, TAKEN, counted, fact, load, subject_of
from tests.records.bundles import bundle_of as bundle
from tests.records.bundles import document as file_of
from tests.records.ward import NOW, Ward, refused, rows_of, trail

LIZ = next(path for path in FILES if path.name.startswith("Liz"))
MODELS: dict[str, Any] = {
    "Encounter": Encounter,
    "Condition": Condition,
    "AllergyIntolerance": Allergy,
    "MedicationRequest": Prescription,
    "MedicationStatement": Medication,
    "Observation": Observation,
    "Immunization": Immunization,
    "Procedure": Procedure,
}


def take(found: Any, patient: Patient, **more: Any) -> Report:
    return import_bundle(bundle=found, patient=patient, **({"by": None, "now": NOW} | more))


@pytest.fixture
def nora(db: None) -> Patient:
    return make_patient("Nora Ames", birth_date=date(1951, 8, 2))


# --- The shipped bundles --------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition("_")[0])
def test_everything_of_a_bundle_is_taken_or_reported(path: Path, db: None) -> None:
    found = load(path)
    patient = subject_of(found)
    expected = counted(found)
    report = take(found, patient)
    assert report.created == {kind: expected[kind] for kind in TAKEN if expected[kind]}
    stored = {kind: model.objects.filter(patient=patient).count() for kind, model in MODELS.items()}
    assert stored == {kind: expected[kind] for kind in MODELS}
    left_out: Counter[str] = Counter()
    for (kind, _why), count in report.left_out.items():
        left_out[kind] += count
    assert left_out == {
        kind: count for kind, count in expected.items() if kind not in TAKEN | {"Patient"}
    }
    assert trail(patient) == ["record.imported"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition("_")[0])
def test_a_second_import_changes_nothing(path: Path, db: None) -> None:
    found = load(path)
    patient = subject_of(found)
    first = take(found, patient)
    before = rows_of(patient)
    again = take(load(path), patient, now=NOW + timedelta(days=1))
    assert rows_of(patient) == before
    assert (again.created.total(), again.updated.total()) == (0, 0)
    assert again.unchanged == first.created


def test_values_are_the_ones_in_the_file(db: None) -> None:
    found = load(LIZ)
    patient = subject_of(found)
    take(found, patient)
    height = Observation.objects.get(
        patient=patient, code="8302-2", observed_at=datetime(2012, 8, 10, 20, 37, 6, tzinfo=UTC)
    )
    # SQLite gives 15 digits of a number.
    assert float(height.value or 0) == pytest.approx(165.13572344324407, rel=1e-14)
    assert (height.unit, height.category, height.code_system) == (
        "cm",
        "vital-signs",
        "http://loinc.org",
    )
    pressure = Observation.objects.filter(patient=patient, code="55284-4").order_by("pk")[0]
    assert pressure.value is None
    assert [(part["code"], part["unit"]) for part in pressure.components] == [
        ("8462-4", "mm[Hg]"),
        ("8480-6", "mm[Hg]"),
    ]
    meeting = Encounter.objects.get(
        patient=patient, starts_at=datetime(2005, 7, 29, 20, 37, 6, tzinfo=UTC)
    )
    assert meeting.title == "Encounter for check up (procedure)"
    assert (meeting.performer_name, meeting.place_name) == (
        "Dr. Erlinda Franecki",
        "BEVERLY HOSPITAL CORPORATION",
    )
    condition = Condition.objects.get(patient=patient)
    assert (condition.name, condition.encounter, condition.status) == (
        "Hypertension",
        meeting,
        "active",
    )
    prescription = Prescription.objects.get(patient=patient)
    assert (prescription.name, prescription.prescriber_name, prescription.doctor) == (
        "Hydrochlorothiazide 25 MG",
        "Dr. Erlinda Franecki",
        None,
    )


def test_a_dry_run_reports_the_same_and_stores_nothing(db: None) -> None:
    found = load(LIZ)
    patient = subject_of(found)
    before = rows_of(patient)
    dry = take(found, patient, dry_run=True)
    assert rows_of(patient) == before
    assert trail(patient) == []
    assert take(found, patient) == dry


# --- Again, after something changed ---------------------------------------------------------------


def test_what_was_changed_here_stays_when_the_same_comes_again(records: Ward) -> None:
    found = bundle(fact("Condition"), fact("Condition", "second"))
    take(found, records.patient)
    first, second = Condition.objects.filter(patient=records.patient).order_by("pk")
    resolve_condition(condition=first, by=records.by, now=NOW)
    retract(entry=second, why="Other patient", by=records.by, now=NOW)
    before = rows_of(records.patient)
    assert take(found, records.patient).unchanged == {"Condition": 2}
    assert rows_of(records.patient) == before


def test_a_changed_resource_updates_its_entry_but_never_a_retracted_one(records: Ward) -> None:
    take(bundle(fact("Condition"), fact("Condition", "second")), records.patient)
    _first, second = Condition.objects.filter(patient=records.patient).order_by("pk")
    retract(entry=second, why="Other patient", by=records.by, now=NOW)
    changed = bundle(
        fact("Condition", code={"text": "Asthma, mild"}),
        fact("Condition", "second", code={"text": "Asthma, mild"}),
    )
    report = take(changed, records.patient)
    assert (report.updated, report.unchanged) == ({"Condition": 1}, {"Condition": 1})
    names = Condition.objects.filter(patient=records.patient).order_by("pk")
    assert [condition.name for condition in names] == ["Asthma, mild", "Asthma"]


def test_a_changed_note_leaves_the_signed_one_as_it_is(nora: Patient) -> None:
    about: dict[str, Any] = {"context": {"encounter": [{"reference": "Encounter/e1"}]}}
    met = fact("Encounter", "e1")
    take(bundle(met, file_of("n1", data=b"Potassium 3.9", **about)), nora)
    changed = bundle(met, file_of("n1", data=b"Potassium 6.9, refused admission", **about))
    for _twice in range(2):
        report = take(changed, nora)
        assert (report.created.total(), report.updated.total()) == (0, 0)
        why = "a changed version of a signed note, which stays as it is"
        assert report.left_out == {("DocumentReference", why): 1}
        assert Note.objects.get(patient=nora).body == "Potassium 3.9"
    adds: dict[str, Any] = {
        "relatesTo": [{"code": "appends", "target": {"reference": "DocumentReference/n1"}}]
    }
    more = bundle(
        met,
        file_of("n1", data=b"Potassium 3.9", **about),
        file_of("n2", data=b"Haemolysed, taken again: 4.0", **about, **adds),
    )
    assert take(more, nora).created == {"DocumentReference": 1}
    assert Note.objects.get(amends__patient=nora).body == "Haemolysed, taken again: 4.0"


def test_what_its_sender_calls_an_error_is_marked_here(nora: Patient) -> None:
    take(bundle(fact("AllergyIntolerance")), nora)
    wrong = fact("AllergyIntolerance", verificationStatus=code("entered-in-error"))
    wrong.pop("clinicalStatus", None)
    report = take(bundle(wrong), nora)
    assert report.updated == {"AllergyIntolerance": 1}
    assert Allergy.objects.get(patient=nora).is_retracted
    assert not AllergyStatement.objects.filter(patient=nora).exists(), "nobody knows any more"
    again = take(bundle(wrong), nora)
    assert (again.updated.total(), again.created.total()) == (0, 0)
    assert take(bundle(fact("AllergyIntolerance")), nora).unchanged.total() == 1


def code(name: str) -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
    return {"coding": [{"system": system, "code": name}]}


def test_an_imported_allergy_ends_no_known_allergies(nora: Patient) -> None:
    AllergyStatement.objects.create(patient=nora, none_known=True, asked_at=NOW)
    take(bundle(fact("AllergyIntolerance")), nora)
    assert not AllergyStatement.objects.get(patient=nora).none_known


def test_ids_that_differ_in_case_are_two(nora: Patient) -> None:
    found = bundle(*(fact("Condition", name) for name in ("abc", "ABC", "aBc")))
    assert take(found, nora).created == {"Condition": 3}
    assert take(found, nora).unchanged == {"Condition": 3}


# --- Kinds of values ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"valueString": "Clear"}, (None, "", "Clear")),
        ({"valueInteger": 7}, (7, "1", "")),
        ({"valueBoolean": True}, (None, "", "true")),
        ({"valueQuantity": {"value": 5, "unit": "drops"}}, (5, "drops", "")),
        (
            {"valueQuantity": {"value": 5, "comparator": "<", "unit": "mg/dL"}},
            (None, "", "< 5 mg/dL"),
        ),
        (
            {"valueCodeableConcept": {"coding": [{"code": "260385009", "display": "Negative"}]}},
            (None, "", "Negative"),
        ),
    ],
)
def test_values_of_all_kinds(nora: Patient, given: Any, stored: Any) -> None:
    observation = fact("Observation")
    observation.pop("valueQuantity")
    take(bundle(observation | given), nora)
    kept = Observation.objects.get(patient=nora)
    assert (kept.value, kept.unit, kept.value_text) == stored


@pytest.mark.parametrize(
    ("resource", "why"),
    [
        (fact("Observation", status="preliminary"), "status preliminary"),
        (fact("Observation", status="entered-in-error"), "entered in error"),
        (fact("Observation", valueQuantity=None), "without a value that can be kept"),
        (
            fact("Observation", valueQuantity=None, valueRange={"low": {"value": 1}}),
            "without a value that can be kept",
        ),
        (fact("Observation", valueQuantity={"value": 10**17}), "without a value that can be kept"),
        (fact("Observation", effectiveDateTime=None), "without a date"),
        (fact("Observation", effectiveDateTime="0001-01-01"), "without a date"),
        (fact("Observation", code={"text": "x" * 301}), "longer than the record holds"),
        (fact("MedicationRequest", intent="proposal"), "no order"),
        (fact("MedicationRequest", authoredOn=None), "without a date"),
        (fact("Immunization", status="not-done"), "status not-done"),
        (fact("Procedure", status="preparation"), "status preparation"),
        (fact("Encounter", status="planned"), "status planned"),
        (
            fact("Encounter", period={"start": "2026-02-02", "end": "2026-02-01"}),
            "ends before it begins",
        ),
        (
            fact("AllergyIntolerance", code={"text": "No known allergies"}),
            "says that no allergy is known; only an “Allergies” list is taken for that",
        ),
        (file_of(data=None), "without the file itself"),
        (file_of(data=b"<script>", content_type="text/html"), "a file that may not be kept"),
        (file_of(data=b"MZ", content_type="application/pdf"), "a file that may not be kept"),
        (file_of(data="\x1b \u0301\u06de\ufc5e".encode()), "an empty text"),
        (file_of(data=b"\xff\xfe"), "a text that is not UTF-8"),
        (fact("Condition", code={"text": "\u200b"}), "without a name"),
        (file_of(data=b"Just a text"), "without an encounter of this bundle"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_kept_is_left_out_with_its_reason(
    nora: Patient, resource: Any, why: str
) -> None:
    resource = {name: value for name, value in resource.items() if value is not None}
    before = rows_of(nora)
    report = take(bundle(resource), nora)
    assert report.left_out == {(resource["resourceType"], why): 1}
    assert (report.created.total(), rows_of(nora)) == (0, before)


def test_files_are_checked_and_kept_like_uploads(nora: Patient, uploads: Path) -> None:
    found = bundle(
        file_of("scan", data=files.pdf(), content_type="application/pdf", title="Letter.pdf"),
        file_of("photo", data=files.jpeg(), content_type="image/jpeg"),
    )
    assert take(found, nora).created == {"DocumentReference": 2}
    letter, photo = Document.objects.filter(patient=nora).kept().order_by("pk")
    assert (letter.name, letter.title, photo.name) == ("Letter.pdf", "A file", "document.jpg")
    assert len([path for path in uploads.rglob("*") if path.is_file()]) == 3  # and a thumbnail
    assert take(found, nora).unchanged == {"DocumentReference": 2}


def test_a_failed_import_leaves_no_file(
    nora: Patient, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bundle(file_of("scan", data=files.pdf(), content_type="application/pdf"))

    def fails(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("the audit trail cannot be written")

    monkeypatch.setattr("records.fhir.importing.record", fails)
    with pytest.raises(RuntimeError):
        take(found, nora)
    assert not [path for path in uploads.rglob("*") if path.is_file()]
    assert not Document.objects.exists()


# --- Refused --------------------------------------------------------------------------------------


def other_name(found: Any) -> None:
    found["entry"][0]["resource"]["name"][0]["family"] = "Amos"


def other_birthday(found: Any) -> None:
    found["entry"][0]["resource"]["birthDate"] = "1951-08-03"


def no_patient(found: Any) -> None:
    del found["entry"][0]


def two_patients(found: Any) -> None:
    second = copy.deepcopy(found["entry"][0])
    second["fullUrl"] = "urn:uuid:00000000-0000-4000-8000-000000000999"
    second["resource"]["id"] = "second"
    found["entry"].append(second)


def strange_patient(found: Any) -> None:
    found["entry"][2]["resource"]["subject"] = {"reference": "urn:uuid:somebody-else"}


def broken_encounter(found: Any) -> None:
    found["entry"][2]["resource"]["encounter"] = {"reference": "Encounter/nowhere"}


def broken_author(found: Any) -> None:
    found["entry"][1]["resource"]["participant"] = [
        {"individual": {"reference": "urn:uuid:00000000-0000-4000-8000-00000000dead"}}
    ]


def twice(found: Any) -> None:
    found["entry"].append(copy.deepcopy(found["entry"][2]))


def no_bundle(found: Any) -> None:
    found["resourceType"] = "Patient"


def wrong_status(found: Any) -> None:
    del found["entry"][2]["resource"]["subject"]


def unknown_type(found: Any) -> None:
    found["entry"][2]["resource"]["resourceType"] = "Horoscope"


def no_object(found: Any) -> None:
    found["entry"] = ["x"]


def of_r5(found: Any) -> None:
    found["entry"][1]["resource"]["actualPeriod"] = {"start": "2026-01-01"}


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (other_name, OtherPatient),
        (other_birthday, OtherPatient),
        (no_patient, NoOnePatient),
        (two_patients, NoOnePatient),
        (strange_patient, BrokenReference),
        (broken_encounter, BrokenReference),
        (broken_author, BrokenReference),
        (twice, TwiceInBundle),
        (no_bundle, NotABundle),
        (wrong_status, NotR4),
        (unknown_type, NotR4),
        (no_object, NotR4),
        (of_r5, NotR4),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_bundle_is_refused_whole(
    records: Ward, spoil: Callable[[Any], None], kind: type[BundleRefused]
) -> None:
    found = bundle(fact("Encounter"), fact("Condition"))
    spoil(found)
    with refused(kind, records.patient, "record.imported") as caught:
        take(found, records.patient)
    assert "Ames" not in caught.value.message and "1951" not in caught.value.message


@pytest.mark.parametrize("found", [None, [], "Bundle", 7, {"resourceType": ["Bundle"]}])
def test_what_is_no_bundle_is_refused(records: Ward, found: Any) -> None:
    with refused(NotABundle, records.patient, "record.imported"):
        take(found, records.patient)


def test_s15_a_doctor_imports_into_own_charts_only(records: Ward) -> None:
    found = bundle(fact("Condition"))
    with refused(NotYourPatient, records.patient, "record.imported"):
        take(found, records.patient, by=records.stranger)
    with refused(NotYourPatient, records.patient, "record.imported"):
        take(found, records.patient, by=records.owner)
    assert take(found, records.patient, by=records.by).created.total() == 1


@pytest.mark.parametrize(
    ("chart", "fits"),
    [
        ("Liz681 Conn188", True),
        ("liz CONN", True),
        ("Conn Liz", True),
        ("Líz Conn", True),
        ("Liz Marie Conn", True),
        ("Liz", False),
        ("Conn", False),
        ("Liz Connor", False),
        ("Liz Conn Smith", False),
        ("Marie Conn", False),
        ("", False),
    ],
)
def test_names_are_compared_without_digits_accents_and_order(chart: str, fits: bool) -> None:
    name = {"family": "Conn188", "given": ["Liz681", "Marie2"]}
    resource = {"name": [name], "birthDate": "1980-01-01"}
    patient = Patient(name=chart, birth_date=date(1980, 1, 1))
    assert is_same_person(resource, patient) is fits


def test_without_a_birth_date_nobody_is_the_same() -> None:
    resource = {"name": [{"family": "Conn", "given": ["Liz"]}], "birthDate": ""}
    assert not is_same_person(resource, Patient(name="Liz Conn", birth_date=None))


# --- The command ----------------------------------------------------------------------------------


def run(path: Path, patient: Any, *options: str) -> str:
    out = StringIO()
    call_command("import_fhir", str(path), "--patient", str(patient), *options, stdout=out)
    return out.getvalue()


def test_the_command_reports_counts_and_can_be_repeated(db: None) -> None:
    patient = subject_of(load(LIZ))
    said = run(LIZ, patient.public_id)
    assert "Resources: 100 % (73 of 73)" in said
    assert re.search(r"Created: 52\n", said)
    assert re.search(r" 36  Observation\n", said)
    assert re.search(r"Not taken: 20\n", said)
    assert re.search(r" 8  Claim, not part of the record\n", said)
    again = run(LIZ, patient.public_id)
    assert "Created: 0" in again and "Updated: 0" in again and "Unchanged: 52" in again


def test_the_command_finds_a_chart_by_the_reference_of_a_visit(
    records: Ward, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle(fact("Condition"))))
    said = run(path, records.visit.reference.lower(), "--dry-run")
    assert "Created: 1" in said and "nothing was stored" in said
    assert not Condition.objects.exists()
    assert "Created: 1" in run(path, records.visit.reference)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not JSON"),
        (b"{", "in line 1, column"),
        (b"\xff\xfe", "is not UTF-8"),
        (b'{"a": NaN}', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"1" * 5_000, "is not JSON"),
        (b"[]", "is no FHIR bundle"),
        (b'{"resourceType": "Bundle"}', "is not valid FHIR R4"),
        (b'{"resourceType": "Bundle", "type": "collection"}', "about one patient; this one has 0"),
        (b'{"resourceType": "Bundle", "type": "collection", "entry": 7}', "is not valid FHIR R4"),
    ],
)
def test_the_command_refuses_bad_files_with_a_sentence(
    records: Ward, tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(content)
    before = rows_of(records.patient)
    with pytest.raises(CommandError, match=re.escape(says)):
        run(path, records.patient.public_id)
    assert rows_of(records.patient) == before


def test_the_command_refuses_unknown_files_and_charts(records: Ward, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        run(tmp_path / "none.json", records.patient.public_id)
    for nobody in ("00000000-0000-4000-8000-000000000000", "NOSUCHREF", ""):
        with pytest.raises(CommandError, match="no such chart"):
            run(LIZ, nobody)


def test_the_commands_refusal_is_in_the_trail(records: Ward, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"somebody else.*Nothing was stored"):
        run(LIZ, records.patient.public_id)
    assert trail(records.patient) == ["record.imported.refused"]


def test_notes_come_with_their_amendments(nora: Patient) -> None:
    meeting: dict[str, Any] = {"context": {"encounter": [{"reference": "Encounter/encounter"}]}}
    note = file_of("note", data="Lungs clear.\r\nÄ".encode(), **meeting)
    later = file_of("later", data=b"Left lung.", **meeting) | {
        "relatesTo": [{"code": "appends", "target": {"reference": "DocumentReference/note"}}]
    }
    found = bundle(fact("Encounter"), later, note)
    assert take(found, nora).created == {"Encounter": 1, "DocumentReference": 2}
    first, second = Note.objects.filter(patient=nora).signed().order_by("pk")
    assert (first.body, first.author, first.encounter.title) == ("Lungs clear.\nÄ", None, "Visit")
    assert (second.amends, second.body) == (first, "Left lung.")
    assert take(found, nora).unchanged.total() == 3
