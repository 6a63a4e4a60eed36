"""Opening a chart, its summary and its timeline: for whom, what is in them, and at what cost."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Patient, Role, User
from appointments.booking import book, cancel, reschedule
from records.charts import (
    TimelinePage,
    happened,
    open_chart,
    peek_chart,
    same_name,
    summary,
    timeline,
)
from records.encounters import encounter_for
from records.entries import ENTRIES, FACTS, retract
from records.fhir.exporting import export_bundle
from records.models import Allergy, Condition, Document, Encounter, Note
from records.notes import amend, save_draft, sign, start_note
from records.refusals import NotYourPatient
from tests.appointments.desk import AT, open_desk
from tests.appointments.desk import NOW as DESK_NOW
from tests.cast import make_account, make_carer, make_patient
from tests.records.ward import NOW, Ward, trail

SPECIFIC: dict[str, dict[str, Any]] = {
    "prescription": {"issued_at": NOW},
    "observation": {"observed_at": NOW, "value_text": "x"},
    "immunization": {"given_at": NOW},
    "procedure": {"performed_at": NOW},
    "document": {"kept_at": NOW, "size": 1},
    "encounter": {"starts_at": NOW},
}


def add(model: Any, patient: Patient, at: datetime = NOW, **more: Any) -> Any:
    """An entry of any kind that happened ``at``."""
    name = model._meta.model_name
    facts = {
        field: at if value is NOW else value for field, value in SPECIFIC.get(name, {}).items()
    }
    if model is Document:
        facts |= {"title": "x", "stored_as": uuid.uuid4().hex}
    elif model is not Encounter:
        facts |= {"name": "x"}
    return model.objects.create(patient=patient, recorded_at=at, **(facts | more))


def fill(ward: Ward, count: int) -> None:
    """``count`` encounters with a note, an amendment and an entry of each kind, and loose ones."""
    for number in range(count):
        at = NOW - timedelta(days=number)
        meeting = add(Encounter, ward.patient, at, doctor=ward.doctor, hospital=ward.hospital)
        note = start_note(encounter=meeting, by=ward.by, now=at)
        sign(note=note, body=f"Note {number}", version=1, by=ward.by, now=at)
        amend(note=note, body="More", by=ward.by, now=at)
        for model in FACTS:
            add(model, ward.patient, at, encounter=meeting)
            add(model, ward.patient, at - timedelta(hours=1), recorded_by=ward.by)


def read_all(page: TimelinePage) -> str:
    """What a page shows of a timeline: everything that may ask the database again."""
    said = []
    for item in page.items:
        if item.encounter is not None:
            said += [str(item.encounter.doctor), str(item.encounter.hospital)]
        for thread in item.notes:
            said += [str(thread.note.author), *(str(note.author) for note in thread.amendments)]
        said += [f"{entry} {entry.recorded_by}" for entry in item.entries]
    return " ".join(said)


# --- Opening ------------------------------------------------------------------------------------


def test_s37_opening_a_chart_leaves_one_row_each_time(records: Ward) -> None:
    for times in (1, 2):
        found = open_chart(public_id=records.patient.public_id, by=records.by, now=NOW)
        assert found == records.patient
        assert trail(records.patient) == ["record.viewed"] * times
    peek_chart(public_id=records.patient.public_id, by=records.by, now=NOW)
    assert len(trail(records.patient)) == 2


@pytest.mark.parametrize("who", ["stranger", "owner", "former", "reception"])
@pytest.mark.parametrize("way", [open_chart, peek_chart])
def test_s16_somebody_elses_chart_is_no_chart_and_is_audited(
    records: Ward, reception: User, who: str, way: Any
) -> None:
    by = {"stranger": records.stranger, "owner": records.owner, "reception": reception}.get(
        who, records.by
    )
    if who == "former":
        records.end_care()
    with pytest.raises(Patient.DoesNotExist):
        way(public_id=records.patient.public_id, by=by, now=NOW)
    assert trail(records.patient) == ["record.viewed.refused"]
    event = AuditEvent.objects.get(patient=records.patient)
    assert event.actor_id == by.pk


def test_an_id_that_nobody_has_leaves_nothing(records: Ward) -> None:
    before = AuditEvent.objects.count()
    with pytest.raises(Patient.DoesNotExist):
        open_chart(public_id=uuid.uuid4(), by=records.by, now=NOW)
    assert AuditEvent.objects.count() == before


def test_a_replaced_chart_is_not_opened(records: Ward) -> None:
    records.patient.replaced_by = make_patient("Nora Ames")
    records.patient.save(update_fields=["replaced_by"])
    with pytest.raises(Patient.DoesNotExist):
        open_chart(public_id=records.patient.public_id, by=records.by, now=NOW)


def test_another_patient_of_the_same_name_is_noticed(records: Ward) -> None:
    assert not same_name(records.patient)
    make_patient(records.patient.name)
    assert same_name(records.patient)


@pytest.mark.parametrize("read", [summary, timeline])
def test_s15_a_record_is_read_by_its_readers_only(records: Ward, read: Any) -> None:
    carer = records.stranger
    for _reader in (records.by, records.owner):
        read(records.patient, by=_reader, now=NOW)
    with pytest.raises(NotYourPatient):
        read(records.patient, by=carer, now=NOW)
    row = make_carer(carer, records.patient)
    with pytest.raises(NotYourPatient):
        read(records.patient, by=carer, now=NOW)
    row.may_read_record, row.agreed_at = True, NOW
    row.save()
    read(records.patient, by=carer, now=NOW)


# --- Timeline -----------------------------------------------------------------------------------


def test_an_encounter_holds_its_notes_and_entries(records: Ward) -> None:
    fill(records, 1)
    page = timeline(records.patient, by=records.by, now=NOW)
    meetings = [item for item in page.items if item.encounter]
    [thread] = meetings[0].notes
    assert (thread.note.body, [note.body for note in thread.amendments]) == ("Note 0", ["More"])
    assert {type(entry) for entry in meetings[0].entries} == set(FACTS)
    loose = [entry for item in page.items if not item.encounter for entry in item.entries]
    assert {type(entry) for entry in loose} == set(FACTS) and len(loose) == len(FACTS)
    assert page.next_before is None


def test_the_newest_comes_first_by_when_it_happened(records: Ward) -> None:
    for days, model in enumerate(ENTRIES, start=1):
        add(model, records.patient, NOW - timedelta(days=days))
    page = timeline(records.patient, by=records.by, now=NOW)
    assert [type(item.encounter or item.entries[0]) for item in page.items] == ENTRIES
    assert [item.at for item in page.items] == [
        NOW - timedelta(days=days) for days in range(1, len(ENTRIES) + 1)
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 30])
def test_pages_show_everything_once(records: Ward, limit: int) -> None:
    fill(records, 4)
    for _number in range(5):  # more at one moment than fit on a page
        add(Condition, records.patient, NOW - timedelta(days=2))
    seen: list[tuple[str, int]] = []
    before = None
    for _page in range(100):
        page = timeline(records.patient, by=records.by, now=NOW, before=before, limit=limit)
        for item in page.items:
            for entry in [item.encounter, *item.entries]:
                if entry is not None:
                    seen.append((type(entry).__name__, entry.pk))
        if page.next_before is None:
            break
        before = page.next_before
    expected = {
        (model.__name__, pk)
        for model in ENTRIES
        for pk in model.objects.filter(patient=records.patient).values_list("pk", flat=True)
    }
    assert len(seen) == len(expected) and set(seen) == expected


def test_patients_see_neither_errors_nor_drafts_and_doctors_their_own(records: Ward) -> None:
    meeting = records.encounter()
    note = start_note(encounter=meeting, by=records.by, now=NOW)
    save_draft(note=note, body="Half a", version=1, by=records.by, now=NOW)
    for encounter in (None, meeting):
        wrong = add(Condition, records.patient, encounter=encounter)
        retract(entry=wrong, why="Wrong", by=records.by, now=NOW)
    add(Document, records.patient, kept_at=None)
    records.treat(records.patient, records.colleague)

    def shown(by: User) -> tuple[int, int]:
        items = timeline(records.patient, by=by, now=NOW).items
        return sum(len(item.notes) for item in items), sum(len(item.entries) for item in items)

    assert shown(records.by) == (1, 2)
    assert shown(records.stranger) == (0, 2)
    assert shown(records.owner) == (0, 0)


def test_nothing_of_another_record_is_shown(records: Ward) -> None:
    other = make_patient("Somebody Else")
    records.treat(other)
    for model in ENTRIES:
        add(model, other)
    assert timeline(records.patient, by=records.by, now=NOW) == TimelinePage([], None)


def test_the_number_of_queries_does_not_grow(records: Ward) -> None:
    def queries() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as of_timeline:
            read_all(timeline(records.patient, by=records.by, now=NOW, limit=1_000))
        with CaptureQueriesContext(connection) as of_summary:
            found = summary(records.patient, by=records.by, now=NOW)
            assert [str(entry.doctor) for entry in found.prescriptions]
        return len(of_timeline), len(of_summary)

    fill(records, 1)
    few = queries()
    fill(records, 20)
    assert Note.objects.count() == 42
    assert queries() == few
    assert few[0] <= 35 and few[1] <= 16


def test_when_an_entry_happened(records: Ward) -> None:
    for model in ENTRIES:
        at = NOW - timedelta(days=7)
        assert happened(add(model, records.patient, at)) == at


# --- Encounters of visits that are moved and cancelled --------------------------------------------
def test_an_encounter_goes_where_its_visit_goes_and_with_it(alice: User) -> None:
    desk, by = open_desk(), make_account("doc@example.org", role=Role.DOCTOR, is_staff=True)
    desk.doctor.user = by
    desk.doctor.save(update_fields=["user"])
    chart: Patient = alice.chart
    now = DESK_NOW
    visit = book(service=desk.service, patient=chart, starts_at=AT, by=alice, key="k", now=now)
    encounter = encounter_for(appointment=visit, by=by, now=now)
    start_note(encounter=encounter, by=by, now=now)
    visit = reschedule(
        appointment=visit, starts_at=AT + timedelta(days=3), by=alice, key="k2", now=now
    )
    encounter.refresh_from_db()
    assert (encounter.starts_at, encounter.ends_at) == (visit.starts_at, visit.ends_at)
    [item] = timeline(chart, by=alice, now=now).items
    assert item.at == visit.starts_at

    cancel(appointment=visit, by=alice, now=now)
    assert timeline(chart, by=alice, now=now).items == []
    exported = export_bundle(patient=chart, by=alice, now=now)
    kinds = [entry["resource"]["resourceType"] for entry in exported["entry"]]
    assert kinds == ["Patient"]

    # What was signed or recorded stays, whatever became of the visit.
    allergy = add(Allergy, chart, now, encounter=encounter)
    assert [item.entries for item in timeline(chart, by=alice, now=now).items] == [[allergy]]
