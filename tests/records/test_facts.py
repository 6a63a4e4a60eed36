"""Allergies, conditions, medications and prescriptions, measurements, and errors in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from records.allergies import end_allergy, record_allergy, state_no_known_allergies
from records.charts import summary
from records.conditions import add_condition, find_categories, resolve_condition
from records.entries import retract
from records.matching import matching
from records.medications import (
    MOST_REFILLS,
    add_medication,
    prescribe,
    stop_medication,
    stop_prescription,
)
from records.models import (
    ICD_10_CM,
    Allergy,
    AllergyStatement,
    Condition,
    Encounter,
    IcdCategory,
    Observation,
    Prescription,
)
from records.observations import FREE, VITAL_SIGNS, record_observation
from records.reference import categories, load_categories
from records.refusals import (
    AllergyMatch,
    AllergyStands,
    AlreadyRecorded,
    AlreadyRetracted,
    HasEntries,
    MissingWords,
    NoLongerActive,
    NotInRecord,
    NotPossible,
    NotYourPatient,
    RecordRefused,
    TooLong,
)
from tests.cast import make_patient
from tests.records.ward import NOW, Ward, refused, trail

LATER = NOW + timedelta(minutes=5)


def allergy(ward: Ward, name: str = "Penicillin", **more: Any) -> Allergy:
    facts: dict[str, Any] = {"reaction": "Hives", "criticality": "high", "by": ward.by, "now": NOW}
    return record_allergy(patient=ward.patient, name=name, **(facts | more))


def condition(ward: Ward, text: str = "Asthma", **more: Any) -> Condition:
    facts: dict[str, Any] = {
        "category": None,
        "onset_at": None,
        "encounter": None,
        "by": ward.by,
        "now": NOW,
    }
    return add_condition(patient=ward.patient, text=text, **(facts | more))


def prescription(ward: Ward, name: str = "Amoxicillin 500 mg", **more: Any) -> Prescription:
    facts: dict[str, Any] = {
        "dose": "1 capsule three times a day",
        "quantity": "21 capsules",
        "refills": 0,
        "by": ward.by,
        "now": NOW,
    }
    return prescribe(patient=ward.patient, name=name, **(facts | more))


def observation(ward: Ward, kind: str = "pulse", value: Any = 72, **more: Any) -> Observation:
    facts: dict[str, Any] = {"observed_at": NOW, "by": ward.by, "now": NOW}
    number = None if value is None else Decimal(value)
    return record_observation(patient=ward.patient, kind=kind, value=number, **(facts | more))


def words(ward: Ward) -> str:
    return summary(ward.patient, by=ward.by, now=NOW).allergy_words


# --- Allergies ----------------------------------------------------------------------------------


def test_no_known_allergies_differs_from_not_asked(records: Ward) -> None:
    assert words(records) == "Not asked"
    state_no_known_allergies(patient=records.patient, by=records.by, now=NOW)
    assert words(records) == "No known allergies"
    assert trail(records.patient) == ["allergies.none_known"]


def test_an_allergy_ends_no_known_allergies(records: Ward) -> None:
    state_no_known_allergies(patient=records.patient, by=records.by, now=NOW)
    allergy(records)
    assert words(records) == "1 allergy"
    assert not AllergyStatement.objects.get().none_known


def test_no_known_allergies_is_refused_while_one_stands(records: Ward) -> None:
    first = allergy(records)
    with refused(AllergyStands, records.patient, "allergies.none_known") as caught:
        state_no_known_allergies(patient=records.patient, by=records.by, now=NOW)
    assert isinstance(caught.value, AllergyStands) and caught.value.allergies == [first]
    end_allergy(allergy=first, by=records.by, now=NOW)
    assert words(records) == "No active allergies"
    state_no_known_allergies(patient=records.patient, by=records.by, now=NOW)
    assert words(records) == "No known allergies"


def test_after_the_only_allergy_was_an_error_nobody_was_asked(records: Ward) -> None:
    retract(entry=allergy(records), why="Another patient", by=records.by, now=NOW)
    assert words(records) == "Not asked"


def test_the_same_allergy_is_recorded_once_and_again_after_it_ended(records: Ward) -> None:
    first = allergy(records)
    with refused(AlreadyRecorded, records.patient, "allergy.recorded"):
        allergy(records, "PENICILLIN ")
    end_allergy(allergy=first, by=records.by, now=NOW)
    with refused(NoLongerActive, records.patient, "allergy.ended"):
        end_allergy(allergy=first, by=records.by, now=NOW)
    assert allergy(records, "penicillin").pk != first.pk


def test_dangerous_allergies_come_first(records: Ward) -> None:
    allergy(records, "Apples", criticality="low")
    allergy(records, "Wasps", criticality="high")
    found = summary(records.patient, by=records.by, now=NOW).allergies
    assert [one.name for one in found] == ["Wasps", "Apples"]


# --- Prescriptions against allergies ------------------------------------------------------------


@pytest.mark.parametrize(
    ("allergen", "drug", "match"),
    [
        ("Penicillin", "Penicillin V 500 mg tablets", True),
        ("penicillins", "Amoxicillin 500 mg", True),
        ("Amoxicillin", "Augmentin 875 mg", True),
        ("Allergy to sulfa drugs", "Bactrim DS", True),
        ("NSAIDs", "Ibuprofen 400 mg", True),
        ("Aspirin", "Naproxen 250 mg", True),
        ("Ásprin", "Aspirin", False),
        ("Peanuts", "Amoxicillin 500 mg", False),
        ("Penicillin tablets", "Metformin tablets", False),
        ("Calcium", "Atorvastatin calcium", False),
        ("Sulfate", "Albuterol sulfate inhaler", False),
        ("Penicillin", "Cephalexin 500 mg", False),
        ("500 mg", "Metformin 500 mg", False),
    ],
)
def test_what_matches_an_allergy(allergen: str, drug: str, match: bool) -> None:
    assert bool(matching(drug, [Allergy(name=allergen)])) is match


def test_the_same_code_matches(records: Ward) -> None:
    by_code = [Allergy(name="Something", code="7980")]
    assert matching("Other words", by_code, code="7980") == by_code
    assert matching("Other words", by_code) == []


def test_a_prescription_that_matches_an_allergy_needs_a_typed_reason(records: Ward) -> None:
    known = allergy(records)
    for reason in ("", "  \n"):
        with refused(AllergyMatch, records.patient, "prescription.issued") as caught:
            prescription(records, despite_allergy=reason)
        assert isinstance(caught.value, AllergyMatch) and caught.value.allergies == [known]
    issued = prescription(records, despite_allergy="Tolerated in 2024, test negative")
    assert issued.despite_allergy == "Tolerated in 2024, test negative"
    assert "negative" not in str(list(records.patient.audit_events.values()))


def test_ended_and_wrong_allergies_do_not_ask(records: Ward) -> None:
    retract(entry=allergy(records), why="Another patient", by=records.by, now=NOW)
    end_allergy(allergy=allergy(records), by=records.by, now=NOW)
    assert prescription(records, despite_allergy="Not needed").despite_allergy == ""


def test_a_prescription_sent_twice_is_one(records: Ward) -> None:
    first = prescription(records)
    assert prescription(records, now=NOW + timedelta(seconds=5)) == first
    assert prescription(records, quantity="42 capsules") != first
    assert prescription(records, now=NOW + timedelta(hours=1)) != first


@pytest.mark.parametrize(
    ("wrong", "kind", "field"),
    [
        ({"name": " "}, MissingWords, "name"),
        ({"dose": ""}, MissingWords, "dose"),
        ({"quantity": ""}, MissingWords, "quantity"),
        ({"name": "x" * 301}, TooLong, "name"),
        ({"dose": "x" * 301}, TooLong, "dose"),
        ({"refills": -1}, NotPossible, "refills"),
        ({"refills": MOST_REFILLS + 1}, NotPossible, "refills"),
    ],
)
def test_an_incomplete_prescription_is_refused(
    records: Ward, wrong: Any, kind: type[RecordRefused], field: str
) -> None:
    with refused(kind, records.patient, "prescription.issued") as caught:
        prescription(records, **wrong)
    assert caught.value.field == field


def test_a_colleague_may_stop_a_prescription_once(records: Ward) -> None:
    issued = prescription(records)
    records.treat(records.patient, records.colleague)
    stopped = stop_prescription(prescription=issued, why="Rash", by=records.stranger, now=LATER)
    assert (stopped.status, stopped.stopped_why) == ("stopped", "Rash")
    with refused(NoLongerActive, records.patient, "prescription.stopped"):
        stop_prescription(prescription=issued, why="Rash", by=records.by, now=LATER)
    assert summary(records.patient, by=records.by, now=LATER).prescriptions == []


# --- Medications --------------------------------------------------------------------------------


def test_what_the_patient_takes_is_added_and_stopped(records: Ward) -> None:
    taken = add_medication(
        patient=records.patient, name="Aspirin 81 mg", dose="1 a day",
        started_on=date(2020, 1, 1), by=records.by, now=NOW,
    )  # fmt: skip
    with refused(AlreadyRecorded, records.patient, "medication.added"):
        add_medication(patient=records.patient, name="aspirin 81 MG", by=records.by, now=NOW)
    with refused(NotPossible, records.patient, "medication.added"):
        add_medication(
            patient=records.patient, name="Iron", started_on=date(2027, 1, 1), by=records.by,
            now=NOW,
        )  # fmt: skip
    stopped = stop_medication(medication=taken, why="", by=records.by, now=NOW)
    assert (stopped.status, stopped.ended_on) == ("stopped", NOW.date())
    with refused(NoLongerActive, records.patient, "medication.stopped"):
        stop_medication(medication=taken, why="", by=records.by, now=NOW)


# --- Conditions ---------------------------------------------------------------------------------


def test_every_database_has_the_pick_list(db: None) -> None:
    load_categories()  # what a migration did, unless a test before emptied the tables
    assert IcdCategory.objects.count() == len(list(categories())) == 1_879
    assert load_categories() == 0


@pytest.mark.parametrize(
    ("q", "first"),
    [
        ("J45", "J45"),
        ("j4", "J40"),
        ("asthma", "J45"),
        ("diabetes type 2", "E11"),
        ("hypertension essential", "I10"),
        ("migraine", "G43"),
    ],
)
def test_a_category_is_found_by_code_and_by_words(db: None, q: str, first: str) -> None:
    load_categories()
    assert find_categories(q)[0].code == first


def test_a_search_for_nothing_or_nonsense_finds_nothing(db: None) -> None:
    load_categories()
    assert [find_categories(q) for q in ("", " ", "%", "_", "zzzz")] == [[]] * 5
    assert len(find_categories("disease", limit=7)) == 7


def test_a_condition_is_a_category_or_words(records: Ward) -> None:
    category = IcdCategory(code="J45", name="Asthma")
    coded = condition(records, "", category=category)
    assert (coded.name, coded.code, coded.code_system) == ("Asthma", "J45", ICD_10_CM)
    more = condition(records, "Asthma in winter", category=category)
    assert (more.name, more.code) == ("Asthma in winter", "J45")
    free = condition(records, "Tired")
    assert (free.code, free.code_system) == ("", "")
    for again in ({"category": category}, {"category": category, "text": "asthma"}):
        with refused(AlreadyRecorded, records.patient, "condition.added"):
            condition(records, **({"text": ""} | again))
    with refused(MissingWords, records.patient, "condition.added"):
        condition(records, "")
    with refused(NotPossible, records.patient, "condition.added"):
        condition(records, "Later", onset_at=NOW + timedelta(days=1))


def test_a_condition_is_resolved_once_and_may_come_back(records: Ward) -> None:
    first = condition(records)
    resolved = resolve_condition(condition=first, by=records.by, now=LATER)
    assert (resolved.status, resolved.abated_at) == ("resolved", LATER)
    with refused(NoLongerActive, records.patient, "condition.resolved"):
        resolve_condition(condition=first, by=records.by, now=LATER)
    assert condition(records).pk != first.pk


# --- Measurements -------------------------------------------------------------------------------


def test_a_blood_pressure_has_two_values_with_codes_and_units(records: Ward) -> None:
    kept = observation(records, "blood_pressure", 120, diastolic=Decimal("80.0"))
    assert (kept.code, kept.value, kept.category) == ("85354-9", None, "vital-signs")
    assert [(part["code"], part["value"], part["unit"]) for part in kept.components] == [
        ("8480-6", "120", "mm[Hg]"),
        ("8462-4", "80", "mm[Hg]"),
    ]


@pytest.mark.parametrize("kind", [key for key in VITAL_SIGNS if key != "blood_pressure"])
def test_bounds_of_each_unit_are_kept(records: Ward, kind: str) -> None:
    for unit, (low, high) in VITAL_SIGNS[kind].parts[0].ranges.items():
        for value in (low, high):
            kept = observation(records, kind, value, unit=unit)
            assert kept.value == Decimal(value) and kept.unit == unit
        for wrong in (low - 1, high + 1, "NaN", "Infinity"):
            with refused(NotPossible, records.patient, "observation.recorded"):
                observation(records, kind, wrong, unit=unit)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"value": None}, MissingWords),
        ({"unit": "furlongs"}, NotPossible),
        ({"observed_at": NOW + timedelta(days=1)}, NotPossible),
        ({"kind": "blood_pressure", "value": 120}, MissingWords),
        ({"kind": "blood_pressure", "value": 80, "diastolic": Decimal(120)}, NotPossible),
        ({"kind": "blood_pressure", "value": 80, "diastolic": Decimal(80)}, NotPossible),
        ({"kind": FREE, "name": "Gait", "value": None}, MissingWords),
        ({"kind": FREE, "name": "", "value": 1}, MissingWords),
    ],
)
def test_what_cannot_be_measured_is_refused(
    records: Ward, wrong: Any, kind: type[RecordRefused]
) -> None:
    with refused(kind, records.patient, "observation.recorded"):
        observation(records, **wrong)


def test_free_findings_have_words_or_a_value(records: Ward) -> None:
    said = observation(records, FREE, None, name="Gait", text="Steady")
    counted = observation(records, FREE, 3, name="Falls this year")
    assert (said.value, said.value_text, said.category) == (None, "Steady", "exam")
    assert (counted.value, counted.unit) == (Decimal(3), "1")


def test_a_measurement_sent_twice_is_one(records: Ward) -> None:
    first = observation(records, "blood_pressure", 120, diastolic=Decimal(80))
    assert observation(records, "blood_pressure", 120, diastolic=Decimal(80), now=LATER) == first
    assert observation(records, "blood_pressure", 121, diastolic=Decimal(80)) != first
    assert trail(records.patient).count("observation.recorded") == 2


def test_the_summary_has_the_latest_of_each_kind(records: Ward) -> None:
    for days, value in [(2, 80), (1, 70), (3, 90)]:
        observation(records, "pulse", value, observed_at=NOW - timedelta(days=days))
    observation(records, "oxygen", 97)
    wrong = observation(records, "pulse", 200, observed_at=NOW)
    retract(entry=wrong, why="Typing error", by=records.by, now=NOW)
    found = summary(records.patient, by=records.by, now=NOW).vital_signs
    assert [(one.name, one.value) for one in found] == [
        ("Heart rate", Decimal(70)),
        ("Oxygen saturation", Decimal(97)),
    ]


# --- Errors -------------------------------------------------------------------------------------


def test_an_error_is_struck_out_and_stays(records: Ward) -> None:
    wrong = condition(records)
    with refused(MissingWords, records.patient, "condition.retracted"):
        retract(entry=wrong, why=" ", by=records.by, now=NOW)
    found = retract(entry=wrong, why="Another patient", by=records.by, now=LATER)
    assert (found.retracted_at, found.retracted_by, found.retracted_why) == (
        LATER,
        records.by,
        "Another patient",
    )
    with refused(AlreadyRetracted, records.patient, "condition.retracted"):
        retract(entry=wrong, why="Again", by=records.by, now=LATER)
    with refused(NoLongerActive, records.patient, "condition.resolved"):
        resolve_condition(condition=wrong, by=records.by, now=LATER)
    assert Condition.objects.count() == 1


def test_an_encounter_that_something_was_recorded_in_stays(records: Ward) -> None:
    call = Encounter.objects.create(
        patient=records.patient, kind="phone", starts_at=NOW, recorded_at=NOW
    )
    noted = condition(records, encounter=call)
    with refused(HasEntries, records.patient, "encounter.retracted"):
        retract(entry=call, why="Wrong", by=records.by, now=NOW)
    retract(entry=noted, why="Wrong", by=records.by, now=NOW)
    assert retract(entry=call, why="Wrong", by=records.by, now=NOW).is_retracted
    of_visit = records.encounter()
    assert retract(entry=of_visit, why="Did not come", by=records.by, now=NOW).is_retracted
    again = records.encounter()  # the same one: there is one a visit
    assert again == of_visit and not again.is_retracted
    with refused(NotInRecord, records.patient, "condition.added"):
        condition(records, "Cough", encounter=call)


# --- Who ----------------------------------------------------------------------------------------

Act = Callable[[Ward, User], Any]
ACTS: dict[str, Act] = {
    "allergy.recorded": lambda ward, by: allergy(ward, by=by),
    "allergies.none_known": lambda ward, by: state_no_known_allergies(
        patient=ward.patient, by=by, now=NOW
    ),
    "condition.added": lambda ward, by: condition(ward, by=by),
    "medication.added": lambda ward, by: add_medication(
        patient=ward.patient, name="Iron", by=by, now=NOW
    ),
    "prescription.issued": lambda ward, by: prescription(ward, by=by),
    "observation.recorded": lambda ward, by: observation(ward, by=by),
}
ON_ENTRIES: dict[str, tuple[Callable[[Ward], Any], Callable[[Any, User], Any]]] = {
    "allergy.ended": (allergy, lambda entry, by: end_allergy(allergy=entry, by=by, now=NOW)),
    "condition.resolved": (
        condition,
        lambda entry, by: resolve_condition(condition=entry, by=by, now=NOW),
    ),
    "prescription.stopped": (
        prescription,
        lambda entry, by: stop_prescription(prescription=entry, why="x", by=by, now=NOW),
    ),
    "observation.retracted": (
        observation,
        lambda entry, by: retract(entry=entry, why="x", by=by, now=NOW),
    ),
}


@pytest.mark.parametrize("who", ["stranger", "owner", "former"])
@pytest.mark.parametrize("action", [*ACTS, *ON_ENTRIES])
def test_s15_nobody_but_the_treating_doctor_records(records: Ward, action: str, who: str) -> None:
    entry = ON_ENTRIES[action][0](records) if action in ON_ENTRIES else None
    by = {"stranger": records.stranger, "owner": records.owner}.get(who, records.by)
    if who == "former":
        records.end_care()
    with refused(NotYourPatient, records.patient, action):
        if action in ON_ENTRIES:
            ON_ENTRIES[action][1](entry, by)
        else:
            ACTS[action](records, by)


@pytest.mark.parametrize("action", [*ACTS, *ON_ENTRIES])
def test_s37_each_change_leaves_exactly_one_row(records: Ward, action: str) -> None:
    entry = ON_ENTRIES[action][0](records) if action in ON_ENTRIES else None
    before = trail(records.patient)
    if action in ON_ENTRIES:
        ON_ENTRIES[action][1](entry, records.by)
    else:
        ACTS[action](records, records.by)
    assert trail(records.patient) == [*before, action]


def test_an_encounter_of_another_record_is_refused(records: Ward) -> None:
    other = make_patient("Somebody Else")
    records.treat(other)
    theirs = Encounter.objects.create(patient=other, starts_at=NOW, recorded_at=NOW)
    acts: list[tuple[str, Callable[[], Any]]] = [
        ("condition.added", lambda: condition(records, encounter=theirs)),
        ("allergy.recorded", lambda: allergy(records, encounter=theirs)),
        ("prescription.issued", lambda: prescription(records, encounter=theirs)),
        ("observation.recorded", lambda: observation(records, encounter=theirs)),
    ]
    for action, act in acts:
        with refused(NotInRecord, records.patient, action):
            act()
