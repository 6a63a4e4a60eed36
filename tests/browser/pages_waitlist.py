"""The page types of the waiting list and of the reminders."""

from __future__ import annotations

from tests.browser.page_type import Opened, PageType, Visitor, at
from tests.browser.people import run

PATIENT = "patient1@example.org"

NO_WAITLIST_PAGE = {
    "waitlist_remove": "takes a form",
    "waitlist_offer": "leads to booking or moving",
}


def _address(visitor: Visitor) -> str:
    """Waiting for the sample's best known doctor."""
    ((code,), *_more) = run(
        visitor.site,
        "SELECT s.code FROM directory_service s JOIN directory_doctor d ON d.id = s.doctor_id "
        "WHERE d.slug = 'amara-okafor' AND s.is_active ORDER BY s.position, s.id",
    )
    return f"/appointments/waitlist/add/?doctor=amara-okafor&service={code}"


def adding(visitor: Visitor) -> Opened:
    return visitor.to(_address(visitor))


def no_part_of_the_day(visitor: Visitor) -> Opened:
    adding(visitor)
    for box in visitor.page.locator("input[name=parts]").all():
        box.uncheck()
    return visitor.posted("Join the waiting list")


def earlier(visitor: Visitor) -> Opened:
    visit = visitor.visit("booked").rstrip("/").rpartition("/")[2]
    return visitor.to(f"/appointments/waitlist/add/?earlier={visit}")


def waits(visitor: Visitor) -> Opened:
    adding(visitor)
    visitor.posted("Join the waiting list")
    return visitor.to("/appointments/waitlist/")


WAITLIST_PAGES = [
    PageType("waitlist", "waitlist", waits, who="fresh"),
    PageType("waitlist-none", "waitlist", at("/appointments/waitlist/"), who="fresh"),
    PageType("waitlist-add", "waitlist_add", adding, who=PATIENT),
    PageType("waitlist-earlier", "waitlist_add", earlier, who=PATIENT),
    PageType(
        "waitlist-wrong", "waitlist_add", no_part_of_the_day, who="fresh", status=422, problem=True
    ),
    PageType("reminders", "reminder_settings", at("/appointments/reminders/"), who=PATIENT),
]
