"""Rows of reception's pages, of opening hours, and of a patient's own record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from appointments.hours_changes import look_of
from appointments.models import Appointment, Referral
from clinic.directory.models import TimeOff
from records.deletion import ask
from records.documents import store
from records.models import DeletionRequest, Document
from tests.appointments.desk import AT, NOW, iso
from tests.security.row import NOBODY, Row
from tests.security.world import LATER, World, photo

HALF_HOUR = timedelta(minutes=30)
OUTSIDE = "302 302 302 302 "
NO_FORM = f"{OUTSIDE}405 405 405 405"
DESK = f"{OUTSIDE}404 404 200 404"  # reception alone
DESK_DONE = f"{OUTSIDE}404 404 302 404"
HANDLED = f"{OUTSIDE}200 404 200 404"  # the visit's doctor and its reception
HANDLED_DONE = f"{OUTSIDE}302 404 302 404"
HOURS = f"{OUTSIDE}200 404 200 200"
HOURS_DONE = f"{OUTSIDE}302 404 302 302"
SIGNED_IN = "302 200 200 200 200 200 200 200"
CHARTS = "302 200 200 200 404 404 404 404"  # whoever has a chart of their own
CHARTS_DONE = "302 302 302 302 404 404 404 404"
ALICE = "302 200 404 404 404 404 404 404"
OTHERS = "bob charlie doctor other reception administrator"
ALICE_DONE = "302 302 404 404 404 404 404 404"

PERSON = {
    "name": "Walter Quill",
    "birth_date_month": "8",
    "birth_date_day": "2",
    "birth_date_year": "1951",
    "sex": "male",
    "phone": "207-555-0142",
    "email": "",
}


def _alice(world: World) -> Any:
    return world.users["alice"].chart


def patient(part: str) -> Callable[[World], str]:
    return lambda world: f"/admin/patients/{_alice(world).public_id}/{part}"


def visit(part: str) -> Callable[[World], str]:
    """A page of the visit, which is to come, whatever another row has made of it."""

    def address(world: World) -> str:
        Appointment.objects.filter(pk=world.visit.pk).update(
            starts_at=AT, ends_at=AT + HALF_HOUR, occupied_until=AT + HALF_HOUR
        )
        return f"/admin/visits/{world.visit.public_id}/{part}"

    return address


def hours(part: str) -> Callable[[World], str]:
    return lambda world: f"/admin/hours/{world.desk.doctor.slug}/{part}"


def _same_person(world: World) -> dict[str, Any]:
    chart = _alice(world)
    born = chart.birth_date
    return PERSON | {
        "name": chart.name,
        "birth_date_month": str(born.month),
        "birth_date_day": str(born.day),
        "birth_date_year": str(born.year),
        "hospital": world.desk.hospital.slug,
    }


def _new_person(world: World) -> dict[str, Any]:
    return PERSON | {"hospital": world.desk.hospital.slug}


def _booking(world: World) -> dict[str, Any]:
    return {
        "patient": str(_alice(world).public_id),
        "service": world.desk.service.code,
        "at": iso(LATER),
        "key": "a-key-of-the-desk",
        "clash": "both",
        "action": "book",
    }


def _book_page(world: World) -> str:
    chosen = _booking(world)
    return f"/admin/book/?patient={chosen['patient']}&service={chosen['service']}"


def _calling_off(world: World) -> dict[str, Any]:
    return {
        "doctor": world.desk.doctor.slug,
        "day": (LATER + timedelta(days=2)).date().isoformat(),
        "opens": "09:00",
        "closes": "12:00",
        "why": "",
        "asked": "1",
        "seen": look_of([]),
    }


def _week(world: World) -> dict[str, Any]:
    entries: dict[str, Any] = {"hospital": world.desk.hospital.slug, "valid_from": "2027-03-01"}
    for day in range(7):
        entries |= {f"opens_{day}_0": "08:00", f"closes_{day}_0": "12:00"}
    return entries


def _one_day(world: World) -> dict[str, Any]:
    return {
        "hospital": world.desk.hospital.slug,
        "day": "2027-03-01",
        "opens": "08:00",
        "closes": "12:00",
    }


OFF = {"first_day": "2027-03-01", "last_day": "2027-03-02", "why": ""}


def _period_off(world: World) -> dict[str, Any]:
    period, _made = TimeOff.objects.get_or_create(
        doctor=world.desk.doctor, starts_at=LATER, ends_at=LATER + timedelta(hours=1)
    )
    return {"period": str(period.pk)}


def _off_end(world: World) -> str:
    _period_off(world)
    return f"/admin/hours/{world.desk.doctor.slug}/off/end/"


RECEPTION = [
    Row("admin/patients/", DESK, DESK, form={"q": "Alice"}),
    Row("admin/patients/new/", DESK, DESK_DONE, form=_new_person, changes="reception"),
    Row("admin/patients/<uuid:public_id>/", DESK, DESK_DONE, address=patient(""),
        form=PERSON, changes="reception", audited="reception"),
    Row("admin/patients/<uuid:public_id>/use/", NO_FORM, DESK_DONE, address=patient("use/"),
        form=_same_person, changes="reception"),
    Row("admin/patients/<uuid:public_id>/code/", NO_FORM, DESK, address=patient("code/"),
        form={"purpose": "carer"}, changes="reception"),
    Row("admin/patients/<uuid:public_id>/carers/<uuid:user_id>/", NO_FORM, DESK_DONE,
        address=lambda w: patient(f"carers/{w.users['bob'].public_id}/")(w),
        form={"action": "end"}, changes="reception"),
    Row("admin/book/", HANDLED, HANDLED_DONE, address=_book_page, form=_booking,
        changes="doctor reception", audited="other"),
    Row("admin/call-off/", f"{OUTSIDE}200 200 200 404", f"{OUTSIDE}200 422 200 404",
        form=_calling_off, changes="doctor reception"),
    # A doctor of somebody else, too: that they tried.
    Row("admin/visits/<uuid:public_id>/", HANDLED, NO_FORM, address=visit(""),
        audited="doctor other reception"),
    Row("admin/visits/<uuid:public_id>/move/", HANDLED, HANDLED_DONE, address=visit("move/"),
        form={"at": iso(LATER), "key": "a-key-of-the-move"}, changes="doctor reception",
        audited="doctor other reception"),
    Row("admin/visits/<uuid:public_id>/cancel/", HANDLED, HANDLED_DONE, address=visit("cancel/"),
        form={"reason": "x"}, changes="doctor reception", audited="doctor other reception"),
]  # fmt: skip

OPENING = [
    Row("admin/hours/", f"{OUTSIDE}302 302 200 200", NO_FORM),
    Row("admin/hours/<slug:slug>/", HOURS, NO_FORM, address=hours("")),
    Row("admin/hours/<slug:slug>/week/", HOURS, HOURS_DONE, address=hours("week/"),
        form=_week, changes="doctor reception administrator"),
    Row("admin/hours/<slug:slug>/day/", HOURS, HOURS_DONE, address=hours("day/"),
        form=_one_day, changes="doctor reception administrator"),
    Row("admin/hours/<slug:slug>/off/", HOURS, HOURS_DONE, address=hours("off/"),
        form=OFF, changes="doctor reception administrator"),
    Row("admin/hours/<slug:slug>/off/end/", NO_FORM, HOURS_DONE, address=_off_end,
        form=_period_off, changes="doctor reception administrator"),
    Row("admin/hospital-days/<slug:slug>/", f"{OUTSIDE}404 404 200 200",
        f"{OUTSIDE}404 404 302 302",
        address=lambda w: f"/admin/hospital-days/{w.desk.hospital.slug}/",
        form={"day": "2027-03-01", "state": "open", "name": ""},
        changes="reception administrator"),
]  # fmt: skip


def _document(part: str) -> Callable[[World], str]:
    def address(world: World) -> str:
        if not Document.objects.exists():
            store(
                patient=_alice(world), upload=photo(), title="Rash", by=world.users["alice"],
                now=NOW, by_patient=True,
            )  # fmt: skip
        return f"/record/documents/{Document.objects.earliest('pk').public_id}/{part}"

    return address


def _referral(world: World) -> str:
    referral, _made = Referral.objects.get_or_create(
        patient=_alice(world),
        from_doctor=world.desk.doctor,
        to_doctor=world.other_desk.doctor,
        defaults={"reason": "Second opinion", "asked_at": NOW},
    )
    return f"/record/referrals/{referral.public_id}/"


def _deletion(world: World) -> str:
    if not DeletionRequest.objects.exists():
        ask(patient=_alice(world), what="Everything", by=world.users["alice"], now=NOW)
    return f"/admin/deletions/{DeletionRequest.objects.get().public_id}/"


def _file(_world: World) -> dict[str, Any]:
    return {"title": "Letter", "file": photo()}


RECORD = [
    Row("record/", SIGNED_IN),
    Row("record/documents/", "405", CHARTS_DONE, form=_file, changes="alice bob charlie"),
    # That others tried is written into the patient's trail.
    Row("record/documents/<uuid:public_id>/", ALICE, address=_document(""),
        audited=OTHERS, unknown=f"/record/documents/{NOBODY}/"),
    Row("record/documents/<uuid:public_id>/thumbnail/", ALICE, address=_document("thumbnail/"),
        audited=OTHERS, unknown=f"/record/documents/{NOBODY}/thumbnail/"),
    Row("record/", "302 200 404 404 404 404 404 404", case="Alice's", audited=OTHERS,
        address=lambda w: f"/record/?person={_alice(w).public_id}"),
    Row("record/who/", "302 200 404 404 404 404 404 404", case="Alice's", audited=OTHERS,
        address=lambda w: f"/record/who/?person={_alice(w).public_id}"),
    # Whoever has not just typed the password is asked for it first.
    Row("record/download/", "302", "302"),
    Row("record/summary/", "302"),
    Row("record/who/", CHARTS),
    Row("record/deletion/", CHARTS, CHARTS_DONE, form={"words": "Everything"},
        changes="alice bob charlie"),
    Row("record/referrals/<uuid:public_id>/", "405", ALICE_DONE, address=_referral,
        form={"answer": "agree"}, changes="alice", unknown=f"/record/referrals/{NOBODY}/"),
    Row("admin/deletions/", DESK, NO_FORM),
    Row("admin/deletions/<uuid:public_id>/", DESK, DESK_DONE, address=_deletion,
        form={"decision": "refuse", "answer": "We must keep it."}, changes="reception",
        audited="reception"),
    Row("accounts/people/carers/", SIGNED_IN),
    Row("accounts/people/carers/<uuid:public_id>/", "405", ALICE_DONE,
        address=lambda w: f"/accounts/people/carers/{w.users['bob'].public_id}/",
        form={"action": "end"}, changes="alice", unknown=f"/accounts/people/carers/{NOBODY}/"),
    # Alice is of age: nobody is her guardian, and the refusal is a sentence on the next page.
    Row("accounts/people/<uuid:public_id>/guardian/", "405",
        "302 404 302 404 404 404 404 404",
        address=lambda w: f"/accounts/people/{_alice(w).public_id}/guardian/",
        unknown=f"/accounts/people/{NOBODY}/guardian/"),
]  # fmt: skip

DESK_ROWS = [Row("metrics", "200"), *RECEPTION, *OPENING, *RECORD]
