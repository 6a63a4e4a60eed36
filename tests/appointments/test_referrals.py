"""A colleague reads nothing before the patient agreed, and nothing after it was taken back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from accounts.models import AuditEvent, Carer, Patient, Relation, Role, User
from appointments import referrals
from appointments.care import has_care_of
from appointments.emergency import open_in_emergency
from appointments.models import CareRelation, Referral
from appointments.referrals import answer, refer, withdraw
from appointments.refusals import Refusal
from clinic.directory.models import Doctor
from clinic.jobs.models import OutgoingMail
from records.access import treated_by
from tests.appointments.town import doctor as make_doctor
from tests.cast import make_account, make_patient

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 3, 15, 0, tzinfo=UTC)
REASON = "canary-murmur heard, please listen"


def make_colleague(email: str, name: str) -> Doctor:
    user = make_account(email, name=name, role=Role.DOCTOR, is_staff=True)
    return make_doctor(name, user=user)


def user_of(doctor: Doctor) -> User:
    assert doctor.user is not None
    return doctor.user


def take_into_care(doctor: Doctor, patient: Patient) -> None:
    CareRelation.objects.create(
        doctor=doctor, patient=patient, why="visit", since=NOW, until=NOW + timedelta(days=30)
    )


@pytest.fixture
def doctor(alice: User) -> Doctor:
    found = make_colleague("amara@example.org", "Amara Okafor")
    take_into_care(found, alice.chart)
    return found


@pytest.fixture
def colleague(db: None) -> Doctor:
    return make_colleague("matthieu@example.org", "Matthieu Lefebvre")


@pytest.fixture
def referral(doctor: Doctor, colleague: Doctor, alice: User) -> Referral:
    return referred(doctor, colleague, alice.chart)


def referred(doctor: Doctor, colleague: Doctor, patient: Patient, **changes: Any) -> Referral:
    facts: dict[str, Any] = {"reason": REASON, "by": user_of(doctor), "now": NOW}
    return refer(patient=patient, to_doctor=colleague, **(facts | changes))


def reads(doctor: Doctor, patient: Patient, now: datetime = NOW) -> bool:
    return treated_by(user_of(doctor), now).filter(pk=patient.pk).exists()


def actions(patient: Patient) -> list[str]:
    rows = AuditEvent.objects.filter(patient=patient).order_by("number")
    return list(rows.values_list("action", flat=True))


# --- Asking and answering -------------------------------------------------------------------
def test_asking_opens_nothing_and_tells_the_patient_without_the_reason(
    referral: Referral, colleague: Doctor, alice: User
) -> None:
    assert not reads(colleague, alice.chart)
    mail = OutgoingMail.objects.get()
    assert mail.to == alice.email
    assert "canary" not in mail.text + mail.subject
    assert "Okafor" in mail.text and "Lefebvre" in mail.text
    assert list(referrals.of_patients_side(alice, NOW)) == [referral]
    assert list(referrals.of_doctor(user_of(referral.from_doctor))) == [referral]
    assert not referrals.of_doctor(user_of(colleague)).exists()
    assert actions(alice.chart) == ["referral.made"]


def test_yes_lets_the_colleague_read_for_twelve_months(
    referral: Referral, colleague: Doctor, alice: User
) -> None:
    answer(referral=referral, agreed=True, by=alice, now=NOW)
    assert reads(colleague, alice.chart)
    assert reads(colleague, alice.chart, NOW + timedelta(days=364, hours=23))
    assert not reads(colleague, alice.chart, NOW + timedelta(days=365))
    relation = CareRelation.objects.get(doctor=colleague)
    assert relation.why == CareRelation.Why.REFERRAL
    referral.refresh_from_db()
    assert (referral.answer, referral.answered_by) == ("agreed", alice)
    assert actions(alice.chart) == ["referral.made", "referral.agreed"]


def test_no_lets_nobody_read(referral: Referral, colleague: Doctor, alice: User) -> None:
    answer(referral=referral, agreed=False, by=alice, now=NOW)
    assert not reads(colleague, alice.chart)
    for agreed in (True, False):
        with pytest.raises(referrals.Answered):
            answer(referral=referral, agreed=agreed, by=alice, now=NOW)
    assert not CareRelation.objects.filter(doctor=colleague).exists()
    assert actions(alice.chart)[-2:] == ["referral.agreed.refused", "referral.declined.refused"]


def test_only_the_patients_side_answers(
    referral: Referral, colleague: Doctor, alice: User, bob: User, charlie: User
) -> None:
    for by in (charlie, bob, user_of(colleague), user_of(referral.from_doctor)):
        with pytest.raises(referrals.NotYours):
            answer(referral=referral, agreed=True, by=by, now=NOW)
        assert not referrals.of_patients_side(by, NOW).exists()
    assert not reads(colleague, alice.chart)
    # Bob cares for Alice; with the right to her record he may decide.
    Carer.objects.filter(user=bob).update(may_read_record=True, agreed_at=NOW)
    answer(referral=referral, agreed=True, by=bob, now=NOW)
    assert reads(colleague, alice.chart)


def test_carers_who_read_the_record_are_asked_too(
    doctor: Doctor, colleague: Doctor, alice: User, bob: User
) -> None:
    Carer.objects.filter(user=bob).update(may_read_record=True, agreed_at=NOW)
    referred(doctor, colleague, alice.chart)
    assert set(OutgoingMail.objects.values_list("to", flat=True)) == {alice.email, bob.email}


# --- In person ------------------------------------------------------------------------------
def test_a_patient_without_an_account_agrees_in_person(doctor: Doctor, colleague: Doctor) -> None:
    nora = make_patient()
    take_into_care(doctor, nora)
    with pytest.raises(referrals.NobodyAnswers):
        referred(doctor, colleague, nora)
    assert not reads(colleague, nora)
    made = referred(doctor, colleague, nora, in_person=True)
    assert reads(colleague, nora)
    assert (made.answer, made.in_person) == ("agreed", True)
    assert not OutgoingMail.objects.exists()
    event = AuditEvent.objects.get(action="referral.made")
    assert event.detail == f"{colleague.slug} (in person)"


def test_a_former_guardian_of_an_adult_is_neither_asked_nor_told(
    doctor: Doctor, colleague: Doctor, bob: User
) -> None:
    grown = make_patient("Kim Tanaka", birth_date=date(2006, 1, 1))
    Carer.objects.create(
        user=bob, patient=grown, relation=Relation.CHILD, since=NOW - timedelta(days=900),
        may_read_record=True, agreed=Carer.Agreed.MINOR, agreed_at=NOW - timedelta(days=900),
    )  # fmt: skip
    take_into_care(doctor, grown)
    with pytest.raises(referrals.NobodyAnswers):
        referred(doctor, colleague, grown)
    referred(doctor, colleague, grown, in_person=True)
    assert reads(colleague, grown)
    stranger = make_colleague("eve@example.org", "Eve Stone")
    open_in_emergency(
        doctor=stranger, patient=grown, reason="Unconscious after a fall", by=user_of(stranger),
        now=NOW,
    )  # fmt: skip
    assert not OutgoingMail.objects.filter(to=bob.email).exists()


def test_nobody_agrees_in_person_for_a_patient_with_an_account(
    doctor: Doctor, colleague: Doctor, alice: User
) -> None:
    with pytest.raises(referrals.PatientAnswers):
        referred(doctor, colleague, alice.chart, in_person=True)
    assert not reads(colleague, alice.chart)
    assert not Referral.objects.exists()


# --- Taking it back -------------------------------------------------------------------------
def test_the_patient_takes_the_agreement_back(
    referral: Referral, colleague: Doctor, alice: User
) -> None:
    answer(referral=referral, agreed=True, by=alice, now=NOW)
    later = NOW + timedelta(hours=1)
    withdraw(referral=referral, by=alice, now=later)
    assert not reads(colleague, alice.chart, later)
    assert not has_care_of(doctor_id=colleague.pk, patient_id=alice.chart.pk, now=later)
    with pytest.raises(referrals.Answered):
        withdraw(referral=referral, by=alice, now=later)
    assert actions(alice.chart)[-2:] == ["referral.withdrawn", "referral.withdrawn.refused"]


def test_taking_back_leaves_other_reasons_alone(
    referral: Referral, colleague: Doctor, alice: User
) -> None:
    answer(referral=referral, agreed=True, by=alice, now=NOW)
    take_into_care(colleague, alice.chart)
    withdraw(referral=referral, by=alice, now=NOW + timedelta(hours=1))
    assert reads(colleague, alice.chart, NOW + timedelta(hours=1))


def test_the_doctor_takes_the_question_back(
    referral: Referral, colleague: Doctor, alice: User
) -> None:
    withdraw(referral=referral, by=user_of(referral.from_doctor), now=NOW)
    with pytest.raises(referrals.Answered):
        answer(referral=referral, agreed=True, by=alice, now=NOW)
    assert not reads(colleague, alice.chart)


def test_strangers_withdraw_nothing(
    referral: Referral, colleague: Doctor, alice: User, charlie: User, reception: User
) -> None:
    answer(referral=referral, agreed=True, by=alice, now=NOW)
    for by in (charlie, reception, user_of(colleague)):
        with pytest.raises(referrals.NotYours):
            withdraw(referral=referral, by=by, now=NOW)
    assert reads(colleague, alice.chart)


# --- Refusals -------------------------------------------------------------------------------
@pytest.mark.parametrize("reason", ["", "   ", "x" * 301])
def test_a_referral_says_why(doctor: Doctor, colleague: Doctor, alice: User, reason: str) -> None:
    with pytest.raises(referrals.NoReason):
        referred(doctor, colleague, alice.chart, reason=reason)
    assert actions(alice.chart) == ["referral.made.refused"]


def test_only_the_treating_doctor_refers(
    doctor: Doctor, colleague: Doctor, alice: User, reception: User, administrator: User
) -> None:
    third = make_colleague("third@example.org", "Third Doctor")
    for by in (user_of(third), alice, reception, administrator):
        with pytest.raises(referrals.NotYours):
            referred(doctor, colleague, alice.chart, by=by)
    CareRelation.objects.update(until=NOW)
    with pytest.raises(referrals.NotYours):
        referred(doctor, colleague, alice.chart)
    assert not Referral.objects.exists()


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"withdrawn_at": NOW}, referrals.NotReferable),
        ({"verified_at": None}, referrals.NotReferable),
        ({"user": None}, referrals.NotReferable),
        ({"in_care": True}, referrals.InCareAlready),
        ({"self": True}, referrals.NotReferable),
        ({"asked": True}, referrals.AlreadyAsked),
        ({"inactive": True}, referrals.NotReferable),
    ],
)
def test_whom_one_cannot_refer_to(
    doctor: Doctor,
    colleague: Doctor,
    alice: User,
    change: dict[str, Any],
    refused: type[Refusal],
) -> None:
    if "in_care" in change:
        take_into_care(colleague, alice.chart)
    elif "self" in change:
        colleague = doctor
    elif "asked" in change:
        referred(doctor, colleague, alice.chart)
    elif "inactive" in change:
        User.objects.filter(pk=user_of(colleague).pk).update(is_active=False)
        colleague = Doctor.objects.get(pk=colleague.pk)
    else:
        for name, value in change.items():
            setattr(colleague, name, value)
        colleague.save()
    with pytest.raises(refused):
        referred(doctor, colleague, alice.chart)


def test_a_colleague_who_left_meanwhile_gets_nothing(
    referral: Referral, colleague: Doctor, alice: User
) -> None:
    Doctor.objects.filter(pk=colleague.pk).update(withdrawn_at=NOW)
    with pytest.raises(referrals.NotReferable):
        answer(referral=referral, agreed=True, by=alice, now=NOW)
    assert not CareRelation.objects.filter(doctor=colleague).exists()
