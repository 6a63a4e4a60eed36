"""Reception's pages: from finding the patient on the phone to the booked visit, and after it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, LinkCode, Patient, Role, User
from accounts.people import update_profile
from appointments.booking import book, cancel
from appointments.hours_changes import look_of
from appointments.models import Appointment, Registration, Status
from clinic.directory.models import HospitalStaff, TimeOff
from tests.appointments.desk import Desk, iso, open_desk
from tests.cast import make_carer, make_patient, make_staff, signed_in

pytestmark = pytest.mark.django_db

BOOK = "/admin/book/"


def in_days(days: int, hour: int = 16) -> datetime:
    """A moment in the desk's opening hours, whatever the season."""
    return (timezone.now() + timedelta(days=days)).replace(
        hour=hour, minute=0, second=0, microsecond=0
    )


@pytest.fixture
def desk() -> Desk:
    return open_desk()


@pytest.fixture
def rita(desk: Desk) -> User:
    user = make_staff()
    HospitalStaff.objects.create(hospital=desk.hospital, user=user)
    return user


@pytest.fixture
def client(rita: User) -> Client:
    return signed_in(rita)


@pytest.fixture
def nora(desk: Desk, rita: User) -> Patient:
    patient = make_patient()
    Registration.objects.create(
        hospital=desk.hospital, patient=patient, since=timezone.now(), by=rita
    )
    return patient


def wish(desk: Desk, patient: Patient, at: datetime | None = None, **more: Any) -> dict[str, Any]:
    entries: dict[str, Any] = {
        "patient": str(patient.public_id),
        "service": desk.service.code,
        "key": "a-key",
    }
    if at is not None:
        entries |= {"at": iso(at), "action": "book"}
    return entries | more


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_a_phone_call_from_the_name_to_the_visit(desk: Desk, client: Client, nora: Patient) -> None:
    found = text_of(client.post("/admin/patients/", {"q": "nora"}))
    assert "1 patient found" in found
    to_book = re.search(r'href="(/admin/book/\?patient=[^"]+)"', found)
    assert to_book
    services = client.get(to_book[1])
    assert desk.service.name in text_of(services)
    times = text_of(
        client.get(BOOK, {"patient": str(nora.public_id), "service": desk.service.code})
    )
    first = re.search(r'class="time" href="([^"]+)"', times)
    assert first
    check = text_of(client.get(first[1].replace("&amp;", "&")))
    at = re.search(r'name="at" value="([^"]+)"', check)
    key = re.search(r'name="key" value="([^"]+)"', check)
    assert at
    assert key
    answer = client.post(
        BOOK, wish(desk, nora) | {"at": at[1], "key": key[1], "action": "book", "reason": "Cough"}
    )
    visit = Appointment.objects.get()
    assert answer["Location"] == reverse("desk_visit", args=[visit.public_id])
    assert (visit.patient, visit.reason) == (nora, "Cough")
    shown = text_of(client.get(answer["Location"]))
    assert visit.doctor.display_name in shown
    assert "Cough" not in shown  # the reason is the doctor's


def test_searches_and_looks_leave_their_rows(desk: Desk, client: Client, nora: Patient) -> None:
    client.post("/admin/patients/", {"q": "nora"})
    client.get(reverse("desk_patient", args=[nora.public_id]))
    rows = list(AuditEvent.objects.values_list("action", "patient"))
    assert rows == [("patients.searched", None), ("chart.viewed", nora.pk)]
    client.get("/admin/patients/")
    assert AuditEvent.objects.count() == 2  # nothing was asked for


def test_s38_who_is_looked_for_stands_in_no_address(
    desk: Desk, client: Client, nora: Patient
) -> None:
    found = client.get("/admin/patients/", {"q": "nora"})
    assert "Nora" not in text_of(found)
    assert not AuditEvent.objects.exists()  # no search
    page = text_of(client.post("/admin/patients/", {"q": "Walter Quill"}))
    links = re.findall(r'(?:href|action)="([^"]*)"', page)
    assert [link for link in links if "Quill" in link or "Walter" in link] == []
    assert 'method="post" action="/admin/patients/new/"' in page
    form = text_of(client.post("/admin/patients/new/", {"begin": "Walter Quill"}))
    assert 'name="name" value="Walter Quill"' in form
    assert not Patient.objects.filter(name="Walter Quill").exists()
    event = AuditEvent.objects.get()
    assert (event.action, event.detail) == ("patients.searched", "0 shown")


def test_posting_twice_books_once(desk: Desk, client: Client, nora: Patient) -> None:
    answers = [client.post(BOOK, wish(desk, nora, in_days(9))) for _ in range(2)]
    assert answers[0]["Location"] == answers[1]["Location"]
    assert Appointment.objects.count() == 1


def test_a_limit_is_named_and_set_aside_with_a_reason(
    desk: Desk, client: Client, nora: Patient
) -> None:
    at = in_days(9, hour=23)  # after hours there
    page = client.get(BOOK, wish(desk, nora, at))
    assert page.status_code == 422
    assert "Outside the opening hours" in text_of(page)

    bare = client.post(BOOK, wish(desk, nora, at))
    assert bare.status_code == 422
    no_reason = client.post(BOOK, wish(desk, nora, at, limits="hours"))
    assert no_reason.status_code == 422
    assert "Type why the limit is set aside" in text_of(no_reason)
    assert not Appointment.objects.exists()

    done = client.post(BOOK, wish(desk, nora, at, limits="hours", why="Asked by the doctor"))
    assert done.status_code == 302
    visit = Appointment.objects.get()
    assert visit.booked_despite == "hours: Asked by the doctor"
    assert "Asked by the doctor" in text_of(client.get(done["Location"]))


def test_a_taken_time_shows_the_nearest_and_no_way_around(
    desk: Desk, client: Client, nora: Patient, alice: User
) -> None:
    at = in_days(9)
    now = timezone.now()
    book(service=desk.service, patient=alice.chart, starts_at=at, by=alice, key="a", now=now)
    answer = client.post(BOOK, wish(desk, nora, at))
    page = text_of(answer)
    assert answer.status_code == 409
    assert page.count("govuk-button--secondary") >= 3
    assert "Book all the same" not in page
    forged = client.post(BOOK, wish(desk, nora, at, limits="grid", why="Because I say so"))
    assert forged.status_code == 409
    assert Appointment.objects.count() == 1


def test_a_second_visit_is_asked_about(desk: Desk, client: Client, nora: Patient) -> None:
    client.post(BOOK, wish(desk, nora, in_days(9)))
    again = wish(desk, nora, in_days(10), key="second")
    asked = client.post(BOOK, again)
    assert asked.status_code == 409
    assert "Keep the other visit and book this one too" in text_of(asked)
    assert client.post(BOOK, again | {"clash": "both"}).status_code == 302
    assert Appointment.objects.filter(status=Status.BOOKED).count() == 2


def test_who_walks_in_is_booked_now(desk: Desk, client: Client, nora: Patient) -> None:
    answer = client.post(BOOK, wish(desk, nora, action="walk_in"))
    assert answer.status_code == 302
    visit = Appointment.objects.get()
    assert (visit.status, visit.is_walk_in) == (Status.ARRIVED, True)
    busy = client.post(BOOK, wish(desk, nora, action="walk_in", key="other"))
    assert busy.status_code == 409


def test_a_time_typed_by_hand_leads_to_the_check(desk: Desk, client: Client, nora: Patient) -> None:
    entries = wish(desk, nora) | {"day": "2026-12-24", "clock": "18:20"}
    answer = client.get(BOOK, entries)
    assert answer.status_code == 302
    assert "at=2026-12-24T23%3A20%3A00Z" in answer["Location"]
    for wrong in ({"day": "", "clock": "18:20"}, {"day": "2026-12-24", "clock": ""}):
        assert client.get(BOOK, entries | wrong).status_code == 422


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"action": "steal"}, 400),
        ({"key": ""}, 400),
        ({"at": "tomorrow"}, 400),
        ({"clash": "all"}, 400),
        ({"service": "nothing"}, 404),
        ({"patient": "nobody"}, 404),
        ({"patient": "00000000-0000-7000-8000-000000000000"}, 404),
        ({"reason": "x" * 501}, 422),
    ],
)
def test_bad_input_books_nothing(
    desk: Desk, client: Client, nora: Patient, changes: dict[str, str], status: int
) -> None:
    assert client.post(BOOK, wish(desk, nora, in_days(9)) | changes).status_code == status
    assert not Appointment.objects.exists()


PERSON = {
    "name": "Walter Quill",
    "birth_date_month": "8",
    "birth_date_day": "2",
    "birth_date_year": "1951",
    "sex": "male",
    "phone": "207-555-0142",
    "email": "",
}


def test_a_new_patient_is_made_once(desk: Desk, client: Client) -> None:
    answer = client.post("/admin/patients/new/", PERSON)
    patient = Patient.objects.get()
    assert answer["Location"] == reverse("desk_patient", args=[patient.public_id])
    assert patient.account is None

    again = client.post("/admin/patients/new/", PERSON)
    page = text_of(again)
    assert again.status_code == 409
    assert "Use the chart of Walter Quill" in page
    assert "•••• 0142" in page
    assert "207-555-0142" not in page.partition('id="likely"')[2].partition("<form")[0]
    assert Patient.objects.count() == 1
    assert AuditEvent.objects.filter(action="chart.compared", patient=patient).count() == 1

    other = client.post("/admin/patients/new/", PERSON | {"looked": str(patient.public_id)})
    assert other.status_code == 302
    assert Patient.objects.count() == 2


def test_a_chart_of_another_hospital_is_used_instead(desk: Desk, client: Client) -> None:
    known = Patient.objects.create(
        name="Walter Quill", birth_date="1951-08-02", created_at=timezone.now()
    )
    use = reverse("desk_patient_use", args=[known.public_id])
    assert client.get(reverse("desk_patient", args=[known.public_id])).status_code == 404
    assert client.post(use, PERSON | {"name": "Somebody Else", "phone": ""}).status_code == 404
    assert client.post(use, {}).status_code == 404
    assert not Registration.objects.exists()
    assert client.get(use).status_code == 405
    assert client.post(use, PERSON).status_code == 302
    assert client.get(reverse("desk_patient", args=[known.public_id])).status_code == 200


def test_contact_data_is_corrected_with_a_row(desk: Desk, client: Client, nora: Patient) -> None:
    address = reverse("desk_patient", args=[nora.public_id])
    entries = PERSON | {"name": nora.name}
    assert client.post(address, entries).status_code == 302
    nora.refresh_from_db()
    assert nora.phone == "207-555-0142"
    assert AuditEvent.objects.get(action="chart.changed").detail == "sex, phone"
    wrong = client.post(address, entries | {"phone": "call me"})
    assert wrong.status_code == 422
    # The answer shows the chart, which is a reading.
    assert AuditEvent.objects.filter(action="chart.viewed", patient=nora).count() == 1
    nora.refresh_from_db()
    assert nora.phone == "207-555-0142"


def test_a_correction_leaves_alone_what_the_patient_changed_meanwhile(
    desk: Desk, client: Client, alice: User, rita: User
) -> None:
    chart, now = alice.chart, timezone.now()
    Registration.objects.create(hospital=desk.hospital, patient=chart, since=now, by=rita)
    address = reverse("desk_patient", args=[chart.public_id])
    form = client.get(address).context["form"]
    sent = PERSON | {"name": "Alice M. Moreau", "sex": chart.sex, "phone": "", "email": ""}
    sent |= {
        f"birth_date_{part}": str(getattr(chart.birth_date, part))
        for part in ("year", "month", "day")
    }
    sent["shown"] = form.initial["shown"]
    assert f'name="shown" value="{sent["shown"]}"' in text_of(client.get(address))

    update_profile(
        user=alice, name=alice.name, phone="207-555-0199", time_zone="", language="en", now=now
    )
    assert client.post(address, sent).status_code == 302
    chart.refresh_from_db()
    assert (chart.name, chart.phone) == ("Alice M. Moreau", "207-555-0199")
    row = AuditEvent.objects.get(action="chart.changed", patient=chart)
    assert row.detail == "name"

    both = client.post(address, sent | {"phone": "207-555-0111"})
    assert both.status_code == 422
    page = text_of(both)
    assert "Meanwhile changed to “207-555-0199”. Save again to replace it." in page
    chart.refresh_from_db()
    assert chart.phone == "207-555-0199"
    again = sent | {"phone": "207-555-0111", "shown": both.context["form"]["shown"].value()}
    assert client.post(address, again).status_code == 302
    chart.refresh_from_db()
    assert chart.phone == "207-555-0111"


def test_a_one_time_code_is_given_for_a_known_patient(
    desk: Desk, client: Client, nora: Patient, charlie: User
) -> None:
    address = reverse("desk_patient_code", args=[nora.public_id])
    shown = client.post(address, {"purpose": "carer"})
    assert shown.status_code == 200
    assert LinkCode.objects.get().purpose == "carer"
    assert client.post(address, {"purpose": "owner"}).status_code == 404
    other = reverse("desk_patient_code", args=[charlie.chart.public_id])
    assert client.post(other, {"purpose": "carer"}).status_code == 404
    assert LinkCode.objects.count() == 1


def test_reception_notes_what_a_carer_may_do(
    desk: Desk, client: Client, nora: Patient, bob: User
) -> None:
    care = make_carer(bob, nora)
    address = reverse("desk_carer", args=[nora.public_id, bob.public_id])
    assert address in client.get(reverse("desk_patient", args=[nora.public_id])).content.decode()
    assert client.get(address).status_code == 405
    assert client.post(address, {"relation": "cousin"}).status_code == 404
    shared = {"relation": "partner", "may_read_record": "on"}
    assert client.post(address, shared).status_code == 302
    care.refresh_from_db()
    assert (care.relation, care.may_read_record, care.agreed) == ("partner", True, "reception")
    assert client.post(address, {"relation": "partner"}).status_code == 302
    care.refresh_from_db()
    assert not care.may_read_record
    assert client.post(address, {"action": "end"}).status_code == 302
    assert client.post(address, {"action": "end"}).status_code == 404
    actions = AuditEvent.objects.filter(patient=nora, action__startswith="care.")
    assert list(actions.order_by("number").values_list("action", flat=True)) == [
        "care.rights", "care.rights", "care.ended",
    ]  # fmt: skip


def test_a_visit_goes_to_a_colleague(desk: Desk, client: Client, rita: User, nora: Patient) -> None:
    client.post(BOOK, wish(desk, nora, in_days(9)))
    visit = Appointment.objects.get()
    colleague = open_desk(name="Ben Osei")
    colleague.service.hospital = desk.hospital
    colleague.service.save()
    colleague.doctor.opening_hours.update(hospital=desk.hospital)
    move = reverse("desk_move", args=[visit.public_id])
    assert colleague.doctor.display_name in text_of(client.get(move))
    compare = client.get(move, {"service": colleague.service.code, "at": iso(in_days(9))})
    assert compare.status_code == 200
    entries = {"service": colleague.service.code, "at": iso(in_days(9)), "key": "move"}
    answer = client.post(move, entries)
    assert answer["Location"] == reverse("desk_visit", args=[visit.public_id])
    visit.refresh_from_db()
    assert visit.doctor == colleague.doctor


def test_a_visit_is_cancelled_once(desk: Desk, client: Client, nora: Patient) -> None:
    client.post(BOOK, wish(desk, nora, in_days(9)))
    visit = Appointment.objects.get()
    address = reverse("desk_cancel", args=[visit.public_id])
    assert client.get(address).status_code == 200
    visit.refresh_from_db()
    assert visit.status == Status.BOOKED  # looking cancels nothing
    # What is shown in answer to a form is a reading too.
    seen = AuditEvent.objects.filter(action="visit.viewed", object_id=str(visit.public_id))
    for page, fields in [
        (address, {"reason": "x" * 5000}),
        (reverse("desk_move", args=[visit.public_id]), {"at": "2020-01-01T10:00:00Z", "key": "k"}),
    ]:
        before = AuditEvent.objects.filter(patient=nora).count()
        assert client.post(page, fields).status_code == 422
        assert AuditEvent.objects.filter(patient=nora).count() == before + 1
    assert seen.count() == 2
    assert client.post(address, {"reason": "Called"}).status_code == 302
    visit.refresh_from_db()
    assert (visit.status, visit.cancel_reason) == (Status.CANCELLED, "Called")
    assert client.post(address, {"reason": ""}).status_code == 422
    assert client.post(reverse("desk_move", args=[visit.public_id]), {}).status_code == 400


def test_a_walk_in_is_taken_back_on_its_page(desk: Desk, client: Client, nora: Patient) -> None:
    client.post(BOOK, wish(desk, nora, action="walk_in"))
    visit = Appointment.objects.get()
    page, address = (
        reverse(name, args=[visit.public_id]) for name in ("desk_visit", "desk_cancel")
    )
    assert address in text_of(client.get(page))
    assert client.get(address).status_code == 200
    assert client.post(address, {"reason": "Wrong person"}).status_code == 302
    visit.refresh_from_db()
    assert visit.status == Status.CANCELLED
    assert address not in text_of(client.get(page))


def test_the_reason_of_a_cancelled_visit_is_nobodys_any_more(desk: Desk, alice: User) -> None:
    doctor = desk.doctor.user = make_staff("doc@example.org", role=Role.DOCTOR)
    desk.doctor.save()
    visit = book(
        service=desk.service, patient=alice.chart, starts_at=in_days(9), by=alice, key="k",
        now=timezone.now(), reason="Nobody else may know",
    )  # fmt: skip
    Patient.objects.filter(pk=alice.chart.pk).update(phone="207-555-0100")
    client, address = signed_in(doctor), reverse("desk_visit", args=[visit.public_id])
    assert "Nobody else may know" in text_of(client.get(address))
    cancel(appointment=visit, by=alice, now=timezone.now())
    page = text_of(client.get(address))
    assert visit.patient.name in page
    assert "Nobody else may know" not in page and "207-555-0100" not in page
    assert reverse("chart", args=[alice.chart.public_id]) not in page


def test_a_morning_is_called_off_after_a_look(desk: Desk, client: Client, nora: Patient) -> None:
    client.post(BOOK, wish(desk, nora, in_days(9)))
    visit = Appointment.objects.get()
    entries = {
        "doctor": desk.doctor.slug,
        "day": visit.starts_at.date().isoformat(),
        "opens": "00:00",
        "closes": "23:00",
        "why": "Broken arm",
    }
    look = client.post("/admin/call-off/", entries)
    assert nora.name in text_of(look)
    assert not TimeOff.objects.exists()
    stale = client.post("/admin/call-off/", entries | {"asked": "1"})
    assert stale.status_code == 409
    assert not TimeOff.objects.exists()
    done = client.post("/admin/call-off/", entries | {"asked": "1", "seen": look_of([visit])})
    assert "To be called: no e-mail address" in text_of(done)
    visit.refresh_from_db()
    assert visit.status == Status.CANCELLED
    assert TimeOff.objects.count() == 1
    for wrong in ({"closes": "00:00"}, {"opens": ""}, {"doctor": "nobody"}, {"day": "x"}):
        assert client.post("/admin/call-off/", entries | wrong).status_code == 422


def test_the_doctor_books_for_own_patients_and_sees_the_reason(
    desk: Desk, alice: User, nora: Patient
) -> None:
    now = timezone.now()
    visit = book(
        service=desk.service, patient=alice.chart, starts_at=in_days(9), by=alice, key="a",
        now=now, reason="Chest pain",
    )  # fmt: skip
    desk.doctor.user = make_staff("doc@example.org", role=Role.DOCTOR)
    desk.doctor.save()
    client = signed_in(desk.doctor.user)
    assert "Chest pain" in text_of(client.get(reverse("desk_visit", args=[visit.public_id])))
    booked = client.post(BOOK, wish(desk, alice.chart, in_days(30), key="next"))
    assert booked.status_code == 302
    assert client.post(BOOK, wish(desk, nora, in_days(31), key="no")).status_code == 404


def test_others_find_no_such_pages(desk: Desk, client: Client, nora: Patient, alice: User) -> None:
    client.post(BOOK, wish(desk, nora, in_days(9)))
    visit = Appointment.objects.get()
    pages = [
        reverse(name, args=[visit.public_id]) for name in ("desk_visit", "desk_move", "desk_cancel")
    ] + [
        reverse(name, args=[nora.public_id])
        for name in ("desk_patient", "desk_patient_code", "desk_patient_use")
    ]
    others = [
        make_staff("other@example.org"),
        make_staff("doc@example.org", role=Role.DOCTOR),
        make_staff("dir@example.org", role=Role.DIRECTORY),
        make_staff("boss@example.org", role=Role.ADMINISTRATOR),
    ]
    rows = AuditEvent.objects.filter(patient=nora).count()
    for user in others:
        other = signed_in(user)
        for address in pages:
            assert other.get(address).status_code in {404, 405}, address
            refused = other.post(address, {"reason": "x", "purpose": "self"}).status_code
            assert refused == (405 if address == pages[0] else 404), address
        assert other.post(BOOK, wish(desk, nora, in_days(20), key="z")).status_code == 404
    patient = signed_in(alice)
    for address in [*pages, BOOK, "/admin/patients/", "/admin/patients/new/", "/admin/call-off/"]:
        assert patient.get(address, follow=True).status_code == 404
        assert Client().get(address).status_code == 302
    visit.refresh_from_db()
    assert visit.status == Status.BOOKED
    assert Appointment.objects.count() == 1
    # Nothing happened, and that reception elsewhere and a stranger's doctor tried is written down.
    tried = AuditEvent.objects.filter(patient=nora, number__gt=rows)
    assert set(tried.values_list("action", "actor_id")) == {
        (f"{action}.refused", user.pk)
        for user in others[:2]
        for action in ("visit.access", "chart.viewed")
    }


def test_searching_takes_as_many_queries_for_one_as_for_twenty(
    desk: Desk, client: Client, rita: User, nora: Patient, django_assert_num_queries: Any
) -> None:
    with CaptureQueriesContext(connection) as one:
        client.post("/admin/patients/", {"q": "Ames"})
    for number in range(20):
        patient = make_patient(f"Ames {number}")
        Registration.objects.create(
            hospital=desk.hospital, patient=patient, since=timezone.now(), by=rita
        )
    with django_assert_num_queries(len(one)):
        client.post("/admin/patients/", {"q": "Ames"})
