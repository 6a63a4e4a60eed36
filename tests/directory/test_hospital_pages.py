"""Hospitals page and hospital page: what visitors find, and what they must not see."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from clinic.directory.models import Hospital
from tests.directory.helpers import NOW, make_doctor, make_hospital, make_service

pytestmark = pytest.mark.django_db


def get(address: str, *, status: int = 200, **data: Any) -> str:
    answer = Client().get(address, data)
    assert answer.status_code == status
    return answer.content.decode()


def shown(**query: Any) -> list[str]:
    """Names on the hospitals page, in their order."""
    return re.findall(r'href="/hospitals/[^"/]+/">([^<]+)</a>', get("/hospitals/", **query))


@pytest.fixture
def places(db: None) -> list[Hospital]:
    return [
        make_hospital(name="St. Mary's Clinic", city="Bangor", zip_code="04401"),
        make_hospital(name="Évora Health Center", city="Portland", emergency_care=True),
        make_hospital(name="Prairie Clinic", city="Washington", state="IA", zip_code="52353"),
        make_hospital(name="Washington Hospital", city="Seattle", state="WA", zip_code="98101"),
        make_hospital(name="Closed Clinic", is_listed=False),
    ]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("", ["Prairie Clinic", "St. Mary&#x27;s Clinic", "Évora Health Center",
              "Washington Hospital"]),
        ("evora", ["Évora Health Center"]),
        ("ÉVORA", ["Évora Health Center"]),
        ("st marys", []),
        ("st mary's", ["St. Mary&#x27;s Clinic"]),
        ("04401", ["St. Mary&#x27;s Clinic"]),
        ("clinic maine", ["St. Mary&#x27;s Clinic"]),
        ("bangor, ME", ["St. Mary&#x27;s Clinic"]),
        ("washington", ["Prairie Clinic", "Washington Hospital"]),
        ("Seattle Washington", ["Washington Hospital"]),
        ("nowhere", []),
        ("%", ["Prairie Clinic", "St. Mary&#x27;s Clinic", "Évora Health Center",
               "Washington Hospital"]),
    ],
)  # fmt: skip
def test_hospitals_are_found_by_name_town_state_and_zip(
    places: list[Hospital], words: str, names: list[str]
) -> None:
    assert shown(q=words) == names


def test_filters_for_emergency_care_and_for_bookable_doctors(places: list[Hospital]) -> None:
    assert shown(emergency="1") == ["Évora Health Center"]
    make_doctor(hospital=places[0])
    make_doctor("Waiting Doctor", hospital=places[2], approved=False)
    assert shown(doctors="1") == ["St. Mary&#x27;s Clinic"]
    # Where somebody can be booked comes first, whatever the state.
    assert shown()[:2] == ["St. Mary&#x27;s Clinic", "Prairie Clinic"]


def test_an_empty_result_says_what_to_do(places: list[Hospital]) -> None:
    page = get("/hospitals/", q="nowhere")
    assert "No hospital found" in page
    assert "search by town or state" in page
    assert '<a class="govuk-button" href="/hospitals/">' in page


def test_a_long_list_is_paged_and_odd_pages_are_answered() -> None:
    for _ in range(30):
        make_hospital()
    assert len(shown()) == 25
    assert len(shown(page="2")) == 5
    for odd in ("99", "0", "-1", "x", "1" * 400):
        assert get("/hospitals/", page=odd)


def test_a_hospital_page_says_what_patients_ask() -> None:
    hospital = make_hospital(
        name="Harbor Clinic", kind="Clinic", emergency_care=True, rating=4, cms_id="200001"
    )
    doctor = make_doctor("Amara Okafor", hospital=hospital, accepts_new=False)
    make_service(doctor, hospital, name="Video visit", visit="video", minutes=20, price_cents=None)
    page = get(f"/hospitals/{hospital.slug}/")
    for text in (
        "Harbor Clinic", "14 Lantern Street, Portland, ME 04101", "(207) 555-0142",
        'href="tel:+12075550142"', "Eastern Time", "Emergency care", "4 of 5 stars",
        "CMS overall rating", "Dr. Amara Okafor", "Cardiology", "No new patients",
        "New patient visit", "45 minutes", "$240", "Video visit", "Ask the clinic",
        f'href="/doctors/{doctor.slug}/"',
    ):  # fmt: skip
        assert text in page, text
    assert f"<title>{hospital.name}, Portland, ME" in page


def test_only_approved_doctors_and_active_services_are_on_a_hospital_page() -> None:
    hospital = make_hospital()
    make_doctor("Waiting Doctor", hospital=hospital, approved=False)
    make_doctor("Withdrawn Doctor", hospital=hospital, withdrawn_at=NOW)
    public = make_doctor("Public Doctor", hospital=hospital)
    make_service(public, hospital, name="Retired service", is_active=False)
    make_service(public, make_hospital(), name="Elsewhere service")
    page = get(f"/hospitals/{hospital.slug}/")
    assert "Public Doctor" in page
    for hidden in ("Waiting", "Withdrawn", "Retired service", "Elsewhere service"):
        assert hidden not in page


def test_without_doctors_the_page_offers_the_next_step() -> None:
    page = get(f"/hospitals/{make_hospital().slug}/")
    assert "Call (207) 555-0142" in page
    assert "Doctors near Portland" in page


def test_unknown_and_unlisted_hospitals_are_not_found() -> None:
    get("/hospitals/nowhere/", status=404)
    get(f"/hospitals/{make_hospital(is_listed=False).slug}/", status=404)


def test_writing_methods_are_refused() -> None:
    hospital = make_hospital()
    assert Client().post("/hospitals/").status_code == 405
    assert Client().post(f"/hospitals/{hospital.slug}/").status_code == 405


def test_s27_names_cannot_leave_the_structured_data_or_the_markup() -> None:
    evil = "</script><script>alert(1)</script>\"'&<b>"
    hospital = make_hospital(name=evil, city="<i>Town</i>", rating=None)
    doctor = make_doctor(evil, hospital=hospital)
    make_service(doctor, hospital, name=evil)
    for page in (get(f"/hospitals/{hospital.slug}/"), get("/hospitals/", q=evil)):
        assert "<script>alert" not in page
        assert "<b>" not in page and "<i>Town" not in page
    page = get(f"/hospitals/{hospital.slug}/")
    found = re.search(r'<script type="application/ld\+json">(.*?)</script>', page, re.S)
    assert found is not None
    data = json.loads(found.group(1))
    assert (data["@type"], data["name"]) == ("MedicalClinic", evil)
    assert data["address"]["postalCode"] == "04101"
    assert data["url"].endswith(f"/hospitals/{hospital.slug}/")


def queries(address: str) -> int:
    Client().get(address)  # what is asked once per process
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert Client().get(address).status_code == 200
    assert not [q for q in captured if not q["sql"].lstrip().upper().startswith("SELECT")]
    return len(captured)


def test_the_number_of_queries_does_not_grow() -> None:
    hospital = make_hospital()
    make_doctor(hospital=hospital)
    few = queries("/hospitals/"), queries(f"/hospitals/{hospital.slug}/")
    for number in range(19):
        make_doctor(f"Doctor {number}", hospital=hospital)
        make_hospital()
    assert (queries("/hospitals/"), queries(f"/hospitals/{hospital.slug}/")) == few
    assert few[0] <= 4 and few[1] <= 6
