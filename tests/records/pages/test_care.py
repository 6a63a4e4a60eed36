"""Emergency access and referrals on their pages; the rules have tests of their own."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from accounts.models import Patient
from appointments.models import CareRelation, Referral
from tests.cast import make_patient, make_patient_user, make_staff, signed_in
from tests.records.pages.ward import Ward

pytestmark = pytest.mark.django_db

EMERGENCY = "/admin/charts/emergency/"
WHO = {"birth_date_month": "6", "birth_date_day": "14", "birth_date_year": "1990"}
WHY = "Found unconscious in the hall"


def zoe() -> Patient:
    return make_patient("Zoe Roux", birth_date=date(1990, 6, 14))


def ask(ward: Ward, **fields: Any) -> Any:
    return ward.client.post(EMERGENCY, {"name": "Zoe Roux", "reason": WHY, **WHO} | fields)


def test_s23_a_record_is_opened_in_an_emergency_with_a_reason(ward: Ward) -> None:
    patient = zoe()
    path = f"/admin/charts/{patient.public_id}/"
    assert ward.client.get(path).status_code == 404
    answer = ask(ward)
    assert answer.headers["Location"] == path
    assert ward.client.get(path).status_code == 200
    assert "Emergency access until 11:00 am" in ward.client.get("/admin/charts/").content.decode()
    assert CareRelation.objects.get(patient=patient).reason == WHY


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"reason": ""}, 422, "Type why you need the record now."),
        ({"reason": "urgent"}, 422, "in at least 10 characters"),
        ({"name": "Zoe"}, 422, "Nobody has exactly this name"),
        ({"birth_date_year": "1991"}, 422, "Nobody has exactly this name"),
        ({"birth_date_year": ""}, 422, "The date must also have a year."),
    ],
)
def test_s23_without_a_reason_or_the_exact_name_nothing_is_opened(
    ward: Ward, fields: dict[str, str], status: int, sentence: str
) -> None:
    patient = zoe()
    answer = ask(ward, **fields)
    assert answer.status_code == status
    assert sentence in answer.content.decode()
    assert not CareRelation.objects.filter(patient=patient).exists()


def test_s23_searching_again_and_again_ends_in_a_sentence(ward: Ward) -> None:
    zoe()
    answers = [ask(ward, name=f"Zoe {number}") for number in range(11)]
    assert [answer.status_code for answer in answers] == [422] * 10 + [429]
    assert "You have searched too often." in answers[-1].content.decode()


def test_an_own_patient_is_opened_as_ever(ward: Ward) -> None:
    answer = ask(
        ward, name="Nora Ames", birth_date_month="8", birth_date_day="2", birth_date_year="1951"
    )
    assert answer.headers["Location"] == ward.address("chart")
    assert not CareRelation.objects.filter(why="emergency").exists()


def test_emergency_access_is_for_doctors_only(ward: Ward) -> None:
    reception = signed_in(make_staff())
    assert reception.get(EMERGENCY).status_code == 404
    assert reception.post(EMERGENCY, {"name": "Zoe Roux", "reason": WHY, **WHO}).status_code == 404


# --- Referrals ----------------------------------------------------------------------------------
@pytest.fixture
def known(ward: Ward) -> Ward:
    """The patient has an account that can answer."""
    user = make_patient_user("nora@example.org", name="Nora Moreau")
    user.chart.delete()
    ward.patient.account = user
    ward.patient.save(update_fields=["account"])
    return ward


def refer(ward: Ward, **fields: Any) -> Any:
    sent = {"action": "ask", "colleague": "Ito", "to": ward.colleague.doctor.slug,
            "reason": "Second opinion"} | fields  # fmt: skip
    return ward.post("chart_referrals", **sent)


def test_a_colleague_is_found_by_name_and_the_patient_is_asked(known: Ward) -> None:
    page = known.post("chart_referrals", action="find", colleague="ito").content.decode()
    assert "Dr. Ben Ito, MD" in page
    assert refer(known).status_code == 302
    assert Referral.objects.get().answer == "open"
    page = known.get("chart_referrals").content.decode()
    assert "Waiting for the patient" in page
    # Nothing is shown before the patient agreed.
    assert signed_in(known.colleague).get(known.address("chart")).status_code == 404


def test_oneself_and_unknown_doctors_cannot_be_chosen(known: Ward) -> None:
    page = known.post("chart_referrals", action="find", colleague="okafor").content.decode()
    assert "No doctor here has this name." in page
    assert refer(known, to="nobody").status_code == 422
    assert refer(known, to=known.desk.doctor.slug).status_code == 422
    assert refer(known, reason="").status_code == 422
    assert not Referral.objects.exists()


def test_the_question_is_asked_once_and_can_be_withdrawn(known: Ward) -> None:
    refer(known)
    assert refer(known).status_code == 409
    referral = Referral.objects.get()
    assert known.post("chart_referral_withdraw", referral.public_id).status_code == 302
    referral.refresh_from_db()
    assert referral.answer == "withdrawn"
    assert (
        signed_in(known.colleague)
        .post(known.address("chart_referral_withdraw", referral.public_id))
        .status_code
        == 404
    )


def test_a_patient_without_an_account_agrees_in_person(ward: Ward) -> None:
    assert refer(ward).status_code == 422
    assert refer(ward, in_person="on").status_code == 302
    assert signed_in(ward.colleague).get(ward.address("chart")).status_code == 200
