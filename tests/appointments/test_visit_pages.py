"""A person's visits: the list, one visit, moving and cancelling it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Carer, Role, User
from appointments.models import Appointment, Status
from clinic.directory.models import HospitalStaff
from tests.appointments.desk import AT, NOW, REASON, Desk, book, iso, open_desk
from tests.appointments.visits import cancel_row, make_visit
from tests.cast import make_account, signed_in

pytestmark = pytest.mark.django_db

LATER = AT + timedelta(days=2, hours=1)  # Thursday, 10 am


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def desk() -> Desk:
    return open_desk()


@pytest.fixture
def visit(desk: Desk, alice: User) -> Appointment:
    return book(signed_in(alice), desk)


def text(answer: Any) -> str:
    return str(answer.content.decode())


def said(answer: Any) -> str:
    """What a page says, without markup."""
    body = re.sub(r"<(script|style).*?</\1>", "", text(answer), flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def page_of(visit: Appointment, part: str = "") -> str:
    return f"/appointments/{visit.public_id}/{part}"


def unchanged(visit: Appointment) -> bool:
    now = Appointment.objects.get(pk=visit.pk)
    return (now.status, now.starts_at) == (Status.BOOKED, visit.starts_at)


# --- Who may -------------------------------------------------------------------------------------
PARTS = ["", "move/", "cancel/", "calendar.ics"]


@pytest.mark.parametrize("part", PARTS)
def test_s20_a_visit_of_somebody_else_does_not_exist(
    visit: Appointment, charlie: User, part: str
) -> None:
    client = signed_in(charlie)
    unknown = f"/appointments/{uuid4()}/{part}"
    assert client.get(page_of(visit, part)).status_code == 404
    assert client.get(unknown).status_code == 404
    if part in {"move/", "cancel/"}:
        sent = {"at": iso(LATER), "key": "k", "reason": ""}
        assert client.post(page_of(visit, part), sent).status_code == 404
        assert client.post(unknown, sent).status_code == 404
    assert unchanged(visit)


@pytest.mark.parametrize("part", PARTS)
def test_a_visitor_is_sent_to_sign_in_whatever_the_id(visit: Appointment, part: str) -> None:
    for address in [page_of(visit, part), f"/appointments/{uuid4()}/{part}"]:
        answer = Client().get(address)
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"/accounts/login/?next={quote(address)}"
    assert Client().get("/appointments/").status_code == 302


def test_a_carer_may_read_move_and_cancel_until_the_care_ends(
    visit: Appointment, bob: User
) -> None:
    client = signed_in(bob)
    for part in PARTS:
        assert client.get(page_of(visit, part)).status_code == 200
    Carer.objects.filter(user=bob).update(until=NOW)
    for part in PARTS:
        assert client.get(page_of(visit, part)).status_code == 404


def test_the_doctor_reads_the_visit_and_the_patient_can_see_that(
    visit: Appointment, desk: Desk
) -> None:
    desk.doctor.user = make_account("amara@example.org", role=Role.DOCTOR)
    desk.doctor.save()
    client = signed_in(desk.doctor.user)
    answer = client.get(page_of(visit))
    assert answer.status_code == 200
    assert "Alice Moreau" in said(answer)
    assert page_of(visit, "move/") not in text(answer)
    assert client.get(page_of(visit, "move/")).status_code == 404
    assert client.post(page_of(visit, "cancel/"), {"reason": ""}).status_code == 404
    read = AuditEvent.objects.filter(patient=visit.patient, action="visit.read")
    assert [event.actor for event in read] == ["amara@example.org"]
    assert unchanged(visit)


def test_another_doctor_does_not_see_the_visit(visit: Appointment) -> None:
    other = open_desk(name="Ben Ito")
    other.doctor.user = make_account("ben@example.org", role=Role.DOCTOR)
    other.doctor.save()
    assert signed_in(other.doctor.user).get(page_of(visit)).status_code == 404


def test_own_reading_writes_nothing(visit: Appointment, alice: User) -> None:
    before = AuditEvent.objects.count()
    client = signed_in(alice)
    for part in PARTS:
        client.get(page_of(visit, part))
        client.head(page_of(visit, part))
    client.get("/appointments/")
    assert AuditEvent.objects.count() == before


# --- One visit -----------------------------------------------------------------------------------
def test_a_booked_visit_says_everything_one_needs_for_it(visit: Appointment, alice: User) -> None:
    answer = signed_in(alice).get(page_of(visit))
    words = said(answer)
    for part in [
        "Visit booked",
        "Tuesday, November 10, 2026, 9:00 am EST",
        visit.reference,
        "Dr. Amara Okafor",
        "Harbour Clinic, 12 Wharf Street, Portland, ME 04101",
        "207-555-0100",
        "Your insurance card",
        "First visit, 30 minutes, $120",
        REASON,
        "alice@example.org",
        "You can cancel free of charge until Monday, November 9, 2026, 9:00 am EST",
    ]:
        assert part in words, part
    for part in ["calendar.ics", "move/", "cancel/"]:
        assert f'href="{page_of(visit, part)}"' in text(answer)


def test_both_zones_are_shown_where_they_differ(visit: Appointment, alice: User) -> None:
    alice.time_zone = "Europe/Berlin"
    alice.save()
    client = signed_in(alice)
    for address in [page_of(visit), "/appointments/", page_of(visit, "cancel/")]:
        assert "3:00 pm to 3:30 pm, Berlin time (CET)" in said(client.get(address))


def test_a_past_visit_offers_booking_again_and_nothing_to_change(alice: User, desk: Desk) -> None:
    past = make_visit(alice.chart, NOW - timedelta(days=3), doctor=desk.doctor)
    answer = signed_in(alice).get(page_of(past))
    assert "Past" in said(answer)
    assert f'href="/doctors/{desk.doctor.slug}/?service={past.service.code}"' in text(answer)  # type: ignore[union-attr]
    assert page_of(past, "move/") not in text(answer)
    assert page_of(past, "cancel/") not in text(answer)


# --- The list ------------------------------------------------------------------------------------
def test_without_visits_the_list_leads_to_the_search(alice: User) -> None:
    answer = signed_in(alice).get("/appointments/")
    assert "No visits yet" in said(answer)
    assert 'href="/doctors/"' in text(answer)


def test_the_next_visit_stands_first_and_past_ones_below(
    alice: User, bob: User, desk: Desk
) -> None:
    second = make_visit(alice.chart, NOW + timedelta(days=9))
    first = make_visit(bob.chart, NOW + timedelta(days=2))
    past = make_visit(alice.chart, NOW - timedelta(days=9), doctor=desk.doctor)
    gone = make_visit(alice.chart, NOW + timedelta(days=4))
    cancel_row(gone, by=alice, at=NOW)
    answer = signed_in(bob).get("/appointments/")
    page = text(answer)
    order = [page.index(page_of(visit)) for visit in [first, second, gone, past]]
    assert order == sorted(order)
    assert page_of(first, "move/") in page
    assert page_of(second, "move/") not in page
    words = said(answer)
    assert "For you (Bob Tanaka)" in words
    assert "For Alice Moreau" in words
    assert "Cancelled" in words
    assert "Book again" in words


def test_the_list_shows_nobody_elses_visits(visit: Appointment, charlie: User) -> None:
    assert str(visit.public_id) not in text(signed_in(charlie).get("/appointments/"))


def test_a_booked_again_visit_needs_no_doctor_that_is_gone(alice: User, desk: Desk) -> None:
    make_visit(alice.chart, NOW - timedelta(days=3), doctor=desk.doctor)
    desk.doctor.withdrawn_at = NOW
    desk.doctor.save()
    assert "Book again" not in said(signed_in(alice).get("/appointments/"))


def test_the_past_is_paged(alice: User) -> None:
    for days in range(1, 46):
        make_visit(alice.chart, NOW - timedelta(days=days))
    client = signed_in(alice)
    first = client.get("/appointments/")
    assert "Page 1 of 3" in said(first)
    assert text(first).count('class="card visit') == 20
    assert text(client.get("/appointments/?page=3")).count('class="card visit') == 5
    assert client.get("/appointments/?page=x").status_code == 200


def test_the_list_asks_as_many_questions_for_20_visits_as_for_1(alice: User) -> None:
    client = signed_in(alice)

    def queries() -> int:
        client.get("/appointments/")  # warms what is asked once a process
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert client.get("/appointments/").status_code == 200
        return len(caught)

    make_visit(alice.chart, NOW + timedelta(days=1))
    make_visit(alice.chart, NOW - timedelta(days=1))
    one = queries()
    for days in range(2, 12):
        make_visit(alice.chart, NOW + timedelta(days=days))
        make_visit(alice.chart, NOW - timedelta(days=days))
    assert queries() == one
    assert one <= 9


# --- Cancelling ----------------------------------------------------------------------------------
def test_the_cancel_page_says_the_rule_and_offers_to_keep(visit: Appointment, alice: User) -> None:
    answer = signed_in(alice).get(page_of(visit, "cancel/"))
    assert "Cancelling is free until Monday, November 9, 2026, 9:00 am EST, 24 hours" in said(
        answer
    )
    assert "Keep my visit" in said(answer)
    assert f'href="{page_of(visit)}"' in text(answer)
    assert unchanged(visit)


def test_cancelling_frees_the_time_at_once(visit: Appointment, alice: User, charlie: User) -> None:
    client = signed_in(alice)
    answer = client.post(page_of(visit, "cancel/"), {"reason": "Feeling better"})
    assert answer.status_code == 302
    assert answer.headers["Location"] == page_of(visit)
    page = client.get(answer.headers["Location"])
    assert "Your visit is cancelled." in said(page)
    visit.refresh_from_db()
    assert (visit.status, visit.cancel_reason) == (Status.CANCELLED, "Feeling better")
    assert not visit.cancelled_late
    desk = Desk(visit.hospital, visit.doctor, visit.service)  # type: ignore[arg-type]
    assert book(signed_in(charlie), desk).starts_at == AT


def test_cancelling_late_says_so_before_and_after_and_shows_the_phone(
    visit: Appointment, alice: User
) -> None:
    with time_machine.travel(AT - timedelta(hours=3), tick=False):
        client = signed_in(alice)
        before = said(client.get(page_of(visit, "cancel/")))
        assert "marked as cancelled late" in before
        assert "207-555-0100" in before
        client.post(page_of(visit, "cancel/"), {"reason": ""})
        after = said(client.get(page_of(visit)))
    visit.refresh_from_db()
    assert visit.cancelled_late
    assert "cancelled late" in after
    assert "207-555-0100" in after


def test_cancelling_twice_changes_nothing_more(visit: Appointment, alice: User) -> None:
    client = signed_in(alice)
    client.post(page_of(visit, "cancel/"), {"reason": "first"})
    trail = AuditEvent.objects.count()
    again = client.post(page_of(visit, "cancel/"), {"reason": "second"})
    assert (again.status_code, again.headers["Location"]) == (302, page_of(visit))
    assert client.get(page_of(visit, "cancel/")).status_code == 302
    visit.refresh_from_db()
    assert visit.cancel_reason == "first"
    assert AuditEvent.objects.count() == trail


@pytest.mark.parametrize("reason", ["x" * 201, "a\x00b"])
def test_a_reason_for_cancelling_that_cannot_be_stored_is_422(
    visit: Appointment, alice: User, reason: str
) -> None:
    answer = signed_in(alice).post(page_of(visit, "cancel/"), {"reason": reason})
    assert answer.status_code == 422
    assert "<title>Error: " in text(answer)
    assert 'href="#id_reason"' in text(answer)
    assert unchanged(visit)


def test_a_visit_that_has_begun_is_neither_moved_nor_cancelled(
    visit: Appointment, alice: User
) -> None:
    with time_machine.travel(AT + timedelta(minutes=5), tick=False):
        client = signed_in(alice)
        for answer in [
            client.get(page_of(visit, "cancel/")),
            client.post(page_of(visit, "cancel/"), {"reason": ""}),
            client.get(page_of(visit, "move/")),
            client.post(page_of(visit, "move/"), {"at": iso(LATER), "key": "k"}),
        ]:
            assert answer.status_code == 422
            assert "has begun or is over" in said(answer)
            assert "207-555-0100" in said(answer)
    assert unchanged(visit)


# --- Moving --------------------------------------------------------------------------------------
def test_the_move_page_shows_the_same_doctors_times_as_links_to_a_comparison(
    visit: Appointment, alice: User
) -> None:
    answer = signed_in(alice).get(page_of(visit, "move/") + "?date=2026-11-12")
    assert answer.status_code == 200
    assert f'href="{page_of(visit, "move/")}?at={quote(iso(LATER), safe="")}"' in text(answer)
    assert f'href="{page_of(visit, "move/")}?date=2026-11-13#times"' in text(answer)
    assert "/book/" not in text(answer)


def test_moving_compares_and_keeps_the_old_time_until_confirmed(
    visit: Appointment, alice: User
) -> None:
    client = signed_in(alice)
    answer = client.get(page_of(visit, "move/"), {"at": iso(LATER)})
    assert answer.status_code == 200
    words = said(answer)
    assert "Tuesday, November 10, 2026, 9:00 am to 9:30 am" in words
    assert "Thursday, November 12, 2026, 10:00 am to 10:30 am" in words
    assert unchanged(visit)

    key = re.search(r'name="key" value="([^"]+)"', text(answer))
    assert key
    sent = {"at": iso(LATER), "key": key[1]}
    done = client.post(page_of(visit, "move/"), sent)
    assert (done.status_code, done.headers["Location"]) == (302, page_of(visit))
    page = client.get(page_of(visit))
    assert "Your visit is moved." in said(page)
    assert "Thursday, November 12, 2026, 10:00 am EST" in said(page)
    again = client.post(page_of(visit, "move/"), sent)
    assert (again.status_code, again.headers["Location"]) == (302, page_of(visit))
    assert "Your visit is moved." not in said(client.get(page_of(visit)))
    moved = Appointment.objects.get()
    assert (moved.pk, moved.starts_at, moved.calendar_sequence) == (visit.pk, LATER, 1)


def test_a_visit_can_move_into_a_part_of_its_own_time(visit: Appointment, alice: User) -> None:
    client = signed_in(alice)
    shifted = AT + timedelta(minutes=15)
    assert client.get(page_of(visit, "move/"), {"at": iso(shifted)}).status_code == 200
    sent = {"at": iso(shifted), "key": "k"}
    assert client.post(page_of(visit, "move/"), sent).status_code == 302
    visit.refresh_from_db()
    assert visit.starts_at == shifted


def test_moving_to_a_taken_time_is_409_with_the_nearest_times(
    visit: Appointment, alice: User, charlie: User, desk: Desk
) -> None:
    book(signed_in(charlie), desk, at=iso(LATER))
    client = signed_in(alice)
    for answer in [
        client.get(page_of(visit, "move/"), {"at": iso(LATER)}),
        client.post(page_of(visit, "move/"), {"at": iso(LATER), "key": "k"}),
    ]:
        assert answer.status_code == 409
        assert "That time has just been taken" in said(answer)
        assert "<title>Error: " in text(answer)
        near = re.search(r'id="nearest".*?</section>', text(answer), re.S)
        assert near and near[0].count("?at=") == 3
    assert unchanged(visit)


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        (NOW - timedelta(days=1), "in the past"),
        (NOW + timedelta(minutes=30), "at least"),
        (AT + timedelta(days=365), "can be booked up to"),
        (AT + timedelta(minutes=7), "start every 15 minutes"),
        (AT - timedelta(hours=5), "sees nobody at that time"),
    ],
)
def test_moving_to_a_time_that_is_not_offered_is_422(
    visit: Appointment, alice: User, at: Any, sentence: str
) -> None:
    client = signed_in(alice)
    for answer in [
        client.get(page_of(visit, "move/"), {"at": iso(at)}),
        client.post(page_of(visit, "move/"), {"at": iso(at), "key": "k"}),
    ]:
        assert answer.status_code == 422
        assert sentence in said(answer)
    assert unchanged(visit)


def test_moving_onto_another_own_visit_is_409_and_links_to_it(
    visit: Appointment, alice: User
) -> None:
    other = open_desk(name="Ben Ito")
    client = signed_in(alice)
    in_the_way = book(client, other, at=iso(LATER), key="other")
    answer = client.post(page_of(visit, "move/"), {"at": iso(LATER), "key": "k"})
    assert answer.status_code == 409
    assert page_of(in_the_way) in text(answer)
    assert unchanged(visit)


@pytest.mark.parametrize(
    "sent",
    [
        {"key": "k"},
        {"at": "soon", "key": "k"},
        {"at": "2026-11-12T10:00:00-05:00", "key": "k"},
        {"at": iso(LATER)},
        {"at": iso(LATER), "key": "k" * 65},
        {"at": iso(LATER), "key": ""},
    ],
)
def test_a_malformed_move_is_400(visit: Appointment, alice: User, sent: dict[str, str]) -> None:
    answer = signed_in(alice).post(page_of(visit, "move/"), sent)
    assert answer.status_code == 400
    assert "There is a problem" in said(answer)
    assert unchanged(visit)


def test_a_cancelled_visit_cannot_be_moved(visit: Appointment, alice: User) -> None:
    client = signed_in(alice)
    client.post(page_of(visit, "cancel/"), {"reason": ""})
    for answer in [
        client.get(page_of(visit, "move/")),
        client.post(page_of(visit, "move/"), {"at": iso(LATER), "key": "k"}),
    ]:
        assert answer.status_code == 422
        assert "Book a new one instead" in said(answer)


def test_a_visit_whose_service_was_withdrawn_can_still_move(
    visit: Appointment, alice: User, desk: Desk
) -> None:
    desk.service.is_active = False
    desk.service.save()
    client = signed_in(alice)
    assert client.get(page_of(visit, "move/")).status_code == 200
    sent = {"at": iso(LATER), "key": "k"}
    assert client.post(page_of(visit, "move/"), sent).status_code == 302


# --- Every page ----------------------------------------------------------------------------------
STATE_CHANGING = [
    ("cancel/", {"reason": ""}),
    ("move/", {"at": iso(LATER), "key": "k"}),
]


@pytest.mark.parametrize(("part", "sent"), STATE_CHANGING)
def test_s22_only_a_form_of_our_own_changes_a_visit(
    visit: Appointment, alice: User, part: str, sent: dict[str, str]
) -> None:
    client = signed_in(alice, enforce_csrf_checks=True)
    address = page_of(visit, part)
    assert client.get(address, sent).status_code == 200
    assert client.head(address, sent).status_code == 200
    assert client.post(address, sent).status_code == 403
    form = client.get(address, {"at": iso(LATER)})
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text(form))
    assert token
    sent = sent | {"csrfmiddlewaretoken": token[1]}
    elsewhere = {"Origin": "https://evil.example"}
    assert client.post(address, sent, headers=elsewhere).status_code == 403
    for method in ["put", "patch", "delete"]:
        assert getattr(client, method)(address).status_code in {403, 405}
    assert unchanged(visit)
    assert client.post(address, sent).status_code == 302  # else the test would prove nothing
    assert not unchanged(visit)


@pytest.mark.parametrize("part", ["", "calendar.ics"])
def test_pages_without_a_form_answer_405_to_other_methods(
    visit: Appointment, alice: User, part: str
) -> None:
    client = signed_in(alice)
    for method in ["post", "put", "patch", "delete"]:
        assert getattr(client, method)(page_of(visit, part)).status_code == 405
        assert getattr(client, method)("/appointments/").status_code == 405
    for method in ["put", "patch", "delete"]:
        assert getattr(client, method)(page_of(visit, "move/")).status_code == 405
        assert getattr(client, method)(page_of(visit, "cancel/")).status_code == 405


@pytest.mark.parametrize("part", PARTS)
def test_s34_nobody_keeps_a_copy_of_a_visit(visit: Appointment, alice: User, part: str) -> None:
    client = signed_in(alice)
    for address in [page_of(visit, part), "/appointments/"]:
        assert "no-store" in client.get(address).headers["Cache-Control"]


# --- The admin -----------------------------------------------------------------------------------
def test_reception_reads_visits_in_the_admin_and_changes_none(
    visit: Appointment, reception: User
) -> None:
    client = signed_in(reception)
    address = "/admin/appointments/appointment/"
    assert visit.reference not in text(client.get(f"{address}?when=coming"))
    HospitalStaff.objects.create(hospital=visit.hospital, user=reception)
    listed = client.get(f"{address}?when=coming")
    assert visit.reference in text(listed)
    assert "Alice" in text(listed)  # whom to greet
    assert REASON not in text(listed)
    one = client.get(f"{address}{visit.pk}/change/")
    assert one.headers["Location"] == f"/admin/visits/{visit.public_id}/"
    assert client.get(f"{address}add/").status_code == 403
    changed = client.post(f"{address}{visit.pk}/change/", {"status": "done"})
    assert changed.status_code == 403
    gone = client.post(f"{address}{visit.pk}/delete/", {"post": "yes"})
    assert gone.status_code == 403
    assert unchanged(visit)


def test_a_doctor_sees_own_visits_only_in_the_admin(visit: Appointment, desk: Desk) -> None:
    other = open_desk(name="Ben Ito")
    for one in [desk, other]:
        one.doctor.user = make_account(
            f"{one.doctor.slug}@example.org", role=Role.DOCTOR, is_staff=True
        )
        one.doctor.save()
    address = "/admin/appointments/appointment/?when=coming"
    assert visit.reference in text(signed_in(desk.doctor.user).get(address))  # type: ignore[arg-type]
    assert visit.reference not in text(signed_in(other.doctor.user).get(address))  # type: ignore[arg-type]


def test_who_has_no_part_in_visits_does_not_see_them_in_the_admin(visit: Appointment) -> None:
    manager = make_account("dina@example.org", role=Role.DIRECTORY, is_staff=True)
    assert signed_in(manager).get("/admin/appointments/appointment/").status_code == 403
