"""Whole records, invented by hypothesis: every kind of entry with every field it may have."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from accounts.models import Patient, User
from records.models import (
    LOINC,
    UCUM,
    Allergy,
    AllergyStatement,
    Condition,
    Encounter,
    Immunization,
    Medication,
    MedicationStatus,
    Note,
    Observation,
    Prescription,
    Procedure,
)
from records.writing import says_something
from tests.records.ward import NOW, Ward

# What people type: any letters and signs, but no line ends or other control characters, which the
# rules take away from names, and no lone surrogates, which no file holds.
LETTERS = st.characters(exclude_categories=("Cs", "Cc", "Cn", "Zl", "Zp", "Zs", "Co"))
SYSTEMS = st.sampled_from([LOINC, "http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.238"])


def words(longest: int, *, least: int = 0) -> st.SearchStrategy[str]:
    word = st.text(LETTERS, min_size=1, max_size=max(1, longest // 4))
    joined = st.lists(word, min_size=least, max_size=3).map(" ".join)
    return joined.filter(lambda text: len(text) <= longest and (not text or says_something(text)))


AGES = timedelta(days=96 * 365)
MOMENTS = st.timedeltas(timedelta(), AGES).map(lambda ago: NOW - ago)
DAYS = st.dates(date(1930, 1, 1), NOW.date())
# Fifteen digits are what every database keeps of a number.
NUMBERS = st.decimals(Decimal(-99_999), Decimal(99_999), places=6, allow_nan=False)


def coded(about: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[dict[str, str]]:
    name = about or words(200, least=1)
    plain = st.fixed_dictionaries({"name": name})
    code = st.from_regex(r"[A-Za-z0-9.-]{1,20}", fullmatch=True)
    full = st.fixed_dictionaries({"name": name, "code_system": SYSTEMS, "code": code})
    return plain | full


QUANTITY = st.fixed_dictionaries(
    {
        "value": NUMBERS,
        "unit": st.sampled_from(["mg/dL", "mm[Hg]", "{score}", "1"]),
        "value_code_system": st.sampled_from([UCUM, ""]),
    }
)
FINDING = st.fixed_dictionaries({"value_text": words(200, least=1)})
CODED_FINDING = st.fixed_dictionaries(
    {
        "value_text": words(200, least=1),
        "value_code_system": SYSTEMS,
        "value_code": st.from_regex(r"[0-9]{3,9}", fullmatch=True),
    }
)
_PART = st.fixed_dictionaries(
    {
        "code_system": st.just(LOINC),
        "code": st.sampled_from(["8480-6", "8462-4"]),
        "name": words(60, least=1),
        "value": st.integers(1, 300).map(str),
        "unit": st.just("mm[Hg]"),
        "unit_system": st.sampled_from([UCUM, ""]),
    }
)
_SAID_PART = st.fixed_dictionaries(
    {
        "code_system": st.just(""),
        "code": st.just(""),
        "name": words(60, least=1),
        "value": words(60, least=1),
        "unit": st.just(""),
        "unit_system": st.just(""),
    }
)
PARTS = st.fixed_dictionaries({"components": st.lists(_PART | _SAID_PART, min_size=1, max_size=3)})
ORDERED_STATUSES = st.sampled_from(MedicationStatus.values)
KINDS: dict[type[Any], st.SearchStrategy[dict[str, Any]]] = {
    Condition: st.fixed_dictionaries(
        {
            "status": st.sampled_from(Condition.Status.values),
            "verification": st.sampled_from(["confirmed", "unconfirmed", "provisional"]),
            "onset_at": st.none() | MOMENTS,
            "abated_at": st.none(),
        }
    ),
    Allergy: st.fixed_dictionaries(
        {
            "reaction": words(120),
            "criticality": st.sampled_from(Allergy.Criticality.values),
            "status": st.sampled_from(Allergy.Status.values),
            "onset_on": st.none() | DAYS,
        }
    ),
    Medication: st.fixed_dictionaries(
        {
            "dose": words(200),
            "status": ORDERED_STATUSES,
            "started_on": st.none() | DAYS,
            "ended_on": st.none() | DAYS,
            "stopped_why": words(120),
        }
    ),
    Prescription: st.fixed_dictionaries(
        {
            "dose": words(200),
            "quantity": words(50) | st.sampled_from(["30 tablets", "1.50 ml", "2 x 30", "30"]),
            "refills": st.integers(0, 12),
            "status": ORDERED_STATUSES,
            "stopped_why": words(120),
            "despite_allergy": words(200),
        }
    ),
    Observation: st.tuples(
        st.fixed_dictionaries(
            {"category": st.sampled_from(Observation.Category.values), "observed_at": MOMENTS}
        ),
        QUANTITY | FINDING | CODED_FINDING | PARTS,
    ).map(lambda both: both[0] | both[1]),
    Immunization: st.fixed_dictionaries({"given_at": MOMENTS}),
    Procedure: st.fixed_dictionaries(
        {"performed_at": MOMENTS, "performed_until": st.none() | MOMENTS}
    ),
}


@st.composite
def facts(draw: st.DrawFn) -> list[tuple[type[Any], dict[str, Any]]]:
    found = []
    for kind in draw(st.lists(st.sampled_from(list(KINDS)), max_size=8)):
        fields = draw(coded()) | draw(KINDS[kind])
        found.append((kind, fields | {"met": draw(st.integers(0, 2)), "at": draw(MOMENTS)}))
    return found


MEETING = st.fixed_dictionaries(
    {
        "title": words(120),
        "kind": st.sampled_from(Encounter.Kind.values),
        "class_code": st.sampled_from(["AMB", "VR", "EMER"]),
        "starts_at": MOMENTS,
        "minutes": st.none() | st.integers(0, 600),
        "performer_name": words(60),
        "place_name": words(60),
        "by_us": st.booleans(),
    }
)
BODY = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), min_size=1, max_size=80
).filter(says_something)
WRITTEN = st.fixed_dictionaries(
    {"body": BODY, "amendments": st.lists(BODY, max_size=2), "draft": st.booleans()}
)
RECORDS = st.fixed_dictionaries(
    {
        "meetings": st.lists(MEETING, max_size=2),
        "facts": facts(),
        "notes": st.lists(WRITTEN, max_size=2),
        "asked": st.sampled_from([None, True, False]),
    }
)


def store(invented: dict[str, Any], patient: Patient, ward: Ward) -> None:
    """Puts an invented record into the tables."""
    by: User = ward.by
    meetings = []
    for fields in invented["meetings"]:
        facts_of = {
            name: value for name, value in fields.items() if name not in {"minutes", "by_us"}
        }
        if fields["minutes"] is not None:
            facts_of["ends_at"] = fields["starts_at"] + timedelta(minutes=fields["minutes"])
        if fields["by_us"]:
            facts_of |= {"doctor": ward.doctor, "hospital": ward.hospital}
        meetings.append(
            Encounter.objects.create(patient=patient, recorded_by=by, recorded_at=NOW, **facts_of)
        )
    for kind, fields in invented["facts"]:
        fields = dict(fields)
        met, at = fields.pop("met"), fields.pop("at")
        if kind is Prescription:
            fields |= {"issued_at": at, "doctor": ward.doctor}
        encounter = meetings[met] if met < len(meetings) else None
        kind.objects.create(
            patient=patient, encounter=encounter, recorded_by=by, recorded_at=at, **fields
        )
    for written in invented["notes"] if meetings else ():
        _write(written, patient, meetings[0], by)
    if invented["asked"] is not None:
        active = Allergy.objects.filter(patient=patient, status="active").exists()
        AllergyStatement.objects.create(
            patient=patient, none_known=invented["asked"] and not active, asked_at=NOW
        )
    elif Allergy.objects.filter(patient=patient, status="active").exists():
        # As `record_allergy` does.
        AllergyStatement.objects.create(patient=patient, none_known=False, asked_at=NOW)


def _write(written: dict[str, Any], patient: Patient, meeting: Encounter, by: User) -> None:
    at = {"created_at": NOW, "saved_at": NOW}
    basics = {"patient": patient, "encounter": meeting, "author": by}
    if written["draft"]:
        Note.objects.create(body=written["body"], **basics, **at)
        return
    signed = {"status": "signed", "signed_at": NOW, "signed_name": "Amara Okafor, MD"}
    note = Note.objects.create(body=written["body"], **basics, **at, **signed)
    for body in written["amendments"]:
        Note.objects.create(body=body, amends=note, **basics, **at, **signed)
