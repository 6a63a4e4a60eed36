"""The workplace: a doctor's morning, reception's day, and every page type of the admin."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser.conftest import DESKTOP, HEIGHTS, PHONE, OpenPage, RunAxe
from tests.browser.people import People, run
from tests.browser.steps import dashed
from tests.browser.test_pages import (
    _LOST_ADDRESSES,
    _MAIN_TARGETS,
    _SMALL_TARGETS,
    _WIDER,
    MAIN_TARGET,
    NARROWEST,
    SMALLEST_TARGET,
)
from tests.site import PASSWORD, ROOT, Site

DOCTOR, RECEPTION, ADMIN = "doctor1@example.org", "reception@example.org", "admin@example.org"

# A visit of the sample's first doctor that began two minutes ago, and is not marked yet.
_BEGIN = """
from datetime import timedelta
from django.utils import timezone
from appointments.models import Appointment
from appointments.zones import local
now = timezone.now().replace(second=0, microsecond=0)
visit = (
    Appointment.objects.filter(doctor__user__email="doctor1@example.org")
    .exclude(status="cancelled").order_by("-pk").select_related("hospital", "patient")[0]
)
clock = local(now, visit.hospital.time_zone)
begun = now - timedelta(minutes=min(2, clock.minute if clock.hour == 0 else 2))
visit.starts_at, visit.status, visit.status_before = begun, "booked", ""
visit.arrived_at = visit.status_at = None
visit.ends_at = visit.occupied_until = begun + timedelta(minutes=30)
visit.save()
print(f"{visit.patient.name}|{visit.hospital.slug}|{visit.hospital.name}")
"""


@dataclass(frozen=True)
class Begun:
    patient: str
    hospital: str
    hospital_name: str


@pytest.fixture
def begun(site: Site) -> Begun:
    return Begun(*site.shell(_BEGIN).splitlines()[-1].split("|"))


@pytest.fixture(
    params=[(PHONE, True), (PHONE, False), (DESKTOP, True), (DESKTOP, False)],
    ids=["390-js", "390-nojs", "1366-js", "1366-nojs"],
)
def doctors_page(request: pytest.FixtureRequest, open_page: OpenPage, people: People) -> Page:
    width, javascript = request.param
    return open_page(width=width, javascript=javascript, person=people.known[DOCTOR])


def test_a_doctors_morning(doctors_page: Page, begun: Begun) -> None:
    page = doctors_page
    page.goto("/admin/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("My day:")
    row = page.locator(".day__row--now").filter(has_text=begun.patient)
    expect(row).to_have_count(1)
    row.get_by_role("button", name=f"Arrived: {begun.patient}").click()
    expect(row).to_contain_text(re.compile(r"Arrived \d+:\d\d (am|pm)"))
    expect(row.get_by_role("button", name="Undo")).to_be_visible()

    row.get_by_role("link", name=begun.patient, exact=True).click()
    page.wait_for_url("**/admin/charts/*/")
    expect(page.locator("main")).to_contain_text(begun.patient)
    page.go_back()

    row = page.locator(".day__row--now").filter(has_text=begun.patient)
    row.get_by_role("button", name=f"Done: {begun.patient}").click()
    over = page.locator(".day__row--over").filter(has_text=begun.patient)
    expect(over.first).to_contain_text(re.compile(r"Done, \d+:\d\d (am|pm)"))
    over.first.get_by_role("button", name="Undo").click()
    row = page.locator(".day__row--now").filter(has_text=begun.patient)
    expect(row).to_contain_text("Arrived")
    assert page.url.startswith(page.url.partition("/admin/")[0] + "/admin/")
    assert "#visit-" in page.url  # the reader is at the row again


def test_the_undo_button_goes_with_the_time_for_it(
    open_page: OpenPage, people: People, begun: Begun
) -> None:
    page = open_page(person=people.known[DOCTOR])
    page.clock.install()
    page.goto("/admin/")
    row = page.locator(".day__row--now").filter(has_text=begun.patient)
    row.get_by_role("button", name=f"Arrived: {begun.patient}").click()
    undo = row.get_by_role("button", name="Undo")
    undo.focus()
    page.clock.fast_forward(9_000)
    expect(undo).to_be_visible()
    page.clock.fast_forward(3_000)
    expect(undo).to_have_count(0)
    assert page.evaluate("document.activeElement.classList.contains('day__row')")


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("javascript", [True, False])
def test_receptions_day(
    open_page: OpenPage, people: People, begun: Begun, width: int, javascript: bool
) -> None:
    page = open_page(width=width, javascript=javascript, person=people.known[RECEPTION])
    page.goto("/admin/")
    page.get_by_label("Hospital").select_option(begun.hospital)
    page.get_by_role("button", name="Show").first.click()
    page.wait_for_url(f"**hospital={begun.hospital}*")
    expect(page.get_by_role("heading", level=1)).to_contain_text(begun.hospital_name)
    row = page.locator(".day__row--now").filter(has_text=begun.patient)
    expect(row).to_contain_text("Dr. Amara Okafor")
    row.get_by_role("button", name="Did not come").click()
    page.wait_for_url(f"**hospital={begun.hospital}*")
    over = page.locator(".day__row--over").filter(has_text=begun.patient).first
    expect(over).to_contain_text("Did not come, ")
    over.get_by_role("button", name="Undo").click()
    expect(page.locator(".day__row--now").filter(has_text=begun.patient)).to_have_count(1)
    page.get_by_role("link", name="Dr. Amara Okafor").first.click()
    page.wait_for_url("**doctor=amara-okafor*")
    expect(page.locator(".day__row--now").filter(has_text=begun.patient)).to_have_count(1)
    page.locator(".day__row--now").get_by_role("link", name=begun.patient).first.click()
    page.wait_for_url("**/admin/visits/*/")
    expect(page.locator("main")).to_contain_text(begun.patient)


def test_a_patient_is_searched_by_a_form(open_page: OpenPage, people: People, site: Site) -> None:
    page = open_page(width=PHONE, person=people.known[RECEPTION])
    (name,) = run(site, "SELECT name FROM accounts_patient ORDER BY id")[0]
    page.goto("/admin/accounts/patient/")
    page.get_by_label("Search").fill(name.split()[-1])
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_contain_text("found")
    assert name.split()[-1] not in page.url
    page.get_by_role("link", name=name).first.click()
    page.wait_for_url("**/admin/patients/*/")


def look(page: Page, name: str) -> None:
    """A picture for people. Hiding the caret would write a style into the page."""
    folder = ROOT / "var" / "screenshots"
    page.screenshot(path=folder / f"work-{name}.png", full_page=True, caret="initial")


# --- Every page type ----------------------------------------------------------------------------
Open = Callable[[Page, Site], Response | None]


def key(table: str, where: str = "1 = 1") -> Callable[[Site], object]:
    return lambda site: run(site, f"SELECT id FROM {table} WHERE {where} ORDER BY id")[0][0]  # noqa: S608


def at(address: str, of: Callable[[Site], object] | None = None) -> Open:
    return lambda page, site: page.goto(address.format(key=of(site) if of else ""))


def searched(page: Page, _site: Site) -> Response | None:
    page.goto("/admin/accounts/patient/")
    page.get_by_label("Search").fill("a")
    with page.expect_navigation() as navigation:
        page.get_by_role("button", name="Search").click()
    return navigation.value


def approving(page: Page, _site: Site) -> Response | None:
    page.goto("/admin/directory/doctor/?approval=waiting")
    page.locator("input.action-select").first.check()
    page.locator("select[name=action]").select_option("approve_doctors")
    with page.expect_navigation() as navigation:
        page.get_by_role("button", name="Go").click()
    return navigation.value


def sent_empty(page: Page, _site: Site) -> Response | None:
    page.goto("/admin/accounts/user/add/")
    with page.expect_navigation() as navigation:
        page.get_by_role("button", name="Save", exact=True).click()
    return navigation.value


_EMERGENCY = """
from datetime import timedelta
from django.utils import timezone
from accounts.models import Patient
from appointments.models import CareRelation
from clinic.directory.models import Doctor
now = timezone.now()
patient = Patient.objects.filter(account__email="patient2@example.org").get()
doctor = Doctor.objects.get(user__email="doctor1@example.org")
if not CareRelation.objects.filter(why="emergency", patient=patient).exists():
    CareRelation.objects.create(
        doctor=doctor, patient=patient, why="emergency", since=now - timedelta(days=2),
        until=now - timedelta(days=2, hours=-1), reason="Found unconscious in the hall",
    )
print(patient.public_id)
"""


def emergency(part: bool) -> Open:
    """The list of emergency accesses, or the page about one record."""

    def open_it(page: Page, site: Site) -> Response | None:
        chart = site.shell(_EMERGENCY).splitlines()[-1]
        return page.goto(f"/admin/emergencies/{chart}/" if part else "/admin/emergencies/")

    return open_it


def factor_reset(page: Page, site: Site) -> Response | None:
    """The page that asks for the administrator's password first."""
    (account,) = run(site, "SELECT public_id FROM accounts_user WHERE role = 'doctor'")[0]
    address = f"/admin/accounts/{dashed(account)}/second-factor/"
    page.goto(address)
    password = page.get_by_label("Password", exact=True)
    if password.count():
        password.fill(PASSWORD)
        with page.expect_navigation():
            page.get_by_role("main").get_by_role("button").last.click()
    return page.goto(address)


DOCTOR_PAGE = at("/admin/directory/doctor/{key}/change/", key("directory_doctor"))
HOSPITAL_PAGE = at(
    "/admin/directory/hospital/{key}/change/", key("directory_hospital", "is_sample = 1")
)
PAGE_TYPES: list[tuple[str, str, Open]] = [
    ("my-day", DOCTOR, at("/admin/")),
    ("another-day", DOCTOR, at("/admin/?date=2026-01-05")),
    ("visits-doctor", DOCTOR, at("/admin/appointments/appointment/")),
    ("patients-doctor", DOCTOR, at("/admin/accounts/patient/")),
    ("own-page", DOCTOR, DOCTOR_PAGE),
    ("hospital-day", RECEPTION, at("/admin/")),
    ("visits", RECEPTION, at("/admin/appointments/appointment/?when=coming")),
    ("visits-none", RECEPTION, at("/admin/appointments/appointment/?q=zzzz")),
    ("visit-history", RECEPTION,
     at("/admin/appointments/appointment/{key}/history/", key("appointments_appointment"))),
    ("patients", RECEPTION, at("/admin/accounts/patient/")),
    ("patients-found", RECEPTION, searched),
    ("doctors", RECEPTION, at("/admin/directory/doctor/")),
    ("doctor-reception", RECEPTION, DOCTOR_PAGE),
    ("hospital-reception", RECEPTION, HOSPITAL_PAGE),
    ("upkeep", ADMIN, at("/admin/")),
    ("approve", ADMIN, approving),
    ("doctor", ADMIN, DOCTOR_PAGE),
    ("doctor-add", ADMIN, at("/admin/directory/doctor/add/")),
    ("hospitals", ADMIN, at("/admin/directory/hospital/")),
    ("hospital", ADMIN, HOSPITAL_PAGE),
    ("specialties", ADMIN, at("/admin/directory/specialty/")),
    ("specialty", ADMIN,
     at("/admin/directory/specialty/{key}/change/", key("directory_specialty"))),
    ("specialty-delete", ADMIN,
     at("/admin/directory/specialty/{key}/delete/", key("directory_specialty"))),
    ("accounts", ADMIN, at("/admin/accounts/user/")),
    ("account", ADMIN, at("/admin/accounts/user/{key}/change/", key("accounts_user"))),
    ("account-add", ADMIN, at("/admin/accounts/user/add/")),
    ("account-add-empty", ADMIN, sent_empty),
    ("trail", ADMIN, at("/admin/accounts/auditevent/")),
    ("trail-row", ADMIN,
     at("/admin/accounts/auditevent/{key}/change/", key("accounts_auditevent"))),
    ("emergencies", ADMIN, emergency(False)),
    ("emergency", ADMIN, emergency(True)),
    ("factor-reset", ADMIN, factor_reset),
    ("conversations", ADMIN, at("/admin/chat/conversation/")),
    ("conversation", ADMIN,
     at("/admin/chat/conversation/{key}/change/", key("chat_conversation"))),
    ("mails", ADMIN, at("/admin/jobs/outgoingmail/")),
    ("jobs", ADMIN, at("/admin/jobs/regularjob/")),
    ("tasks", ADMIN, at("/admin/django_tasks_database/dbtaskresult/")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "who", "open_it"), PAGE_TYPES, ids=[p[0] for p in PAGE_TYPES])
def test_a_page_of_the_workplace_is_accessible_and_without_fault(
    name: str, who: str, open_it: Open, open_page: OpenPage, site: Site, people: People,
    axe: RunAxe,
) -> None:  # fmt: skip
    # Violations of the CSP, script errors and answers of 500 fail every test by themselves.
    if name.startswith("trail"):
        site.shell(
            "from accounts.audit import record; from accounts.models import User; "
            "record('patients.searched', actor=User.objects.get(email='admin@example.org'))"
        )
    page = open_page(person=people.known[who])
    answer = open_it(page, site)
    assert answer is not None and answer.status == 200
    page.wait_for_load_state()
    assert page.locator("h1").count() == 1
    assert page.title().endswith("– Harbour Health")
    assert page.title().startswith("Error:") == name.endswith("-empty")
    # "Add another" and "No, take me back" are links to nowhere that Django's scripts make buttons.
    lost = page.locator(_LOST_ADDRESSES).and_(page.locator(":not([role=button], .cancel-link)"))
    assert lost.evaluate_all("all => all.map(e => e.outerHTML)") == []
    for width in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        assert page.evaluate(_SMALL_TARGETS, SMALLEST_TARGET) == []
        assert page.evaluate(_MAIN_TARGETS.replace("a.time", ".work-button"), MAIN_TARGET) == []
        axe(page, preload=False)  # Django's forms.css imports a style sheet
        page.emulate_media(color_scheme="dark")
        axe(page, only="color-contrast", preload=False)
        look(page, f"{name}-{width}-dark")
        page.emulate_media(color_scheme="light")
        look(page, f"{name}-{width}")
    page.set_viewport_size({"width": NARROWEST, "height": 640})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= NARROWEST, page.evaluate(_WIDER)


def test_every_model_of_the_admin_is_among_the_page_types(site: Site) -> None:
    """By its list: what was opened above is what the roles see."""
    listed = set(site.shell(
        "from django.contrib import admin; from clinic import urls; "
        "print(*(f'{m._meta.app_label}/{m._meta.model_name}' for m in admin.site._registry))"
    ).splitlines()[-1].split())  # fmt: skip
    source = (ROOT / "tests" / "browser" / "test_workplace.py").read_text()
    assert {name for name in listed if f"/admin/{name}/" not in source} == set()


@pytest.mark.parametrize("media", ["print", "forced"])
def test_my_day_in_print_and_in_forced_colours(
    open_page: OpenPage, people: People, begun: Begun, media: str
) -> None:
    page = open_page(person=people.known[DOCTOR])
    page.goto("/admin/")
    if media == "print":
        page.emulate_media(media="print")
        expect(page.get_by_role("button", name="Arrived").first).to_be_hidden()
    else:
        page.emulate_media(forced_colors="active")
    expect(page.locator("main")).to_contain_text(begun.patient)
    look(page, f"my-day-{media}")
