"""The search rule: which doctors are found, in which order, by how many queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from appointments.cards import grid
from appointments.places import Place, find_place
from appointments.search import PER_PAGE, Criteria, Results, find_doctors
from appointments.words import akin, read_query, respell, words_of
from clinic.directory.models import Doctor, Visit
from clinic.directory.text import fold
from tests.appointments import town
from tests.appointments.town import BANGOR, CENTRAL, NOW, PORTLAND, WESTBROOK

pytestmark = pytest.mark.django_db


def search(**criteria: Any) -> Results:
    return find_doctors(Criteria(**criteria), now=NOW)


def names(**criteria: Any) -> list[str]:
    return [found.doctor.name for found in search(**criteria).found]


@pytest.fixture
def cast() -> None:
    heart = town.specialty("Cardiology", "heart\nchest pain\nhigh blood pressure")
    skin = town.specialty("Dermatology", "skin rash\nacne, moles")
    bones = town.specialty("Orthopedic Surgery", "back pain\nknee pain\nbroken bone")
    portland = town.hospital()
    westbrook = town.hospital(
        "Presumpscot Hospital", city="Westbrook", zip_code="04092", at=WESTBROOK
    )
    bangor = town.hospital("Penobscot Clinic", city="Bangor", zip_code="04401", at=BANGOR)
    town.zip_code("04101", PORTLAND)
    town.zip_code("04401", BANGOR)
    town.doctor("Amara Okafor", where=portland, specialties=(heart,), languages=("en", "ig"))
    town.doctor("José Núñez-O'Hara", where=westbrook, specialties=(skin,), languages=("es",))
    town.doctor("Maeve Byrne", where=westbrook, specialties=(bones,), accepts_new=False)
    town.doctor("Lena Kowalski", where=bangor, specialties=(heart,), visit=Visit.VIDEO)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("okafor", ["Amara Okafor"]),
        ("Dr. Okafor", ["Amara Okafor"]),
        ("OKAFOR, Amara MD", ["Amara Okafor"]),
        ("oka", ["Amara Okafor"]),
        ("nunez", ["José Núñez-O'Hara"]),
        ("JOSÉ NÚÑEZ", ["José Núñez-O'Hara"]),
        ("jose o'hara", ["José Núñez-O'Hara"]),
        ("cardiology", ["Amara Okafor", "Lena Kowalski"]),
        ("cardiologist", ["Amara Okafor", "Lena Kowalski"]),
        ("a heart doctor", ["Amara Okafor", "Lena Kowalski"]),
        ("back pain", ["Maeve Byrne"]),
        ("pain in my back", ["Maeve Byrne"]),
        ("skin rash", ["José Núñez-O'Hara"]),
        ("rashes", ["José Núñez-O'Hara"]),
        ("moles", ["José Núñez-O'Hara"]),
        ("chest pain", ["Amara Okafor", "Lena Kowalski"]),
        ("orthopedic surgeon", ["Maeve Byrne"]),
        ("cardiology okafor", ["Amara Okafor"]),
        ("okafor heart", ["Amara Okafor"]),
        ("okafor skin", []),
        ("zzzz", []),
        ("😀", []),
    ],
)
def test_names_specialties_and_everyday_words_find_doctors(
    cast: None, query: str, found: list[str]
) -> None:
    assert names(q=query) == found


@pytest.mark.parametrize(
    ("query", "meant", "found"),
    [
        ("okafro", "okafor", ["Amara Okafor"]),
        ("ocafor", "okafor", ["Amara Okafor"]),
        ("kowalsky", "kowalski", ["Lena Kowalski"]),
        ("cadriology", "cardiology", ["Amara Okafor", "Lena Kowalski"]),
        ("akne", "acne", ["José Núñez-O'Hara"]),
        ("cardiology ocafor", "cardiology okafor", ["Amara Okafor"]),
    ],
)
def test_a_small_typing_error_is_put_right_and_said(
    cast: None, query: str, meant: str, found: list[str]
) -> None:
    results = search(q=query)
    assert [item.doctor.name for item in results.found] == found
    assert results.respelled == meant


def test_what_is_spelled_right_is_never_respelled(cast: None) -> None:
    town.doctor("Amara Okafar", where=town.hospital("Other"))
    results = search(q="okafor")
    assert [item.doctor.name for item in results.found] == ["Amara Okafor"]
    assert results.respelled == ""


def test_a_name_that_only_a_filter_hides_is_not_respelled(cast: None) -> None:
    results = search(q="okafor", language="es")
    assert (results.total, results.respelled, results.words_known) == (0, "", True)


def test_short_words_and_distant_words_are_not_respelled() -> None:
    known = {"ann": 1, "okafor": 1, "smith": 1}
    assert respell(words_of("amn"), known, set()) is None
    assert respell(words_of("smathe"), known, set()) == (("smith",),)
    assert respell(words_of("xyzzy"), known, {"cardiology"}) is None
    assert respell(words_of("okafro smi"), known, set()) == (("okafor",), ("smi",))


def test_words_of_one_stem_are_akin_and_others_are_not() -> None:
    assert akin("cardiologist", "cardiology") and akin("rash", "rashes") and akin("knee", "knees")
    assert akin("surgeon", "surgery") and akin("pediatrician", "pediatrics")
    assert not akin("psychology", "psychiatry") and not akin("neurology", "neurosurgery")
    assert not akin("back", "bad") and not akin("ear", "earth")


def test_a_query_of_fillers_alone_is_taken_as_a_name() -> None:
    town.doctor("Minh Do", where=town.hospital())
    town.doctor("Eva Lind", where=town.hospital("B"))
    assert names(q="Dr. Do") == ["Minh Do"]
    assert names(q="doctor") == ["Eva Lind", "Minh Do"]


def test_only_public_doctors_are_found(cast: None) -> None:
    portland = town.hospital("Third")
    town.doctor("Wanda Waiting", where=portland, verified_at=None)
    town.doctor("Walter Withdrawn", where=portland, withdrawn_at=NOW)
    everybody = names() + names(place="04101") + names(q="Wanda") + names(q="Walter Withdrawn")
    assert not {"Wanda Waiting", "Walter Withdrawn"} & set(everybody)
    assert search(q="wamda").respelled == ""  # the second chance does not tell their names either


def test_a_doctor_is_found_by_the_first_search_after_the_approval(cast: None) -> None:
    new = town.doctor("Wanda Waiting", where=town.hospital("Third"), verified_at=None)
    assert names(q="wanda") == [] and names(q="wamda") == []
    Doctor.objects.filter(pk=new.pk).update(verified_at=NOW)
    assert names(q="wanda") == ["Wanda Waiting"] and names(q="wandda") == ["Wanda Waiting"]


def test_nearer_doctors_come_first_and_distances_are_right(cast: None) -> None:
    results = search(place="Portland")
    assert [item.doctor.name for item in results.found] == [
        "Amara Okafor",
        "José Núñez-O'Hara",
        "Maeve Byrne",
    ]
    assert [round(item.miles or 0.0, 1) for item in results.found] == [0.0, 5.2, 5.2]
    assert names(place="Westbrook")[-1] == "Amara Okafor"
    assert names(place="Portland", within=100) == names(
        place="Portland"
    )  # Bangor is 108 miles away


def test_distances_agree_with_published_ones() -> None:
    new_york = Place("New York", 40.7128, -74.0060)
    assert new_york.miles_to(34.0522, -118.2437) == pytest.approx(2446, rel=0.003)  # Los Angeles
    assert new_york.miles_to(None, -118.2437) is None


@pytest.mark.parametrize(
    "typed",
    [
        "04101",
        "4101",
        " 04101-2345 ",
        "041012345",
        "Portland",
        "portland me",
        "Portland, ME 04101",
        "PORTLAND, Maine",
    ],
)
def test_a_place_is_understood_however_it_is_typed(cast: None, typed: str) -> None:
    place = find_place(typed)
    assert place is not None and place.exact
    assert (place.latitude, place.longitude) == pytest.approx(PORTLAND)


@pytest.mark.parametrize("typed", ["Portlnad", "Prtland, ME", "portlandd"])
def test_a_misspelled_town_is_understood_and_not_called_exact(cast: None, typed: str) -> None:
    place = find_place(typed)
    assert place is not None
    assert (place.label, place.exact) == ("Portland, ME", False)


def test_an_unlisted_zip_code_stands_for_its_neighbor(cast: None) -> None:
    place = find_place("04104")
    assert place is not None and (place.label, place.exact) == ("04101", False)


@pytest.mark.parametrize("typed", ["Atlantis", "99999", "??", "12", "Portland, TX", "\x00", "%"])
def test_an_unknown_place_is_unknown_and_doctors_everywhere_are_shown(
    cast: None, typed: str
) -> None:
    assert find_place(typed) is None
    results = search(place=typed)
    assert (results.total, results.unknown) == (4, {"place"})


def test_a_state_narrows_without_distances(cast: None) -> None:
    town.doctor(
        "Tess Hill", where=town.hospital("Hill", city="Austin", state="TX", at=(30.3, -97.7))
    )
    assert names(place="Texas") == ["Tess Hill"]
    assert search(place="TX").found[0].miles is None


def test_the_bigger_of_two_towns_is_meant_and_the_other_is_named(cast: None) -> None:
    town.hospital("Rose City", city="Portland", state="OR", zip_code="97201", at=(45.5, -122.7))
    place = find_place("portland")
    assert place is not None and (place.label, place.others) == ("Portland, ME", ("Portland, OR",))
    other = find_place("Portland OR")
    assert other is not None and other.label == "Portland, OR"


def test_a_town_without_coordinates_stands_at_its_zip_code() -> None:
    town.zip_code("04101", PORTLAND)
    town.hospital(at=None)
    place = find_place("Portland")
    assert place is not None and (place.latitude, place.longitude) == PORTLAND


def test_a_new_town_is_found_at_once_and_a_removed_one_is_forgotten(cast: None) -> None:
    assert find_place("Bangor") is not None and find_place("Machias") is None
    town.hospital("Downeast", city="Machias", zip_code="04654", at=(44.7, -67.5))
    assert find_place("Machias") is not None
    cache.clear()
    Doctor.objects.filter(name="Lena Kowalski").delete()
    assert find_place("Machias") is not None


def test_filters_narrow(cast: None) -> None:
    assert names(language="ig") == ["Amara Okafor"]
    assert names(visit="video") == ["Lena Kowalski"]
    assert "Maeve Byrne" not in names(new=True) and len(names(new=True)) == 3
    assert names(specialty="dermatology") == ["José Núñez-O'Hara"]
    assert names(hospital="penobscot-clinic") == ["Lena Kowalski"]
    assert search(specialty="astrology").unknown == {"specialty"}
    assert search(hospital="nowhere").unknown == {"hospital"}


def test_a_card_shows_the_service_that_fits_the_filters() -> None:
    near, far = town.hospital("Near"), town.hospital("Far", at=WESTBROOK, zone=CENTRAL)
    okafor = town.doctor(where=far)
    town.works(okafor, near)
    here = town.service(okafor, near, position=5)
    video = town.service(okafor, near, visit=Visit.VIDEO, position=9)
    town.zip_code("04101", PORTLAND)
    assert search(place="04101").found[0].service == here
    assert search(visit="video").found[0].service == video
    assert search(hospital="far").found[0].service == okafor.services.get(hospital=far)
    assert search().found[0].other_hospitals == 1


def test_a_service_without_opening_hours_is_the_last_choice() -> None:
    near, far = town.hospital("Near"), town.hospital("Far", at=WESTBROOK)
    okafor = town.doctor(where=far)
    town.service(okafor, near, position=0)
    town.zip_code("04101", PORTLAND)
    item = search(place="04101").found[0]
    assert item.service is not None and item.service.hospital == far and item.times


def test_times_start_on_the_day_asked_for(cast: None) -> None:
    day = date(2026, 11, 20)
    for item in search(date=day).found:
        assert item.times[0].date() == day
    assert search(date=NOW.date() - timedelta(days=1)).found[0].times[0] > NOW


def test_the_grid_has_four_days_from_the_first_free_one_and_three_times_a_day() -> None:
    town.doctor(where=town.hospital(), open_days=range(4, 5))  # Fridays
    item = search().found[0]
    days = grid(item.times, town.EASTERN)
    assert [day.date for day in days] == [date(2026, 11, day) for day in (6, 7, 8, 9)]
    assert [len(day.times) for day in days] == [3, 0, 0, 0]
    assert days[0].times[0] == item.times[0] and days[0].times[-1] == item.times[-1]
    assert days[0].count == len(item.times) == 31
    assert grid([], town.EASTERN) == []


def test_results_come_in_pages_without_repetition_or_gap() -> None:
    where = town.hospital()
    everybody = [town.doctor(f"Pat Number{index:02}", where=where).pk for index in range(45)]
    pages = [search(page=page) for page in (1, 2, 3)]
    assert [len(page.found) for page in pages] == [PER_PAGE, PER_PAGE, 5]
    assert [item.doctor.pk for page in pages for item in page.found] == everybody
    beyond = search(page=4)
    assert (beyond.page_exists, beyond.found, beyond.total) == (False, [], 45)
    assert not search(page=0).page_exists


@pytest.mark.parametrize(
    "criteria",
    [
        {},
        {"q": "cardiology okafor"},
        {"place": "04101"},
        {"place": "04101", "q": "pat", "visit": "in_person", "language": "en", "new": True},
    ],
)
def test_the_number_of_queries_is_the_same_for_1_and_20_doctors_and_at_most_12(
    criteria: dict[str, Any],
) -> None:
    heart = town.specialty("Cardiology")
    where = town.hospital()
    town.zip_code("04101", PORTLAND)
    town.doctor("Pat Okafor", where=where, specialties=(heart,))

    def cold_and_warm() -> tuple[int, int]:
        cache.clear()
        counts = []
        for _ in range(2):
            with CaptureQueriesContext(connection) as queries:
                assert search(**criteria).total
            counts.append(len(queries))
        return counts[0], counts[1]

    one = cold_and_warm()
    for index in range(19):
        town.doctor(
            f"Pat{index} Okafor", where=where, specialties=(heart,), languages=("en", "fr", "es")
        )
    assert len(search(**criteria).found) == 20
    assert cold_and_warm() == one
    assert one[0] <= 12 and one[1] < one[0]


def test_an_empty_result_names_the_changes_that_would_find_somebody(cast: None) -> None:
    results = search(q="cardiology", place="Bangor", visit="in_person")
    ways = {way.what: way.count for way in results.ways_on}
    assert results.total == 0
    assert ways["video"] == 1 and ways["visit"] == 1 and ways["place"] == 1
    for way in results.ways_on:
        assert find_doctors(way.criteria, now=NOW).total == way.count
    assert results.nearest_phone is not None and results.nearest_phone.city == "Bangor"


def test_a_wider_area_is_offered_when_it_finds_somebody(cast: None) -> None:
    results = search(place="Portland", q="kowalski", visit="in_person", within=10)
    assert "within" not in {way.what for way in results.ways_on}  # Bangor is beyond 100 miles
    results = search(q="orthopedic", place="Portland", within=10)
    assert results.total == 1
    augusta = town.hospital("Capitol Clinic", city="Augusta", zip_code="04330", at=(44.31, -69.78))
    town.doctor("Gus Tyler", where=augusta)
    ways = {way.what: way.count for way in search(q="tyler", place="Portland").ways_on}
    assert ways["within"] == 1


def test_when_several_filters_are_to_blame_all_are_given_up(cast: None) -> None:
    results = search(q="okafor", language="es", visit="video", place="Bangor")
    assert [way.what for way in results.ways_on] == ["everything"]


def test_words_are_bounded() -> None:
    assert len(words_of("x " * 50_000 + " ".join(f"w{i}" for i in range(100)))) <= 8
    assert read_query((), ()).specialties == frozenset()


def test_criteria_are_compared_by_value() -> None:
    assert replace(Criteria(q="a"), q="") == Criteria()


@pytest.mark.parametrize("make", [lambda text: text, str.upper, lambda text: f"  {text}  "])
def test_folding_makes_spellings_equal(make: Callable[[str], str]) -> None:
    assert fold(make("Núñez-O'Hara")) == "nunez o hara"
