"""The page types of a doctor's charts: the sample's first doctor and first patient."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import FilePayload

from tests.browser import steps
from tests.browser.page_type import Opened, PageType, Visitor, at
from tests.browser.people import run
from tests.browser.steps import button
from tests.files import jpeg
from tests.site import Site

DOCTOR, PATIENT = "doctor1@example.org", "patient1@example.org"

NO_CHART_PAGE = {
    "chart_note_start": "takes a form; leads to the note",
    "chart_condition_resolve": "takes a form",
    "chart_allergy_end": "takes a form",
    "chart_referral_withdraw": "takes a form",
    "chart_document": "a file of a record",
    "chart_document_thumbnail": "a picture in the list of documents",
}


def chart_address(site: Site, patient: str = PATIENT) -> str:
    rows = run(
        site,
        "SELECT p.public_id FROM accounts_patient p "
        "JOIN accounts_user u ON u.id = p.account_id WHERE u.email = ?",
        patient,
    )
    return f"/admin/charts/{steps.dashed(rows[0][0])}/"


def chart(part: str = "") -> Callable[[Visitor], Opened]:
    return lambda visitor: visitor.to(chart_address(visitor.site) + part)


def pressed(part: str, name: str, **fields: str) -> Callable[[Visitor], Opened]:
    """A form of the chart filled in, label by label, and sent; its answer."""

    def open_it(visitor: Visitor) -> Opened:
        chart(part)(visitor)
        for label, value in fields.items():
            visitor.page.get_by_label(label.replace("_", " ")).first.fill(value)
        return visitor.posted(name)

    return open_it


def followed(part: str, link: str = "", css: str = "") -> Callable[..., Opened]:
    """The page that the first link with these words, or this selector, leads to."""

    def open_it(visitor: Visitor) -> Opened:
        chart(part)(visitor)
        main = visitor.page.get_by_role("main")
        found = main.get_by_role("link", name=link) if link else main.locator(css)
        return visitor.to(found.first.get_attribute("href") or "")

    return open_it


def found(visitor: Visitor) -> Opened:
    visitor.to("/admin/charts/")
    visitor.page.get_by_label("Name").fill("a")
    return visitor.posted("Search")


def draft(visitor: Visitor) -> Opened:
    """The doctor's draft in the first encounter of the timeline."""
    chart()(visitor)
    visitor.page.locator("main form[action$='/notes/'] button").first.click()
    visitor.page.wait_for_url("**/notes/*/")
    return visitor.page.reload()


def stale(visitor: Visitor) -> Opened:
    """The page of somebody who saves what another window has changed, without the script."""
    draft(visitor)
    visitor.page.evaluate("document.querySelector('[name=version]').value = 999")
    visitor.page.evaluate("document.querySelector('#id_body').defaultValue = 'A line'")
    visitor.page.evaluate("document.querySelector('#draft').removeAttribute('data-draft')")
    with visitor.page.expect_navigation() as answer:
        visitor.page.evaluate(
            "HTMLFormElement.prototype.submit.call(document.querySelector('#draft'))"
        )
    return answer.value


def review(visitor: Visitor) -> Opened:
    draft(visitor)
    visitor.page.get_by_label("Text of the note").fill("Feels well. Plan: go on as before.")
    button(visitor.page, "Review and sign").click()
    visitor.page.wait_for_url("**/sign/")
    return visitor.page.reload()


def signed(part: str = "") -> Callable[[Visitor], Opened]:
    """The doctor's first signed note; the timeline's first page may be full of newer ones."""

    def open_it(visitor: Visitor) -> Opened:
        rows = run(
            visitor.site,
            "SELECT n.public_id FROM records_note n "
            "JOIN accounts_patient p ON p.id = n.patient_id "
            "JOIN accounts_user u ON u.id = p.account_id "
            "JOIN accounts_user a ON a.id = n.author_id "
            "WHERE u.email = ? AND a.email = ? AND n.status = 'signed' AND n.amends_id IS NULL "
            "ORDER BY n.id",
            PATIENT,
            DOCTOR,
        )
        note = steps.dashed(rows[0][0])
        return visitor.to(f"{chart_address(visitor.site)}notes/{note}/{part}")

    return open_it


def with_document(visitor: Visitor) -> Opened:
    chart("documents/")(visitor)
    if not visitor.page.locator(".document__picture").count():
        visitor.page.get_by_label("Title").fill("Photo of the left arm")
        picture = FilePayload(name="arm.jpg", mimeType="image/jpeg", buffer=jpeg())
        visitor.page.get_by_label("File").set_input_files([picture])
        visitor.posted("Add this document")
    return visitor.page.reload()


CHART_PAGES = [
    PageType("charts", "charts", at("/admin/charts/"), who=DOCTOR),
    PageType("charts-found", "charts", found, who=DOCTOR),
    PageType("emergency", "chart_emergency", at("/admin/charts/emergency/"), who=DOCTOR),
    PageType("chart", "chart", chart(), who=DOCTOR),
    PageType("chart-contact", "chart_encounter_new", chart("encounters/new/"), who=DOCTOR),
    PageType("chart-contact-empty", "chart_encounter_new",
             pressed("encounters/new/", "Write the note"), who=DOCTOR, status=422, problem=True),
    PageType("note", "chart_note", draft, who=DOCTOR),
    PageType("note-stale", "chart_note", stale, who=DOCTOR, status=409, problem=True),
    PageType("note-review", "chart_note_sign", review, who=DOCTOR),
    PageType("note-signed", "chart_note", signed(), who=DOCTOR),
    PageType("note-amend", "chart_note_amend", signed("amend/"), who=DOCTOR),
    PageType("allergies", "chart_allergies", chart("allergies/"), who=DOCTOR),
    PageType("retract", "chart_retract", followed("allergies/", "Entered in error"), who=DOCTOR),
    PageType("conditions", "chart_conditions", chart("conditions/"), who=DOCTOR),
    PageType("conditions-found", "chart_conditions",
             pressed("conditions/", "Find the category", Diagnosis_or_problem="diabetes"),
             who=DOCTOR),
    PageType("medications", "chart_medications", chart("medications/"), who=DOCTOR),
    PageType("medication-stop", "chart_medication_stop", followed(
             "medications/", css="a[href*='/medications/'][href$='/stop/']"), who=DOCTOR),
    PageType("prescribe", "chart_prescribe", chart("prescriptions/new/"), who=DOCTOR),
    PageType("prescribe-allergy", "chart_prescribe", pressed(
             "prescriptions/new/", "Prescribe", Medication="Amoxicillin 500 mg capsules",
             Dose="1 capsule 3 times a day", Quantity="21 capsules"),
             who=DOCTOR, status=422, problem=True),
    PageType("prescription", "chart_prescription", followed("medications/", "Print"), who=DOCTOR),
    PageType("prescription-stop", "chart_prescription_stop", followed(
             "medications/", css="a[href*='/prescriptions/'][href$='/stop/']"), who=DOCTOR),
    PageType("measurements", "chart_measurements", chart("measurements/"), who=DOCTOR),
    PageType("measurements-empty", "chart_measurements",
             pressed("measurements/", "Record vital signs"), who=DOCTOR, status=422, problem=True),
    PageType("documents", "chart_documents", with_document, who=DOCTOR),
    PageType("referrals", "chart_referrals", chart("referrals/"), who=DOCTOR),
    PageType("referrals-found", "chart_referrals",
             pressed("referrals/", "Find the colleague", Name_of_the_colleague="a"), who=DOCTOR),
]  # fmt: skip
