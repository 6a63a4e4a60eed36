"""SECURITY 17 to 19: what the admin's own pages show of whom, and what a forged form changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Patient, Role, SignIn, User
from appointments.care import end_for_visit
from appointments.models import Appointment, Registration, Status
from clinic.directory.models import Doctor, DoctorLanguage, Hospital, HospitalStaff, Service
from tests.appointments.desk import AT, NOW, Desk
from tests.cast import make_account, make_patient, make_staff, signed_in
from tests.security.world import difference
from tests.security.world import rows as all_rows
from tests.workplace.conftest import Book, doctor_of, text_of

pytestmark = pytest.mark.django_db

VISITS = "/admin/appointments/appointment/"
PATIENTS = "/admin/accounts/patient/"
DOCTORS = "/admin/directory/doctor/"
HOSPITALS = "/admin/directory/hospital/"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def mine(desk: Desk, booked: Book) -> Appointment:
    return booked(desk, AT + 60 * MINUTE, "Nora Ames")


@pytest.fixture
def foreign(elsewhere: Desk, booked: Book) -> Appointment:
    return booked(elsewhere, AT + 60 * MINUTE, "Ira Vance")


# --- Visits -------------------------------------------------------------------------------------
@pytest.mark.parametrize("who", ["my_day", "at_desk"])
def test_s17_the_list_of_visits_has_the_own_ones(
    who: str, mine: Appointment, foreign: Appointment, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    searches = [f"?q={foreign.reference}", f"?q={mine.reference}", "?q=ito", "?q=okafor"]
    for query in ["", "?when=coming", "?status__exact=booked", "?all=", "?p=2", "?o=1", *searches]:
        answer = client.get(f"{VISITS}{query}", follow=True)
        assert "Ira Vance" not in answer.content.decode(), query
        # The reference that was typed comes back in the field; the row of the visit does not.
        assert str(foreign.public_id) not in answer.content.decode(), query
    page = text_of(client, VISITS)
    assert "Nora Ames" in page and mine.reference in page
    assert f'href="/admin/visits/{mine.public_id}/"' in page


@pytest.mark.parametrize("who", ["my_day", "at_desk"])
def test_s17_every_other_page_of_a_foreign_visit_answers_as_for_one_that_nobody_has(
    who: str, mine: Appointment, foreign: Appointment, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    for part in ("change/", "history/", ""):
        shown = []
        for key in (foreign.pk, 999_999):
            answer = client.get(f"{VISITS}{key}/{part}")
            shown.append((answer.status_code, answer.headers["Location"].replace(str(key), "N")))
        assert shown[0] == shown[1] and shown[0][0] == 302, part
    assert client.get(f"{VISITS}{foreign.pk}/delete/").status_code == 403
    assert client.get(f"{VISITS}{mine.pk}/change/").headers["Location"] == (
        f"/admin/visits/{mine.public_id}/"
    )


def test_visits_are_found_by_reference_at_any_time_and_by_doctor(
    at_desk: Client, mine: Appointment
) -> None:
    Appointment.objects.filter(pk=mine.pk).update(
        starts_at=AT - timedelta(days=400), ends_at=AT - timedelta(days=399),
        occupied_until=AT - timedelta(days=399),
    )  # fmt: skip
    assert "Nora Ames" not in text_of(at_desk, VISITS)
    assert "Nora Ames" in text_of(at_desk, f"{VISITS}?q={mine.reference.lower()}")
    assert "Nora Ames" in text_of(at_desk, f"{VISITS}?q=Okafor")
    assert "Nora Ames" in text_of(at_desk, f"{VISITS}?when=past")
    assert "Nora Ames" not in text_of(at_desk, f"{VISITS}?when=last_week")


@pytest.mark.parametrize(
    "query",
    ["reason__contains=x", "patient__name__startswith=A", "doctor__user__password__startswith=a",
     "patient__audit_head=x", "booked_by__email=x", "when=for-ever", "status__exact=x'", "p=x"],
)  # fmt: skip
def test_s17_nothing_is_read_letter_by_letter_through_the_address(
    at_desk: Client, mine: Appointment, query: str
) -> None:
    answer = at_desk.get(f"{VISITS}?{query}", follow=True)
    assert answer.status_code in {200, 400}
    if "__" in query and not query.startswith("status"):
        assert answer.status_code == 400


def test_who_has_no_visits_of_patients_has_no_list_of_them(
    directory: User, administrator: User, mine: Appointment
) -> None:
    for user in (directory, administrator):
        client = signed_in(user)
        for page in (VISITS, PATIENTS, f"{VISITS}{mine.pk}/change/"):
            assert client.get(page).status_code == 403
        front = text_of(client, "/admin/")
        assert "Nora Ames" not in front
        for page in (f"/admin/visits/{mine.public_id}/", f"/admin/charts/{mine.patient.public_id}/",
                     f"/admin/patients/{mine.patient.public_id}/"):  # fmt: skip
            assert client.get(page).status_code == 404


# --- Patients -----------------------------------------------------------------------------------
def search(client: Client, words: str) -> str:
    answer = client.post(PATIENTS, {"q": words})
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.parametrize("who", ["my_day", "at_desk"])
def test_s17_the_list_of_patients_has_the_own_ones(
    who: str, mine: Appointment, foreign: Appointment, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    for query in ("", "?all=", "?o=1", "?p=1"):
        page = client.get(f"{PATIENTS}{query}", follow=True).content.decode()
        assert "Ira Vance" not in page
    assert "Nora Ames" in text_of(client, PATIENTS)
    for words in ("Ira", "Vance", "08/02/1951", "1951-08-02"):
        assert "Ira Vance" not in search(client, words), words
    where = "charts" if who == "my_day" else "patients"
    assert f'href="/admin/{where}/{mine.patient.public_id}/"' in text_of(client, PATIENTS)
    opened = client.get(f"{PATIENTS}{mine.patient.pk}/change/")
    assert opened.headers["Location"] == f"/admin/{where}/{mine.patient.public_id}/"
    shown = [
        client.get(f"{PATIENTS}{key}/change/").headers["Location"]
        for key in (foreign.patient.pk, 999_999)
    ]
    assert shown == ["/admin/", "/admin/"]


def test_s17_a_patient_whose_care_has_ended_is_no_longer_listed(
    my_day: Client, mine: Appointment
) -> None:
    end_for_visit(mine, now=AT)
    assert "Nora Ames" not in text_of(my_day, PATIENTS)
    assert "Nora Ames" not in search(my_day, "Nora")


def test_s17_a_patient_that_is_only_registered_is_known_to_that_reception(
    at_desk: Client, desk: Desk, elsewhere: Desk, rita: User
) -> None:
    for where, name in ((desk, "Lena Holt"), (elsewhere, "Omar Said")):
        Registration.objects.create(
            hospital=where.hospital, patient=make_patient(name), since=NOW, by=rita
        )
    page = text_of(at_desk, PATIENTS)
    assert "Lena Holt" in page and "Omar Said" not in page


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ames nora", True),
        ("NORA", True),
        ("nora 3/31/1980", True),
        ("03/31/1980", True),
        ("1980-03-31", True),
        ("(207) 555-0199", True),
        ("2075550199", True),
        ("555-0199", True),
        ("0199", True),
        ("nora (207) 555-0199", True),
        ("nora 555-0198", False),
        ("199", False),  # too short for a number, and no name
        ("nora 4/1/1980", False),
        ("ames bob", False),
        ("99/99/9999", False),
        ("' OR 1=1 --", False),
        ("%", False),
    ],
)
def test_patients_are_found_by_name_birth_date_and_phone(
    at_desk: Client, mine: Appointment, words: str, found: bool
) -> None:
    Patient.objects.filter(pk=mine.patient.pk).update(
        birth_date=date(1980, 3, 31), phone="207-555-0199"
    )
    assert ("Nora Ames" in search(at_desk, words)) is found


def test_s37_a_search_leaves_one_row_that_tells_nothing_about_anybody(
    at_desk: Client, rita: User, mine: Appointment
) -> None:
    before = AuditEvent.objects.count()
    text_of(at_desk, PATIENTS)
    assert AuditEvent.objects.count() == before
    search(at_desk, "Nora")
    (event,) = AuditEvent.objects.order_by("pk")[before:]
    assert (event.action, event.actor_id, event.detail) == ("patients.searched", rita.pk, "1 shown")
    assert event.patient_id is None


def test_s38_what_is_searched_for_stands_in_no_address(at_desk: Client, mine: Appointment) -> None:
    page = search(at_desk, "Nora")
    assert 'value="Nora"' in page
    assert not [link for link in re.findall(r'(?:href|action)="([^"]*)"', page) if "Nora" in link]
    # Typed into the address it is no search at all.
    assert "Nora Ames" in text_of(at_desk, f"{PATIENTS}?q=nobody-of-this-name")


def test_s22_a_search_needs_the_forms_token(rita: User, mine: Appointment) -> None:
    client = signed_in(rita, enforce_csrf_checks=True)
    assert client.post(PATIENTS, {"q": "Nora"}).status_code == 403


# --- Doctors, hospitals and their services ------------------------------------------------------
def form_of(doctor: Doctor, *services: Service, **typed: Any) -> dict[str, Any]:
    """What the page of a doctor sends, with its services."""
    sent: dict[str, Any] = {
        "name": doctor.name, "credentials": "MD", "grid_minutes": "15", "lead_minutes": "60",
        "horizon_days": "90", "cancel_hours": "24", "accepts_new": "on",
    }  # fmt: skip
    sent |= {"languages-TOTAL_FORMS": "0", "languages-INITIAL_FORMS": "0"}
    sent |= {
        "services-TOTAL_FORMS": str(len(services)),
        "services-INITIAL_FORMS": str(sum(1 for each in services if each.pk)),
    }
    for number, each in enumerate(services):
        facts = {
            "id": each.pk or "", "doctor": doctor.pk, "hospital": each.hospital_id,
            "name": each.name, "minutes": each.minutes, "buffer_minutes": each.buffer_minutes,
            "visit": each.visit, "position": each.position, "is_active": "on",
        }  # fmt: skip
        sent |= {f"services-{number}-{name}": value for name, value in facts.items()}
    return sent | typed


def test_a_doctor_keeps_the_own_page_and_nothing_that_staff_checked(
    my_day: Client, desk: Desk
) -> None:
    page = f"{DOCTORS}{desk.doctor.pk}/change/"
    desk.service.name = "Check-up"
    sent = form_of(
        desk.doctor, desk.service, name="Somebody Else", credentials="PhD", npi="1234567893",
        about="Speaks slowly", accepts_new="", verified_what="everything", user="1", slug="x",
        is_sample="on", withdrawn_at_0="2026-01-01", withdrawn_at_1="00:00:00",
    )  # fmt: skip
    assert my_day.post(page, sent).status_code == 302
    was = (desk.doctor.name, desk.doctor.credentials, desk.doctor.verified_what, desk.doctor.slug)
    desk.doctor.refresh_from_db()
    now = (desk.doctor.name, desk.doctor.credentials, desk.doctor.verified_what, desk.doctor.slug)
    assert now == was
    assert (desk.doctor.npi, desk.doctor.withdrawn_at, desk.doctor.is_sample) == (None, None, False)
    assert (desk.doctor.about, desk.doctor.accepts_new) == ("Speaks slowly", False)
    assert Service.objects.get(pk=desk.service.pk).name == "Check-up"


def test_s17_a_doctor_has_one_row_in_the_list_of_doctors(my_day: Client, elsewhere: Desk) -> None:
    page = text_of(my_day, DOCTORS)
    assert "Okafor" in page and "Ito" not in page
    assert "Ito" not in text_of(my_day, f"{DOCTORS}?q=ito")
    for part in ("change/", "history/"):
        assert my_day.get(f"{DOCTORS}{elsewhere.doctor.pk}/{part}").status_code == 302
    assert my_day.get(f"{DOCTORS}add/").status_code == 403


def test_a_doctor_offers_services_where_the_doctor_works(
    my_day: Client, desk: Desk, elsewhere: Desk
) -> None:
    page = f"{DOCTORS}{desk.doctor.pk}/change/"
    fresh = Service(doctor=desk.doctor, hospital=desk.hospital, name="Second opinion")
    assert my_day.post(page, form_of(desk.doctor, desk.service, fresh)).status_code == 302
    assert Service.objects.filter(doctor=desk.doctor).count() == 2
    fresh.hospital = elsewhere.hospital
    sent = form_of(desk.doctor, desk.service, fresh)
    assert my_day.post(page, sent).status_code == 200  # the form again, with its error
    assert not Service.objects.filter(doctor=desk.doctor, hospital=elsewhere.hospital).exists()
    options = re.findall(r"<option[^>]*>([^<]+)", text_of(my_day, page))
    assert desk.hospital.name in options


def test_reception_keeps_the_services_at_its_own_hospital(
    at_desk: Client, desk: Desk, elsewhere: Desk
) -> None:
    foreign = Service.objects.create(
        doctor=desk.doctor, hospital=elsewhere.hospital, name="Elsewhere only", position=9
    )
    page = f"{DOCTORS}{desk.doctor.pk}/change/"
    assert "Elsewhere only" not in text_of(at_desk, page)
    desk.service.name = "Check-up"
    sent = form_of(desk.doctor, desk.service, about="Typed by reception", name="X")
    assert at_desk.post(page, sent).status_code == 302
    assert Service.objects.get(pk=desk.service.pk).name == "Check-up"
    desk.doctor.refresh_from_db()
    assert (desk.doctor.name, desk.doctor.about) == ("Amara Okafor", "")
    # A row of another hospital, sent along, is not one of this form.
    foreign.name = "Taken over"
    assert at_desk.post(page, form_of(desk.doctor, desk.service, foreign)).status_code == 200
    foreign.refresh_from_db()
    assert foreign.name == "Elsewhere only"
    assert at_desk.get(f"{DOCTORS}{elsewhere.doctor.pk}/change/").status_code == 302


def test_reception_approves_the_doctors_of_its_hospital(
    at_desk: Client, desk: Desk, elsewhere: Desk
) -> None:
    Doctor.objects.update(verified_at=None)
    chosen = [desk.doctor.pk, elsewhere.doctor.pk]
    at_desk.post(
        DOCTORS,
        {"action": "approve_doctors", "_selected_action": chosen, "what": "License and identity"},
    )
    assert list(Doctor.objects.public()) == [desk.doctor]


def test_reception_keeps_how_its_hospital_is_reached(
    at_desk: Client, desk: Desk, elsewhere: Desk
) -> None:
    sent = {
        "address": "14 Wharf Street", "zip_code": "04101", "phone": "207-555-0111", "name": "X",
        "time_zone": "UTC", "keeps_public_holidays": "on", "is_listed": "", "reply_days": "0",
    }  # fmt: skip
    page = f"{HOSPITALS}{desk.hospital.pk}/change/"
    posts = {"staff-TOTAL_FORMS": "1", "staff-INITIAL_FORMS": "0", "staff-0-user": "1"}
    posts["staff-0-hospital"] = str(desk.hospital.pk)
    assert at_desk.post(page, sent | posts).status_code == 302
    hospital = Hospital.objects.get(pk=desk.hospital.pk)
    assert (hospital.address, hospital.phone) == ("14 Wharf Street", "207-555-0111")
    assert (hospital.name, hospital.time_zone) == ("Harbour Clinic", "America/New_York")
    assert hospital.is_listed and not hospital.keeps_public_holidays
    assert HospitalStaff.objects.filter(hospital=hospital).count() == 1
    assert elsewhere.hospital.slug not in text_of(at_desk, HOSPITALS)
    foreign = f"{HOSPITALS}{elsewhere.hospital.pk}/change/"
    assert at_desk.get(foreign).status_code == 302
    assert at_desk.post(foreign, sent).status_code == 302
    elsewhere.hospital.refresh_from_db()
    assert elsewhere.hospital.phone == "207-555-0100"
    at_desk.post(HOSPITALS, {"action": "confirm_time_zone", "_selected_action": [desk.hospital.pk]})
    assert not AuditEvent.objects.filter(action="hospital.zone_confirmed").exists()


def test_only_administrators_give_posts_and_say_whose_account_a_doctor_is(
    directory: User, administrator: User, desk: Desk, charlie: User
) -> None:
    new = make_staff("new@example.org")
    page = f"{HOSPITALS}{desk.hospital.pk}/change/"
    sent = {
        "name": "Harbour Clinic", "address": "12 Wharf Street", "city": "Portland", "state": "ME",
        "zip_code": "04101", "time_zone": "America/New_York", "time_zone_confirmed": "on",
        "is_listed": "on", "staff-TOTAL_FORMS": "1", "staff-INITIAL_FORMS": "0",
        "staff-0-user": new.pk, "staff-0-hospital": desk.hospital.pk, "reply_days": "0",
    }  # fmt: skip
    signed_in(directory).post(page, sent)
    assert not HospitalStaff.objects.filter(user=new).exists()
    signed_in(administrator).post(page, sent)
    assert HospitalStaff.objects.filter(user=new, hospital=desk.hospital).exists()
    given = AuditEvent.objects.get(action="post.given")
    assert (given.actor_id, given.object_id) == (administrator.pk, str(new.public_id))

    next_one = make_staff("next@example.org")
    post = HospitalStaff.objects.get(user=new)
    signed_in(administrator).post(
        page,
        sent | {"staff-INITIAL_FORMS": "1", "staff-0-id": post.pk, "staff-0-user": next_one.pk},
    )
    assert HospitalStaff.objects.get().user == next_one
    rows = AuditEvent.objects.filter(action__startswith="post.").order_by("pk")
    assert list(rows.values_list("action", "object_id"))[1:] == [
        ("post.taken", str(new.public_id)), ("post.given", str(next_one.public_id)),
    ]  # fmt: skip

    account = doctor_of(desk, "okafor@example.org")
    other = make_account("ito@example.org", role=Role.DOCTOR)
    doctors_page = f"{DOCTORS}{desk.doctor.pk}/change/"
    typed = form_of(desk.doctor, desk.service, user=str(other.pk))
    signed_in(directory).post(doctors_page, typed)
    desk.doctor.refresh_from_db()
    assert desk.doctor.user == account
    signed_in(account)
    signed_in(administrator).post(doctors_page, typed)
    desk.doctor.refresh_from_db()
    assert desk.doctor.user == other
    account.refresh_from_db()
    other.refresh_from_db()
    assert (account.is_staff, other.is_staff) == (False, True)
    assert not SignIn.objects.filter(user=account).exists()
    swapped = AuditEvent.objects.get(action="doctor.account")
    assert swapped.detail == f"{account.public_id} to {other.public_id}"
    # Nor does an administrator make a doctor of a patient's account.
    refused = signed_in(administrator).post(doctors_page, typed | {"user": str(charlie.pk)})
    assert "no doctor’s" in refused.content.decode()


# --- Forged forms -------------------------------------------------------------------------------
def forged(visit: Appointment, patient: Patient, doctor: Doctor, hospital: Hospital) -> list[Any]:
    """Forms for pages that only show, and for rows that are somebody else's."""
    rows = {
        "form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-MAX_NUM_FORMS": "1",
        "_save": "Save",
    }  # fmt: skip
    return [
        (VISITS, rows | {"form-0-id": visit.pk, "form-0-status": "done"}),
        (VISITS, {"action": "delete_selected", "_selected_action": [visit.pk], "post": "yes"}),
        (VISITS, {"action": "mark_done", "_selected_action": [visit.pk], "select_across": "1"}),
        (f"{VISITS}{visit.pk}/change/", {"status": "done", "id": visit.pk, "_save": "Save"}),
        (f"{VISITS}{visit.pk}/change/", {"_saveasnew": "1", "status": "done"}),
        (f"{VISITS}{visit.pk}/delete/", {"post": "yes"}),
        (f"{VISITS}add/", {"status": "done", "doctor": doctor.pk, "patient": patient.pk}),
        (PATIENTS, rows | {"form-0-id": patient.pk, "form-0-name": "X"}),
        (PATIENTS, {"action": "delete_selected", "_selected_action": [patient.pk], "post": "yes"}),
        (f"{PATIENTS}{patient.pk}/change/", {"name": "X", "account": "1", "_save": "Save"}),
        (f"{PATIENTS}{patient.pk}/delete/", {"post": "yes"}),
        (f"{PATIENTS}add/", {"name": "X"}),
        (f"{DOCTORS}{doctor.pk}/change/", form_of(doctor, name="X", about="X")),
        (DOCTORS, rows | {"form-0-id": doctor.pk, "form-0-name": "X"}),
        (DOCTORS, {"action": "withdraw_doctors", "_selected_action": [doctor.pk]}),
        (DOCTORS, {"action": "approve_doctors", "_selected_action": [doctor.pk], "what": "all"}),
        (DOCTORS, {"action": "delete_selected", "_selected_action": [doctor.pk], "post": "yes"}),
        (f"{HOSPITALS}{hospital.pk}/change/", {"name": "X", "phone": "1"}),
        (HOSPITALS, {"action": "confirm_time_zone", "_selected_action": [hospital.pk]}),
        ("/admin/accounts/user/add/", {"email": "x@example.org", "role": "administrator"}),
        ("/admin/accounts/user/1/change/", {"role": "administrator", "is_active": "on"}),
        ("/admin/directory/specialty/add/", {"name": "X", "slug": "x"}),
    ]


@pytest.mark.parametrize("who", ["doctor", "rita"])
def test_s18_forged_forms_change_nothing(
    who: str,
    mine: Appointment,
    foreign: Appointment,
    elsewhere: Desk,
    request: pytest.FixtureRequest,
) -> None:
    client = signed_in(request.getfixturevalue(who))
    text_of(client, "/admin/")
    for visit in (foreign, mine):
        sent = forged(visit, visit.patient, elsewhere.doctor, elsewhere.hospital)
        for page, form in sent:
            before = all_rows(trail=False)
            answer = client.post(page, form)
            assert answer.status_code in {200, 302, 403}, page
            changed = difference(before, all_rows(trail=False))
            changed.pop("sessions.Session", None)
            assert changed == {}, (page, form)


def test_s18_a_language_of_somebody_elses_page_is_not_taken_over(
    my_day: Client, desk: Desk, elsewhere: Desk
) -> None:
    """An inline's row is named by a hidden key that anybody can type."""
    foreign = DoctorLanguage.objects.create(doctor=elsewhere.doctor, code="es")
    sent = form_of(desk.doctor) | {
        "languages-TOTAL_FORMS": "1", "languages-INITIAL_FORMS": "1",
        "languages-0-id": foreign.pk, "languages-0-doctor": desk.doctor.pk,
        "languages-0-code": "fr", "languages-0-DELETE": "on",
    }  # fmt: skip
    my_day.post(f"{DOCTORS}{desk.doctor.pk}/change/", sent)
    foreign.refresh_from_db()
    assert (foreign.doctor, foreign.code) == (elsewhere.doctor, "es")


# --- Many rows ----------------------------------------------------------------------------------
@pytest.mark.parametrize(("page", "who"), [
    (VISITS, "my_day"), (VISITS, "at_desk"), (PATIENTS, "my_day"), (PATIENTS, "at_desk"),
    (DOCTORS, "at_desk"), (HOSPITALS, "at_desk"),
])  # fmt: skip
def test_a_list_has_as_many_queries_with_one_row_as_with_twenty(
    page: str, who: str, desk: Desk, booked: Book, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    booked(desk, AT + 30 * MINUTE)
    text_of(client, page)

    def counted(read: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as queries:
            read()
        return len(queries)

    one = counted(lambda: text_of(client, page))
    for number in range(15):
        booked(desk, AT + timedelta(days=1, minutes=30 * number), f"Patient {number}")
    assert counted(lambda: text_of(client, page)) == one
    if page == PATIENTS:
        searched = counted(lambda: search(client, "Patient"))
        assert searched <= one + 4  # the row in the trail


def test_a_visit_of_another_status_is_filtered(at_desk: Client, mine: Appointment) -> None:
    assert "Nora Ames" not in text_of(at_desk, f"{VISITS}?status__exact={Status.DONE}")
    assert "Nora Ames" in text_of(at_desk, f"{VISITS}?status__exact={Status.BOOKED}")
