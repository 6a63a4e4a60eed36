"""A doctor's work in a record: a note and its draft, a prescription, a document, an emergency."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.conftest import DESKTOP, PHONE, OpenPage, RunAxe
from tests.browser.pages_charts import DOCTOR, chart_address
from tests.browser.people import People
from tests.browser.steps import button, link, send
from tests.files import jpeg, pdf
from tests.site import PASSWORD, Site

SAVED = re.compile(r"Draft saved \d+:\d\d (am|pm)")
TEXT = "Text of the note"


@pytest.fixture(
    params=[(PHONE, True), (PHONE, False), (DESKTOP, True), (DESKTOP, False)],
    ids=["390-js", "390-nojs", "1366-js", "1366-nojs"],
)
def doctors_page(request: pytest.FixtureRequest, open_page: OpenPage, people: People) -> Page:
    width, javascript = request.param
    return open_page(width=width, javascript=javascript, person=people.known[DOCTOR])


def new_note(page: Page, site: Site, about: str) -> str:
    """Begins a note about a phone call; its address."""
    page.goto(chart_address(site) + "encounters/new/")
    page.get_by_label("What was it about?").fill(about)
    button(page, "Write the note").click()
    page.wait_for_url("**/notes/*/")
    return page.url


def state(page: Page) -> str:
    return page.locator("[data-draft-state]").inner_text()


def test_a_note_is_written_kept_signed_and_amended(
    doctors_page: Page, site: Site, request: pytest.FixtureRequest
) -> None:
    page, about = doctors_page, f"Call {request.node.callspec.id}"
    javascript = request.node.callspec.params["doctors_page"][1]
    page.goto("/admin/charts/")
    page.get_by_role("main").get_by_role("link").filter(has_text=re.compile("^[A-Z]")).first.click()
    address = new_note(page, site, about)
    page.get_by_label(TEXT).fill("Cough for two weeks.\nNo fever.")
    if javascript:
        expect(page.locator("[data-draft-now]")).to_have_text("Not saved yet")
        expect(page.locator("[data-draft-now]")).to_have_text("")
        expect(page.get_by_role("status")).to_have_text(SAVED)
    else:
        button(page, "Save draft").click()
        expect(page.get_by_role("main")).to_contain_text("It is not signed yet.")
    page.goto(address)  # also what a reload would show, or another device
    expect(page.get_by_label(TEXT)).to_have_value("Cough for two weeks.\nNo fever.")

    page.get_by_label(TEXT).fill("Cough for two weeks.\nNo fever.\nPlan: tea.")
    button(page, "Review and sign").click()
    page.wait_for_url("**/sign/")
    expect(page.locator(".note__text")).to_have_text("Cough for two weeks.\nNo fever.\nPlan: tea.")
    button(page, "Sign this note").click()
    page.wait_for_url(f"**{chart_address(site)}")
    expect(page.get_by_role("main")).to_contain_text("The note is signed.")
    entry = page.locator(".timeline__what").filter(has_text=about)
    expect(entry).to_contain_text("Plan: tea.")
    expect(entry).to_contain_text("Signed by ")

    entry.get_by_role("link", name=re.compile("Open or amend")).click()
    expect(page.get_by_label(TEXT)).to_have_count(0)
    link(page, "Amend this note").click()
    page.get_by_label("What do you add or correct?").fill("It was three weeks.")
    button(page, "Sign this amendment").click()
    expect(page.locator("article .note__text").last).to_have_text("It was three weeks.")
    expect(page.locator("article .note__text").first).to_contain_text("Cough for two weeks.")


def test_todays_visit_is_one_click_from_its_note(
    open_page: OpenPage, people: People, site: Site
) -> None:
    # A past visit is moved to this day, before any other of it that the sample has, and back: other
    # tests look at the ones to come.
    found = (
        "from appointments.models import Appointment\n"
        "visit = Appointment.objects.filter(doctor__user__email='doctor1@example.org',"
        " patient__account__email='patient1@example.org').order_by('starts_at')[0]\n"
    )
    site.shell(
        f"{found}from django.utils import timezone\n"
        "from appointments.zones import zone_info\n"
        "today = timezone.now().astimezone(zone_info(visit.hospital.time_zone))\n"
        "away = today.replace(hour=0, minute=5) - visit.starts_at\n"
        "visit.starts_at += away\n"
        "visit.ends_at = visit.occupied_until = visit.ends_at + away\n"
        "visit.status, visit.reason = 'booked', 'Dizzy when standing up'\n"
        "visit.save()\n"
    )
    try:
        _one_click_to_the_note(open_page, people, site)
    finally:
        site.shell(
            "from datetime import timedelta\n"
            "from appointments.models import Appointment\n"
            "visit = Appointment.objects.get(reason='Dizzy when standing up')\n"
            "visit.starts_at -= timedelta(days=9)\n"
            "visit.ends_at = visit.occupied_until = visit.ends_at - timedelta(days=9)\n"
            "visit.status = 'done'\n"
            "visit.save()\n"
        )


def _one_click_to_the_note(open_page: OpenPage, people: People, site: Site) -> None:
    page = open_page(width=PHONE, person=people.known[DOCTOR])
    page.goto(chart_address(site))
    head = page.locator(".chart-head")
    expect(head).to_contain_text("Dizzy when standing up")
    button(page, "Write a note").first.click()
    page.wait_for_url("**/notes/*/")
    expect(page.get_by_label(TEXT)).to_be_visible()
    page.mouse.wheel(0, 600)
    expect(head).to_be_in_viewport(ratio=0.9)  # it stays in sight


def test_a_draft_changed_in_another_window_is_shown_beside_the_own_text(
    open_page: OpenPage, people: People, site: Site, axe: RunAxe,
    shot: Callable[[Page, str], Path],
) -> None:  # fmt: skip
    page = open_page(person=people.known[DOCTOR])
    address = new_note(page, site, "Two windows")
    other = page.context.new_page()
    other.goto(address)
    other.get_by_label(TEXT).fill("The other window")
    expect(other.get_by_role("status")).to_have_text(SAVED)

    page.get_by_label(TEXT).fill("This window")
    conflict = page.locator("[data-draft-conflict]")
    expect(conflict).to_be_visible()
    expect(conflict).to_contain_text("This draft was changed in another window")
    expect(conflict.locator("[data-draft-other]")).to_have_text("The other window")
    expect(page.get_by_label(TEXT)).to_have_value("This window")
    axe(page)
    shot(page, "draft-conflict")
    other.reload()
    expect(other.get_by_label(TEXT)).to_have_value("The other window")  # nothing was overwritten

    # Signing must not go past the question either.
    button(page, "Review and sign").click()
    expect(conflict).to_be_visible()
    assert page.url == address

    button(page, "Keep my text").click()
    expect(page.get_by_role("status")).to_have_text(SAVED)
    other.reload()
    expect(other.get_by_label(TEXT)).to_have_value("This window")

    other.get_by_label(TEXT).fill("Better words")
    expect(other.get_by_role("status")).to_have_text(SAVED)
    expect(other.locator("[data-draft-now]")).to_have_text("")
    page.get_by_label(TEXT).fill("Worse words")
    button(page, "Keep the text of the other window").click()
    expect(page.get_by_label(TEXT)).to_have_value("Better words")
    other.close()


def test_text_typed_offline_is_kept_through_a_reload_and_saved_later(
    open_page: OpenPage, people: People, site: Site
) -> None:
    page = open_page(person=people.known[DOCTOR])
    address = new_note(page, site, "Offline")
    page.context.set_offline(True)
    page.get_by_label(TEXT).fill("Typed in the elevator")
    expect(page.get_by_role("status")).to_contain_text("You are offline. Your text is kept")
    page.context.set_offline(False)
    expect(page.get_by_role("status")).to_have_text(SAVED, timeout=20_000)
    page.goto(address)
    expect(page.get_by_label(TEXT)).to_have_value("Typed in the elevator")

    # A tab that is reloaded while saves fail has the text from itself.
    page.route("**/notes/*/", lambda route: route.abort()
               if route.request.method == "POST" else route.continue_())  # fmt: skip
    page.get_by_label(TEXT).fill("Typed on the stairs")
    expect(page.get_by_role("status")).to_contain_text("could not be saved")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(page.get_by_label(TEXT)).to_have_value("Typed on the stairs")
    page.unroute("**/notes/*/")
    expect(page.get_by_role("status")).to_have_text(SAVED, timeout=20_000)


def test_signing_in_again_returns_to_the_draft_with_its_text(
    open_page: OpenPage, people: People, site: Site, axe: RunAxe
) -> None:
    page = open_page(width=PHONE, person=people.known[DOCTOR])
    address = new_note(page, site, "Signed out")
    page.context.clear_cookies()
    page.get_by_label(TEXT).fill("Typed after the session had ended")
    expect(page.get_by_role("status")).to_contain_text("You were signed out. Your text is kept")
    axe(page)
    # A button that posts would lose the text on the way to the sign-in.
    button(page, "Save draft").click()
    assert page.url == address
    page.on("dialog", lambda dialog: dialog.dismiss())
    link(page, "Sign in again").click()
    page.get_by_label("E-mail address").fill(DOCTOR)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    button(page, "Sign in").click()
    page.wait_for_url(address)
    expect(page.get_by_label(TEXT)).to_have_value("Typed after the session had ended")
    expect(page.get_by_role("status")).to_have_text(SAVED)
    kept = page.evaluate("Object.keys(sessionStorage).filter(key => key.startsWith('clinic.'))")
    assert kept == []


def test_nothing_of_a_draft_stays_in_the_browser_once_it_is_saved_or_one_signs_out(
    open_page: OpenPage, people: People, site: Site
) -> None:
    page = open_page(person=people.known[DOCTOR])
    new_note(page, site, "Shared computer")
    page.route("**/notes/*/", lambda route: route.abort())
    page.get_by_label(TEXT).fill("canary-text")
    stored = "JSON.stringify({...localStorage, ...sessionStorage})"
    expect(page.get_by_role("status")).to_contain_text("could not be saved")
    assert "canary-text" in page.evaluate("JSON.stringify({...sessionStorage})")
    assert "canary-text" not in page.evaluate("JSON.stringify({...localStorage})")
    # As the sign-out button does it; the session of these tests is not ended for real.
    page.evaluate("document.querySelector('form[data-sign-out]').dispatchEvent("
                  "new Event('submit', {bubbles: true, cancelable: true}))")  # fmt: skip
    assert "canary-text" not in page.evaluate(stored)


def test_a_save_by_itself_says_that_nobody_may_be_there(
    open_page: OpenPage, people: People, site: Site
) -> None:
    page = open_page(person=people.known[DOCTOR])
    new_note(page, site, "Background")
    with page.expect_request(lambda sent: sent.method == "POST") as sent:
        page.get_by_label(TEXT).fill("A line")
    assert sent.value.header_value("X-Background-Request") == "1"
    expect(page.get_by_role("status")).to_have_text(SAVED)


# --- Prescriptions, documents, the rest ----------------------------------------------------------
def test_a_prescription_despite_an_allergy_needs_a_reason_and_prints_alone(
    doctors_page: Page, site: Site, request: pytest.FixtureRequest,
    shot: Callable[[Page, str], Path],
) -> None:  # fmt: skip
    page = doctors_page
    page.goto(chart_address(site))
    expect(page.locator(".chart-head")).to_contain_text("Penicillin")
    link(page, "Prescribe").click()
    name = f"Amoxicillin 500 mg {request.node.callspec.id}"
    page.get_by_label("Medication").fill(name)
    page.get_by_label("Dose and how to take it").fill("1 capsule 3 times a day")
    page.get_by_label("Quantity").fill("21 capsules")
    assert send(page, "Prescribe").status == 422
    expect(page.locator(".govuk-error-summary")).to_contain_text("allergic to: Penicillin")
    expect(page.get_by_label("Medication")).to_have_value(name)
    page.get_by_label("Why do you prescribe it despite").fill("Tolerated twice, tested in 2024")
    button(page, "Prescribe despite the allergy").click()
    page.wait_for_url(re.compile(r"/prescriptions/[0-9a-f-]{36}/$"))
    page.emulate_media(media="print")
    main = page.get_by_role("main")
    expect(main.get_by_text(name).last).to_be_visible()
    expect(main.get_by_text("Signature")).to_be_visible()
    for hidden in (page.locator(".chart-head"), page.locator(".chart-sections"),
                   page.get_by_text("Tolerated twice"), page.locator(".work-header")):  # fmt: skip
        expect(hidden).to_be_hidden()
    shot(page, "prescription-print")
    page.emulate_media(media="screen")
    link(page, "Back to medications").click()
    expect(main).to_contain_text("Tolerated twice, tested in 2024")
    row = page.locator(".entry-list__row").filter(has_text=name)
    row.get_by_role("link", name=re.compile("^Stop")).click()
    page.get_by_label("Why is it stopped?").fill("Rash")
    button(page, "Stop it").click()
    expect(main).to_contain_text(f"{name} is stopped.")


def test_documents_come_in_and_go_out(
    doctors_page: Page, site: Site, request: pytest.FixtureRequest
) -> None:
    page, case = doctors_page, request.node.callspec.id
    page.goto(chart_address(site) + "documents/")
    page.get_by_label("Title").fill(f"Photo {case}")
    picture = jpeg((320 + len(case), 240 + request.node.callspec.indices["doctors_page"]))
    page.get_by_label("File").set_input_files(
        [FilePayload(name="arm.jpg", mimeType="image/jpeg", buffer=picture)]
    )
    button(page, "Add this document").click()
    expect(page.get_by_role("main")).to_contain_text("The document is in the record.")
    row = page.locator(".entry-list__row").filter(has_text=f"Photo {case}")
    shown = row.locator("img")
    expect(shown).to_be_visible()
    shown.scroll_into_view_if_needed()
    expect(shown).to_have_js_property("naturalWidth", 320)
    with page.expect_download() as download:
        row.get_by_role("link", name=f"Photo {case}", exact=True).click()
    assert download.value.suggested_filename == "arm.jpg"

    page.get_by_label("Title").fill("No letter")
    page.get_by_label("File").set_input_files(
        [FilePayload(name="letter.jpg", mimeType="image/jpeg", buffer=pdf())]
    )
    assert send(page, "Add this document").status == 422
    expect(page.locator(".govuk-error-summary")).to_contain_text("not what its name says")
    expect(page.get_by_label("Title")).to_have_value("No letter")


def test_a_condition_an_allergy_and_measurements_are_recorded(
    doctors_page: Page, site: Site, request: pytest.FixtureRequest
) -> None:
    page, main = doctors_page, doctors_page.get_by_role("main")
    case = request.node.callspec.indices["doctors_page"]
    word, code = [("measles", "B05"), ("mumps", "B26"), ("scabies", "B86"), ("gout", "M10")][case]
    page.goto(chart_address(site) + "conditions/")
    page.get_by_label("Diagnosis or problem").fill(word)
    button(page, "Find the category").click()
    page.get_by_label(re.compile(f"^{code} ")).check()
    button(page, "Record this condition").click()
    expect(main).to_contain_text("The condition is recorded.")
    assert word not in page.url

    page.goto(chart_address(site) + "allergies/")
    page.get_by_label("Substance").fill(f"Pollen of {word}")
    button(page, "Record this allergy").click()
    expect(page.locator(".chart-head")).to_contain_text(f"Pollen of {word}")
    row = page.locator(".entry-list__row").filter(has_text=f"Pollen of {word}")
    row.get_by_role("link", name=re.compile("^Entered in error")).click()
    page.get_by_label("Why was this entered in error?").fill("Wrong patient")
    button(page, "Mark as entered in error").click()
    expect(page.locator(".chart-head")).not_to_contain_text(f"Pollen of {word}")
    expect(page.locator(".entry--retracted").first).to_contain_text("Wrong patient")

    page.goto(chart_address(site) + "measurements/")
    page.get_by_label("Blood pressure, upper").fill("131")
    page.get_by_label("Blood pressure, lower").fill(str(70 + case))
    page.get_by_label(re.compile("^Temperature")).fill("37.2")
    page.get_by_label("Unit of temperature").select_option("Cel")
    button(page, "Record vital signs").click()
    expect(main).to_contain_text(f"Blood pressure: 131/{70 + case} mmHg")
    expect(main).to_contain_text("Temperature: 37.2 °C")


def test_the_list_finds_a_patient_without_an_address_that_names_anybody(
    doctors_page: Page, site: Site
) -> None:
    page = doctors_page
    page.goto("/admin/charts/")
    names = page.locator(".chart-list__name").all_inner_texts()
    page.get_by_label("Name").fill(names[0].split()[-1])
    button(page, "Search").click()
    expect(page.get_by_role("main").get_by_role("status")).to_contain_text("found")
    expect(page.locator(".chart-list__name").first).to_have_text(names[0])
    assert page.url.endswith("/admin/charts/")


def test_a_record_is_opened_in_an_emergency(
    open_page: OpenPage, people: People, site: Site
) -> None:
    name, born = site.shell(
        "from accounts.models import Patient\n"
        "from appointments.models import CareRelation\n"
        "known = CareRelation.objects.filter(doctor__user__email='doctor1@example.org')\n"
        "p = Patient.objects.exclude(pk__in=known.values('patient')).filter("
        "birth_date__isnull=False).order_by('pk')[0]\n"
        "print(p.name, p.birth_date, sep='|')"
    ).splitlines()[-1].split("|")  # fmt: skip
    year, month, day = born.split("-")
    page = open_page(width=PHONE, person=people.known[DOCTOR])
    page.goto("/admin/charts/")
    link(page, "Open a record in an emergency").click()
    page.get_by_label("Full name of the patient").fill(name)
    for part, value in (("Month", month), ("Day", day), ("Year", year)):
        page.get_by_label(part).fill(value)
    assert send(page, "Open this record").status == 422
    page.get_by_label("Why do you need this record now?").fill("Found unconscious in the hall")
    button(page, "Open this record").click()
    page.wait_for_url(re.compile(r"/admin/charts/[0-9a-f-]{36}/$"))
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.goto("/admin/charts/")
    expect(page.get_by_role("main")).to_contain_text("Emergency access until")
