"""When a booking does not go through at once: nothing typed is lost, nothing is booked twice."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, OpenPage
from tests.browser.people import People, end_holds, run, visits
from tests.browser.steps import at_of, book, button, heading, link, send, times_of
from tests.site import Site

REASON = "Dizzy when standing up"


def refused(page: Page, sentence: str) -> None:
    """The error summary says it, has the focus, and the title begins with it."""
    summary = page.locator(".govuk-error-summary")
    expect(summary).to_contain_text(sentence)
    assert page.title().startswith("Error:"), page.title()


@pytest.mark.parametrize("javascript", [True, False], ids=["js", "nojs"])
def test_a_time_taken_meanwhile_leaves_the_answers_and_three_near_times(
    open_page: OpenPage, people: People, site: Site, javascript: bool
) -> None:
    slow, fast = people.fresh(), people.fresh()
    page = open_page(person=slow, javascript=javascript, width=PHONE)
    address = times_of(page, "lucia-nunez")[2]
    page.goto(address)
    page.get_by_label("Reason for visit").fill(REASON)
    book(open_page(person=fast), address)

    assert send(page, "Confirm booking").status == 409
    refused(page, "That time has just been taken")
    if javascript:
        expect(page.locator(".govuk-error-summary")).to_be_focused()
    expect(page.get_by_label("Reason for visit")).to_have_value(REASON)
    near = page.get_by_role("group", name="Nearest free times").get_by_role("radio")
    expect(near).to_have_count(3)
    assert near.evaluate_all("boxes => boxes.filter(box => box.checked).length") == 0
    assert visits(site, slow) == []

    # The link in the summary leads to the choice; without one nothing is booked.
    page.locator(".govuk-error-summary a").first.click()
    near.nth(1).check()
    chosen = near.nth(1).get_attribute("value") or ""
    button(page, "Confirm booking").click()
    heading(page, "Visit booked")
    (visit,) = visits(site, slow)
    assert visit["reason"] == REASON
    assert visit["starts_at"].startswith(chosen[:16].replace("T", " "))
    assert len(visits(site, fast)) == 1


def test_a_hold_that_ended_books_if_the_time_is_still_free(
    open_page: OpenPage, people: People, site: Site
) -> None:
    person = people.fresh()
    page = open_page(person=person)
    page.goto(times_of(page, "helene-lefevre")[0])
    page.get_by_label("Reason for visit").fill(REASON)
    button(page, "Keep this time for 10 minutes").click()
    expect(page.get_by_role("main")).to_contain_text("We hold this time for you until")
    expect(page.get_by_label("Reason for visit")).to_have_value(REASON)
    end_holds(site)
    button(page, "Confirm booking").click()
    heading(page, "Visit booked")
    assert [visit["reason"] for visit in visits(site, person)] == [REASON]


def test_a_hold_that_ended_loses_the_time_but_not_the_answers(
    open_page: OpenPage, people: People, site: Site
) -> None:
    slow, fast = people.fresh(), people.fresh()
    page, other = open_page(person=slow), open_page(person=fast)
    address = times_of(page, "helene-lefevre")[1]
    page.goto(address)
    page.get_by_label("Reason for visit").fill(REASON)
    button(page, "Keep this time for 10 minutes").click()
    expect(page.get_by_role("main")).to_contain_text("We hold this time for you until")

    # While it is held nobody else gets it, not even by its address.
    assert other.goto(address).status == 409  # type: ignore[union-attr]
    refused(other, "That time has just been taken")
    end_holds(site)
    book(other, address)
    assert send(page, "Confirm booking").status == 409
    refused(page, "That time has just been taken")
    expect(page.get_by_label("Reason for visit")).to_have_value(REASON)
    assert visits(site, slow) == []
    assert len(visits(site, fast)) == 1


@pytest.mark.parametrize("javascript", [True, False], ids=["js", "nojs"])
def test_keep_this_time_extends_the_hold_and_keeps_what_was_typed(
    open_page: OpenPage, people: People, site: Site, javascript: bool
) -> None:
    person = people.fresh()
    page = open_page(person=person, javascript=javascript)
    page.goto(times_of(page, "jonas-lindqvist")[0])
    button(page, "Keep this time for 10 minutes").click()
    expect(page.locator(".hold")).to_contain_text("until")
    asked = "SELECT MAX(held_until) FROM appointments_slothold"
    # A minute has passed since.
    run(
        site,
        "UPDATE appointments_slothold SET held_until = datetime(held_until, '-1 minute') "
        "WHERE held_until = (SELECT MAX(held_until) FROM appointments_slothold)",
    )
    before = run(site, asked)[0][0]
    page.get_by_label("Reason for visit").fill(REASON)
    button(page, "Keep this time").click()
    expect(page.locator(".hold")).to_contain_text("until")
    expect(page.get_by_label("Reason for visit")).to_have_value(REASON)
    assert run(site, asked)[0][0] > before
    assert visits(site, person) == []


def test_two_minutes_before_the_end_a_polite_message_appears(
    open_page: OpenPage, people: People
) -> None:
    page = open_page(person=people.fresh())
    page.clock.install()
    page.goto(times_of(page, "jonas-lindqvist")[1])
    button(page, "Keep this time for 10 minutes").click()
    message = page.get_by_text("Less than 2 minutes left")
    expect(page.locator(".hold")).to_be_visible()
    page.clock.fast_forward("07:30")
    expect(message).to_be_hidden()
    page.clock.fast_forward("01:00")
    expect(message).to_be_visible()
    assert message.locator("xpath=ancestor::*[@role='status']").count() == 1
    page.clock.fast_forward("02:00")
    expect(message).to_be_hidden()
    expect(page.get_by_text("The hold has ended")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False], ids=["js", "nojs"])
def test_a_double_click_books_one_visit(
    open_page: OpenPage, people: People, site: Site, javascript: bool
) -> None:
    person = people.fresh()
    page = open_page(person=person, javascript=javascript)
    page.goto(times_of(page, "samuel-whitcomb")[0])
    button(page, "Confirm booking").dblclick()
    heading(page, "Visit booked")
    assert len(visits(site, person)) == 1


@pytest.mark.parametrize("javascript", [True, False], ids=["js", "nojs"])
def test_going_back_and_sending_again_books_one_visit(
    open_page: OpenPage, people: People, site: Site, javascript: bool
) -> None:
    person = people.fresh()
    page = open_page(person=person, javascript=javascript)
    address = times_of(page, "samuel-whitcomb")[1]
    page.goto(address)
    sent: dict[str, str | float | bool] = {"action": "confirm", "reason": ""}
    for name in ("csrfmiddlewaretoken", "service", "at", "key"):
        sent[name] = page.locator(f"#booking [name={name}]").first.input_value()
    button(page, "Confirm booking").click()
    heading(page, "Visit booked")
    visit = page.url
    page.reload()
    heading(page, "Visit booked")

    # Back leads to a page that says so, and shows the way to the visit instead of booking it again.
    page.go_back()
    refused(page, "You have a visit with this doctor at that time")
    link(page, "Open the visit you have at that time").click()
    assert page.url == visit
    # The very same form sent once more (a browser that restores it) leads to the same visit.
    again = page.request.post(
        address.partition("?")[0], form=sent, headers={"Referer": page.url}, max_redirects=0
    )
    assert again.status == 302 and visit.endswith(again.headers["location"])
    assert len(visits(site, person)) == 1


@pytest.mark.parametrize(
    ("answer", "statuses", "javascript"),
    [
        ("Cancel the other visit and book this one", ["cancelled", "booked"], True),
        ("Keep the other visit and book this one too", ["booked", "booked"], False),
        (None, ["booked"], True),
    ],
    ids=["replace", "both", "keep"],
)
def test_a_second_visit_in_six_days_asks(
    open_page: OpenPage,
    people: People,
    site: Site,
    answer: str | None,
    statuses: list[str],
    javascript: bool,
) -> None:
    person = people.fresh()
    page = open_page(person=person, javascript=javascript, width=PHONE)
    times = times_of(page, "abdi-warsame")
    first = book(page, times[0])
    page.goto(times[-1])
    page.get_by_label("Reason for visit").fill(REASON)
    assert send(page, "Confirm booking").status == 409
    refused(page, "There is already a visit with this doctor in the same week")
    expect(page.get_by_label("Reason for visit")).to_have_value(REASON)
    if answer is None:
        link(page, "Keep that visit and book nothing").click()
        assert page.url.endswith(first)
    else:
        page.get_by_role("radio", name=answer).check()
        button(page, "Confirm booking").click()
        heading(page, "Visit booked")
        assert at_of(times[-1]).strftime("%Y-%m-%d %H:%M") in visits(site, person)[-1]["starts_at"]
    assert [visit["status"] for visit in visits(site, person)] == statuses
    for visit in visits(site, person):  # the next variant finds the doctor as free as this one
        if visit["status"] == "booked":
            page.goto(f"/appointments/{visit['id']}/cancel/")
            send(page, "Cancel visit")


def test_an_overlap_with_an_own_visit_asks(open_page: OpenPage, people: People, site: Site) -> None:
    person = people.fresh()
    page = open_page(person=person)
    mine = {at_of(address): address for address in times_of(page, "zofia-kowalski")}
    theirs = {at_of(address): address for address in times_of(page, "thuy-abernathy")}
    both = sorted(set(mine) & set(theirs))
    assert both, "the two doctors have no time in common on that day"
    first = book(page, mine[both[0]])
    page.goto(theirs[both[0]])
    page.get_by_label("Reason for visit").fill(REASON)
    assert send(page, "Confirm booking").status == 409
    refused(page, "There is already another visit at this time")
    expect(page.get_by_label("Reason for visit")).to_have_value(REASON)
    assert link(page, "Keep that visit and book nothing").get_attribute("href") == first
    assert [visit["status"] for visit in visits(site, person)] == ["booked"]
    button(page, "Cancel the other visit and book this one").click()
    heading(page, "Visit booked")
    assert [visit["status"] for visit in visits(site, person)] == ["cancelled", "booked"]
