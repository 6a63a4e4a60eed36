"""The public pages for finding a doctor, as a browser without JavaScript gets them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.context import sample_data_label
from accounts.models import User
from appointments.booking import book, cancel
from clinic.directory.models import Doctor, Visit
from tests.appointments import town
from tests.appointments.town import CENTRAL, NOW, PORTLAND, WESTBROOK
from tests.cast import signed_in

pytestmark = pytest.mark.django_db

DST_ENDS = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)  # the evening before, 10 pm in New York


class Page(HTMLParser):
    """What a page says: its links, times, headings and visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[dict[str, str]] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._hidden = 0
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = {name: value or "" for name, value in attrs}
        self.tags.append((tag, facts))
        if tag == "a":
            self.links.append(facts)
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def times(self) -> list[dict[str, str]]:
        return [link for link in self.links if link.get("class") == "time"]


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    sample_data_label.shown()  # asked once a process, not by these pages
    with time_machine.travel(NOW, tick=False):
        yield


def get(path: str, status: int = 200, client: Client | None = None) -> Page:
    answer = (client or Client()).get(path)
    assert answer.status_code == status, answer.content.decode()[:2000]
    return Page(answer.content.decode())


def moments(page: Page) -> list[str]:
    return [parse_qs(urlsplit(link["href"]).query)["at"][0] for link in page.times]


# --- Home -----------------------------------------------------------------------------------


def test_home_has_one_form_and_an_empty_submit_shows_doctors() -> None:
    town.doctor(where=town.hospital(), specialties=(town.specialty("Cardiology"),))
    page = get("/")
    assert [facts["action"] for tag, facts in page.tags if tag == "form"] == ["/doctors/"]
    assert "/doctors/?specialty=cardiology" in [link["href"] for link in page.links]
    assert "Dr. Amara Okafor" in get("/doctors/?q=&place=").text


def test_home_names_no_specialty_without_a_public_doctor() -> None:
    town.doctor(specialties=(town.specialty("Cardiology"),), verified_at=None)
    assert "Cardiology" not in get("/").text


@pytest.mark.parametrize("path", ["/", "/doctors/", "/doctors/?q=okafor&place=04101"])
def test_visitors_get_no_cookie_and_nothing_is_written(path: str) -> None:
    town.doctor(where=town.hospital())
    with CaptureQueriesContext(connection) as queries:
        answer = Client().get(path)
    assert not answer.cookies
    verbs = {query["sql"].split()[0].upper() for query in queries.captured_queries}
    assert verbs <= {"SELECT"}


# --- Results --------------------------------------------------------------------------------


def test_a_card_says_everything_in_the_promised_order() -> None:
    heart = town.specialty("Cardiology")
    town.zip_code("04101", PORTLAND)
    okafor = town.doctor(where=town.hospital(), specialties=(heart,), languages=("en", "ig"))
    town.service(okafor, okafor.services.get().hospital, visit=Visit.VIDEO, position=3)
    text = get("/doctors/?place=04101").text
    parts = [
        "Dr. Amara Okafor",
        "Cardiology · MD",
        "Checked by Harbour Health staff on Nov 2, 2026: License with the state board",
        "Casco Bay Clinic, Portland (0.0 mi)",
        "English, Igbo",
        "In person or by video",
        "New patients Yes",
        "Next free: Tue, Nov 3, 11:00 am",
        "See all times",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places and places == sorted(places), list(zip(parts, places, strict=True))


def test_nothing_is_said_to_be_checked_that_was_not() -> None:
    town.doctor(where=town.hospital(), verified_what="")
    assert "Checked" not in get("/doctors/").text
    assert "Checked" not in get("/doctors/amara-okafor/").text


def test_a_time_is_a_plain_link_with_a_full_name() -> None:
    okafor = town.doctor(where=town.hospital())
    first = get("/doctors/").times[0]
    code = okafor.services.get().code
    assert first["href"] == (
        f"/doctors/amara-okafor/book/?service={code}&at=2026-11-03T16%3A00%3A00Z"
    )
    assert first["aria-label"] == "11:00 am, Tuesday, November 3, 2026, Dr. Amara Okafor"
    assert get(first["href"]).text


def test_the_count_is_announced_and_the_address_keeps_every_filter() -> None:
    where = town.hospital()
    for index in range(21):
        town.doctor(f"Pat Number{index:02}", where=where, languages=("en", "fr"))
    page = get("/doctors/?q=pat&language=fr&visit=in_person&new=1")
    assert ("p", {"class": "results__count", "role": "status"}) in page.tags
    assert "21 doctors" in page.text and "Page 1 of 2" in page.text
    following = next(link["href"] for link in page.links if link.get("rel") == "next")
    assert following == "/doctors/?q=pat&visit=in_person&language=fr&new=1&page=2"
    assert "Page 2 of 2" in get(following).text


def test_a_page_beyond_the_last_says_so() -> None:
    town.doctor(where=town.hospital())
    for number in ("2", "0", "-1", "abc", "10000000000000000000000000000000", "1.5", "١"):
        page = get(f"/doctors/?q=okafor&page={number}", status=404)
        assert "That page does not exist" in page.text
        assert "/doctors/?q=okafor" in [link["href"] for link in page.links]


def test_the_zone_is_named_once_when_all_clinics_share_it() -> None:
    town.doctor(where=town.hospital())
    town.doctor("Maeve Byrne", where=town.hospital("Second"))
    text = get("/doctors/").text
    assert text.count("Times are in Eastern Time (EST), the time zone of the clinic.") == 1


def test_each_card_names_its_zone_when_they_differ() -> None:
    town.doctor(where=town.hospital())
    town.doctor("Maeve Byrne", where=town.hospital("Prairie", zone=CENTRAL))
    text = get("/doctors/").text
    assert text.count("Times are in Eastern Time (EST)") == 1
    assert text.count("Times are in Central Time (CST)") == 1


def test_the_repeated_hour_is_shown_twice_with_its_zone() -> None:
    town.doctor(where=town.hospital(), opens=time(0), closes=time(3), grid_minutes=30)
    with time_machine.travel(DST_ENDS, tick=False):
        cache.clear()
        page = get("/doctors/amara-okafor/?date=2026-11-01")
        labels = [link["aria-label"].split(",")[0] for link in page.times]
        assert labels == [
            "12:00 am",
            "12:30 am",
            "1:00 am EDT",
            "1:30 am EDT",
            "1:00 am EST",
            "1:30 am EST",
            "2:00 am",
            "2:30 am",
        ]
        assert len(set(moments(page))) == 8
        assert "Eastern Time (EDT) until the clocks change, then Eastern Time (EST)" in page.text


def test_the_missing_hour_is_not_offered() -> None:
    town.doctor(where=town.hospital(), opens=time(0), closes=time(4), grid_minutes=30)
    with time_machine.travel(datetime(2027, 3, 13, 12, 0, tzinfo=UTC), tick=False):
        cache.clear()
        page = get("/doctors/amara-okafor/?date=2027-03-14")
        labels = [link["aria-label"].split(",")[0] for link in page.times]
    assert labels == ["12:00 am", "12:30 am", "1:00 am", "1:30 am", "3:00 am", "3:30 am"]


def test_a_booked_time_is_not_offered_by_the_next_page_and_comes_back_when_cancelled(
    alice: User,
) -> None:
    okafor = town.doctor(where=town.hospital())
    before = moments(get("/doctors/"))
    taken = before[0]
    visit = book(
        service=okafor.services.select_related("doctor", "hospital").get(),
        patient=alice.chart,
        starts_at=datetime.fromisoformat(taken),
        by=alice,
        key="key",
        now=NOW,
    )
    assert taken not in moments(get("/doctors/"))
    assert taken not in moments(get("/doctors/amara-okafor/"))
    cancel(appointment=visit, by=alice, now=NOW)
    assert taken in moments(get("/doctors/"))


def test_a_doctor_without_hours_says_whom_to_call() -> None:
    okafor = town.doctor()
    town.service(okafor, town.hospital())
    for path in ("/doctors/", "/doctors/amara-okafor/"):
        page = get(path)
        assert "To ask for a visit, call Casco Bay Clinic: 207-555-0100" in page.text
        assert "tel:2075550100" in [link["href"] for link in page.links]
        assert not page.times


def test_a_doctor_without_services_has_a_page_and_a_card_without_times() -> None:
    town.doctor()
    assert "No times online" in get("/doctors/").text
    assert "No times online" in get("/doctors/amara-okafor/").text


def test_an_empty_result_says_why_and_what_to_do() -> None:
    heart = town.specialty("Cardiology")
    town.zip_code("04101", PORTLAND)
    town.doctor(where=town.hospital(), specialties=(heart,))
    page = get("/doctors/?q=cardiology&place=04101&language=so")
    assert "No doctor fits all of this" in page.text
    assert "We looked for: “cardiology”, within 25 miles of 04101, speaks Somali." in page.text
    way = next(link["href"] for link in page.links if "language" not in link["href"])
    assert way
    assert "/doctors/?q=cardiology&place=04101" in [link["href"] for link in page.links]
    assert "Or call Casco Bay Clinic: 207-555-0100" in page.text


def test_words_that_mean_nothing_are_said_to_mean_nothing() -> None:
    town.doctor(where=town.hospital())
    page = get("/doctors/?q=xyzzy")
    assert "No doctor or specialty matches “xyzzy”" in page.text
    assert "/hospitals/?q=xyzzy" in [link["href"] for link in page.links]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"date": "garbage"}, "We did not understand the date “garbage”. Showing all dates."),
        ({"date": "2026-02-30"}, "We did not understand the date “2026-02-30”."),
        ({"date": "2020-01-02"}, "Thursday, January 2, 2020 is over. Showing times from today."),
        ({"date": "9999-12-31"}, "Nothing can be booked for Friday, December 31, 9999 yet."),
        ({"visit": "telepathy"}, "We did not understand the visit type “telepathy”."),
        ({"language": "xx"}, "We do not know the language “xx”. Showing all languages."),
        ({"place": "Atlantis"}, "We do not know the place “Atlantis”."),
        ({"specialty": "astrology"}, "We do not know that specialty."),
        ({"hospital": "nowhere"}, "We do not know that hospital."),
        ({"q": "ocafor"}, "Showing doctors for “okafor”."),
    ],
)
def test_what_is_not_understood_does_not_narrow_and_is_said(
    query: dict[str, str], sentence: str
) -> None:
    town.doctor(where=town.hospital())
    page = get(f"/doctors/?{urlencode(query)}")
    assert sentence in page.text
    assert "1 doctor" in page.text and page.times


def test_a_date_in_the_local_way_of_writing_is_understood() -> None:
    town.doctor(where=town.hospital())
    assert moments(get("/doctors/?date=11/20/2026"))[0] == "2026-11-20T14:00:00Z"


NASTY = [
    "'",
    '"',
    "';--",
    "' OR '1'='1",
    '" OR ""="',
    "1' AND SLEEP(5)-- -",
    "') UNION SELECT password FROM accounts_user--",
    "\\",
    "\\'",
    "%",
    "_",
    "%%%_%",
    "\x00",
    "a\x00b",
    "\r\nSet-Cookie: x=1",
    "\x1b[31m",
    "😀" * 50,
    "\u202egnirts",
    "a" * 5_000,
    "x " * 3_000,
    "${7*7}{{7*7}}<%= 7*7 %>",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "-1",
    "1e309",
    "NaN",
    "9" * 400,
    "null",
    "[]",
    "é\u0301\u0301\u0301",
    "ﷺ",
    "İ",
    "²",
]
FIELDS = (
    "q place specialty hospital language visit new date page within service month order_by sort"
)


@pytest.mark.parametrize("field", FIELDS.split())
def test_s31_no_parameter_breaks_the_search(field: str) -> None:
    town.zip_code("04101", PORTLAND)
    town.doctor(where=town.hospital(), specialties=(town.specialty("Cardiology", "heart"),))
    client = Client()
    path = "/doctors/amara-okafor/" if field in ("service", "month") else "/doctors/"
    for value in NASTY:
        answer = client.get(path, {field: value})
        assert answer.status_code in ({200, 404} if field == "page" else {200}), (field, value)
    for name in (f"{field}[]", f"{field}[$ne]", f"{field}__gt", f"{field}'", f"{field}\x00"):
        assert client.get(path, {name: "1"}).status_code == 200, name
    surrogates = b"%ED%A0%80".decode()
    assert client.get(f"/doctors/?{field}={surrogates}").status_code in {200, 404}
    assert client.get(f"/doctors/?{field}=1&{field}=2&{field}").status_code in {200, 404}


def test_s31_wildcards_and_quotes_are_no_wildcards() -> None:
    town.doctor(where=town.hospital())
    for query in ("%", "_", "%oka%", "o_afor", "' OR '1'='1", "\\"):
        page = get(f"/doctors/?{urlencode({'q': query})}")
        assert "0 doctors" in page.text or query == "%oka%"


@pytest.mark.parametrize("slug", ["nobody", "amara-okafor'", "%00", "..", "a" * 500])
def test_an_unknown_doctor_is_not_found(slug: str) -> None:
    assert Client().get(f"/doctors/{slug}/").status_code == 404


XSS = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'</script><!--"


def test_s27_texts_of_doctors_and_clinics_are_shown_as_text() -> None:
    where = town.hospital(XSS, city=XSS[:60], phone=XSS[:30])
    heart = town.specialty(XSS[:70], XSS)
    okafor = town.doctor(
        XSS, slug="x", where=where, specialties=(heart,), about=XSS, verified_what=XSS,
        credentials=XSS[:40],
    )  # fmt: skip
    okafor.services.update(name=XSS[:70], bring=XSS)
    for path in (
        "/",
        "/doctors/",
        "/doctors/?" + urlencode({"q": XSS, "place": XSS, "date": XSS, "visit": XSS}),
        "/doctors/?" + urlencode({"q": XSS, "language": "so"}),
        "/doctors/x/",
        "/doctors/x/?" + urlencode({"service": XSS, "month": XSS, "date": XSS}),
    ):
        answer = Client().get(path)
        page = Page(answer.content.decode())
        assert "alert(1)" in page.text or path == "/", path
        scripts = [facts for tag, facts in page.tags if tag == "script"]
        assert all("src" in facts or facts["type"] == "application/ld+json" for facts in scripts)
        assert not [tag for tag, _ in page.tags if tag == "img"]
        assert not [name for _, facts in page.tags for name in facts if name.startswith("on")]


# --- Queries --------------------------------------------------------------------------------


def queries_of(path: str, *, cold: bool) -> int:
    if cold:
        cache.clear()
    with CaptureQueriesContext(connection) as queries:
        assert Client().get(path).status_code == 200
    return len(queries)


@pytest.mark.parametrize(
    "path", ["/", "/doctors/", "/doctors/?q=cardiology&place=04101", "/doctors/pat-okafor/"]
)
def test_pages_ask_as_often_with_20_doctors_as_with_1(path: str) -> None:
    heart = town.specialty("Cardiology")
    where, other = town.hospital(), town.hospital("Other", at=WESTBROOK)
    town.zip_code("04101", PORTLAND)
    town.doctor("Pat Okafor", where=where, specialties=(heart,))
    one = queries_of(path, cold=True), queries_of(path, cold=False)
    for index in range(19):
        more = town.doctor(
            f"Pat{index} Okafor", where=where, specialties=(heart,), languages=("en", "fr")
        )
        town.service(more, other, position=2)
    twenty = queries_of(path, cold=True), queries_of(path, cold=False)
    assert twenty == one
    assert one[0] <= 12 and one[1] <= one[0]


# --- A doctor's page ------------------------------------------------------------------------


def test_only_public_doctors_have_a_page() -> None:
    town.doctor("Wanda Waiting", where=town.hospital(), verified_at=None)
    town.doctor("Walter Withdrawn", where=town.hospital("B"), withdrawn_at=NOW)
    get("/doctors/wanda-waiting/", status=404)
    get("/doctors/walter-withdrawn/", status=404)


def test_the_page_says_who_where_how_much_and_the_rules() -> None:
    heart = town.specialty("Cardiology")
    okafor = town.doctor(
        where=town.hospital(), specialties=(heart,), about="Hearts.", practicing_since=2012,
        lead_minutes=120, horizon_days=60, cancel_hours=48, accepts_new=False,
    )  # fmt: skip
    page = get("/doctors/amara-okafor/")
    for words in (
        "Cardiology · MD",
        "First visit",
        "30 minutes · $120",
        "12 Wharf Street",
        "Portland, ME 04101",
        "Hearts.",
        "since 2012",
        "At least 2 hours and up to 60 days ahead",
        "Free until 48 hours before",
        "New patients No",
        "English",
    ):
        assert words in page.text, words
    assert okafor.services.get().code in page.times[0]["href"]


def test_the_page_has_a_title_a_description_and_structured_data() -> None:
    town.doctor(where=town.hospital(), specialties=(town.specialty("Cardiology"),))
    html = Client().get("/doctors/amara-okafor/").content.decode()
    assert "<title>Dr. Amara Okafor, Cardiology – Harbour Health</title>" in html
    assert 'content="Dr. Amara Okafor, Cardiology: places, languages' in html
    data = json.loads(re.findall(r'<script type="application/ld\+json">(.*?)</script>', html)[0])
    assert (data["@type"], data["name"]) == ("Physician", "Dr. Amara Okafor")
    assert data["medicalSpecialty"] == ["Cardiology"]
    assert data["address"]["postalCode"] == "04101"
    assert data["url"].endswith("/doctors/amara-okafor/")


def test_the_first_month_with_a_free_time_is_shown_and_others_are_linked() -> None:
    okafor = town.doctor(where=town.hospital())
    okafor.opening_hours.update(valid_from=date(2026, 12, 14))
    page = get("/doctors/amara-okafor/")
    assert "December 2026" in page.text and moments(page)[0] == "2026-12-14T14:00:00Z"
    steps = {link["rel"]: link["href"] for link in page.links if link.get("rel")}
    assert "month=2026-11" in steps["prev"] and "month=2027-01" in steps["next"]
    empty = get(steps["prev"])
    assert "No free times in November 2026." in empty.text and not empty.times
    assert "Next free: Monday, December 14, 2026" in empty.text
    assert "207-555-0100" in empty.text
    last = get("/doctors/amara-okafor/?month=2027-02")
    assert not [link for link in last.links if link.get("rel") == "next"]


def test_a_day_is_chosen_by_its_link_and_days_without_times_are_no_links() -> None:
    town.doctor(where=town.hospital(), open_days=range(5))
    page = get("/doctors/amara-okafor/")
    days = [link for link in page.links if link.get("class") == "month__day"]
    assert len(days) == 20  # weekdays from November 3 to 30
    assert days[0]["aria-current"] == "date"
    assert days[3]["aria-label"].startswith("Friday, November 6, 2026, 31 times")
    assert moments(get(days[3]["href"]))[0] == "2026-11-06T14:00:00Z"
    other = get("/doctors/amara-okafor/?date=2026-11-08")
    assert "There are no free times on the day you asked for." in other.text


@pytest.mark.parametrize(
    "query",
    ["month=2026-10", "month=2030-01", "month=2026-13", "month=x", "date=x", "date=2020-1-1"],
)
def test_a_month_that_cannot_be_shown_gives_way_to_the_first_with_times(query: str) -> None:
    town.doctor(where=town.hospital())
    page = get(f"/doctors/amara-okafor/?{query}")
    assert "November 2026" in page.text and page.times


def test_a_doctor_in_two_zones_names_the_zone_of_each_hospital() -> None:
    okafor = town.doctor(where=town.hospital())
    prairie = town.hospital("Prairie", zone=CENTRAL, city="Fargo", state="ND")
    far = town.service(okafor, prairie, name="Far visit")
    town.works(okafor, prairie)
    page = get("/doctors/amara-okafor/")
    assert "Times here are in Eastern Time (EST)." in page.text
    assert "Times here are in Central Time (CST)." in page.text
    assert "Times are in Eastern Time (EST), the time zone of the clinic." in page.text
    there = get(f"/doctors/amara-okafor/?service={far.code}&date=2026-11-04")
    assert "Times are in Central Time (CST), the time zone of the clinic." in there.text
    assert moments(there)[0] == "2026-11-04T15:00:00Z"  # 9 am in Fargo


def test_a_service_that_is_gone_gives_way_to_another_and_says_so() -> None:
    okafor = town.doctor(where=town.hospital())
    gone = town.service(okafor, okafor.services.get().hospital, name="Old visit", is_active=False)
    page = get(f"/doctors/amara-okafor/?service={gone.code}")
    assert "That kind of visit is no longer offered." in page.text
    assert "Old visit" not in page.text and page.times


def test_pages_are_the_same_for_a_patient_who_signed_in(alice: User) -> None:
    town.doctor(where=town.hospital())
    for path in ("/doctors/", "/doctors/amara-okafor/"):
        assert moments(get(path, client=signed_in(alice))) == moments(get(path))


@pytest.mark.parametrize("path", ["/", "/doctors/", "/doctors/amara-okafor/"])
def test_only_safe_methods_are_answered(path: str) -> None:
    town.doctor(where=town.hospital())
    assert Client().post(path).status_code == 405
    assert Client().head(path).status_code == 200
    assert Doctor.objects.count() == 1


def test_times_beyond_the_lead_and_the_horizon_are_not_offered() -> None:
    town.doctor(where=town.hospital(), lead_minutes=26 * 60, horizon_days=3)
    page = get("/doctors/")
    at = [datetime.fromisoformat(moment) for moment in moments(page)]
    assert min(at) >= NOW + timedelta(hours=26)
    assert max(at).astimezone(UTC).date() <= date(2026, 11, 6)
