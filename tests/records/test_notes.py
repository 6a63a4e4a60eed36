"""Drafts, signatures and amendments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.models import User
from appointments.models import CareRelation
from records.access import TO_FINISH
from records.encounters import begin, encounter_for
from records.models import Encounter, Note
from records.notes import BODY_LENGTH, amend, discard_draft, save_draft, sign, start_note
from records.refusals import (
    AlreadySigned,
    DraftGone,
    EmptyNote,
    MissingWords,
    NotHeld,
    NotInRecord,
    NotSigned,
    NotTheAuthor,
    NotYourPatient,
    StaleDraft,
    TooLong,
)
from tests.appointments.visits import cancel_row
from tests.cast import make_patient
from tests.records.ward import NOW, Ward, refused, trail

LATER = NOW + timedelta(minutes=5)


def draft(ward: Ward) -> Note:
    return start_note(encounter=ward.encounter(), by=ward.by, now=NOW)


def signed(ward: Ward, body: str = "Lungs clear.") -> Note:
    note = draft(ward)
    return sign(note=note, body=body, version=note.version, by=ward.by, now=NOW)


# --- Encounters ---------------------------------------------------------------------------------


def test_a_visit_has_one_encounter_however_often_it_is_opened(records: Ward) -> None:
    first, again = records.encounter(), records.encounter()
    assert first == again
    assert (first.starts_at, first.kind, first.class_code) == (
        records.visit.starts_at,
        Encounter.Kind.VISIT,
        "AMB",
    )
    assert trail(records.patient) == ["encounter.begun"]


def test_a_colleagues_or_a_cancelled_visit_gets_no_encounter(records: Ward) -> None:
    records.treat(records.patient, records.colleague)
    with refused(NotInRecord, records.patient, "encounter.begun"):
        encounter_for(appointment=records.visit, by=records.stranger, now=NOW)
    cancel_row(records.visit, by=None, at=NOW)
    with refused(NotHeld, records.patient, "encounter.begun"):
        records.encounter()


def test_an_encounter_without_a_visit_says_what_it_was_about(records: Ward) -> None:
    call = begin(patient=records.patient, kind="phone", title="  Cough \n ", by=records.by, now=NOW)
    assert (call.title, call.class_code, call.appointment_id) == ("Cough", "VR", None)
    with refused(MissingWords, records.patient, "encounter.begun"):
        begin(patient=records.patient, kind="phone", title=" ", by=records.by, now=NOW)


# --- Drafts -------------------------------------------------------------------------------------


def test_opening_the_form_again_gives_the_draft_already_begun(records: Ward) -> None:
    note = draft(records)
    save_draft(note=note, body="Half a", version=1, by=records.by, now=NOW)
    assert draft(records).body == "Half a"
    assert Note.objects.count() == 1


def test_a_stale_draft_never_overwrites(records: Ward) -> None:
    note = draft(records)
    saved = save_draft(note=note, body="First window", version=1, by=records.by, now=NOW)
    assert saved.version == 2
    with refused(StaleDraft, records.patient, "note.saved") as caught:
        save_draft(note=note, body="Second window", version=1, by=records.by, now=LATER)
    assert isinstance(caught.value, StaleDraft)
    assert caught.value.current.body == "First window"
    assert caught.value.current.version == 2


def test_a_save_whose_answer_was_lost_is_the_same_save(records: Ward) -> None:
    note = draft(records)
    save_draft(note=note, body="Text", version=1, by=records.by, now=NOW)
    before = trail(records.patient)
    again = save_draft(note=note, body="Text", version=1, by=records.by, now=LATER)
    assert (again.version, again.saved_at) == (2, NOW)
    assert trail(records.patient) == before


def test_forms_and_scripts_send_the_same_text(records: Ward) -> None:
    note = draft(records)
    saved = save_draft(note=note, body="One\r\ntwo\x00", version=1, by=records.by, now=NOW)
    assert saved.body == "One\ntwo"


def test_a_discarded_draft_is_gone_and_says_so(records: Ward) -> None:
    note = draft(records)
    discard_draft(note=note, by=records.by, now=NOW)
    discard_draft(note=note, by=records.by, now=NOW)  # the second click
    assert trail(records.patient).count("note.discarded") == 1
    with refused(DraftGone, records.patient, "note.saved"):
        save_draft(note=note, body="Text", version=1, by=records.by, now=NOW)
    with refused(DraftGone, records.patient, "note.signed"):
        sign(note=note, body="Text", version=1, by=records.by, now=NOW)


def test_a_draft_is_its_authors_alone(records: Ward) -> None:
    note = draft(records)
    records.treat(records.patient, records.colleague)
    other = records.stranger
    acts: list[tuple[str, Any]] = [
        ("note.saved", lambda: save_draft(note=note, body="x", version=1, by=other, now=NOW)),
        ("note.signed", lambda: sign(note=note, body="x", version=1, by=other, now=NOW)),
        ("note.discarded", lambda: discard_draft(note=note, by=other, now=NOW)),
        ("note.amended", lambda: amend(note=note, body="x", by=other, now=NOW)),
    ]
    for action, act in acts:
        with refused(NotInRecord, records.patient, action):
            act()
    assert not Note.objects.visible_to(other, NOW).exists()


def test_a_note_has_an_end(records: Ward) -> None:
    note = draft(records)
    long = "x" * (BODY_LENGTH + 1)
    with refused(TooLong, records.patient, "note.saved"):
        save_draft(note=note, body=long, version=1, by=records.by, now=NOW)
    with refused(TooLong, records.patient, "note.signed"):
        sign(note=note, body=long, version=1, by=records.by, now=NOW)
    assert sign(note=note, body=long[1:], version=1, by=records.by, now=NOW).is_signed


# --- Signatures ---------------------------------------------------------------------------------


def test_a_note_is_signed_once(records: Ward) -> None:
    note = signed(records)
    assert (note.signed_at, note.signed_name, note.version) == (NOW, "Amara Okafor, MD", 2)
    for version in (1, 2, 3):
        with refused(AlreadySigned, records.patient, "note.signed"):
            sign(note=note, body="Something else", version=version, by=records.by, now=LATER)
    with refused(AlreadySigned, records.patient, "note.saved"):
        save_draft(note=note, body="Something else", version=2, by=records.by, now=LATER)
    with refused(AlreadySigned, records.patient, "note.discarded"):
        discard_draft(note=note, by=records.by, now=LATER)
    assert trail(records.patient).count("note.signed") == 1


def test_a_stale_text_is_not_signed(records: Ward) -> None:
    note = draft(records)
    save_draft(note=note, body="Newer", version=1, by=records.by, now=NOW)
    with refused(StaleDraft, records.patient, "note.signed"):
        sign(note=note, body="Older", version=1, by=records.by, now=LATER)


def test_nothing_is_not_signed(records: Ward) -> None:
    note = draft(records)
    for nothing in ("", " \n ", "\u200b\u0301", "\x1b", "\u06de", "\ufc5e\uff9e"):
        with refused(EmptyNote, records.patient, "note.signed"):
            sign(note=note, body=nothing, version=1, by=records.by, now=NOW)
    assert sign(note=note, body="😀", version=1, by=records.by, now=NOW).is_signed


def test_a_signed_name_stays_when_the_doctor_is_renamed(records: Ward) -> None:
    note = signed(records)
    records.doctor.name = "Amara Smith"
    records.doctor.save(update_fields=["name"])
    note.refresh_from_db()
    assert note.signed_name == "Amara Okafor, MD"


# --- Amendments ---------------------------------------------------------------------------------


def test_the_author_amends_and_the_note_stays(records: Ward) -> None:
    note = signed(records)
    amendment = amend(note=note, body="Left lung.", by=records.by, now=LATER)
    assert (amendment.amends, amendment.signed_at, amendment.encounter) == (
        note,
        LATER,
        note.encounter,
    )
    note.refresh_from_db()
    assert note.body == "Lungs clear."
    second = amend(note=amendment, body="And the right one.", by=records.by, now=LATER)
    assert second.amends == note, "an amendment to an amendment belongs to the note"


def test_the_same_amendment_twice_is_one(records: Ward) -> None:
    note = signed(records)
    first = amend(note=note, body="Left lung.", by=records.by, now=LATER)
    assert amend(note=note, body="Left lung.", by=records.by, now=LATER) == first
    assert trail(records.patient).count("note.amended") == 1


def test_nobody_amends_somebody_elses_note(records: Ward) -> None:
    note = signed(records)
    records.treat(records.patient, records.colleague)
    with refused(NotTheAuthor, records.patient, "note.amended") as caught:
        amend(note=note, body="I disagree.", by=records.stranger, now=LATER)
    assert "Amara Okafor, MD" in str(caught.value)


def test_drafts_are_not_amended(records: Ward) -> None:
    note = draft(records)
    with refused(NotSigned, records.patient, "note.amended"):
        amend(note=note, body="More", by=records.by, now=NOW)
    note = sign(note=note, body="Text", version=1, by=records.by, now=NOW)
    with refused(EmptyNote, records.patient, "note.amended"):
        amend(note=note, body=" ", by=records.by, now=NOW)


# --- Who ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["stranger", "owner", "former", "withdrawn", "reception"])
def test_s15_nobody_but_the_treating_doctor_writes(
    records: Ward, who: str, reception: User
) -> None:
    note, encounter = draft(records), records.encounter()
    by: User = {"stranger": records.stranger, "owner": records.owner, "reception": reception}.get(
        who, records.by
    )
    if who == "former":
        CareRelation.objects.filter(patient=records.patient).update(until=NOW - TO_FINISH)
    if who == "withdrawn":
        records.doctor.withdrawn_at = NOW
        records.doctor.save(update_fields=["withdrawn_at"])
    acts: list[tuple[str, Any]] = [
        ("encounter.begun", lambda: encounter_for(appointment=records.visit, by=by, now=NOW)),
        (
            "encounter.begun",
            lambda: begin(patient=records.patient, kind="phone", title="x", by=by, now=NOW),
        ),
        ("note.begun", lambda: start_note(encounter=encounter, by=by, now=NOW)),
        ("note.saved", lambda: save_draft(note=note, body="x", version=1, by=by, now=NOW)),
        ("note.signed", lambda: sign(note=note, body="x", version=1, by=by, now=NOW)),
        ("note.amended", lambda: amend(note=note, body="x", by=by, now=NOW)),
        ("note.discarded", lambda: discard_draft(note=note, by=by, now=NOW)),
    ]
    for action, act in acts:
        with refused(NotYourPatient, records.patient, action):
            act()


def test_s15_who_treated_until_just_now_finishes_drafts_and_begins_nothing(records: Ward) -> None:
    note, encounter, by = draft(records), records.encounter(), records.by
    records.end_care()
    acts: list[tuple[str, Any]] = [
        ("encounter.begun", lambda: encounter_for(appointment=records.visit, by=by, now=NOW)),
        ("note.begun", lambda: start_note(encounter=encounter, by=by, now=NOW)),
    ]
    for action, act in acts:
        with refused(NotYourPatient, records.patient, action):
            act()
    with refused(NotYourPatient, records.patient, "note.saved"):
        save_draft(note=note, body="x", version=note.version, by=records.stranger, now=NOW)
    saved = save_draft(note=note, body="Well.", version=note.version, by=by, now=NOW)
    assert sign(note=saved, body="Well.", version=saved.version, by=by, now=NOW).is_signed
    with refused(NotYourPatient, records.patient, "note.amended"):
        amend(note=note, body="More.", by=by, now=NOW)


def test_a_note_cannot_be_put_into_another_record(records: Ward) -> None:
    """The patient that counts is the stored one, not the one on the object handed in."""
    note, mine = draft(records), make_patient("Somebody Else")
    records.treat(mine)
    note.patient = mine
    with refused(DraftGone, mine, "note.saved"):
        save_draft(note=note, body="x", version=1, by=records.by, now=NOW)
    assert Note.objects.get(pk=note.pk).patient == records.patient


def test_the_table_refuses_what_no_note_is(records: Ward) -> None:
    note = signed(records)
    for wrong in ({"body": ""}, {"signed_at": None}, {"author": None}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Note.objects.filter(pk=note.pk).update(**wrong)
