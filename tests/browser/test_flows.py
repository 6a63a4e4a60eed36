"""Three days at the clinic as one path each: a doctor's morning, reception's phone call, and a
patient reading the record. On a phone and a laptop; axe looks at every page of the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fhir.resources.R4B.bundle import Bundle
from playwright.sync_api import FilePayload, Page, expect

from tests.accounts.factors import code
from tests.browser import stage
from tests.browser.conftest import DESKTOP, PHONE, OpenPage, RunAxe
from tests.browser.factors import add_app
from tests.browser.pages_charts import DOCTOR
from tests.browser.people import People, Person
from tests.browser.steps import at_of, button, heading, link, send
from tests.browser.test_charts import SAVED, TEXT, new_note
from tests.cast import PASSWORD
from tests.files import jpeg
from tests.site import PASSWORD as SAMPLE_PASSWORD
from tests.site import Site

EASTERN = ZoneInfo("America/New_York")
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Everything here works without JavaScript, too; there is no axe then, which is a script itself.
WAYS = [(PHONE, True), (DESKTOP, True), (PHONE, False)]
Look = Callable[[Page, str], None]


@pytest.fixture(params=range(len(WAYS)), ids=["390-js", "1366-js", "390-nojs"])
def way(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def look(way: int, axe: RunAxe, shot: Callable[[Page, str], Path]) -> Look:
    """What every page of a path gets: axe, no sideways scroll, a picture."""
    width, javascript = WAYS[way]

    def look_at(page: Page, name: str) -> None:
        if javascript:
            page.wait_for_load_state()
            axe(page)
            assert page.evaluate(SIDEWAYS) <= 0, page.url
            shot(page, f"flow-{name}-{width}")

    return look_at


def open_as(open_page: OpenPage, way: int, facts: dict[str, Any]) -> Page:
    width, javascript = WAYS[way]
    person = Person(facts["email"], facts.get("name", ""), facts["session"])
    return open_page(width=width, javascript=javascript, person=person)


# --- Reception ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def receptions(site: Site) -> list[dict[str, Any]]:
    return stage.receptions(site, count=len(WAYS))


def enters_with_factor(page: Page, email: str) -> None:
    """Adds an app, then signs in with password and code; ends at the workplace."""
    secret = add_app(page)
    page.context.clear_cookies()
    page.goto("/admin/")
    heading(page, "Sign in")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    button(page, "Sign in").click()
    heading(page, "Your second factor")
    page.get_by_label("Code", exact=True).fill(code(secret, steps=1))
    button(page, "Sign in").click()
    page.wait_for_url("**/admin/")


def new_patient(page: Page, facts: dict[str, Any], look: Look) -> str:
    """The caller is looked for, not found, and gets a chart without e-mail; who it might have
    been is shown first."""
    name = f"Walter {facts['last']}"
    link(page, "Book or walk-in: find the patient").click()
    page.get_by_label("Name or phone number").fill(name)
    button(page, "Search").click()
    expect(page.get_by_role("main")).to_contain_text("0 patients found")
    assert facts["last"] not in page.url
    look(page, "call-search")
    button(page, "New patient").click()
    expect(page.get_by_label("Full name")).to_have_value(name)
    assert facts["last"] not in page.url
    for label, text in (("Month", "8"), ("Day", str(facts["day"])), ("Year", "1951")):
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_label("Phone").fill("207-555-0142")
    assert send(page, "Make the chart").status == 409
    likely = page.locator("#likely")
    expect(likely).to_contain_text(f"{facts['alike']}, born August {facts['day']}, 1951")
    expect(likely).to_contain_text("•••• 0188")
    look(page, "call-likely")
    button(page, "It is somebody else: make a new chart").click()
    heading(page, name)
    look(page, "call-chart")
    return name


def books_with_a_limit_set_aside(page: Page, facts: dict[str, Any], look: Look) -> str:
    """A visit in the evening, after hours; the address of the visit."""
    link(page, "Book a visit").click()
    page.get_by_role("main").get_by_role("link", name=re.compile("First visit")).first.click()
    day = (datetime.now(UTC) + timedelta(days=5)).date()
    page.get_by_label("Day", exact=True).fill(day.isoformat())
    page.get_by_label(re.compile("^Time")).fill("19:00")
    look(page, "call-times")
    button(page, "Continue").click()
    expect(page.locator(".govuk-error-summary")).to_be_visible()
    page.get_by_label("Outside the opening hours").check()
    page.get_by_label("Reason for visit").fill("Cough for two weeks")
    look(page, "call-limit")
    assert send(page, "Book").status == 422  # no reason yet
    expect(page.locator(".govuk-error-summary")).to_contain_text("Type why the limit is set aside")
    page.get_by_label("Outside the opening hours").check()
    page.get_by_label(re.compile("^Why")).fill("Works until six, the doctor agreed")
    button(page, "Book").click()
    page.wait_for_url(re.compile(r"/admin/visits/[0-9a-f-]{36}/$"))
    main = page.get_by_role("main")
    expect(main).to_contain_text("The visit is booked. Reference")
    expect(main).to_contain_text("hours: Works until six, the doctor agreed")
    expect(main).to_contain_text(facts["doctor"])
    expect(main).not_to_contain_text("Cough")  # the reason is the doctor's
    look(page, "call-visit")
    return page.url


def moves_to_the_colleague(page: Page, facts: dict[str, Any], look: Look) -> str:
    """To the colleague's first free time; the day there."""
    link(page, "Move").click()
    page.get_by_role("main").get_by_role("link", name=re.compile(facts["colleague"])).first.click()
    page.goto(f"{page.url}&date={(datetime.now(UTC) + timedelta(days=6)).date()}")
    time = page.locator("a.time").first
    moment = at_of(time.get_attribute("href") or "")
    look(page, "call-move")
    time.click()
    expect(page.get_by_role("main")).to_contain_text("Until now")
    look(page, "call-move-check")
    button(page, "Move the visit").click()
    main = page.get_by_role("main")
    expect(main).to_contain_text("The visit is moved.")
    expect(main).to_contain_text(facts["colleague"])
    return moment.astimezone(EASTERN).date().isoformat()


def calls_the_morning_off(
    page: Page, facts: dict[str, Any], name: str, day: str, look: Look
) -> None:
    page.goto("/admin/")
    link(page, "Call off a part of a day").click()
    page.get_by_label("Doctor", exact=True).select_option(facts["slug"])
    page.get_by_label("Day", exact=True).fill(day)
    page.get_by_label("From", exact=True).fill("06:00")
    page.get_by_label("Until", exact=True).fill("22:00")
    look(page, "call-off")
    button(page, "Continue").click()
    expect(page.locator("#hits")).to_contain_text(name)
    look(page, "call-off-check")
    button(page, "Call off").click()
    main = page.get_by_role("main")
    expect(main).to_contain_text("1 visit is called off.")
    expect(main).to_contain_text("To be called: no e-mail address")
    expect(main).to_contain_text("207-555-0142")
    look(page, "called-off")


def test_receptions_phone_call(
    open_page: OpenPage, receptions: list[dict[str, Any]], way: int, look: Look
) -> None:
    facts = receptions[way]
    page = open_as(open_page, way, facts)
    enters_with_factor(page, facts["email"])
    expect(page.get_by_role("heading", level=1)).to_contain_text(facts["hospital"])
    look(page, "call-day")
    name = new_patient(page, facts, look)
    chart = page.url

    # The caller will open an account later: a code joins it to this chart.
    button(page, "Code for the patient's own account").click()
    heading(page, "One-time code")
    expect(page.get_by_text(re.compile(r"^[0-9A-Z]{5} [0-9A-Z]{5}$"))).to_be_visible()
    look(page, "call-code")
    page.goto(chart)

    visit = books_with_a_limit_set_aside(page, facts, look)
    day = moves_to_the_colleague(page, facts, look)
    assert page.url == visit  # moved, it is the same visit
    calls_the_morning_off(page, facts, name, day, look)
    page.goto(visit)
    expect(page.get_by_role("main")).to_contain_text("Cancelled")

    # Somebody arrives meanwhile, or so it seemed.
    page.goto("/admin/")
    row = page.locator(".day__row").filter(has_text=facts["here"])
    row.get_by_role("button", name=f"Arrived: {facts['here']}").click()
    expect(row).to_contain_text(re.compile(r"Arrived \d+:\d\d (am|pm)"))
    row.get_by_role("button", name="Undo").click()
    expect(row.get_by_role("button", name=f"Arrived: {facts['here']}")).to_be_visible()
    expect(row.get_by_role("button", name="Undo")).to_have_count(0)
    look(page, "call-undone")


# --- The patient --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def readers(site: Site) -> list[dict[str, Any]]:
    return stage.readers(site, count=len(WAYS))


def takes_it_along(page: Page, facts: dict[str, Any], look: Look, folder: Path) -> None:
    """After the password: the printable record, and the file for another clinic."""
    link(page, "Take everything along").click()
    heading(page, "Enter your password again")
    look(page, "record-password")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    button(page, "Continue").click()
    heading(page, "Take everything along")
    look(page, "record-download")
    with page.expect_download() as download:
        button(page, "Download the file").click()
    assert download.value.suggested_filename == "record-fhir-r4.json"
    kept = folder / "record.json"
    download.value.save_as(kept)
    bundle = json.loads(kept.read_text())
    Bundle.model_validate_json(kept.read_text())
    kinds = {entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert {"Patient", "Encounter", "AllergyIntolerance", "MedicationRequest"} <= kinds
    names = [entry["resource"]["name"][0] for entry in bundle["entry"]
             if entry["resource"]["resourceType"] == "Patient"]  # fmt: skip
    assert facts["name"].split()[-1] in json.dumps(names)
    assert "Lisinopril 10 mg" in kept.read_text() and "Penicillin" in kept.read_text()
    link(page, "Open the printable record").click()
    heading(page, f"Record of {facts['name']}")
    expect(page.get_by_role("main")).to_contain_text("Come back in spring.")
    look(page, "record-summary")


def test_a_patient_reads_the_record(
    open_page: OpenPage, readers: list[dict[str, Any]], way: int, look: Look, tmp_path: Path
) -> None:
    facts = readers[way]
    page = open_as(open_page, way, facts)
    page.goto("/record/")
    heading(page, "Your record")
    main = page.get_by_role("main")
    note = main.locator(".note__text")
    expect(note).to_have_text("Blood pressure is fine.\nCome back in spring.")
    expect(main.locator(".note__signed")).to_contain_text(f"Signed by {facts['doctor']}")
    expect(main.locator("section").filter(has_text="Medications").first).to_contain_text(
        "Lisinopril 10 mg"
    )
    expect(main).to_contain_text("Vitamin D 1,000 IU")
    expect(main.locator("section").filter(has_text="Allergies").first).to_contain_text(
        "Penicillin: Hives"
    )
    look(page, "record")

    page.get_by_label("What it is").fill("Letter of Dr. Ames")
    page.get_by_label("File", exact=True).set_input_files(
        [FilePayload(name="letter.jpg", mimeType="image/jpeg", buffer=jpeg((120 + way, 90)))]
    )
    button(page, "Send the file").click()
    expect(main).to_contain_text("The file is in the record.")
    own = page.locator("#documents").get_by_role("listitem").filter(has_text="Letter of Dr. Ames")
    expect(own).to_contain_text("sent in by you")
    with page.expect_download() as download:
        own.get_by_role("link").click()
    assert download.value.suggested_filename == "letter.jpg"

    link(page, "Who opened the record").click()
    heading(page, "Who opened your record")
    first = main.get_by_role("listitem").filter(has_text="Opened the record").first
    expect(first).to_contain_text(f"Dr. {facts['doctor']}")
    expect(first).to_contain_text(re.compile(r"\d+:\d\d (am|pm)"))
    look(page, "record-who")
    page.goto("/record/")

    takes_it_along(page, facts, look, tmp_path)
    page.goto("/record/")

    link(page, "Ask for deletion").click()
    page.get_by_label("What should be deleted?").fill("The letter of Dr. Ames")
    look(page, "record-deletion")
    button(page, "Send to reception").click()
    expect(main).to_contain_text("Reception has your request and will answer here.")
    expect(main).to_contain_text("The letter of Dr. Ames")
    button(page, "Withdraw the request").click()
    expect(main).to_contain_text("Your request is withdrawn.")


# --- The doctor ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def doctors(site: Site) -> list[dict[str, Any]]:
    return stage.doctors(site, count=len(WAYS))


def test_a_doctors_morning_from_the_day_to_time_off(
    open_page: OpenPage, doctors: list[dict[str, Any]], way: int, look: Look
) -> None:
    facts = doctors[way]
    page = open_as(open_page, way, facts)
    page.goto("/admin/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("My day:")
    row = page.locator(".day__row").filter(has_text=facts["patient"])
    look(page, "morning-day")

    # One click to the record, one more to the note.
    row.get_by_role("link", name=facts["patient"], exact=True).click()
    page.wait_for_url(re.compile(r"/admin/charts/[0-9a-f-]{36}/$"))
    head = page.locator(".chart-head")
    expect(head).to_contain_text("Penicillin (Hives)")
    expect(head).to_contain_text("Dizzy")
    chart = page.url
    look(page, "morning-chart")
    button(page, "Write a note").first.click()
    page.wait_for_url("**/notes/*/")
    page.get_by_label(TEXT).fill("Dizzy when standing up.\nPlan: drink more.")
    button(page, "Review and sign").click()
    page.wait_for_url("**/sign/")
    look(page, "morning-sign")
    button(page, "Sign this note").click()
    main = page.get_by_role("main")
    expect(main).to_contain_text("The note is signed.")
    expect(main.locator(".note__text")).to_have_text("Dizzy when standing up.\nPlan: drink more.")

    # A prescription that matches the allergy needs a reason.
    link(page, "Prescribe").click()
    page.get_by_label("Medication").fill("Amoxicillin 500 mg")
    page.get_by_label("Dose and how to take it").fill("1 capsule 3 times a day")
    page.get_by_label("Quantity").fill("21 capsules")
    assert send(page, "Prescribe").status == 422
    expect(page.locator(".govuk-error-summary")).to_contain_text("allergic to: Penicillin")
    look(page, "morning-allergy")
    page.get_by_label("Why do you prescribe it despite").fill("Tolerated twice, tested in 2024")
    button(page, "Prescribe despite the allergy").click()
    page.wait_for_url(re.compile(r"/prescriptions/[0-9a-f-]{36}/$"))
    page.goto(chart)
    expect(main).to_contain_text("Amoxicillin 500 mg")

    # Time off, with the visit that it hits.
    page.goto("/admin/")
    link(page, "Opening hours and time off").click()
    link(page, "Time off").click()
    page.get_by_label("First day").fill(facts["day"])
    page.get_by_label("Last day").fill(facts["day"])
    page.get_by_label("Note for staff").fill("Training")
    look(page, "morning-off")
    button(page, "Continue").click()
    heading(page, "This hits 1 booked visit")
    expect(page.locator("#hits")).to_contain_text(facts["patient"])
    look(page, "morning-hits")
    page.get_by_label("Cancel them: patients are told and led to new times").check()
    button(page, "Save").click()
    expect(main).to_contain_text("The time off is stored.")
    look(page, "morning-hours")
    page.goto(f"/doctors/{facts['slug']}/?date={facts['day']}")
    assert page.locator("#times a.time[href*='" + facts["day"] + "']").count() == 0


# --- Without a script, after the time was over --------------------------------------------------
def test_s10_a_draft_sent_without_a_script_after_the_sign_in_ended_keeps_its_text(
    open_page: OpenPage, people: People, site: Site
) -> None:
    page = open_page(width=PHONE, javascript=False, person=people.known[DOCTOR])
    address = new_note(page, site, "Signed out without a script")
    page.context.clear_cookies(name="session")
    page.get_by_label(TEXT).fill("Typed after the sign-in had ended")
    button(page, "Save draft").click()
    heading(page, "Sign in")
    assert "Typed" not in page.url and "Typed" not in page.content()
    page.get_by_label("E-mail address").fill(DOCTOR)
    page.get_by_label("Password", exact=True).fill(SAMPLE_PASSWORD)
    button(page, "Sign in").click()
    page.wait_for_url(address)
    expect(page.get_by_label(TEXT)).to_have_value("Typed after the sign-in had ended")
    expect(page.get_by_role("main")).to_contain_text("so it is not saved yet")
    button(page, "Save draft").click()
    expect(page.get_by_role("main")).to_contain_text("It is not signed yet.")
    page.goto(address)
    expect(page.get_by_label(TEXT)).to_have_value("Typed after the sign-in had ended")
    expect(page.get_by_role("main")).not_to_contain_text("so it is not saved yet")


def test_s10_text_that_came_back_is_saved_by_the_script_where_there_is_one(
    open_page: OpenPage, people: People, site: Site
) -> None:
    page = open_page(person=people.known[DOCTOR])
    address = new_note(page, site, "Signed out, then with a script")
    page.context.clear_cookies(name="session")
    # As a browser sends the form before its script has come.
    page.evaluate("document.querySelector('#id_body').defaultValue = 'Sent too early'")
    page.evaluate("HTMLFormElement.prototype.submit.call(document.querySelector('#draft'))")
    heading(page, "Sign in")
    page.get_by_label("E-mail address").fill(DOCTOR)
    page.get_by_label("Password", exact=True).fill(SAMPLE_PASSWORD)
    button(page, "Sign in").click()
    page.wait_for_url(address)
    expect(page.get_by_label(TEXT)).to_have_value("Sent too early")
    expect(page.locator("[data-draft-state]")).to_have_text(SAVED)
    page.reload()
    expect(page.get_by_label(TEXT)).to_have_value("Sent too early")
    expect(page.get_by_role("main")).not_to_contain_text("so it is not saved yet")
