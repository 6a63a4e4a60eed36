"""Several carers with rights of their own: who agrees, who takes back, and what follows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from accounts.carers import (
    GuardianReads,
    NotYourCarer,
    PatientAgrees,
    carers_of,
    end_carer,
    set_rights,
    share_as_guardian,
    share_at_reception,
)
from accounts.models import AuditEvent, Carer, Patient, Relation, User
from tests.cast import make_account, make_carer, make_patient, make_staff

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 3, 15, 0, tzinfo=UTC)


@pytest.fixture
def care(bob: User, alice: User) -> Carer:
    """Bob cares for Alice, who is grown up and has an account."""
    return Carer.objects.get(user=bob, patient=alice.chart)


def readers(patient: Patient, now: datetime = NOW) -> set[str]:
    return {
        user.email
        for user in User.objects.all()
        if Patient.objects.record_of(user, now).filter(pk=patient.pk).exists()
    }


def test_a_carer_reads_no_record_before_the_patient_agreed(
    alice: User, bob: User, care: Carer
) -> None:
    assert readers(alice.chart) == {alice.email}
    assert Patient.objects.messages_of(bob, NOW).filter(pk=alice.chart.pk).exists()

    set_rights(carer=care, may_message=True, may_read_record=True, by=alice, now=NOW)
    assert readers(alice.chart) == {alice.email, bob.email}
    care.refresh_from_db()
    assert (care.agreed, care.agreed_at) == (Carer.Agreed.ACCOUNT, NOW)

    set_rights(carer=care, may_message=False, may_read_record=False, by=alice, now=NOW)
    assert readers(alice.chart) == {alice.email}
    assert not Patient.objects.messages_of(bob, NOW).filter(pk=alice.chart.pk).exists()
    assert Patient.objects.in_care_of(bob, NOW).filter(pk=alice.chart.pk).exists()  # may book
    assert AuditEvent.objects.filter(action="care.rights", patient=alice.chart).count() == 2


def test_several_carers_have_rights_of_their_own(alice: User, care: Carer, charlie: User) -> None:
    other = make_carer(charlie, alice.chart)
    set_rights(carer=other, may_message=True, may_read_record=True, by=alice, now=NOW)
    assert readers(alice.chart) == {alice.email, charlie.email}
    assert [row.user for row in carers_of(alice.chart, NOW)] == [care.user, charlie]


@pytest.mark.parametrize("who", ["the carer", "a stranger", "reception", "administrator"])
def test_nobody_but_the_patient_sets_rights(
    alice: User,
    bob: User,
    care: Carer,
    charlie: User,
    reception: User,
    administrator: User,
    who: str,
) -> None:
    by = {
        "the carer": bob,
        "a stranger": charlie,
        "reception": reception,
        "administrator": administrator,
    }[who]
    with pytest.raises(NotYourCarer):
        set_rights(carer=care, may_message=True, may_read_record=True, by=by, now=NOW)
    assert readers(alice.chart) == {alice.email}
    row = AuditEvent.objects.get(action="care.rights.refused")
    assert (row.patient, row.actor_id) == (alice.chart, by.pk)


def test_reception_notes_what_a_patient_without_account_says(bob: User, reception: User) -> None:
    nora = make_patient()
    care = make_carer(bob, nora)
    share_at_reception(carer=care, relation="partner", may_read_record=True, by=reception, now=NOW)
    assert readers(nora) == {bob.email}
    care.refresh_from_db()
    assert (care.agreed, care.relation) == (Carer.Agreed.RECEPTION, Relation.PARTNER)
    share_at_reception(carer=care, relation="partner", may_read_record=False, by=reception, now=NOW)
    assert readers(nora) == set()
    care.refresh_from_db()
    assert (care.agreed, care.agreed_at) == ("", None)


def test_reception_does_not_agree_for_somebody_with_an_account(
    alice: User, care: Carer, reception: User
) -> None:
    with pytest.raises(PatientAgrees):
        share_at_reception(
            carer=care, relation="other", may_read_record=True, by=reception, now=NOW
        )
    assert readers(alice.chart) == {alice.email}


def test_a_childs_record_is_shared_with_whom_reception_notes_as_guardian(
    bob: User, reception: User
) -> None:
    child = make_patient("Kim Tanaka", birth_date=date(2014, 1, 1))
    care = make_carer(bob, child)  # by reception's code, which asks for no relation
    with pytest.raises(GuardianReads):
        share_as_guardian(carer=care, by=bob, now=NOW)
    with pytest.raises(GuardianReads):
        share_at_reception(
            carer=care, relation="other", may_read_record=True, by=reception, now=NOW
        )
    assert readers(child) == set()
    share_at_reception(carer=care, relation="child", may_read_record=True, by=reception, now=NOW)
    care.refresh_from_db()
    assert care.agreed == Carer.Agreed.MINOR
    assert readers(child) == {bob.email}
    with pytest.raises(GuardianReads):  # taking the relation away takes the right along
        share_at_reception(
            carer=care, relation="other", may_read_record=True, by=reception, now=NOW
        )
    grown = datetime(2033, 1, 1, 15, 0, tzinfo=UTC)
    assert readers(child, grown) == set()
    share_at_reception(carer=care, relation="child", may_read_record=True, by=reception, now=grown)
    assert readers(child, grown) == {bob.email}  # grown up, and agreed anew


@pytest.mark.parametrize(
    ("born", "has_account", "allowed"),
    [
        (date(2020, 2, 29), False, True),
        (date(2008, 11, 4), False, True),  # 18 tomorrow
        (date(2008, 11, 3), False, False),  # 18 today
        (date(1951, 8, 2), False, False),
        (None, False, False),
        (date(2010, 5, 5), True, False),
    ],
)
def test_a_guardian_reads_a_childs_record_and_no_adults(
    bob: User, born: date | None, has_account: bool, allowed: bool
) -> None:
    owner = make_account("kid@example.org") if has_account else None
    chart = Patient.objects.create(
        name="Kim Tanaka", birth_date=born, account=owner, created_at=NOW
    )
    care = make_carer(bob, chart, Relation.CHILD)
    if allowed:
        share_as_guardian(carer=care, by=bob, now=NOW)
    else:
        with pytest.raises(PatientAgrees):
            share_as_guardian(carer=care, by=bob, now=NOW)
    assert (bob.email in readers(chart)) is allowed


def test_a_guardians_right_ends_when_the_child_is_of_age(bob: User) -> None:
    chart = Patient.objects.create(name="Kim Tanaka", birth_date=date(2008, 11, 5), created_at=NOW)
    care = make_carer(bob, chart, Relation.CHILD)
    share_as_guardian(carer=care, by=bob, now=NOW)
    assert readers(chart, datetime(2026, 11, 4, 23, 59, tzinfo=UTC)) == {bob.email}
    assert readers(chart, datetime(2026, 11, 5, 0, 1, tzinfo=UTC)) == set()


def test_the_patient_or_reception_ends_care(
    alice: User, bob: User, care: Carer, reception: User, charlie: User
) -> None:
    for by in (bob, charlie):
        with pytest.raises(NotYourCarer):
            end_carer(carer=care, by=by, now=NOW)
    end_carer(carer=care, by=alice, now=NOW)
    later = NOW + timedelta(seconds=1)
    assert not Patient.objects.in_care_of(bob, later).filter(pk=alice.chart.pk).exists()
    with pytest.raises(NotYourCarer):  # ended already
        end_carer(carer=care, by=alice, now=later)

    other = make_carer(charlie, alice.chart)
    end_carer(carer=other, by=reception, now=NOW)
    assert list(carers_of(alice.chart, later)) == []


def test_staff_who_were_disabled_change_nothing(bob: User) -> None:
    nora = make_patient()
    care = make_carer(bob, nora)
    gone: Any = make_staff("gone@example.org", is_active=False)
    with pytest.raises(NotYourCarer):
        share_at_reception(carer=care, relation="other", may_read_record=True, by=gone, now=NOW)
    with pytest.raises(NotYourCarer):
        end_carer(carer=care, by=gone, now=NOW)
