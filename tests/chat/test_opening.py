"""Who may write to whom; closing, colleagues, and a conversation handed over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from accounts.models import AuditEvent, Patient, User
from appointments.models import CareRelation
from appointments.refusals import Refusal
from chat.access import Part, members_of
from chat.membership import add_colleague, hand_over, possible_colleagues, remove_colleague
from chat.models import Conversation, Event, Kind
from chat.opening import close, open_conversation, reopen
from chat.refusals import (
    NobodyAnswers,
    NoColleague,
    NotForPatients,
    NotInCare,
    NotVisited,
    NotYours,
)
from clinic.directory.models import HospitalStaff
from tests.appointments.town import hospital as make_hospital
from tests.cast import make_patient
from tests.chat.clinic import NOW, Clinic, open_clinic

pytestmark = pytest.mark.django_db


@pytest.fixture
def clinic(db: None) -> Clinic:
    return open_clinic()


def part_of(conversation: Conversation, user: User) -> Part | None:
    member = members_of([conversation.pk], NOW)[conversation.pk].get(user.pk)
    return member.part if member else None


def notices(conversation: Conversation) -> list[str]:
    rows = Event.objects.filter(conversation=conversation, kind=Kind.NOTICE).order_by("seq")
    return list(rows.values_list("body", flat=True))


def is_closed(conversation: Conversation) -> bool:
    return Conversation.objects.get(pk=conversation.pk).is_closed


def actions(patient: Patient) -> list[str]:
    rows = AuditEvent.objects.filter(patient=patient).order_by("number")
    return list(rows.values_list("action", flat=True))


# --- Opening --------------------------------------------------------------------------------


def test_a_patient_writes_to_a_doctor_in_whose_care_they_are(clinic: Clinic, alice: User) -> None:
    visit = clinic.take_into_care(alice.chart)
    conversation = open_conversation(
        patient=alice.chart,
        doctor=clinic.doctor,
        hospital=clinic.hospital,
        by=alice,
        now=NOW,
        appointment=visit,
    )
    assert part_of(conversation, alice) == Part.PATIENT
    assert part_of(conversation, clinic.doctor_user) == Part.DOCTOR
    assert notices(conversation) == ["About the visit on Tuesday, November 10, 2026, 9:00 am EST."]
    assert "conversation.open" in actions(alice.chart)
    relation = CareRelation.objects.get(why=CareRelation.Why.CONVERSATION)
    assert relation.until == NOW + timedelta(days=365)


def test_a_pair_has_one_conversation(clinic: Clinic, alice: User) -> None:
    clinic.take_into_care(alice.chart)
    first = clinic.talk(alice.chart, by=alice)
    assert clinic.talk(alice.chart, by=clinic.doctor_user) == first
    assert CareRelation.objects.filter(why=CareRelation.Why.CONVERSATION).count() == 1
    assert clinic.desk(alice.chart, by=alice) != first


def test_a_stranger_of_the_doctor_cannot_write(clinic: Clinic, alice: User) -> None:
    with pytest.raises(NotInCare, match="Book a visit first"):
        clinic.talk(alice.chart, by=alice)
    assert not Conversation.objects.exists()
    assert not CareRelation.objects.exists()
    assert actions(alice.chart) == ["conversation.open.refused"]


def test_a_care_relation_that_ended_opens_nothing(clinic: Clinic, alice: User) -> None:
    clinic.take_into_care(alice.chart)
    CareRelation.objects.update(until=NOW)
    with pytest.raises(NotInCare):
        clinic.talk(alice.chart, by=alice)


def test_a_carer_writes_until_the_care_ends(clinic: Clinic, alice: User, bob: User) -> None:
    clinic.take_into_care(alice.chart)
    conversation = clinic.talk(alice.chart, by=bob)
    assert part_of(conversation, bob) == Part.CARER
    bob.cares_for.update(until=NOW)
    assert part_of(conversation, bob) is None
    assert not Conversation.objects.visible_to(bob, NOW).exists()
    with pytest.raises(NotYours):
        clinic.talk(alice.chart, by=bob)


def test_nobody_opens_a_conversation_for_somebody_elses_chart(
    clinic: Clinic, alice: User, charlie: User
) -> None:
    clinic.take_into_care(alice.chart)
    for by in (charlie, clinic.reception):
        with pytest.raises(NotYours):
            clinic.talk(alice.chart, by=by)
    with pytest.raises(NotYours):
        clinic.desk(alice.chart, by=charlie)
    assert not Conversation.objects.exists()


def test_a_doctor_writes_to_own_patients_only_and_gains_no_time(
    clinic: Clinic, alice: User
) -> None:
    with pytest.raises(NotYours):
        clinic.talk(alice.chart, by=clinic.doctor_user)
    clinic.take_into_care(alice.chart)
    until = CareRelation.objects.get().until
    clinic.talk(alice.chart, by=clinic.doctor_user)
    assert CareRelation.objects.get(why=CareRelation.Why.CONVERSATION).until == until


def test_a_doctor_of_another_patient_opens_nothing(clinic: Clinic, alice: User) -> None:
    other = clinic.colleague()
    clinic.take_into_care(alice.chart)
    assert other.user is not None
    for doctor in (clinic.doctor, other):
        with pytest.raises(NotYours):
            open_conversation(
                patient=alice.chart, doctor=doctor, hospital=clinic.hospital, by=other.user, now=NOW
            )


def test_reception_writes_about_a_visit_at_its_own_hospital(clinic: Clinic, alice: User) -> None:
    with pytest.raises(NotVisited):
        clinic.desk(alice.chart, by=clinic.reception)
    clinic.take_into_care(alice.chart)
    conversation = clinic.desk(alice.chart, by=clinic.reception)
    assert part_of(conversation, clinic.reception) == Part.RECEPTION
    elsewhere = make_hospital("Elsewhere")
    with pytest.raises(NotYours):
        open_conversation(patient=alice.chart, hospital=elsewhere, by=clinic.reception, now=NOW)
    assert not CareRelation.objects.filter(why=CareRelation.Why.CONVERSATION).exists()


def test_a_patient_writes_to_a_clinic_only_if_somebody_answers(clinic: Clinic, alice: User) -> None:
    assert clinic.desk(alice.chart, by=alice).doctor is None
    HospitalStaff.objects.all().delete()
    other = make_hospital("Elsewhere", phone="207-555-0199")
    with pytest.raises(NobodyAnswers, match="Call 207-555-0199"):
        open_conversation(patient=alice.chart, hospital=other, by=alice, now=NOW)


def test_a_visit_of_somebody_else_is_no_subject(clinic: Clinic, alice: User, charlie: User) -> None:
    clinic.take_into_care(alice.chart)
    visit = clinic.take_into_care(charlie.chart)
    with pytest.raises(NotYours):
        open_conversation(
            patient=alice.chart,
            doctor=clinic.doctor,
            hospital=clinic.hospital,
            by=alice,
            now=NOW,
            appointment=visit,
        )
    assert not Conversation.objects.exists()


# --- Closing --------------------------------------------------------------------------------


@pytest.fixture
def talk(clinic: Clinic, alice: User) -> Conversation:
    clinic.take_into_care(alice.chart)
    return clinic.talk(alice.chart, by=alice)


def test_the_clinic_closes_and_the_patient_starts_again(
    clinic: Clinic, alice: User, talk: Conversation
) -> None:
    with pytest.raises(NotForPatients):
        close(conversation=talk, by=alice, now=NOW)
    close(conversation=talk, by=clinic.doctor_user, now=NOW)
    assert is_closed(talk)
    reopen(conversation=talk, by=alice, now=NOW)
    assert not is_closed(talk)
    assert notices(talk) == [
        "Dr. Amara Okafor closed this conversation.",
        "Alice Moreau started this conversation again.",
    ]
    assert actions(alice.chart)[-2:] == ["conversation.close", "conversation.reopen"]


def test_closing_twice_says_so_once(clinic: Clinic, talk: Conversation) -> None:
    for _ in range(2):
        close(conversation=talk, by=clinic.doctor_user, now=NOW)
    assert len(notices(talk)) == 1


def test_a_conversation_whose_reason_ended_is_not_started_again(
    clinic: Clinic, alice: User, talk: Conversation
) -> None:
    close(conversation=talk, by=clinic.doctor_user, now=NOW)
    CareRelation.objects.update(until=NOW)
    with pytest.raises(NotInCare):
        reopen(conversation=talk, by=alice, now=NOW)
    assert is_closed(talk)


# --- Colleagues -----------------------------------------------------------------------------


def test_a_colleague_is_added_visibly_and_gets_this_conversation_alone(
    clinic: Clinic, alice: User, talk: Conversation
) -> None:
    colleague = clinic.colleague()
    assert colleague.user is not None
    other = clinic.desk(alice.chart, by=alice)
    assert list(possible_colleagues(talk)) == [colleague]
    for _ in range(2):
        add_colleague(conversation=talk, doctor=colleague, by=clinic.doctor_user, now=NOW)
    assert part_of(talk, colleague.user) == Part.COLLEAGUE
    assert part_of(other, colleague.user) is None
    assert list(Conversation.objects.visible_to(colleague.user, NOW)) == [talk]
    assert notices(talk) == ["Dr. Amara Okafor added Dr. Matthieu Lefebvre to this conversation."]
    assert not CareRelation.objects.filter(doctor=colleague).exists()
    assert actions(alice.chart).count("conversation.colleague_added") == 1


def test_a_removed_colleague_is_out_at_once(clinic: Clinic, talk: Conversation) -> None:
    colleague = clinic.colleague()
    assert colleague.user is not None
    hand_over(conversation=talk, doctor=colleague, by=clinic.doctor_user, now=NOW)
    remove_colleague(conversation=talk, user=colleague.user, by=clinic.doctor_user, now=NOW)
    assert part_of(talk, colleague.user) is None
    assert not Conversation.objects.visible_to(colleague.user, NOW).exists()
    talk.refresh_from_db()
    assert talk.handed_to is None
    with pytest.raises(NotYours):
        remove_colleague(conversation=talk, user=colleague.user, by=clinic.doctor_user, now=NOW)
    add_colleague(conversation=talk, doctor=colleague, by=clinic.doctor_user, now=NOW)
    assert part_of(talk, colleague.user) == Part.COLLEAGUE


def test_handing_over_is_said_once(clinic: Clinic, talk: Conversation) -> None:
    colleague = clinic.colleague()
    for _ in range(2):
        hand_over(conversation=talk, doctor=colleague, by=clinic.doctor_user, now=NOW)
    talk.refresh_from_db()
    assert talk.handed_to == colleague
    assert notices(talk) == [
        "Dr. Amara Okafor handed this conversation over. Dr. Matthieu Lefebvre answers from now on."
    ]


@pytest.mark.parametrize("rule", [add_colleague, hand_over])
def test_patients_add_nobody(clinic: Clinic, alice: User, talk: Conversation, rule: Any) -> None:
    colleague = clinic.colleague()
    with pytest.raises(NotForPatients):
        rule(conversation=talk, doctor=colleague, by=alice, now=NOW)
    assert notices(talk) == []


def test_doctors_who_cannot_read_are_not_added(clinic: Clinic, talk: Conversation) -> None:
    colleague = clinic.colleague()
    assert colleague.user is not None
    User.objects.filter(pk=colleague.user.pk).update(is_active=False)
    colleague.refresh_from_db()
    assert not possible_colleagues(talk).exists()
    with pytest.raises(NoColleague):
        add_colleague(conversation=talk, doctor=colleague, by=clinic.doctor_user, now=NOW)
    with pytest.raises(NoColleague):
        add_colleague(conversation=talk, doctor=clinic.doctor, by=clinic.doctor_user, now=NOW)


def test_the_doctor_and_the_patient_cannot_be_removed(
    clinic: Clinic, alice: User, talk: Conversation
) -> None:
    for user in (alice, clinic.doctor_user):
        with pytest.raises(NoColleague):
            remove_colleague(conversation=talk, user=user, by=clinic.doctor_user, now=NOW)


def test_refusals_are_sentences(clinic: Clinic) -> None:
    for refusal in (
        NotYours(),
        NotInCare("Dr. Okafor"),
        NobodyAnswers("Casco Bay", ""),
        NotVisited("Casco Bay"),
        NotForPatients(),
    ):
        assert isinstance(refusal, Refusal)
        assert refusal.message.endswith(".")


def test_a_chart_without_an_account_is_written_for_by_its_carer(
    clinic: Clinic, charlie: User
) -> None:
    from tests.cast import make_carer

    nora = make_patient()
    clinic.take_into_care(nora)
    make_carer(charlie, nora)
    conversation = clinic.talk(nora, by=charlie)
    assert part_of(conversation, charlie) == Part.CARER
