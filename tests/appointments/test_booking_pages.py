"""The page on which a visit is checked, kept and confirmed."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.models import Carer, Patient, Relation, Role, User
from appointments.models import Appointment, DoctorHold, PatientHold, Status
from clinic.directory.models import Service, TimeOff
from tests.accounts.helpers import mails_to
from tests.appointments.desk import (
    AT,
    NOW,
    REASON,
    Desk,
    book,
    iso,
    nothing_was_written,
    offered_times,
    open_desk,
    text,
    text_of,
)
from tests.cast import make_account, make_carer, make_patient, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def desk() -> Desk:
    return open_desk()


# --- The page -----------------------------------------------------------------------------------
def test_the_page_of_a_free_time_says_everything_that_will_be_booked(
    desk: Desk, client: Client
) -> None:
    answer = client.get(desk.page())
    assert answer.status_code == 200
    said = text_of(answer)
    for part in [
        "Dr. Amara Okafor, MD",
        "Tuesday, November 10, 2026, 9:00 am to 9:30 am",
        "Eastern Time (EST)",
        "Harbour Clinic, 12 Wharf Street, Portland, ME 04101",
        "First visit, 30 minutes, $120",
        "You can cancel free of charge until Monday, November 9, 2026, 9:00 am EST",
    ]:
        assert part in said


def test_opening_the_page_writes_nothing(desk: Desk, client: Client) -> None:
    assert client.get(desk.page()).status_code == 200
    assert client.head(desk.page()).status_code == 200
    assert nothing_was_written()
    assert not DoctorHold.objects.exists()
    assert not Session.objects.exists()


def test_each_row_that_can_differ_has_a_link_that_changes_it(desk: Desk, client: Client) -> None:
    page = client.get(desk.page()).content.decode()
    times = f"/doctors/{desk.doctor.slug}/?service={desk.service.code}&amp;date=2026-11-10#times"
    assert page.count(f'href="{times}"') >= 2
    assert 'href="/doctors/"' in page


def test_another_zone_of_the_patient_is_shown_beside_the_clinics(desk: Desk, alice: User) -> None:
    alice.time_zone = "America/Los_Angeles"
    alice.save()
    said = text_of(signed_in(alice).get(desk.page()))
    assert "9:00 am to 9:30 am Eastern Time (EST)" in said
    assert "For you: Tuesday, November 10, 2026, 6:00 am to 6:30 am, Pacific Time (PST)" in said


def test_each_page_has_a_key_of_its_own(desk: Desk, client: Client) -> None:
    keys = {
        re.search(r'name="key" value="([^"]+)"', client.get(desk.page()).content.decode())[1]  # type: ignore[index]
        for _ in range(3)
    }
    assert len(keys) == 3


# --- Requests that cannot be answered -----------------------------------------------------------
@pytest.mark.parametrize(
    "at",
    [
        "tomorrow",
        "2026-11-10",
        "2026-11-10T14:00:00",
        "2026-11-10T09:00:00-05:00",
        "2026-13-40T14:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "1' OR '1'='1",
        "%00",
        "9" * 500,
        "",
    ],
)
def test_a_malformed_time_is_400_in_words_with_a_way_on(
    desk: Desk, client: Client, alice: User, at: str
) -> None:
    answer = client.get(desk.page(at))
    assert answer.status_code == 400
    assert f'href="/doctors/{desk.doctor.slug}/"' in answer.content.decode()
    assert signed_in(alice).post(desk.address, desk.form(at=at)).status_code == 400
    assert nothing_was_written()


@pytest.mark.parametrize("missing", ["at", "service", "key", "action"])
def test_a_form_without_a_field_of_the_page_is_400(desk: Desk, alice: User, missing: str) -> None:
    answer = signed_in(alice).post(desk.address, desk.form(**{missing: None}))
    assert answer.status_code == 400
    assert nothing_was_written()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "delete"),
        ("key", "k" * 65),
        ("key", ""),
        ("key", "with space"),
        ("key", "ключ"),
        ("clash", "all"),
    ],
)
def test_a_form_with_words_no_page_sends_is_400(
    desk: Desk, alice: User, field: str, value: str
) -> None:
    answer = signed_in(alice).post(desk.address, desk.form(**{field: value}))
    assert answer.status_code == 400
    assert nothing_was_written()


def test_a_key_of_64_characters_is_accepted(desk: Desk, alice: User) -> None:
    assert book(signed_in(alice), desk, key="k" * 64)


def test_unknown_and_hidden_doctors_and_services_are_404(desk: Desk, alice: User) -> None:
    other = open_desk(name="Ben Ito")
    hidden = open_desk(name="Cara Lind")
    hidden.doctor.verified_at = None
    hidden.doctor.save()
    withdrawn = Service.objects.create(
        doctor=desk.doctor, hospital=desk.hospital, name="Old", is_active=False
    )
    client = signed_in(alice)
    for address in [
        "/doctors/nobody/book/?service=X&at=" + iso(AT),
        hidden.page(),
        desk.page(service="UNKNOWN"),
        desk.page(service=other.service.code),
        desk.page(service=withdrawn.code),
    ]:
        assert client.get(address).status_code == 404, address
    for service in ["UNKNOWN", other.service.code, withdrawn.code]:
        assert client.post(desk.address, desk.form(service=service)).status_code == 404
    assert client.post(hidden.address, hidden.form()).status_code == 404
    assert nothing_was_written()


def test_a_body_over_the_limit_is_413(desk: Desk, alice: User) -> None:
    answer = signed_in(alice).post(desk.address, desk.form(reason="x" * 300_000))
    assert answer.status_code == 413
    assert nothing_was_written()


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options"])
def test_other_methods_are_405(desk: Desk, client: Client, method: str) -> None:
    assert getattr(client, method)(desk.address).status_code == 405


# --- Times that are not offered -----------------------------------------------------------------
def away(desk: Desk) -> None:
    TimeOff.objects.create(
        doctor=desk.doctor, starts_at=AT - timedelta(hours=2), ends_at=AT + timedelta(hours=2)
    )


UNOFFERED = [
    (NOW - timedelta(days=1), "in the past"),
    (NOW + timedelta(minutes=30), "at least 60 minutes ahead"),
    (AT + timedelta(days=365), "can be booked up to"),
    (AT + timedelta(minutes=7), "start every 15 minutes"),
    (AT - timedelta(hours=5), "sees nobody at that time"),
]


@pytest.mark.parametrize(("at", "sentence"), UNOFFERED)
def test_a_time_that_is_not_offered_is_422_with_its_own_sentence(
    desk: Desk, alice: User, at: Any, sentence: str
) -> None:
    client = signed_in(alice)
    for answer in [client.get(desk.page(at)), client.post(desk.address, desk.form(at=iso(at)))]:
        assert answer.status_code == 422
        assert sentence in text_of(answer)
        assert "<title>Error: " in answer.content.decode()
        assert len(offered_times(answer)) == 3
    assert nothing_was_written()


def test_a_time_in_time_off_is_422(desk: Desk, alice: User) -> None:
    away(desk)
    client = signed_in(alice)
    for answer in [client.get(desk.page()), client.post(desk.address, desk.form())]:
        assert answer.status_code == 422
        assert "is away then" in text_of(answer)
    assert nothing_was_written()


def test_years_at_the_ends_of_the_calendar_are_refused_like_others(
    desk: Desk, client: Client
) -> None:
    assert client.get(desk.page("1900-01-01T00:00:00Z")).status_code == 422
    assert client.get(desk.page("9998-12-31T23:45:00Z")).status_code == 422


# --- Confirming ---------------------------------------------------------------------------------
def test_confirming_books_and_leads_to_the_visit(desk: Desk, alice: User) -> None:
    visit = book(signed_in(alice), desk)
    assert visit.patient == alice.chart
    assert visit.booked_by == alice
    assert visit.starts_at == AT
    assert visit.reason == REASON
    assert visit.status == Status.BOOKED


def test_the_same_form_sent_twice_books_one_visit_with_one_answer(desk: Desk, alice: User) -> None:
    client = signed_in(alice)
    first = client.post(desk.address, desk.form())
    second = client.post(desk.address, desk.form())
    assert first.status_code == second.status_code == 302
    assert first.headers["Location"] == second.headers["Location"]
    assert Appointment.objects.count() == 1
    assert len(mails_to(alice.email)) == 1


def test_the_page_reloaded_after_booking_leads_to_the_visit_and_books_nothing_more(
    desk: Desk, alice: User
) -> None:
    client = signed_in(alice)
    visit = book(client, desk)
    answer = client.get(desk.page())
    assert answer.status_code == 409
    assert f'href="/appointments/{visit.public_id}/"' in answer.content.decode()
    again = client.post(desk.address, desk.form(key="another-key"))
    assert again.status_code == 409
    assert Appointment.objects.count() == 1


def test_a_reason_may_be_left_out_and_have_lines(desk: Desk, alice: User) -> None:
    client = signed_in(alice)
    assert book(client, desk, reason="").reason == ""
    lines = "one\r\ntwo"
    later = iso(AT + timedelta(days=10))
    assert book(client, desk, reason=lines, key="k2", at=later).reason == "one\ntwo"


def test_line_ends_count_as_one_character(desk: Desk, alice: User) -> None:
    assert len(book(signed_in(alice), desk, reason="a\r\n" * 249 + "ab").reason) == 500


@pytest.mark.parametrize("reason", ["x" * 501, "pain\x00", "bell\x07", "esc\x1b[31m"])
def test_a_reason_that_cannot_be_stored_is_422_and_stays_typed(
    desk: Desk, alice: User, reason: str
) -> None:
    answer = signed_in(alice).post(desk.address, desk.form(reason=reason))
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "<title>Error: " in page
    assert 'href="#id_reason"' in page
    assert reason[:4] in page
    assert nothing_was_written()


def test_a_too_long_reason_says_how_long_it_may_be(desk: Desk, alice: User) -> None:
    answer = signed_in(alice).post(desk.address, desk.form(reason="x" * 501))
    assert "must have 500 characters or fewer; it has 501" in text_of(answer)


def test_a_visitor_who_confirms_is_asked_to_sign_in_and_comes_back(
    desk: Desk, client: Client
) -> None:
    answer = client.post(desk.address, desk.form())
    assert answer.status_code == 302
    location = answer.headers["Location"]
    assert location.startswith("/accounts/login/?next=%2Fdoctors%2F")
    assert REASON.split()[0] not in location
    assert nothing_was_written()


def test_s08_further_fields_change_nothing(desk: Desk, alice: User, charlie: User) -> None:
    visit = book(
        signed_in(alice),
        desk,
        status="done",
        price_cents="0",
        booked_by=str(charlie.pk),
        patient_id=str(charlie.chart.pk),
        doctor_id="1",
        pk="77",
        is_staff="1",
    )
    alice.refresh_from_db()
    assert (visit.status, visit.price_cents, visit.booked_by) == (Status.BOOKED, 12_000, alice)
    assert visit.patient == alice.chart
    assert not alice.is_staff


# --- For whom -----------------------------------------------------------------------------------
def test_with_one_chart_nobody_is_asked_for_whom(desk: Desk, alice: User) -> None:
    page = signed_in(alice).get(desk.page())
    assert 'name="patient"' not in page.content.decode()
    assert "You (Alice Moreau)" in text_of(page)


def test_a_carer_chooses_for_whom_and_the_own_chart_is_chosen_beforehand(
    desk: Desk, alice: User, bob: User
) -> None:
    client = signed_in(bob)
    page = client.get(desk.page()).content.decode()
    assert page.count('name="patient"') == 2
    assert "Bob Tanaka (you)" in page
    chosen = re.search(r'<input[^>]*name="patient"[^>]*checked[^>]*>', page)
    assert chosen is not None and str(bob.chart.public_id) in chosen[0]
    visit = book(client, desk, patient=str(alice.chart.public_id))
    assert (visit.patient, visit.booked_by) == (alice.chart, bob)


def test_a_carer_without_an_own_chart_must_choose(desk: Desk, alice: User) -> None:
    dana = make_account("dana@example.org", name="Dana Ruiz")
    make_carer(dana, alice.chart)
    make_carer(dana, make_patient())
    answer = signed_in(dana).post(desk.address, desk.form())
    assert answer.status_code == 422
    assert "Select who the visit is for." in text_of(answer)
    assert 'href="#id_patient_0"' in answer.content.decode()
    assert nothing_was_written()


def test_s20_a_chart_of_somebody_else_is_404(desk: Desk, alice: User, charlie: User) -> None:
    client = signed_in(charlie)
    for patient in [
        str(alice.chart.public_id),
        str(alice.chart.pk),
        "01890000-0000-7000-8000-000000000000",
        "nobody",
    ]:
        for action in ["confirm", "hold"]:
            sent = desk.form(patient=patient, action=action)
            assert client.post(desk.address, sent).status_code == 404, (patient, action)
    assert nothing_was_written()


def test_s20_care_that_ended_is_404(desk: Desk, alice: User, bob: User) -> None:
    Carer.objects.filter(user=bob).update(until=NOW - timedelta(minutes=1))
    sent = desk.form(patient=str(alice.chart.public_id))
    assert signed_in(bob).post(desk.address, sent).status_code == 404
    assert nothing_was_written()


def test_an_account_without_a_chart_is_told_what_to_do(desk: Desk) -> None:
    client = signed_in(make_account("dora@example.org", role=Role.DOCTOR))
    page = client.get(desk.page())
    assert page.status_code == 200
    assert "/accounts/people/add/?next=%2Fdoctors%2F" in page.content.decode()
    assert 'name="action"' not in page.content.decode()
    assert client.post(desk.address, desk.form()).status_code == 422
    assert nothing_was_written()


# --- Taken, and in the way ----------------------------------------------------------------------
def test_a_time_taken_meanwhile_is_409_with_what_was_typed_and_three_times(
    desk: Desk, alice: User, charlie: User
) -> None:
    book(signed_in(charlie), desk)
    client = signed_in(alice)
    answer = client.post(desk.address, desk.form())
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "<title>Error: " in page
    assert "That time has just been taken" in text_of(answer)
    assert REASON in page
    assert 'href="#id_at_0"' in page
    times = offered_times(answer)
    assert len(times) == 3
    # The same form with another of its times: what was typed is posted along, never in an address.
    visit = book(client, desk, at=[iso(AT), times[1]])
    assert iso(visit.starts_at) == times[1]
    assert visit.reason == REASON


def test_choosing_none_of_the_other_times_asks_again(
    desk: Desk, alice: User, charlie: User
) -> None:
    book(signed_in(charlie), desk)
    client = signed_in(alice)
    for _ in range(2):
        answer = client.post(desk.address, desk.form())
        assert answer.status_code == 409
        assert "checked" not in "".join(re.findall(r'<input[^>]*name="at"[^>]*>', text(answer)))
    assert Appointment.objects.count() == 1


def test_a_taken_time_opened_by_link_is_409(desk: Desk, alice: User, client: Client) -> None:
    book(signed_in(alice), desk)
    answer = client.get(desk.page())
    assert answer.status_code == 409
    assert len(offered_times(answer)) == 3
    assert "Alice" not in text(answer)


def test_a_second_visit_in_the_same_week_is_asked_about(desk: Desk, alice: User) -> None:
    client = signed_in(alice)
    first = book(client, desk)
    sent = desk.form(key="second", at=iso(AT + timedelta(days=3)))
    answer = client.post(desk.address, sent)
    assert answer.status_code == 409
    page = text(answer)
    assert f'href="/appointments/{first.public_id}/"' in page
    assert 'name="clash" value="replace"' in page
    assert 'name="clash" value="both"' in page
    assert REASON in page
    assert Appointment.objects.count() == 1

    assert client.post(desk.address, sent | {"clash": "both"}).status_code == 302
    assert Appointment.objects.active().count() == 2


def test_a_second_visit_can_replace_the_first(desk: Desk, alice: User) -> None:
    client = signed_in(alice)
    first = book(client, desk)
    second = book(client, desk, key="second", at=iso(AT + timedelta(days=3)), clash="replace")
    first.refresh_from_db()
    assert first.is_cancelled
    assert not second.is_cancelled


def test_an_overlap_with_an_own_visit_is_kept_or_replaced(desk: Desk, alice: User) -> None:
    other = open_desk(name="Ben Ito")
    client = signed_in(alice)
    first = book(client, other)
    answer = client.post(desk.address, desk.form(key="second"))
    assert answer.status_code == 409
    page = text(answer)
    assert f'href="/appointments/{first.public_id}/"' in page
    assert 'type="hidden" name="clash" value="replace"' in page
    assert "Cancel the other visit and book this one" in page
    assert Appointment.objects.count() == 1
    book(client, desk, key="second", clash="replace")
    first.refresh_from_db()
    assert first.is_cancelled


def test_a_doctor_without_room_for_new_patients_is_422(alice: User) -> None:
    desk = open_desk(accepts_new=False)
    client = signed_in(alice)
    assert "takes no new patients" in text_of(client.get(desk.page()))
    answer = client.post(desk.address, desk.form())
    assert answer.status_code == 422
    assert "takes no new patients" in text_of(answer)
    assert nothing_was_written()


def test_the_limit_of_open_visits_is_422(desk: Desk, alice: User, settings: Any) -> None:
    settings.OPEN_BOOKINGS_PER_PATIENT = 1
    client = signed_in(alice)
    book(client, desk)
    answer = client.post(desk.address, desk.form(key="2", at=iso(AT + timedelta(days=20))))
    assert answer.status_code == 422
    assert "which is the most at a time" in text_of(answer)
    assert Appointment.objects.count() == 1


# --- Security -----------------------------------------------------------------------------------
def test_s21_a_shared_link_tells_a_stranger_nothing_about_who_sent_it(
    desk: Desk, alice: User, bob: User
) -> None:
    sender = signed_in(bob)
    sent = desk.form(action="hold", patient=str(alice.chart.public_id))
    link = sender.post(desk.address, sent).headers["Location"]
    kept = Client().get(link)
    visit = book(sender, desk, patient=str(alice.chart.public_id))
    booked = Client().get(link)
    for answer in [kept, booked]:
        assert answer.status_code == 409
        for secret in ["Alice", "Bob Tanaka", "bob@", REASON, visit.reference]:
            assert secret not in text(answer)
        assert str(alice.chart.public_id) not in text(answer)
    assert Client().get(f"/appointments/{visit.public_id}/").status_code == 302


def test_s22_get_with_the_form_in_the_address_changes_nothing(desk: Desk, alice: User) -> None:
    client = signed_in(alice)
    for action in ["confirm", "hold"]:
        assert client.get(desk.address, desk.form(action=action)).status_code == 200
        assert client.head(desk.address, desk.form(action=action)).status_code == 200
    assert nothing_was_written()


@pytest.mark.parametrize("action", ["confirm", "hold"])
def test_s22_a_form_without_token_or_from_elsewhere_changes_nothing(
    desk: Desk, alice: User, action: str
) -> None:
    client = signed_in(alice, enforce_csrf_checks=True)
    assert client.post(desk.address, desk.form(action=action)).status_code == 403
    page = text(client.get(desk.page()))
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token
    sent = desk.form(action=action, csrfmiddlewaretoken=token[1])
    elsewhere = client.post(desk.address, sent, headers={"Origin": "https://evil.example"})
    assert elsewhere.status_code == 403
    assert nothing_was_written()
    assert client.post(desk.address, sent).status_code == 302  # else the test would prove nothing


def test_s34_nobody_keeps_a_copy_of_a_booking_page(desk: Desk, alice: User) -> None:
    for client in [Client(), signed_in(alice)]:
        answers = [
            client.get(desk.page()),
            client.post(desk.address, desk.form(action="hold")),
            client.get(desk.page("nonsense")),
            client.post(desk.address, desk.form(reason="x" * 501, action="hold")),
        ]
        for answer in answers:
            assert "no-store" in answer.headers["Cache-Control"]


XSS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</textarea><script>alert(1)</script>",
    "{{ 7|add:7 }}",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("bad", XSS)
def test_s27_reasons_and_names_are_text_on_every_page(bad: str) -> None:
    desk = open_desk(name=bad[:60])
    user = make_account("eve@example.org", name=bad)
    Patient.objects.create(account=user, name=bad, birth_date=date(1990, 1, 1), created_at=NOW)
    make_carer(user, make_patient(bad), Relation.CHILD)
    client = signed_in(user)
    own = str(user.chart.public_id)
    first = client.get(desk.page())
    refused = client.post(desk.address, desk.form(reason=bad * 60))  # too long
    visit = book(client, desk, reason=bad, patient=own)
    pages = [
        first,
        refused,
        client.get(f"/appointments/{visit.public_id}/"),
        client.get("/appointments/"),
        client.get(f"/appointments/{visit.public_id}/cancel/"),
        client.get(f"/appointments/{visit.public_id}/move/"),
        client.post(desk.address, desk.form(key="2", reason=bad, patient=own)),
    ]
    for answer in pages:
        page = text(answer)
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert 'href="javascript:' not in page
    assert refused.status_code == 422
    assert html.escape(bad) in text(refused) or html.escape(bad, quote=True) in text(refused)


def test_patient_holds_follow_the_visit(desk: Desk, alice: User) -> None:
    book(signed_in(alice), desk)
    assert PatientHold.objects.filter(patient=alice.chart).count() == 6
