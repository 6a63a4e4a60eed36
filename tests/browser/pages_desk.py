"""The page types of reception, of opening hours, and of a patient's own record."""

from __future__ import annotations

from collections.abc import Callable

from tests.browser import steps
from tests.browser.page_type import Opened, PageType, Visitor, at
from tests.browser.people import run
from tests.site import PASSWORD

PATIENT, DOCTOR = "patient1@example.org", "doctor1@example.org"
RECEPTION, ADMIN = "reception@example.org", "admin@example.org"

NO_DESK_PAGE = {
    "metrics": "for Prometheus",
    "emergencies": "of the workplace; tests/browser/test_workplace.py has it",
    "emergency_of": "of the workplace; tests/browser/test_workplace.py has it",
    "desk_patient_use": "takes a form",
    "desk_carer": "takes a form",
    "hours_off_end": "takes a form",
    "record_upload": "takes a form",
    "record_document": "a file of a record",
    "record_thumbnail": "a picture in a list",
    "record_referral": "takes a form",
    "carer_rights": "takes a form",
    "person_guardian": "takes a form",
}


def _slug(visitor: Visitor, table: str) -> str:
    """Of the sample's first doctor, or of the hospital where the first doctor works."""
    query = {
        "doctor": "SELECT d.slug FROM directory_doctor d JOIN accounts_user u ON u.id = d.user_id "
        "WHERE u.email = 'doctor1@example.org'",
        "hospital": "SELECT h.slug FROM directory_hospital h JOIN directory_hospitalstaff s "
        "ON s.hospital_id = h.id ORDER BY h.id",
    }[table]
    return str(run(visitor.site, query)[0][0])


def hours(part: str) -> Callable[[Visitor], Opened]:
    return lambda visitor: visitor.to(f"/admin/hours/{_slug(visitor, 'doctor')}/{part}")


def days(visitor: Visitor) -> Opened:
    return visitor.to(f"/admin/hospital-days/{_slug(visitor, 'hospital')}/")


def week_asks(visitor: Visitor) -> Opened:
    """A week with one short morning, which hits what the sample's doctor has booked."""
    hours("week/")(visitor)
    for day in range(7):
        for part in (0, 1):
            for end in ("opens", "closes"):
                visitor.page.locator(f"#id_{end}_{day}_{part}").fill("")
    visitor.page.locator("#id_opens_0_0").fill("06:00")
    visitor.page.locator("#id_closes_0_0").fill("06:30")
    return visitor.posted("Continue")


def week_wrong(visitor: Visitor) -> Opened:
    hours("week/")(visitor)
    visitor.page.locator("#id_opens_0_0").fill("12:00")
    visitor.page.locator("#id_closes_0_0").fill("09:00")
    return visitor.posted("Continue")


def off_empty(visitor: Visitor) -> Opened:
    hours("off/")(visitor)
    return visitor.posted("Continue")


def _patient(visitor: Visitor) -> str:
    """A patient with a visit to come at a hospital of the sample's reception."""
    rows = run(
        visitor.site,
        "SELECT p.public_id, a.public_id FROM appointments_appointment a "
        "JOIN accounts_patient p ON p.id = a.patient_id "
        "JOIN directory_hospitalstaff s ON s.hospital_id = a.hospital_id "
        "WHERE a.status = 'booked' AND a.starts_at > datetime('now', '+2 days') "
        "ORDER BY a.starts_at",
    )
    return f"{steps.dashed(rows[0][0])} {steps.dashed(rows[0][1])}"


def patient(visitor: Visitor) -> Opened:
    return visitor.to(f"/admin/patients/{_patient(visitor).split()[0]}/")


def visit(part: str) -> Callable[[Visitor], Opened]:
    return lambda visitor: visitor.to(f"/admin/visits/{_patient(visitor).split()[1]}/{part}")


def code(visitor: Visitor) -> Opened:
    patient(visitor)
    return visitor.posted("Code for a carer")


def searched(visitor: Visitor) -> Opened:
    visitor.to("/admin/patients/")
    visitor.page.get_by_label("Name or phone number").fill("a")
    return visitor.posted("Search")


def services(visitor: Visitor) -> Opened:
    return visitor.to(f"/admin/book/?patient={_patient(visitor).split()[0]}")


def times(visitor: Visitor) -> Opened:
    services(visitor)
    link = visitor.page.get_by_role("main").locator("a[href*='service=']").first
    return visitor.to("/admin/book/" + (link.get_attribute("href") or ""))


def check(visitor: Visitor) -> Opened:
    times(visitor)
    return visitor.to(visitor.page.locator("a.time").first.get_attribute("href") or "")


def outside_hours(visitor: Visitor) -> Opened:
    times(visitor)
    here = visitor.page.url
    return visitor.to(f"{here}&at=2027-01-04T08%3A00%3A00Z")


def move_check(visitor: Visitor) -> Opened:
    visit("move/")(visitor)
    return visitor.to(visitor.page.locator("a.time").first.get_attribute("href") or "")


def likely(visitor: Visitor) -> Opened:
    """A new patient with the name and date of birth of one there is."""
    rows = run(
        visitor.site,
        "SELECT name, birth_date FROM accounts_patient WHERE birth_date IS NOT NULL ORDER BY id",
    )
    name, born = rows[0]
    year, month, day = str(born).split("-")
    visitor.to("/admin/patients/new/")
    visitor.page.get_by_label("Full name").fill(name)
    for label, text in (("Month", month), ("Day", day), ("Year", year)):
        visitor.page.get_by_label(label).fill(text)
    return visitor.posted("Make the chart")


def new_empty(visitor: Visitor) -> Opened:
    visitor.to("/admin/patients/new/")
    return visitor.posted("Make the chart")


def calling_off(visitor: Visitor) -> Opened:
    visitor.to("/admin/call-off/")
    visitor.page.get_by_label("Doctor").select_option(label="Dr. Abdi Warsame")
    clock = visitor.page.get_by_label("By the clock of")
    clock.select_option(label="Harbour Health Lewiston, Eastern Time")
    visitor.page.get_by_label("Day").fill("2027-03-01")
    visitor.page.get_by_label("From").fill("08:00")
    visitor.page.get_by_label("Until").fill("12:00")
    return visitor.posted("Continue")


def again(path: str) -> Callable[[Visitor], Opened]:
    """A page that asks for the password first."""

    def open_it(visitor: Visitor) -> Opened:
        visitor.to(path)
        # The same session may have typed it for another page a moment ago.
        if visitor.page.get_by_label("Password", exact=True).count():
            visitor.page.get_by_label("Password", exact=True).fill(PASSWORD)
            with visitor.page.expect_navigation():
                visitor.page.get_by_role("main").get_by_role("button").last.click()
        return visitor.to(path)

    return open_it


def deletion(visitor: Visitor) -> Opened:
    visitor.to("/admin/deletions/")
    run(
        visitor.site,
        "INSERT OR IGNORE INTO records_deletionrequest "
        "(public_id, patient_id, asked_at, words, decision, answer) "
        "SELECT '01890000000070008000000000000077', a.patient_id, datetime('now'), "
        "'The photo of my arm', 'open', '' FROM appointments_appointment a "
        "JOIN directory_hospitalstaff s ON s.hospital_id = a.hospital_id "
        "WHERE a.patient_id NOT IN (SELECT patient_id FROM records_deletionrequest) "
        "ORDER BY a.id LIMIT 1",
    )
    return visitor.to("/admin/deletions/01890000-0000-7000-8000-000000000077/")


DESK_PAGES = [
    PageType("hours", "hours", at("/admin/hours/"), who=RECEPTION),
    PageType("hours-doctor", "hours_doctor", hours(""), who=DOCTOR),
    PageType("hours-week", "hours_week", hours("week/"), who=DOCTOR),
    PageType("hours-wrong", "hours_week", week_wrong, who=DOCTOR, status=422, problem=True),
    PageType("hours-hits", "hours_week", week_asks, who=DOCTOR),
    PageType("hours-day", "hours_day", hours("day/"), who=DOCTOR),
    PageType("hours-off", "hours_off", hours("off/"), who=DOCTOR),
    PageType("hours-off-empty", "hours_off", off_empty, who=DOCTOR, status=422, problem=True),
    PageType("hospital-days", "hospital_days", days, who=RECEPTION),
    PageType("desk-patients", "desk_patients", searched, who=RECEPTION),
    PageType("desk-new", "desk_patient_new", at("/admin/patients/new/"), who=RECEPTION),
    PageType("desk-new-empty", "desk_patient_new", new_empty, who=RECEPTION, status=422,
             problem=True),
    PageType("desk-likely", "desk_patient_new", likely, who=RECEPTION, status=409, problem=True),
    PageType("desk-patient", "desk_patient", patient, who=RECEPTION),
    PageType("desk-code", "desk_patient_code", code, who=RECEPTION),
    PageType("desk-services", "desk_book", services, who=RECEPTION),
    PageType("desk-times", "desk_book", times, who=RECEPTION),
    PageType("desk-check", "desk_book", check, who=RECEPTION),
    PageType("desk-limit", "desk_book", outside_hours, who=RECEPTION, status=422, problem=True),
    PageType("desk-visit", "desk_visit", visit(""), who=RECEPTION),
    PageType("desk-move", "desk_move", visit("move/"), who=RECEPTION),
    PageType("desk-move-check", "desk_move", move_check, who=RECEPTION),
    PageType("desk-cancel", "desk_cancel", visit("cancel/"), who=RECEPTION),
    PageType("call-off", "call_off", at("/admin/call-off/"), who=RECEPTION),
    PageType("call-off-check", "call_off", calling_off, who=RECEPTION),
    PageType("deletions", "deletions", at("/admin/deletions/"), who=RECEPTION),
    PageType("deletion-decide", "deletion_decide", deletion, who=RECEPTION),
    PageType("operator-status", "operator_status", at("/admin/status/"), who=ADMIN),
    PageType("record", "record", at("/record/"), who=PATIENT),
    PageType("record-none", "record", at("/record/"), who=DOCTOR),
    PageType("record-who", "record_who", at("/record/who/"), who=PATIENT),
    PageType("record-download", "record_download", again("/record/download/"), who=PATIENT),
    PageType("record-summary", "record_summary", again("/record/summary/"), who=PATIENT),
    PageType("record-deletion", "record_deletion", at("/record/deletion/"), who=PATIENT),
    PageType("carers", "carers", at("/accounts/people/carers/"), who=PATIENT),
]  # fmt: skip
