"""Whom an account may act for: people in care, and charts joined by reception's codes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection, models
from django.test import override_settings

from accounts import people
from accounts.audit import verify_chain
from accounts.carers import end_carer, set_rights
from accounts.models import AuditEvent, Carer, LinkCode, Patient, Relation, Role, User
from appointments.models import Appointment
from chat.models import Conversation
from records.models import Document, Note
from tests.cast import make_account, make_carer, make_patient, make_patient_user, make_staff

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)

pytestmark = pytest.mark.django_db


def give(patient: Patient, purpose: str = "self", now: datetime = NOW, **who: Any) -> str:
    by = User.objects.filter(role=Role.RECEPTION).first() or make_staff(**who)
    return people.issue_link_code(patient=patient, purpose=purpose, by=by, now=now)


def actions(patient: Patient | None = None, actor: User | None = None) -> list[str]:
    events = AuditEvent.objects.order_by("pk")
    if patient is not None:
        events = events.filter(patient=patient)
    if actor is not None:
        events = events.filter(actor_id=actor.pk)
    return list(events.values_list("action", flat=True))


# --- People in care -----------------------------------------------------------------------------
def test_a_child_in_care_gets_a_new_chart_that_its_carer_may_act_for(alice: User) -> None:
    existing = make_patient("Mia Moreau", birth_date=date(2019, 5, 4))
    child = people.add_person_in_care(
        by=alice, name="Mia Moreau", birth_date=date(2019, 5, 4), relation="child", now=NOW
    )
    assert child != existing
    assert child.account is None
    mine = Patient.objects.in_care_of(alice, NOW)
    assert set(mine) == {alice.chart, child}
    assert actions(child) == ["care.begun"]
    assert verify_chain(child) == []
    assert actions(existing) == []


def test_the_same_form_sent_twice_adds_one_person(alice: User) -> None:
    facts: dict[str, Any] = {
        "by": alice,
        "name": "Mia Moreau",
        "birth_date": date(2019, 5, 4),
        "relation": "child",
    }
    people.add_person_in_care(**facts, now=NOW)
    with pytest.raises(people.AlreadyInCare):
        people.add_person_in_care(**facts, now=LATER)
    assert Carer.objects.filter(user=alice).count() == 1
    assert Patient.objects.count() == 2
    assert actions(actor=alice) == ["care.begun", "care.begun.refused"]


def test_a_list_has_a_limit(alice: User) -> None:
    for number in range(people.PEOPLE_PER_ACCOUNT):
        make_carer(alice, make_patient(f"Person {number}"))
    with pytest.raises(people.TooManyPeople):
        people.add_person_in_care(
            by=alice, name="One More", birth_date=date(2000, 1, 1), relation="other", now=NOW
        )
    assert not Patient.objects.filter(name="One More").exists()


def test_care_ends_at_once_and_the_chart_stays(bob: User, alice: User) -> None:
    assert alice.chart in Patient.objects.in_care_of(bob, NOW)
    people.end_care(by=bob, patient=alice.chart, now=NOW)
    assert alice.chart not in Patient.objects.in_care_of(bob, NOW)
    assert Patient.objects.filter(pk=alice.chart.pk).exists()
    assert actions(alice.chart) == ["care.ended"]


def test_nobody_ends_the_care_of_others(bob: User, alice: User, charlie: User) -> None:
    with pytest.raises(people.NotInCare):
        people.end_care(by=charlie, patient=alice.chart, now=NOW)
    assert alice.chart in Patient.objects.in_care_of(bob, NOW)
    assert actions(alice.chart) == ["care.ended.refused"]


# --- Giving codes -------------------------------------------------------------------------------
def test_a_code_is_readable_and_only_its_keyed_hash_is_stored() -> None:
    code = give(make_patient())
    assert len(code) == 10
    assert not set(code) & set("0O1IL5S8B")
    stored = LinkCode.objects.get()
    assert code not in stored.code_hash
    assert stored.expires_at == NOW + timedelta(days=14)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_linkcode")
        assert code not in repr(cursor.fetchall())
    assert not AuditEvent.objects.filter(detail__contains=code).exists()


@pytest.mark.parametrize(
    ("role", "is_staff", "is_active"),
    [
        (Role.PATIENT, False, True),
        (Role.DOCTOR, True, True),
        (Role.DIRECTORY, True, True),
        (Role.RECEPTION, False, True),
        (Role.RECEPTION, True, False),
    ],
)
def test_only_reception_gives_codes(role: Role, is_staff: bool, is_active: bool) -> None:
    by = make_account("somebody@example.org", role=role, is_staff=is_staff, is_active=is_active)
    patient = make_patient()
    with pytest.raises(people.MayNotGiveCodes):
        people.issue_link_code(patient=patient, purpose="self", by=by, now=NOW)
    assert not LinkCode.objects.exists()
    assert actions(patient) == ["link_code.given.refused"]


def test_a_new_code_ends_the_earlier_one_for_the_same_purpose(charlie: User) -> None:
    patient = make_patient()
    first, for_carer, second = give(patient), give(patient, "carer"), give(patient)
    with pytest.raises(people.UnknownCode):
        people.redeem_link_code(code=first, by=charlie, now=NOW)
    people.redeem_link_code(code=for_carer, by=charlie, now=NOW)
    people.redeem_link_code(code=second, by=charlie, now=NOW)


def test_a_chart_with_an_account_gets_no_code_for_another_account(alice: User) -> None:
    with pytest.raises(people.ChartHasAccount):
        give(alice.chart)
    assert give(alice.chart, "carer")


# --- Using codes --------------------------------------------------------------------------------
def test_the_patients_own_code_makes_the_chart_the_accounts_own(charlie: User) -> None:
    patient, empty = make_patient("Charlie R."), charlie.chart
    code = give(patient)
    typed = f" {code[:5].lower()}-{code[5:]} "
    assert people.redeem_link_code(code=typed, by=charlie, now=NOW) == patient
    charlie.refresh_from_db()
    patient.refresh_from_db()
    empty.refresh_from_db()
    assert charlie.chart == patient
    assert (empty.account, empty.replaced_by) == (None, patient)
    assert empty not in Patient.objects.current()
    assert list(Patient.objects.in_care_of(charlie, NOW)) == [patient]
    assert actions(patient) == ["link_code.given", "chart.linked"]
    assert actions(empty) == ["chart.set_aside"]
    assert verify_chain(patient) == verify_chain(empty) == []


def test_an_account_without_a_chart_can_be_joined_to_one() -> None:
    doctor = make_account("okafor@example.org", role=Role.DOCTOR)
    patient = make_patient("Amara Okafor")
    people.redeem_link_code(code=give(patient), by=doctor, now=NOW)
    patient.refresh_from_db()
    assert patient.account == doctor


def test_a_carers_code_lets_the_carer_act_and_leaves_the_chart_alone(charlie: User) -> None:
    patient = make_patient()
    people.redeem_link_code(code=give(patient, "carer"), by=charlie, now=NOW)
    patient.refresh_from_db()
    assert patient.account is None
    assert set(Patient.objects.in_care_of(charlie, NOW)) == {charlie.chart, patient}


def test_care_that_ended_begins_again_with_a_new_code(bob: User, alice: User) -> None:
    people.end_care(by=bob, patient=alice.chart, now=NOW)
    people.redeem_link_code(code=give(alice.chart, "carer"), by=bob, now=LATER)
    assert alice.chart in Patient.objects.in_care_of(bob, LATER)
    assert Carer.objects.filter(user=bob).count() == 1


def test_a_code_gives_no_right_back_that_the_patient_took(bob: User, alice: User) -> None:
    care = Carer.objects.get(user=bob, patient=alice.chart)
    set_rights(carer=care, may_message=True, may_read_record=True, by=alice, now=NOW)
    end_carer(carer=care, by=alice, now=NOW)
    people.redeem_link_code(code=give(alice.chart, "carer"), by=bob, now=LATER)
    assert alice.chart in Patient.objects.in_care_of(bob, LATER)
    assert alice.chart not in Patient.objects.record_of(bob, LATER)
    care.refresh_from_db()
    assert (care.may_message, care.agreed, care.agreed_at) == (True, "", None)


def test_a_carer_who_turns_out_to_be_the_patient_keeps_one_right(charlie: User) -> None:
    patient = make_patient()
    make_carer(charlie, patient)
    people.redeem_link_code(code=give(patient), by=charlie, now=NOW)
    assert list(Patient.objects.in_care_of(charlie, LATER)) == [patient]
    assert not Carer.objects.running(LATER).filter(user=charlie).exists()


def test_a_code_works_once(charlie: User, bob: User) -> None:
    patient = make_patient()
    code = give(patient, "carer")
    people.redeem_link_code(code=code, by=charlie, now=NOW)
    with pytest.raises(people.UnknownCode):
        people.redeem_link_code(code=code, by=bob, now=NOW)
    assert patient not in Patient.objects.in_care_of(bob, NOW)


def test_a_code_lives_14_days(charlie: User) -> None:
    patient = make_patient()
    code = give(patient, "carer")
    with pytest.raises(people.UnknownCode):
        people.redeem_link_code(code=code, by=charlie, now=NOW + timedelta(days=14))
    assert patient not in Patient.objects.in_care_of(charlie, NOW)
    people.redeem_link_code(
        code=code, by=charlie, now=NOW + timedelta(days=14) - timedelta(seconds=1)
    )


def test_a_chart_in_use_is_not_swapped_away(bob: User, alice: User) -> None:
    """Bob cares for Alice's new chart: joining her to an older one would take it from him."""
    older = make_patient("Alice M.")
    code = give(older)
    with pytest.raises(people.ChartsNeedMerging):
        people.redeem_link_code(code=code, by=alice, now=NOW)
    alice.refresh_from_db()
    older.refresh_from_db()
    assert alice.chart.name == "Alice Moreau"
    assert older.account is None
    assert LinkCode.objects.get().used_at is None
    assert actions(older) == ["link_code.given", "chart.linked.refused"]


def test_a_chart_with_the_patients_own_document_is_not_swapped_away(charlie: User) -> None:
    """What a patient sends in needs no visit, and must not end in nobody's record."""
    own = charlie.chart
    letter = Document.objects.create(
        patient=own,
        title="Letter",
        name="letter.pdf",
        content_type="application/pdf",
        size=1,
        sha256="0" * 64,
        stored_as="aa/x",
        by_patient=True,
        recorded_by=charlie,
        recorded_at=NOW,
        kept_at=NOW,
    )
    with pytest.raises(people.ChartsNeedMerging):
        people.redeem_link_code(code=give(make_patient("Charlie R.")), by=charlie, now=NOW)
    assert letter in Document.objects.visible_to(charlie, NOW)


def test_every_table_that_refers_to_charts_makes_one_in_use(alice: User) -> None:
    """Also of a later app: all are found, those without a name for the way back included."""
    assert not people.in_use(alice.chart)
    expected = {
        (model, field.name)
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.get_fields()
        if isinstance(field, models.ForeignKey) and field.related_model is Patient
    }
    assert set(people.referring()) == expected
    assert {Appointment, Carer, Conversation, Document, Note} <= {model for model, _ in expected}


def test_a_code_for_ones_own_chart_as_carer_is_refused(alice: User) -> None:
    with pytest.raises(people.OwnChart):
        people.redeem_link_code(code=give(alice.chart, "carer"), by=alice, now=NOW)
    assert not Carer.objects.exists()


def test_two_accounts_never_own_one_chart(charlie: User, bob: User) -> None:
    patient = make_patient()
    code = give(patient)
    patient.account = make_account("owner@example.org")
    patient.save(update_fields=["account"])
    with pytest.raises(people.ChartHasAccount):
        people.redeem_link_code(code=code, by=charlie, now=NOW)
    charlie.refresh_from_db()
    assert charlie.chart.name == "Charlie Roux"


def test_after_five_wrong_codes_the_right_one_waits_15_minutes(charlie: User) -> None:
    patient = make_patient()
    code = give(patient, "carer")
    for _attempt in range(settings.LINK_CODE_ATTEMPTS):
        with pytest.raises(people.UnknownCode):
            people.redeem_link_code(code="ACDEFGHJKM", by=charlie, now=NOW)
    with pytest.raises(people.TooManyAttempts):
        people.redeem_link_code(code=code, by=charlie, now=NOW + timedelta(minutes=14))
    assert patient not in Patient.objects.in_care_of(charlie, NOW)
    assert actions(actor=charlie) == ["chart.linked.refused"] * 6
    other = make_patient_user("other@example.org")
    with pytest.raises(people.UnknownCode):  # the limit is per account
        people.redeem_link_code(code="ACDEFGHJKM", by=other, now=NOW)
    people.redeem_link_code(code=code, by=charlie, now=NOW + timedelta(minutes=30))


def test_codes_survive_a_new_secret_key_while_the_old_one_is_a_fallback(charlie: User) -> None:
    patient = make_patient()
    code = give(patient, "carer")
    old = settings.SECRET_KEY
    with (
        override_settings(SECRET_KEY="another-key" * 5, SECRET_KEY_FALLBACKS=[]),
        pytest.raises(people.UnknownCode),
    ):
        people.redeem_link_code(code=code, by=charlie, now=NOW)
    with override_settings(SECRET_KEY="another-key" * 5, SECRET_KEY_FALLBACKS=[old]):
        people.redeem_link_code(code=code, by=charlie, now=NOW)
    assert patient in Patient.objects.in_care_of(charlie, NOW)


# --- The profile --------------------------------------------------------------------------------
def test_a_changed_name_reaches_the_own_chart_until_reception_wrote_it(alice: User) -> None:
    facts = {"phone": "", "time_zone": "", "language": "en"}
    people.update_profile(user=alice, name="Alice Moreau-Lind", **facts, now=NOW)
    alice.chart.refresh_from_db()
    assert alice.chart.name == "Alice Moreau-Lind"
    Patient.objects.filter(pk=alice.chart.pk).update(name="A. Moreau")
    people.update_profile(user=alice, name="Ally", **facts, now=NOW)
    alice.chart.refresh_from_db()
    assert (alice.name, alice.chart.name) == ("Ally", "A. Moreau")
    assert actions(alice.chart) == ["profile.changed", "profile.changed"]


def test_relations_have_a_word_each() -> None:
    assert len({str(relation.label) for relation in Relation}) == len(Relation)
