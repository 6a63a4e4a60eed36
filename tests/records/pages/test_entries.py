"""Allergies, conditions, medications, measurements: what the forms take and how they refuse."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from records.models import (
    Allergy,
    AllergyStatement,
    Condition,
    IcdCategory,
    Medication,
    Observation,
    Prescription,
)
from tests.appointments.desk import NOW
from tests.records.pages.ward import Ward

pytestmark = pytest.mark.django_db

LATEX = {"action": "add", "name": "Latex", "reaction": "Rash", "criticality": "low"}
PILLS = {"name": "Ibuprofen 400 mg", "dose": "1 a day", "quantity": "20 tablets", "refills": "1"}
AMOXICILLIN = PILLS | {"name": "Amoxicillin 500 mg capsules"}


def refused(answer: Any, sentence: str, status: int = 422) -> str:
    """The page of a refused form: summary, title, status."""
    page: str = answer.content.decode()
    assert answer.status_code == status
    assert sentence in page
    assert "govuk-error-summary" in page
    assert "Error:" in page.partition("</title>")[0]
    return page


def penicillin(ward: Ward) -> Allergy:
    ward.post("chart_allergies", **LATEX | {"name": "Penicillin"})
    return Allergy.objects.get(name="Penicillin")


# --- The trail ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("page", "fields"),
    [
        ("chart_allergies", {"action": "add"}),
        ("chart_conditions", {"action": "find", "text": "asthma"}),
        ("chart_medications", {}),
        ("chart_documents", {}),
        ("chart_measurements", {}),
        ("chart_referrals", {"action": "find", "colleague": "Ben"}),
        ("chart_encounter_new", {}),
    ],
)
def test_s37_a_page_that_answers_a_form_is_a_reading_too(
    ward: Ward, page: str, fields: dict[str, str]
) -> None:
    answer = ward.post(page, **fields)
    assert "Nora Ames" in answer.content.decode()
    assert ward.trail() == ["record.viewed"]


def test_s37_a_form_whose_rule_left_a_row_adds_no_second(ward: Ward) -> None:
    ward.post("chart_allergies", **LATEX)
    ward.post("chart_allergies", **LATEX)  # refused by the rule, which says so
    assert ward.trail()[0] == "allergy.recorded"
    assert len(ward.trail()) == 2
    assert ward.trail()[1] != "record.viewed"


# --- Allergies ----------------------------------------------------------------------------------
def test_an_allergy_is_recorded_and_stands_in_the_head(ward: Ward) -> None:
    assert ward.post("chart_allergies", **LATEX).status_code == 302
    assert "Latex (Rash)" in ward.get("chart_conditions").content.decode()


def test_entries_of_a_refused_form_are_kept(ward: Ward) -> None:
    page = refused(
        ward.post("chart_allergies", action="add", reaction="Hives", criticality="high"),
        "Enter what the patient is allergic to.",
    )
    assert 'value="Hives"' in page
    assert not Allergy.objects.exists()


def test_the_same_allergy_twice_is_refused(ward: Ward) -> None:
    ward.post("chart_allergies", **LATEX)
    page = ward.post("chart_allergies", **LATEX | {"name": "latex"})
    refused(page, "is in the record already", 409)
    assert Allergy.objects.count() == 1


def test_no_known_allergies_needs_that_none_stands(ward: Ward) -> None:
    assert ward.post("chart_allergies", action="none").status_code == 302
    assert AllergyStatement.objects.get().none_known
    ward.post("chart_allergies", **LATEX)
    refused(ward.post("chart_allergies", action="none"), "An allergy is recorded: Latex", 409)


def test_an_entry_is_retracted_with_a_reason_and_stays_struck_through(ward: Ward) -> None:
    allergy = penicillin(ward)
    path = ("chart_retract", "allergy", allergy.public_id)
    assert "Penicillin" in ward.get(*path).content.decode()
    refused(ward.post(*path, why=""), "Enter why")
    assert ward.post(*path, why="Wrong patient").status_code == 302
    page = ward.get("chart_allergies").content.decode()
    assert "entry--retracted" in page
    assert "Wrong patient" in page
    assert "Not asked" in page
    refused(ward.post(*path, why="Again"), "entered in error already", 409)
    allergy.refresh_from_db()
    assert allergy.retracted_why == "Wrong patient"


def test_an_allergy_that_was_outgrown_is_ended_and_is_no_error(ward: Ward) -> None:
    allergy = penicillin(ward)
    end = ward.address("chart_allergy_end", allergy.public_id)
    assert end in ward.get("chart_allergies").content.decode()
    assert ward.client.get(end).status_code == 405
    assert ward.client.post(end).status_code == 302
    allergy.refresh_from_db()
    assert (allergy.status, allergy.is_retracted) == ("resolved", False)
    page = ward.get("chart_allergies").content.decode()
    assert end not in page and "No active allergies" in page
    assert ward.client.post(end).status_code == 302  # again: a sentence, and nothing changes
    assert ward.post("chart_allergies", action="none").status_code == 302
    assert ward.trail().count("allergy.ended") == 1


@pytest.mark.parametrize("kind", ["encounter", "note", "user", "x"])
def test_only_entries_of_a_record_can_be_retracted(ward: Ward, kind: str) -> None:
    allergy = penicillin(ward)
    assert ward.get("chart_retract", kind, allergy.public_id).status_code == 404
    assert ward.get("chart_retract", "condition", allergy.public_id).status_code == 404


# --- Conditions ---------------------------------------------------------------------------------
def test_a_category_is_looked_up_without_an_address_that_says_what(ward: Ward) -> None:
    page = ward.post("chart_conditions", action="find", text="asthma", onset_year="2020")
    assert page.status_code == 200
    html = page.content.decode()
    assert "J45 Asthma" in html
    assert 'value="asthma"' in html
    assert 'value="2020"' in html
    assert not Condition.objects.exists()
    page = ward.client.get(ward.address("chart_conditions"), {"text": "asthma", "action": "find"})
    assert "J45" not in page.content.decode()


def test_a_picked_category_is_recorded_with_its_code_and_day(ward: Ward) -> None:
    answer = ward.post(
        "chart_conditions", action="add", text="asthma", category="J45",
        onset_month="3", onset_day="31", onset_year="2020",
    )  # fmt: skip
    assert answer.status_code == 302
    condition = Condition.objects.get()
    assert condition.code == "J45"
    assert condition.onset_at is not None
    assert condition.onset_at.isoformat() == "2020-03-31T04:00:00+00:00"
    assert "since Mar 31, 2020" in ward.get("chart_conditions").content.decode()


@pytest.mark.parametrize("category", ["", "-"])
def test_own_words_are_a_condition_too(ward: Ward, category: str) -> None:
    ward.post("chart_conditions", action="add", text="Snores at night", category=category)
    condition = Condition.objects.get()
    assert (condition.name, condition.code) == ("Snores at night", "")


def test_a_category_that_does_not_exist_is_refused(ward: Ward) -> None:
    assert not IcdCategory.objects.filter(code="ZZZ").exists()
    answer = ward.post("chart_conditions", action="add", text="Snores", category="ZZZ")
    assert answer.status_code == 422
    assert not Condition.objects.exists()


def test_a_condition_is_resolved_once(ward: Ward) -> None:
    ward.post("chart_conditions", action="add", text="Cough")
    condition = Condition.objects.get()
    for _ in range(2):
        assert ward.post("chart_condition_resolve", condition.public_id).status_code == 302
    condition.refresh_from_db()
    assert condition.status == "resolved"
    assert ward.trail().count("condition.resolved") == 1
    assert "This has ended already." in ward.get("chart_conditions").content.decode()


# --- Medications --------------------------------------------------------------------------------
def test_a_prescription_is_written_printed_and_stopped(ward: Ward) -> None:
    answer = ward.post("chart_prescribe", **PILLS)
    written = Prescription.objects.get()
    path = ward.address("chart_prescription", written.public_id)
    assert answer.headers["Location"] == path
    page = ward.client.get(path).content.decode()
    for words in ("Ibuprofen 400 mg", "20 tablets", "Nora Ames", "Amara Okafor, MD", "12 Wharf"):
        assert words in page
    stop = ("chart_prescription_stop", written.public_id)
    refused(ward.post(*stop, why=""), "Enter why it is stopped.")
    assert ward.post(*stop, why="Stomach ache").status_code == 302
    assert "Stopped: Stomach ache. Not valid." in ward.client.get(path).content.decode()
    refused(ward.post(*stop, why="Again"), "ended already", 409)


def test_what_matches_an_allergy_needs_a_typed_reason(ward: Ward) -> None:
    penicillin(ward)
    first = ward.post("chart_prescribe", **AMOXICILLIN)
    page = refused(first, "The patient is allergic to: Penicillin.")
    assert 'name="despite_allergy"' in page
    assert 'value="Amoxicillin 500 mg capsules"' in page
    again = ward.post("chart_prescribe", **AMOXICILLIN, despite_allergy="  ")
    refused(again, "The patient is allergic to: Penicillin.")
    assert not Prescription.objects.exists()
    answer = ward.post("chart_prescribe", **AMOXICILLIN, despite_allergy="Tolerated in 2020")
    assert answer.status_code == 302
    assert Prescription.objects.get().despite_allergy == "Tolerated in 2020"
    assert "Tolerated in 2020" in ward.get("chart_medications").content.decode()


def test_the_reason_is_not_asked_where_no_allergy_matches(ward: Ward) -> None:
    penicillin(ward)
    assert "despite_allergy" not in ward.get("chart_prescribe").content.decode()
    ward.post("chart_prescribe", **PILLS, despite_allergy="")
    assert Prescription.objects.get().despite_allergy == ""


@pytest.mark.parametrize("changes", [{"name": ""}, {"dose": ""}, {"quantity": ""},
    {"refills": "-1"}, {"refills": "13"}, {"refills": "many"}, {"name": "a" * 301}])  # fmt: skip
def test_a_prescription_that_says_too_little_is_refused(
    ward: Ward, changes: dict[str, str]
) -> None:
    assert ward.post("chart_prescribe", **PILLS | changes).status_code == 422
    assert not Prescription.objects.exists()


def test_a_medication_from_elsewhere_is_recorded_and_stopped(ward: Ward) -> None:
    ward.post("chart_medications", name="Vitamin D", dose="1 a day")
    medication = Medication.objects.get()
    assert "Vitamin D" in ward.get("chart").content.decode()
    assert ward.post("chart_medication_stop", medication.public_id, why="Enough").status_code == 302
    medication.refresh_from_db()
    assert (medication.status, medication.stopped_why) == ("stopped", "Enough")


# --- Measurements -------------------------------------------------------------------------------
def vitals(**fields: str) -> dict[str, str]:
    return {"action": "vitals", "at": NOW.isoformat(), **fields}


def test_vital_signs_of_one_moment_are_recorded_together_and_once(ward: Ward) -> None:
    sent = vitals(
        blood_pressure="128", diastolic="82", pulse="72", temperature="37", temperature_unit="Cel"
    )
    for _ in range(2):
        assert ward.post("chart_measurements", **sent).status_code == 302
    assert Observation.objects.count() == 3
    page = ward.get("chart_measurements").content.decode()
    for words in ("Blood pressure: 128/82 mmHg", "Pulse: 72 a minute", "Temperature: 37 Cel"):
        assert words.replace("Cel", "°C") in page or words in page


def test_a_measurement_of_another_day(ward: Ward) -> None:
    ward.post("chart_measurements", **vitals(pulse="70", day_month="10", day_day="5",
                                             day_year="2026"))  # fmt: skip
    assert Observation.objects.get().observed_at.isoformat() == "2026-10-05T04:00:00+00:00"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Enter at least one measurement."),
        ({"pulse": "fast"}, "Enter a number"),
        ({"pulse": "700"}, "Enter a number between 20 and 300."),
        ({"pulse": "NaN"}, "Enter a number"),
        ({"blood_pressure": "128"}, "Enter both values of the blood pressure."),
        ({"blood_pressure": "80", "diastolic": "120"}, "higher than the lower one"),
        ({"temperature": "98", "temperature_unit": "Cel"}, "between 25 and 45"),
        ({"temperature": "98", "temperature_unit": "K"}, "Select a valid choice"),
        ({"pulse": "72", "temperature": "400"}, "between 77 and 113"),
    ],
)
def test_implausible_values_are_refused_and_none_is_stored(
    ward: Ward, fields: dict[str, str], sentence: str
) -> None:
    page = refused(ward.post("chart_measurements", **vitals(**fields)), sentence)
    for name, value in fields.items():
        if not name.endswith("_unit"):
            assert f'value="{value}"' in page
    assert not Observation.objects.exists()


def test_a_measurement_does_not_lie_ahead(ward: Ward) -> None:
    late = (NOW + timedelta(days=2)).isoformat()
    answer = ward.post("chart_measurements", action="vitals", at=late, pulse="72")
    refused(answer, "This lies in the future.")
    assert not Observation.objects.exists()


def test_a_finding_has_any_name_and_a_value_or_words(ward: Ward) -> None:
    start = {"action": "finding", "at": NOW.isoformat()}
    ward.post("chart_measurements", **start, name="Peak flow", value="420", unit="L/min")
    ward.post("chart_measurements", **start, name="Left arm", text="Red spot of 2 cm")
    assert Observation.objects.get(name="Peak flow").value == Decimal(420)
    page = ward.get("chart_measurements").content.decode()
    assert "Peak flow: 420 L/min" in page
    assert "Left arm: Red spot of 2 cm" in page
    answer = ward.post("chart_measurements", **start, name="Nothing")
    refused(answer, "Enter a number, or what was found.")
