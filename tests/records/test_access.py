"""Who reads whose record: every condition of `records.access` and `appointments.care`, one by one.

Mutation testing (`make mutants`) changes those modules bit by bit; a change that no test here
notices is a condition that nobody holds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from accounts.models import Carer, Patient, Role, User
from appointments import care
from appointments.care import (
    end_for_conversation,
    end_for_visit,
    has_care_of,
    is_patient_of,
    known_to_reception,
    move_for_visit,
    patients_of,
    start_for_conversation,
    start_for_visit,
)
from appointments.models import Appointment, CareRelation, Registration
from clinic.directory.models import Doctor, Hospital, HospitalStaff
from records.access import own_records, readable_by, treated_by, treated_lately
from tests.appointments.town import doctor as make_doctor
from tests.appointments.town import hospital as make_hospital
from tests.appointments.visits import make_visit
from tests.cast import make_account, make_patient, make_staff

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 3, 15, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
YEAR = timedelta(days=365)
Why = CareRelation.Why


def make_doctor_user(name: str, **facts: Any) -> Doctor:
    email = f"{name.split()[-1].lower()}@example.org"
    user = make_account(email, name=name, role=Role.DOCTOR, is_staff=True)
    return make_doctor(name, user=user, **facts)


@pytest.fixture
def doctor(db: None) -> Doctor:
    return make_doctor_user("Amara Okafor")


@pytest.fixture
def other(db: None) -> Doctor:
    return make_doctor_user("Matthieu Lefebvre")


def user_of(doctor: Doctor) -> User:
    return User.objects.get(doctor=doctor)


def relate(doctor: Doctor, patient: Patient, why: str = Why.VISIT, **facts: Any) -> CareRelation:
    fields: dict[str, Any] = {"since": NOW, "until": NOW + YEAR}
    if why == Why.EMERGENCY:
        fields["reason"] = "Unconscious"
    return CareRelation.objects.create(doctor=doctor, patient=patient, why=why, **(fields | facts))


def names(charts: Any) -> set[str]:
    return {chart.name for chart in charts}


# --- A doctor -------------------------------------------------------------------------------
@pytest.mark.parametrize("why", list(Why))
def test_each_reason_lets_its_doctor_read_and_nobody_else(
    doctor: Doctor, other: Doctor, alice: User, charlie: User, why: str
) -> None:
    relate(doctor, alice.chart, why)
    relate(other, charlie.chart, why)
    assert names(treated_by(user_of(doctor), NOW)) == {"Alice Moreau"}
    assert names(readable_by(user_of(doctor), NOW)) == {"Alice Moreau"}
    assert list(patients_of(user_of(doctor), NOW)) == [alice.chart.pk]
    assert names(treated_by(user_of(other), NOW)) == {"Charlie Roux"}
    assert not own_records(user_of(doctor), NOW).exists()


def test_a_relation_counts_from_its_first_moment_to_before_its_last(
    doctor: Doctor, alice: User
) -> None:
    relate(doctor, alice.chart, since=NOW, until=NOW + YEAR)
    user = user_of(doctor)
    for at, expected in [
        (NOW - SECOND, False),
        (NOW, True),
        (NOW + YEAR - SECOND, True),
        (NOW + YEAR, False),
    ]:
        facts = {"doctor_id": doctor.pk, "patient_id": alice.chart.pk}
        assert treated_by(user, at).exists() == expected, at
        assert readable_by(user, at).exists() == expected, at
        assert has_care_of(**facts, now=at) == expected, at


def test_a_relation_without_an_end_runs_on(doctor: Doctor, alice: User) -> None:
    relate(doctor, alice.chart, until=None)
    assert treated_by(user_of(doctor), NOW + 20 * YEAR).exists()


@pytest.mark.parametrize(
    "change",
    [
        {"is_active": False},
        {"is_staff": False},
        {"role": Role.PATIENT},
        {"role": Role.RECEPTION},
        {"role": Role.DIRECTORY},
        {"role": Role.ADMINISTRATOR},
        {"role": Role.ADMINISTRATOR, "is_superuser": True},
    ],
)
def test_a_relation_alone_lets_nobody_read(
    doctor: Doctor, alice: User, change: dict[str, Any]
) -> None:
    """A row is not enough: the account must be an active doctor's, today."""
    relate(doctor, alice.chart)
    User.objects.filter(doctor=doctor).update(**change)
    assert not treated_by(user_of(doctor), NOW).exists()
    assert not readable_by(user_of(doctor), NOW).exists()
    assert list(patients_of(user_of(doctor), NOW, in_emergency=False)) == []


@pytest.mark.parametrize("change", [{"verified_at": None}, {"withdrawn_at": NOW}])
def test_s11_a_doctor_who_is_not_approved_or_left_reads_nothing(
    doctor: Doctor, alice: User, change: dict[str, Any]
) -> None:
    relate(doctor, alice.chart)
    Doctor.objects.filter(pk=doctor.pk).update(**change)
    assert not treated_by(user_of(doctor), NOW).exists()


def test_nobody_signed_in_reads_nothing(doctor: Doctor, alice: User) -> None:
    relate(doctor, alice.chart)
    Doctor.objects.update(user=None)  # a doctor without an account belongs to nobody
    visitor = AnonymousUser()
    for charts in (treated_by, own_records, readable_by):
        assert not charts(visitor, NOW).exists()
    assert list(patients_of(visitor, NOW)) == []
    assert not known_to_reception(visitor).exists()


def test_a_chart_that_was_set_aside_is_read_by_nobody(
    doctor: Doctor, alice: User, bob: User
) -> None:
    relate(doctor, alice.chart)
    Carer.objects.filter(user=bob).update(may_read_record=True, agreed_at=NOW)
    assert names(own_records(bob, NOW)) == {"Bob Tanaka", "Alice Moreau"}
    Patient.objects.filter(pk=alice.chart.pk).update(replaced_by=bob.chart)
    assert not treated_by(user_of(doctor), NOW).exists()
    assert not readable_by(user_of(doctor), NOW).exists()
    assert names(own_records(bob, NOW)) == {"Bob Tanaka"}
    assert names(readable_by(bob, NOW)) == {"Bob Tanaka"}
    assert not own_records(alice, NOW).exists()


@pytest.mark.parametrize("why", list(Why))
def test_a_draft_can_be_finished_for_a_day_after_the_care_has_ended_and_nothing_be_read(
    doctor: Doctor, other: Doctor, alice: User, charlie: User, why: str
) -> None:
    user = user_of(doctor)
    relate(doctor, alice.chart, why, since=NOW - YEAR, until=NOW)
    relate(other, charlie.chart, why, since=NOW - YEAR, until=NOW)
    day = timedelta(days=1)
    for at, expected in [
        (NOW - YEAR - SECOND, set()),
        (NOW - SECOND, {"Alice Moreau"}),
        (NOW, {"Alice Moreau"}),
        (NOW + day - SECOND, {"Alice Moreau"}),
        (NOW + day, set()),
    ]:
        assert names(treated_lately(user, at)) == expected, at
        assert treated_by(user, at).exists() == (at == NOW - SECOND), at
    lasting = patients_of(user, NOW, in_emergency=False, ended_within=day)
    assert list(lasting) == ([] if why == Why.EMERGENCY else [alice.chart.pk])
    assert list(patients_of(user, NOW, in_emergency=False)) == []
    relate(doctor, charlie.chart, until=None)
    assert names(treated_lately(user, NOW + day)) == {"Charlie Roux"}


def test_a_chart_that_was_set_aside_gets_no_more_drafts(
    doctor: Doctor, alice: User, bob: User
) -> None:
    relate(doctor, alice.chart)
    Patient.objects.filter(pk=alice.chart.pk).update(replaced_by=bob.chart)
    assert not treated_lately(user_of(doctor), NOW).exists()


# --- The patient's side ---------------------------------------------------------------------
def test_patients_read_their_own_and_carers_what_they_were_given(
    alice: User, bob: User, charlie: User
) -> None:
    assert names(own_records(alice, NOW)) == names(readable_by(alice, NOW)) == {"Alice Moreau"}
    # Bob books for Alice; her record is another right.
    assert names(own_records(bob, NOW)) == names(readable_by(bob, NOW)) == {"Bob Tanaka"}
    Carer.objects.filter(user=bob).update(may_read_record=True, agreed_at=NOW)
    assert names(readable_by(bob, NOW)) == {"Bob Tanaka", "Alice Moreau"}
    assert names(readable_by(charlie, NOW)) == {"Charlie Roux"}
    Carer.objects.filter(user=bob).update(until=NOW)
    assert names(readable_by(bob, NOW)) == {"Bob Tanaka"}


@pytest.mark.parametrize("role", [Role.RECEPTION, Role.DIRECTORY, Role.ADMINISTRATOR])
def test_staff_who_treat_nobody_read_no_record(alice: User, role: Role) -> None:
    user = make_staff("staff@example.org", role=role)
    Registration.objects.create(patient=alice.chart, hospital=make_hospital(), since=NOW)
    for charts in (treated_by, own_records, readable_by):
        assert not charts(user, NOW).exists()


def test_a_disabled_patient_reads_nothing(alice: User) -> None:
    alice.is_active = False
    assert not readable_by(alice, NOW).exists()


def test_a_doctor_who_is_also_a_patient_reads_both(doctor: Doctor, alice: User) -> None:
    relate(doctor, alice.chart)
    user = user_of(doctor)
    Patient.objects.create(account=user, name="Amara herself", created_at=NOW)
    assert names(treated_by(user, NOW)) == {"Alice Moreau"}
    assert names(own_records(user, NOW)) == {"Amara herself"}
    assert names(readable_by(user, NOW)) == {"Alice Moreau", "Amara herself"}


# --- What emergency access does not give ----------------------------------------------------
def test_s23_emergency_is_for_reading_and_no_reason_for_more(doctor: Doctor, alice: User) -> None:
    relate(doctor, alice.chart, Why.EMERGENCY, until=NOW + timedelta(hours=1))
    user, facts = user_of(doctor), {"doctor_id": doctor.pk, "patient_id": alice.chart.pk}
    assert list(patients_of(user, NOW)) == [alice.chart.pk]
    assert list(patients_of(user, NOW, in_emergency=True)) == [alice.chart.pk]
    assert list(patients_of(user, NOW, in_emergency=False)) == []
    assert not has_care_of(**facts, now=NOW)
    assert not is_patient_of(alice.chart.pk, doctor.pk)
    relate(doctor, alice.chart, Why.REFERRAL)
    assert alice.chart.pk in patients_of(user, NOW, in_emergency=False)
    assert has_care_of(**facts, now=NOW)
    assert is_patient_of(alice.chart.pk, doctor.pk)


def test_care_is_of_this_doctor_and_this_patient(
    doctor: Doctor, other: Doctor, alice: User, charlie: User
) -> None:
    relate(doctor, alice.chart)
    relate(other, charlie.chart)
    pairs = {(doctor, alice), (other, charlie)}
    for one in (doctor, other):
        for user in (alice, charlie):
            expected = (one, user) in pairs
            assert is_patient_of(user.chart.pk, one.pk) == expected
            found = has_care_of(doctor_id=one.pk, patient_id=user.chart.pk, now=NOW)
            assert found == expected


def test_who_was_a_patient_once_is_no_new_patient(doctor: Doctor, alice: User) -> None:
    relate(doctor, alice.chart, since=NOW - 2 * YEAR, until=NOW - YEAR)
    assert is_patient_of(alice.chart.pk, doctor.pk)
    assert not has_care_of(doctor_id=doctor.pk, patient_id=alice.chart.pk, now=NOW)


# --- Visits ---------------------------------------------------------------------------------
@pytest.fixture
def visit(doctor: Doctor, alice: User) -> Appointment:
    visit = make_visit(alice.chart, NOW + timedelta(days=7), doctor=doctor, minutes=30)
    start_for_visit(visit, now=NOW)
    return visit


def test_a_visit_gives_access_from_its_booking_to_a_year_after_it(
    visit: Appointment, doctor: Doctor, other: Doctor, alice: User
) -> None:
    relation = CareRelation.objects.get()
    assert (relation.doctor, relation.patient) == (doctor, alice.chart)
    assert (relation.why, relation.appointment) == (Why.VISIT, visit)
    assert relation.since == NOW
    assert relation.until == visit.ends_at + YEAR
    assert care.AFTER_VISIT == YEAR
    assert treated_by(user_of(doctor), NOW).exists()
    assert not treated_by(user_of(other), NOW).exists()


def test_a_moved_visit_moves_the_end(visit: Appointment, doctor: Doctor, charlie: User) -> None:
    untouched = relate(doctor, charlie.chart)
    visit.starts_at += timedelta(days=30)
    visit.ends_at += timedelta(days=30)
    move_for_visit(visit, now=NOW + timedelta(hours=1))
    relation = CareRelation.objects.get(appointment=visit)
    assert relation.until == visit.ends_at + YEAR
    assert (relation.since, relation.doctor) == (NOW, doctor)
    assert CareRelation.objects.count() == 2
    untouched.refresh_from_db()
    assert untouched.until == NOW + YEAR


def test_a_visit_that_went_to_another_doctor_takes_the_access_along(
    visit: Appointment, doctor: Doctor, other: Doctor, charlie: User
) -> None:
    untouched = relate(doctor, charlie.chart)
    visit.doctor = other
    later = NOW + timedelta(hours=1)
    move_for_visit(visit, now=later)
    assert names(treated_by(user_of(doctor), later)) == {"Charlie Roux"}
    assert names(treated_by(user_of(other), later)) == {"Alice Moreau"}
    now_there = CareRelation.objects.get(doctor=other)
    assert (now_there.appointment, now_there.since) == (visit, later)
    assert now_there.until == visit.ends_at + YEAR
    before = CareRelation.objects.get(doctor=doctor, patient=visit.patient)
    assert (before.appointment, before.until) == (None, later)
    untouched.refresh_from_db()
    assert untouched.until == NOW + YEAR


def test_a_cancelled_visit_gives_nothing_from_then_on(
    visit: Appointment, doctor: Doctor, charlie: User
) -> None:
    relate(doctor, charlie.chart)
    end_for_visit(visit, now=NOW + timedelta(hours=1))
    user = user_of(doctor)
    assert names(treated_by(user, NOW)) == {"Alice Moreau", "Charlie Roux"}
    assert names(treated_by(user, NOW + timedelta(hours=1))) == {"Charlie Roux"}


# --- Conversations --------------------------------------------------------------------------
def conversation(doctor: Doctor, patient: Patient, *, by_patient: bool, now: datetime) -> None:
    start_for_conversation(
        doctor_id=doctor.pk, patient_id=patient.pk, by_patient=by_patient, now=now
    )


def of_conversation() -> CareRelation:
    return CareRelation.objects.get(why=Why.CONVERSATION)


def test_a_patient_who_writes_gives_a_year(doctor: Doctor, alice: User) -> None:
    conversation(doctor, alice.chart, by_patient=True, now=NOW)
    relation = of_conversation()
    assert (relation.doctor, relation.patient) == (doctor, alice.chart)
    assert (relation.since, relation.until) == (NOW, NOW + YEAR)
    assert relation.appointment is None
    later = NOW + timedelta(days=100)
    conversation(doctor, alice.chart, by_patient=True, now=later)
    assert (of_conversation().since, of_conversation().until) == (NOW, later + YEAR)


def test_a_doctor_who_writes_gains_no_time(doctor: Doctor, alice: User) -> None:
    relate(doctor, alice.chart, until=NOW + timedelta(days=5))
    relate(doctor, alice.chart, Why.REFERRAL, until=NOW + timedelta(days=9))
    relate(doctor, alice.chart, Why.EMERGENCY, until=NOW + timedelta(days=40))
    relate(doctor, alice.chart, until=NOW)  # over
    conversation(doctor, alice.chart, by_patient=False, now=NOW)
    assert of_conversation().until == NOW + timedelta(days=9)
    conversation(doctor, alice.chart, by_patient=False, now=NOW + timedelta(days=1))
    assert of_conversation().until == NOW + timedelta(days=9)


def test_a_doctor_with_endless_care_gets_an_endless_conversation(
    doctor: Doctor, alice: User
) -> None:
    relate(doctor, alice.chart, until=None)
    relate(doctor, alice.chart, Why.REFERRAL)
    conversation(doctor, alice.chart, by_patient=False, now=NOW)
    assert of_conversation().until is None


def test_a_doctor_without_any_care_gets_none_by_writing(
    doctor: Doctor, other: Doctor, alice: User, charlie: User
) -> None:
    relate(other, alice.chart)
    relate(doctor, charlie.chart)
    conversation(doctor, alice.chart, by_patient=False, now=NOW)
    assert of_conversation().until == NOW
    assert names(treated_by(user_of(doctor), NOW)) == {"Charlie Roux"}


def test_a_patient_lengthens_only_the_conversations_reason(
    doctor: Doctor, other: Doctor, alice: User, charlie: User
) -> None:
    visit = relate(doctor, alice.chart, until=NOW + timedelta(days=5))
    elsewhere = relate(other, alice.chart, Why.CONVERSATION, until=NOW + timedelta(days=5))
    of_charlie = relate(doctor, charlie.chart, Why.CONVERSATION, until=NOW + timedelta(days=5))
    conversation(doctor, alice.chart, by_patient=True, now=NOW)
    for row in (visit, elsewhere, of_charlie):
        row.refresh_from_db()
        assert row.until == NOW + timedelta(days=5)
    found = CareRelation.objects.get(doctor=doctor, patient=alice.chart, why=Why.CONVERSATION)
    assert found.until == NOW + YEAR


def test_a_closed_conversation_gives_nothing_and_other_reasons_stay(
    doctor: Doctor, other: Doctor, alice: User, charlie: User
) -> None:
    rows = [
        relate(doctor, alice.chart, Why.CONVERSATION),
        relate(doctor, alice.chart, Why.VISIT),
        relate(other, alice.chart, Why.CONVERSATION),
        relate(doctor, charlie.chart, Why.CONVERSATION),
        relate(doctor, alice.chart, Why.CONVERSATION, since=NOW - 2 * YEAR, until=NOW - YEAR),
    ]
    later = NOW + timedelta(hours=1)
    end_for_conversation(doctor_id=doctor.pk, patient_id=alice.chart.pk, now=later)
    for row in rows:
        row.refresh_from_db()
    assert [row.until for row in rows] == [
        later,
        NOW + YEAR,
        NOW + YEAR,
        NOW + YEAR,
        NOW - YEAR,
    ]


# --- Reception ------------------------------------------------------------------------------
@pytest.fixture
def desk(db: None) -> Hospital:
    return make_hospital("Casco Bay Clinic")


@pytest.fixture
def clerk(desk: Hospital) -> User:
    user = make_staff("clerk@example.org")
    HospitalStaff.objects.create(hospital=desk, user=user)
    return user


def test_reception_knows_who_has_visits_or_is_registered_at_its_own_hospital(
    desk: Hospital, clerk: User, alice: User, bob: User, charlie: User
) -> None:
    elsewhere = make_hospital("Bangor")
    make_visit(alice.chart, timezone.now(), hospital=desk)
    Registration.objects.create(patient=bob.chart, hospital=desk, since=NOW)
    make_visit(charlie.chart, timezone.now(), hospital=elsewhere)
    Registration.objects.create(patient=make_patient("Nora"), hospital=elsewhere, since=NOW)
    assert names(known_to_reception(clerk)) == {"Alice Moreau", "Bob Tanaka"}
    assert not treated_by(clerk, NOW).exists()


@pytest.mark.parametrize(
    "change",
    [
        {"is_active": False},
        {"is_staff": False},
        {"role": Role.DOCTOR},
        {"role": Role.ADMINISTRATOR},
        {"role": Role.PATIENT},
    ],
)
def test_nobody_else_knows_reception_s_patients(
    desk: Hospital, clerk: User, alice: User, change: dict[str, Any]
) -> None:
    make_visit(alice.chart, timezone.now(), hospital=desk)
    assert known_to_reception(clerk).exists()
    for name, value in change.items():
        setattr(clerk, name, value)
    assert not known_to_reception(clerk).exists()


def test_reception_does_not_see_charts_set_aside(
    desk: Hospital, clerk: User, alice: User, bob: User
) -> None:
    make_visit(alice.chart, timezone.now(), hospital=desk)
    Patient.objects.filter(pk=alice.chart.pk).update(replaced_by=bob.chart)
    assert not known_to_reception(clerk).exists()
