"""Invented records for the sample data: `patientN` as `doctorN` knows them."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from accounts.models import Patient
from appointments.models import Appointment, Status
from clinic.directory.models import Doctor, Visit
from records.encounters import CLASS_OF
from records.models import (
    ICD_10_CM,
    LOINC,
    UCUM,
    Allergy,
    AllergyStatement,
    Condition,
    Encounter,
    Medication,
    Note,
    Observation,
    Prescription,
)
from records.notes import signature
from records.observations import VITAL_SIGNS

ROWS_AT_ONCE = 2_000
VISITS_TOLD = 4  # the latest visits of a pair that something is recorded about
NOTED_AFTER = timedelta(minutes=20)  # a note is signed soon after the visit


@dataclass(frozen=True)
class Story:
    """What a doctor knows of a patient; ``allergy`` is substance, reaction and criticality."""

    conditions: tuple[tuple[str, str], ...]  # code and name of ICD-10-CM
    prescription: tuple[str, str, str]  # name, dose, quantity
    medication: tuple[str, str]
    allergy: tuple[str, str, str] | None
    pressure: tuple[int, int]
    notes: tuple[str, ...]  # the latest visit's first


STORIES = [
    Story(
        (("I10", "Essential (primary) hypertension"), ("E78", "Disorders of lipoprotein metabolism "
         "and other lipidemias")),
        ("Lisinopril 10 mg tablets", "1 tablet by mouth every morning", "90 tablets"),
        ("Aspirin 81 mg", "1 tablet a day"),
        ("Penicillin", "Hives within an hour", Allergy.Criticality.HIGH),
        (146, 90),
        (
            "Blood pressure still above target at home in the evening. No chest pain, no shortness "
            "of breath. Heart and lungs normal. Continue lisinopril, readings on three evenings, "
            "back in four weeks.",
            "Feels well. Home readings 140–150 over 85–92. Started lisinopril 10 mg. Talked about "
            "salt and walking.",
        ),
    ),
    Story(
        (("E11", "Type 2 diabetes mellitus"), ("E66", "Overweight and obesity")),
        ("Metformin 500 mg tablets", "1 tablet by mouth with breakfast and supper", "180 tablets"),
        ("Vitamin D3 1,000 IU", "1 capsule a day"),
        None,
        (132, 82),
        (
            "A1c down to 7.1. No low sugars. Feet: pulses and sensation normal. Metformin "
            "unchanged, eye exam due this year.",
            "New diagnosis explained. Diet and exercise plan, metformin started. Lab in three "
            "months.",
        ),
    ),
    Story(
        (("J45", "Asthma"), ("J30", "Vasomotor and allergic rhinitis")),
        ("Albuterol 90 mcg inhaler", "2 puffs every 4 to 6 hours as needed", "1 inhaler"),
        ("Cetirizine 10 mg", "1 tablet in the evening from March to June"),
        ("Peanuts", "Swelling of the lips", Allergy.Criticality.HIGH),
        (118, 74),
        (
            "Two attacks since the last visit, both after running in the cold. Lungs clear today. "
            "Inhaler technique corrected. Written action plan given.",
            "Wheezing with colds and pollen. Peak flow 82 % of best. Albuterol as needed.",
        ),
    ),
    Story(
        (("M17", "Osteoarthritis of knee"), ("K21", "Gastro-esophageal reflux disease")),
        ("Omeprazole 20 mg capsules", "1 capsule by mouth before breakfast", "30 capsules"),
        ("Acetaminophen 500 mg", "2 tablets up to three times a day when needed"),
        ("Ibuprofen", "Stomach bleeding in 2019", Allergy.Criticality.LOW),
        (128, 78),
        (
            "Right knee stiff in the morning, better by noon. No swelling, full extension. "
            "Exercises continued, referral to physical therapy.",
            "Knee pain for a year, worse on stairs. X-ray: narrowed joint space. No NSAIDs.",
        ),
    ),
    Story(
        (("G43", "Migraine"), ("F51", "Sleep disorders not due to a substance or known "
         "physiological condition")),
        ("Sumatriptan 50 mg tablets", "1 tablet at the onset, at most 2 a day", "9 tablets"),
        ("Magnesium 400 mg", "1 tablet at night"),
        None,
        (112, 70),
        (
            "Headaches on three days a month, sumatriptan works within an hour. Neurological exam "
            "normal. Keep the diary.",
            "Throbbing headaches with nausea since college, now weekly. No warning signs. Diary "
            "and sleep hours discussed.",
        ),
    ),
]  # fmt: skip


@dataclass
class _Rows:
    encounters: list[Encounter] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    answers: list[AllergyStatement] = field(default_factory=list)
    facts: dict[type[Any], list[Any]] = field(default_factory=lambda: defaultdict(list))


def add_records(
    *,
    patients: Sequence[Patient],
    doctors: Sequence[Doctor],
    seed: int,
    now: datetime,
    **_more: Any,
) -> None:
    """Receives `sample_data_made`: a record for each patient with a doctor of the same number."""
    rng = Random(f"{seed}:records")  # noqa: S311  (repeatable, not secret)
    pairs = list(zip(patients, doctors, strict=False))
    visits = _past_visits(pairs, now)
    rows = _Rows()
    first = (Encounter.objects.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1
    for number, (patient, doctor) in enumerate(pairs):
        met = visits.get((patient.pk, doctor.pk), ())
        _add(rows, first, rng, STORIES[number % len(STORIES)], patient, doctor, met)
    Encounter.objects.bulk_create(rows.encounters, batch_size=ROWS_AT_ONCE)
    Note.objects.bulk_create(rows.notes, batch_size=ROWS_AT_ONCE)
    AllergyStatement.objects.bulk_create(rows.answers, batch_size=ROWS_AT_ONCE)
    for model, found in rows.facts.items():
        model.objects.bulk_create(found, batch_size=ROWS_AT_ONCE)


def _past_visits(
    pairs: Iterable[tuple[Patient, Doctor]], now: datetime
) -> dict[tuple[int, int], list[Appointment]]:
    """Visits that took place, by patient and doctor, the latest first."""
    wanted = {(patient.pk, doctor.pk) for patient, doctor in pairs}
    found: dict[tuple[int, int], list[Appointment]] = defaultdict(list)
    held = Appointment.objects.filter(
        patient__in=[patient for patient, _doctor in wanted],
        doctor__in=[doctor for _patient, doctor in wanted],
        ends_at__lt=now - NOTED_AFTER,
        status__in=[Status.BOOKED, Status.ARRIVED, Status.DONE],
    )
    for visit in held.order_by("-starts_at", "pk").iterator():
        pair = (visit.patient_id, visit.doctor_id)
        if pair in wanted and len(found[pair]) < VISITS_TOLD:
            found[pair].append(visit)
    return found


def _add(
    rows: _Rows,
    first: int,
    rng: Random,
    story: Story,
    patient: Patient,
    doctor: Doctor,
    visits: Sequence[Appointment],
) -> None:
    def identity() -> uuid.UUID:
        return uuid.UUID(int=rng.getrandbits(128), version=4)

    if not visits:
        return
    meetings = [_meeting(visit, doctor) for visit in visits]
    for number, meeting in enumerate(meetings):
        meeting.public_id, meeting.pk = identity(), first + len(rows.encounters)
        rows.encounters.append(meeting)
        body = story.notes[min(number, len(story.notes) - 1)]
        signed_at = meeting.recorded_at
        rows.notes.append(
            Note(
                public_id=identity(), patient=patient, encounter_id=meeting.pk, author=doctor.user,
                body=body, status=Note.Status.SIGNED, version=2, created_at=meeting.starts_at,
                saved_at=signed_at, signed_at=signed_at, signed_name=signature(doctor),
            )
        )  # fmt: skip
        for reading in _readings(story, rng):
            rows.facts[Observation].append(
                Observation(
                    public_id=identity(), patient=patient, encounter_id=meeting.pk,
                    observed_at=meeting.starts_at, recorded_by=doctor.user,
                    recorded_at=signed_at, **reading,
                )
            )  # fmt: skip
    # The conditions were found at the first of these visits, the rest is of the latest one.
    for model, meeting, fields in _facts(story, meetings[-1], meetings[0]):
        at = meeting.recorded_at
        if model is Prescription:
            fields |= {"doctor": doctor, "issued_at": at}
        rows.facts[model].append(
            model(
                public_id=identity(), patient=patient, encounter_id=meeting.pk,
                recorded_by=doctor.user, recorded_at=at, **fields,
            )
        )  # fmt: skip
    rows.answers.append(
        AllergyStatement(
            patient=patient,
            none_known=story.allergy is None,
            asked_by=doctor.user,
            asked_at=meetings[-1].recorded_at,
        )
    )


def _meeting(visit: Appointment, doctor: Doctor) -> Encounter:
    kind = Encounter.Kind.VIDEO if visit.visit == Visit.VIDEO else Encounter.Kind.VISIT
    return Encounter(
        patient_id=visit.patient_id, appointment=visit, doctor=doctor,
        hospital_id=visit.hospital_id, kind=kind, class_code=CLASS_OF[kind],
        title=visit.service_name, starts_at=visit.starts_at, ends_at=visit.ends_at,
        recorded_by=doctor.user, recorded_at=visit.ends_at + NOTED_AFTER,
    )  # fmt: skip


def _facts(
    story: Story, first: Encounter, latest: Encounter
) -> Iterable[tuple[type[Any], Encounter, dict[str, Any]]]:
    for code, name in story.conditions:
        onset = {"onset_at": first.starts_at}
        yield Condition, first, {"code_system": ICD_10_CM, "code": code, "name": name} | onset
    if story.allergy is not None:
        name, reaction, criticality = story.allergy
        yield Allergy, first, {"name": name, "reaction": reaction, "criticality": criticality}
    name, dose = story.medication
    yield Medication, first, {"name": name, "dose": dose, "started_on": first.starts_at.date()}
    name, dose, quantity = story.prescription
    yield Prescription, latest, {"name": name, "dose": dose, "quantity": quantity, "refills": 3}


def _readings(story: Story, rng: Random) -> Iterable[dict[str, Any]]:
    """A blood pressure, a pulse and a weight near to what the story says."""
    kind = VITAL_SIGNS["blood_pressure"]
    values = [usual + rng.randrange(-6, 7) for usual in story.pressure]
    yield {
        "code_system": LOINC,
        "code": kind.code,
        "name": kind.name,
        "components": [
            {
                "code_system": LOINC,
                "code": part.code,
                "name": part.name,
                "value": str(value),
                "unit": part.unit,
                "unit_system": UCUM,
            }
            for part, value in zip(kind.parts, values, strict=True)
        ],
    }
    for key, value in (("pulse", 64 + rng.randrange(20)), ("weight", 150 + rng.randrange(40))):
        kind = VITAL_SIGNS[key]
        yield {
            "code_system": LOINC,
            "code": kind.code,
            "name": kind.name,
            "value": Decimal(value),
            "unit": kind.parts[0].unit,
            "value_code_system": UCUM,
        }
