"""SECURITY 27: what people type never runs, wherever it is shown.

The doctors, patients and visits of this site have names, notes and reasons made to run scripts. A
script that ran would set ``window.ran`` or open a dialog; markup that merely got in would break
the CSP, which fails the test too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import OpenPage
from tests.browser.people import People
from tests.browser.watch import Watch, settle
from tests.corpus import CORPUS
from tests.site import Site

EMAIL = "patient1@example.org"

# One text per doctor, patient and visit; what is short in the database is cut to fit.
_PLANT = """
import json
from datetime import timedelta
from django.utils import timezone
from accounts.models import Patient, User
from appointments.models import Appointment, CareRelation
from chat.models import Event
from clinic.directory.models import Doctor, Hospital, HospitalStaff, Service, Specialty
from records import models as records

corpus = json.loads({corpus!r})
turn = iter(range(10**6))
def fill(row, *names):
    for name in names:
        limit = row._meta.get_field(name).max_length or 500
        setattr(row, name, corpus[next(turn) % len(corpus)][:limit])
    row.save(update_fields=names)
for model, names in (
    (Doctor, ("name", "credentials", "about", "verified_what", "search_text")),
    (Hospital, ("name", "address", "city", "phone", "kind")),
    (Service, ("name", "bring")),
    (Patient, ("name", "phone")),
    (User, ("name", "phone")),
    (Appointment, ("reason", "cancel_reason", "service_name", "bring")),
):
    for row in model.objects.order_by("pk"):
        fill(row, *names)
for number, row in enumerate(Specialty.objects.order_by("pk")):
    row.name = f"{{number}} " + corpus[number % len(corpus)][:70]
    row.everyday_words = "back pain\\n" + corpus[(number + 1) % len(corpus)]
    row.save()
for model, names in (
    (records.Encounter, ("title", "place_name", "performer_name")),
    (records.Note, ("body", "signed_name")),
    (records.Allergy, ("name", "reaction")),
    (records.Condition, ("name",)),
    (records.Medication, ("name", "dose")),
    (records.Prescription, ("name", "dose", "quantity", "despite_allergy")),
    (records.Observation, ("name", "value_text")),
):
    for row in model.objects.order_by("pk"):
        fill(row, *names)
for row in Event.objects.filter(kind="message").order_by("pk"):
    Event.objects.filter(pk=row.pk).update(body=corpus[next(turn) % len(corpus)])
now = timezone.now()
first = Doctor.objects.get(user__email="doctor1@example.org")
for patient in Patient.objects.filter(account__isnull=False).order_by("pk")[:3]:
    CareRelation.objects.create(doctor=first, patient=patient, why="emergency", since=now,
        until=now + timedelta(hours=1), reason=corpus[next(turn) % len(corpus)])
chart = Patient.objects.get(account__email={email!r})
handled = Appointment.objects.handled_by(User.objects.get(email="reception@example.org"))
coming = handled.filter(starts_at__gt=now + timedelta(days=2), status="booked")
print(json.dumps({{
    "chart": str(chart.public_id),
    "notes": [str(pk) for pk in records.Note.objects.filter(patient=chart, status="signed")
              .values_list("public_id", flat=True)[:3]],
    "prescriptions": [str(pk) for pk in records.Prescription.objects.filter(patient=chart)
                      .values_list("public_id", flat=True)[:3]],
    "allergies": [str(pk) for pk in records.Allergy.objects.filter(patient=chart)
                  .values_list("public_id", flat=True)[:2]],
    "handled": [str(pk) for pk in coming.values_list("public_id", flat=True)[:4]],
    "known": [str(pk) for pk in coming.values_list("patient__public_id", flat=True)[:4]],
    "slug": first.slug,
    "doctors": list(Doctor.objects.public().values_list("slug", flat=True)),
    "hospitals": list(Hospital.objects.values_list("slug", flat=True)),
    "visits": [str(pk) for pk in Appointment.objects.filter(booked_by__email={email!r})
               .values_list("public_id", flat=True)],
    "names": list(Doctor.objects.public().values_list("name", flat=True)),
}}))
"""


@pytest.fixture(scope="module")
def hostile() -> Iterator[Site]:
    """A site of its own, so that its names are on nobody else's pages."""
    few = ("--doctors", "18", "--patients", "18", "--appointments", "72", "--seed", "1")
    with Site(worker=False, sample=few) as running:
        yield running


@pytest.fixture(scope="module")
def planted(hostile: Site) -> dict[str, list[str]]:
    printed = hostile.shell(_PLANT.format(corpus=json.dumps(CORPUS), email=EMAIL))
    found: dict[str, list[str]] = json.loads(printed.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def hostile_people(hostile: Site, planted: dict[str, list[str]]) -> People:
    return People.of(hostile, count=1)


class Guarded:
    """A page that remembers whether anything ran on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.dialogs: list[str] = []
        page.on("dialog", self._opened)

    def _opened(self, dialog: object) -> None:
        self.dialogs.append(str(dialog))
        dialog.dismiss()  # type: ignore[attr-defined]

    def open(self, address: str, *, status: int = 200) -> None:
        answer = self.page.goto(address)
        assert answer is not None and answer.status == status, f"{address}: {answer}"
        self.check()

    def check(self) -> None:
        settle(self.page)
        assert self.page.evaluate("window.ran") is None, self.page.url
        assert self.page.frames == [self.page.main_frame], self.page.url
        assert self.dialogs == []


def test_s27_the_corpus_runs_where_it_is_not_escaped(page: Page, watch: Watch) -> None:
    """The control: with escaping gone, the guards above see it."""
    guarded = Guarded(page)
    unescaped = iter(CORPUS)
    page.route("**/bare/", lambda route: route.fulfill(
        body=f"<!doctype html><title>x</title><p>{next(unescaped)}", content_type="text/html"
    ))  # fmt: skip
    ran = 0
    for _ in CORPUS:
        page.goto("/bare/")
        settle(page)
        ran += page.evaluate("window.ran") is not None
    assert ran >= 10
    assert guarded.dialogs
    watch.clear()


def test_s27_names_and_notes_do_not_run_on_public_pages(
    open_page: OpenPage, hostile: Site, planted: dict[str, list[str]]
) -> None:
    guarded = Guarded(open_page(of=hostile))
    for address in ("/", "/doctors/", "/doctors/?q=back+pain", "/hospitals/"):
        guarded.open(address)
    shown = guarded.page.content()
    assert "window.ran" in shown, "the corpus is not on the page, so nothing was tried"
    guarded.open("/doctors/")
    for name in guarded.page.locator(".doctor-card__name").all_inner_texts():
        assert name.removeprefix("Dr. ") in {" ".join(text.split()) for text in planted["names"]}
    for slug in planted["doctors"]:
        guarded.open(f"/doctors/{slug}/")
    for slug in planted["hospitals"]:
        guarded.open(f"/hospitals/{slug}/")


def test_s27_what_is_typed_into_an_address_does_not_run(open_page: OpenPage, hostile: Site) -> None:
    page = open_page(of=hostile)
    guarded = Guarded(page)
    for text in CORPUS:
        page.goto("/")
        page.get_by_label("Doctor, specialty or condition").fill(text)
        page.get_by_label("Town or ZIP code").fill(text)
        page.get_by_role("main").get_by_role("button", name="Search").click()
        page.wait_for_load_state()
        guarded.check()
        assert page.locator("#search-q").input_value() == text.strip()[:100]


def test_s27_names_and_reasons_do_not_run_on_a_patients_pages(
    open_page: OpenPage, hostile: Site, planted: dict[str, list[str]], hostile_people: People
) -> None:
    page = open_page(of=hostile, person=hostile_people.known[EMAIL])
    guarded = Guarded(page)
    assert planted["visits"]
    for address in ("/appointments/", "/accounts/people/", "/accounts/profile/"):
        guarded.open(address)
    for visit in planted["visits"]:
        guarded.open(f"/appointments/{visit}/")
        for path in ("move/", "cancel/"):
            page.goto(f"/appointments/{visit}/{path}")
            guarded.check()
    page.goto("/doctors/")
    page.locator("a.time").first.click()
    page.get_by_label("Reason for visit").fill("\n".join(CORPUS)[:500])
    guarded.check()
    page.locator("button[value=hold]").first.click()
    page.wait_for_load_state()
    guarded.check()


# Who has which lists in the admin; each is opened with some of its rows.
LISTS = {
    "admin@example.org": ["accounts/user", "directory/doctor", "directory/hospital",
                          "directory/specialty", "accounts/auditevent", "chat/conversation"],
    "reception@example.org": ["accounts/patient", "appointments/appointment", "directory/doctor"],
    "doctor1@example.org": ["accounts/patient", "appointments/appointment"],
}  # fmt: skip


def test_s27_names_and_reasons_do_not_run_in_the_admin(
    open_page: OpenPage, hostile: Site, hostile_people: People
) -> None:
    shown = ""
    for who, lists in LISTS.items():
        page = open_page(of=hostile, person=hostile_people.known[who])
        guarded = Guarded(page)
        guarded.open("/admin/")
        shown += page.content()
        for name in lists:
            every = "?when=coming" if name == "appointments/appointment" else ""
            guarded.open(f"/admin/{name}/{every}")
            shown += page.content()
            rows = page.locator("#result_list th a, #result_list td.action-checkbox + td a")
            details = rows.evaluate_all("all => all.map(a => a.getAttribute('href'))")
            for detail in details[:4]:
                guarded.open(detail)
                shown += page.content()
                if "/change/" in detail:
                    page.goto(detail.replace("/change/", "/history/"))
                    guarded.check()
                    page.goto(detail.replace("/change/", "/delete/"))
                    guarded.check()
    assert shown.count("window.ran") > 20, "the corpus is not in the admin, so nothing was tried"


def visit(guarded: Guarded, addresses: list[str]) -> str:
    """Opens each; what the pages held."""
    shown = ""
    for address in addresses:
        guarded.open(address)
        shown += guarded.page.content()
    return shown


def test_s27_texts_of_a_record_do_not_run_in_the_doctors_chart(
    open_page: OpenPage, hostile: Site, hostile_people: People, planted: dict[str, list[str]]
) -> None:
    page = open_page(of=hostile, person=hostile_people.known["doctor1@example.org"])
    guarded, chart = Guarded(page), f"/admin/charts/{planted['chart']}/"
    parts = ["", "encounters/new/", "allergies/", "conditions/", "medications/", "measurements/",
             "documents/", "referrals/", "prescriptions/new/"]  # fmt: skip
    addresses = ["/admin/", "/admin/charts/", "/admin/charts/emergency/"]
    addresses += [chart + part for part in parts]
    addresses += [
        f"{chart}notes/{note}/{part}" for note in planted["notes"] for part in ("", "amend/")
    ]
    addresses += [f"{chart}prescriptions/{one}/" for one in planted["prescriptions"]]
    addresses += [f"{chart}retract/allergy/{one}/" for one in planted["allergies"]]
    addresses += [f"/admin/hours/{planted['slug']}/{part}" for part in ("", "off/", "week/")]
    shown = visit(guarded, addresses)
    assert shown.count("window.ran") > 40, "the corpus is not in the chart, so nothing was tried"

    # What is typed comes back in the field, in the review, and in the timeline.
    page.goto(chart)
    page.get_by_role("main").get_by_role("link", name="Record a phone call").click()
    page.get_by_label("What was it about?").fill(CORPUS[1])
    page.get_by_role("main").get_by_role("button", name="Write the note").click()
    page.wait_for_url("**/notes/*/")
    guarded.check()
    page.get_by_label("Text of the note").fill("\n".join(CORPUS))
    page.get_by_role("main").get_by_role("button", name="Review and sign").click()
    page.wait_for_url("**/sign/")
    guarded.check()
    page.get_by_role("main").get_by_role("button", name="Sign this note").click()
    page.wait_for_url(f"**{chart}")
    guarded.check()
    assert page.locator(".note__text").filter(has_text=CORPUS[0]).count() >= 1
    page.get_by_role("main").get_by_role("link", name="Prescribe").click()
    page.get_by_label("Medication").fill(CORPUS[2])
    page.get_by_role("main").get_by_role("button", name="Prescribe").click()
    page.wait_for_load_state()
    guarded.check()


def test_s27_texts_of_a_record_do_not_run_on_the_patients_page(
    open_page: OpenPage, hostile: Site, hostile_people: People, planted: dict[str, list[str]]
) -> None:
    page = open_page(of=hostile, person=hostile_people.known[EMAIL])
    shown = visit(Guarded(page), ["/record/", "/record/who/", "/record/deletion/", "/messages/",
                                  "/accounts/people/carers/"])  # fmt: skip
    assert shown.count("window.ran") > 10, "the corpus is not in the record, so nothing was tried"


def test_s27_names_and_reasons_do_not_run_at_the_desk(
    open_page: OpenPage, hostile: Site, hostile_people: People, planted: dict[str, list[str]]
) -> None:
    page = open_page(of=hostile, person=hostile_people.known["reception@example.org"])
    guarded = Guarded(page)
    assert planted["handled"]
    addresses = ["/admin/", "/admin/call-off/", "/admin/hours/", "/admin/deletions/"]
    for visit_id, patient in zip(planted["handled"], planted["known"], strict=True):
        addresses += [f"/admin/visits/{visit_id}/{part}" for part in ("", "move/", "cancel/")]
        addresses += [f"/admin/patients/{patient}/", f"/admin/book/?patient={patient}"]
    shown = visit(guarded, addresses)
    assert shown.count("window.ran") > 20, "the corpus is not at the desk, so nothing was tried"
    for text in CORPUS[:6]:
        page.goto("/admin/patients/")
        page.get_by_label("Name or phone number").fill(text)
        page.get_by_role("main").get_by_role("button", name="Search").click()
        page.wait_for_load_state()
        guarded.check()
        assert page.locator("#id_q").input_value() == text
        page.get_by_role("main").get_by_role("button", name="New patient").click()
        page.wait_for_load_state()
        guarded.check()


def test_s27_reasons_do_not_run_on_the_administrators_pages(
    open_page: OpenPage, hostile: Site, hostile_people: People, planted: dict[str, list[str]]
) -> None:
    page = open_page(of=hostile, person=hostile_people.known["admin@example.org"])
    guarded = Guarded(page)
    shown = visit(
        guarded, ["/admin/", "/admin/emergencies/", f"/admin/emergencies/{planted['chart']}/"]
    )
    assert shown.count("window.ran") > 2
