"""SECURITY 23: emergency access is typed, told, short, and gives nothing that lasts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from accounts.audit import verify_chain
from accounts.models import AuditEvent, Carer, Patient, Relation, Role, User
from appointments import emergency, referrals
from appointments.care import has_care_of, is_patient_of, patients_of
from appointments.desk import patients_at_desk
from appointments.emergency import find_patient, open_in_emergency
from appointments.models import CareRelation
from appointments.refusals import Refusal
from chat.models import Conversation
from chat.opening import open_conversation
from chat.refusals import NotYours
from clinic.directory.models import Doctor
from clinic.jobs.models import OutgoingMail
from records.access import readable_by, treated_by
from tests.appointments.town import doctor as make_doctor
from tests.appointments.town import hospital as make_hospital
from tests.cast import make_account, make_patient, make_staff

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 3, 15, 0, tzinfo=UTC)
REASON = "Unconscious in the waiting room, canary-anaphylaxis"
BORN = date(1980, 3, 31)  # Alice


@pytest.fixture
def doctor(db: None) -> Doctor:
    user = make_account("amara@example.org", name="Amara Okafor", role=Role.DOCTOR, is_staff=True)
    return make_doctor("Amara Okafor", where=make_hospital(), user=user)


def user_of(doctor: Doctor) -> User:
    assert doctor.user is not None
    return doctor.user


def opened(doctor: Doctor, patient: Patient, **changes: Any) -> CareRelation:
    facts: dict[str, Any] = {"reason": REASON, "by": user_of(doctor), "now": NOW} | changes
    return open_in_emergency(doctor=doctor, patient=patient, **facts)


def actions(patient: Patient) -> list[str]:
    rows = AuditEvent.objects.filter(patient=patient).order_by("number")
    return list(rows.values_list("action", flat=True))


# --- What it opens, and for how long --------------------------------------------------------
def test_s23_it_lasts_sixty_minutes_and_ends_by_itself(doctor: Doctor, alice: User) -> None:
    user = user_of(doctor)
    assert not readable_by(user, NOW).exists()
    relation = opened(doctor, alice.chart)
    assert relation.until == NOW + timedelta(minutes=60)
    for minutes, expected in [(0, True), (59, True), (60, False), (61, False)]:
        at = NOW + timedelta(minutes=minutes)
        assert treated_by(user, at).filter(pk=alice.chart.pk).exists() == expected
        assert (alice.chart.pk in patients_of(user, at)) == expected
    assert not treated_by(user, NOW - timedelta(seconds=1)).exists()


def test_s23_it_is_in_the_patients_trail_without_the_reason(doctor: Doctor, alice: User) -> None:
    relation = opened(doctor, alice.chart)
    assert actions(alice.chart) == ["emergency.opened"]
    event = AuditEvent.objects.get(action="emergency.opened")
    assert (event.actor_id, event.at) == (user_of(doctor).pk, NOW)
    assert "canary" not in event.detail
    assert relation.reason == REASON
    assert list(emergency.given_since(NOW)) == [relation]
    assert verify_chain(alice.chart) == []


def test_s23_administrators_and_the_patient_are_told_and_never_why(
    doctor: Doctor, alice: User, administrator: User
) -> None:
    make_staff("gone@example.org", role=Role.ADMINISTRATOR, is_active=False)
    opened(doctor, alice.chart)
    mails = {mail.to: mail for mail in OutgoingMail.objects.all()}
    assert set(mails) == {alice.email, administrator.email}
    for mail in mails.values():
        for part in (mail.subject, mail.text, mail.html):
            assert "canary" not in part and "Unconscious" not in part
        assert "Amara Okafor" in mail.text
        assert "10:00 am" in mail.text and "11:00 am" in mail.text
        assert "Okafor" not in mail.subject
    assert str(alice.chart.public_id) in mails[administrator.email].text
    assert "Alice" not in mails[administrator.email].text


@pytest.mark.parametrize("has_address", [True, False])
def test_s23_without_an_account_the_address_or_carers_who_read_the_record_are_told(
    doctor: Doctor, bob: User, charlie: User, has_address: bool
) -> None:
    nora = make_patient()
    for user, may in [(bob, True), (charlie, False)]:
        Carer.objects.create(
            user=user,
            patient=nora,
            relation=Relation.OTHER,
            since=NOW,
            may_read_record=may,
            agreed_at=NOW if may else None,
        )
    if has_address:
        nora.email = "nora@example.org"
        nora.save(update_fields=["email"])
    opened(doctor, nora)
    told = list(OutgoingMail.objects.values_list("to", flat=True))
    assert told == (["nora@example.org"] if has_address else [bob.email])


def test_s23_sent_twice_it_is_one_access_and_does_not_grow(doctor: Doctor, alice: User) -> None:
    first = opened(doctor, alice.chart)
    again = opened(doctor, alice.chart, now=NOW + timedelta(minutes=30))
    assert again == first and again.until == first.until
    assert actions(alice.chart) == ["emergency.opened"]
    assert OutgoingMail.objects.count() == 1
    anew = opened(doctor, alice.chart, now=NOW + timedelta(minutes=60))
    assert anew != first
    assert actions(alice.chart) == ["emergency.opened"] * 2
    assert OutgoingMail.objects.count() == 2


# --- Nothing that lasts follows from it -----------------------------------------------------
def test_s23_no_conversation_no_referral_and_no_care_follow(doctor: Doctor, alice: User) -> None:
    opened(doctor, alice.chart)
    user = user_of(doctor)
    facts = {"doctor_id": doctor.pk, "patient_id": alice.chart.pk}
    assert not has_care_of(**facts, now=NOW)
    assert not is_patient_of(alice.chart.pk, doctor.pk)
    assert alice.chart.pk not in patients_of(user, NOW, in_emergency=False)
    hospital = doctor.services.get().hospital
    with pytest.raises(NotYours):
        open_conversation(patient=alice.chart, doctor=doctor, hospital=hospital, by=user, now=NOW)
    assert not Conversation.objects.exists()
    assert not patients_at_desk(user, NOW).exists()
    colleague = make_doctor("Matthieu Lefebvre", user=make_account("m@example.org"))
    with pytest.raises(referrals.NotYours):
        referrals.refer(
            patient=alice.chart, to_doctor=colleague, reason="Please look", by=user, now=NOW
        )
    assert CareRelation.objects.count() == 1


# --- Refusals -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reason", "refused"),
    [
        ("", emergency.NoReason),
        ("too short", emergency.NoReason),
        ("  x   y    z   ", emergency.NoReason),
        ("x" * 301, emergency.ReasonTooLong),
    ],
)
def test_s23_without_a_reason_nothing_opens(
    doctor: Doctor, alice: User, reason: str, refused: type[Refusal]
) -> None:
    with pytest.raises(refused):
        opened(doctor, alice.chart, reason=reason)
    assert not CareRelation.objects.exists()
    assert not OutgoingMail.objects.exists()
    assert actions(alice.chart) == ["emergency.opened.refused"]


def test_ten_characters_are_a_reason(doctor: Doctor, alice: User) -> None:
    assert opened(doctor, alice.chart, reason="ten chars!").reason == "ten chars!"
    assert len("ten chars!") == emergency.REASON_AT_LEAST


@pytest.mark.parametrize(
    "change",
    [
        {"verified_at": None},
        {"withdrawn_at": NOW},
        {"user": {"role": Role.PATIENT}},
        {"user": {"is_staff": False}},
        {"user": {"is_active": False}},
    ],
)
def test_s23_only_an_approved_doctor_opens_one(
    doctor: Doctor, alice: User, change: dict[str, Any]
) -> None:
    for name, value in change.items():
        if name == "user":
            User.objects.filter(pk=user_of(doctor).pk).update(**value)
        else:
            Doctor.objects.filter(pk=doctor.pk).update(**{name: value})
    doctor.refresh_from_db()
    user = User.objects.get(pk=user_of(doctor).pk)
    with pytest.raises(emergency.NoEmergencyAccess):
        opened(doctor, alice.chart, by=user)
    with pytest.raises(emergency.NoEmergencyAccess):
        find_patient(name="Alice Moreau", birth_date=BORN, by=user, now=NOW)
    assert not CareRelation.objects.exists()
    assert AuditEvent.objects.filter(action="emergency.search.refused").count() == 1


@pytest.mark.parametrize("role", ["reception", "administrator", "alice", "other"])
def test_s23_nobody_opens_one_in_a_doctors_name(
    request: pytest.FixtureRequest, doctor: Doctor, alice: User, role: str
) -> None:
    if role == "other":
        by = make_account("other@example.org", role=Role.DOCTOR, is_staff=True)
        make_doctor("Matthieu Lefebvre", user=by)
    else:
        by = request.getfixturevalue(role)
    with pytest.raises(emergency.NoEmergencyAccess):
        opened(doctor, alice.chart, by=by)
    assert not CareRelation.objects.exists()


def test_who_is_in_care_needs_no_emergency(doctor: Doctor, alice: User) -> None:
    CareRelation.objects.create(
        doctor=doctor, patient=alice.chart, why="visit", since=NOW, until=NOW + timedelta(days=1)
    )
    with pytest.raises(emergency.YourPatientAlready):
        opened(doctor, alice.chart)


def test_a_chart_set_aside_is_not_opened(doctor: Doctor, alice: User, bob: User) -> None:
    Patient.objects.filter(pk=alice.chart.pk).update(replaced_by=bob.chart)
    alice.chart.refresh_from_db()
    with pytest.raises(emergency.NoEmergencyAccess):
        opened(doctor, alice.chart)
    with pytest.raises(emergency.NobodyFound):
        find_patient(name="Alice Moreau", birth_date=BORN, by=user_of(doctor), now=NOW)


# --- Finding the patient --------------------------------------------------------------------
@pytest.mark.parametrize("name", ["Alice Moreau", "  alice   MOREAU "])
def test_a_patient_is_found_by_full_name_and_date_of_birth(
    doctor: Doctor, alice: User, name: str
) -> None:
    found = find_patient(name=name, birth_date=BORN, by=user_of(doctor), now=NOW)
    assert found == alice.chart
    assert actions(alice.chart) == ["emergency.search"]


@pytest.mark.parametrize(
    ("name", "born"),
    [
        ("Alice", BORN),
        ("Moreau", BORN),
        ("Alice Moreaú", BORN),
        ("Alice%", BORN),
        ("", BORN),
        ("Alice Moreau", date(1980, 3, 30)),
    ],
)
def test_nobody_is_found_by_less(doctor: Doctor, alice: User, name: str, born: date) -> None:
    with pytest.raises(emergency.NobodyFound):
        find_patient(name=name, birth_date=born, by=user_of(doctor), now=NOW)
    row = AuditEvent.objects.get(action="emergency.search.refused")
    assert row.patient is None
    assert actions(alice.chart) == []


def test_two_of_the_same_name_and_birth_date_are_left_to_reception(
    doctor: Doctor, alice: User
) -> None:
    make_patient("Alice Moreau", birth_date=BORN)
    with pytest.raises(emergency.SeveralFound):
        find_patient(name="Alice Moreau", birth_date=BORN, by=user_of(doctor), now=NOW)
    assert actions(alice.chart) == []


def test_s23_nobody_leafs_through_people(doctor: Doctor, alice: User) -> None:
    facts: dict[str, Any] = {"name": "Alice Moreau", "birth_date": BORN, "by": user_of(doctor)}
    for number in range(emergency.ATTEMPTS):
        wrong = {"name": "Wrong Name"} if number % 2 else {}
        try:
            find_patient(**facts | wrong, now=NOW)
        except emergency.NobodyFound:
            assert wrong
    with pytest.raises(emergency.TooManySearches):
        find_patient(**facts, now=NOW + timedelta(minutes=59))
    other = make_account("other@example.org", role=Role.DOCTOR, is_staff=True)
    make_doctor("Matthieu Lefebvre", user=other)
    assert find_patient(**facts | {"by": other}, now=NOW) == alice.chart
    # The refused try counts as well, until it is an hour old.
    later = NOW + timedelta(minutes=119)
    assert find_patient(**facts, now=later) == alice.chart
