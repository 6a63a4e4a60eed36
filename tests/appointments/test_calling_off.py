"""Whose visits a change of hours cancels: the own hospital's, by its clock, and however many."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
import time_machine
from django.urls import reverse
from django_tasks_db.models import DBTaskResult

from accounts.models import Role, User
from appointments import calling_off
from appointments.booking import reschedule
from appointments.desk import NotAtYourDesk
from appointments.hours_changes import (
    HitsChanged,
    change_hours,
    hit_by_time_off,
    look_of,
    may_change,
    take_time_off,
)
from appointments.models import Appointment, Status
from clinic.directory.hours import Span
from clinic.directory.models import Hospital, HospitalStaff, OpeningHours, Service, TimeOff
from clinic.jobs.models import OutgoingMail
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.appointments.visits import make_hospital, make_visit
from tests.cast import make_patient, make_patient_user, make_staff, signed_in

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
CALL_OFF = "/admin/call-off/"
SECRET = "HIV follow-up"


@pytest.fixture(autouse=True)
def _today() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def desk() -> Desk:
    return open_desk()


@pytest.fixture
def far(desk: Desk) -> Hospital:
    """Where the doctor works on Tuesday evenings, an hour behind."""
    hospital = make_hospital(name="Far Hospital", time_zone="America/Chicago")
    works(desk, hospital)
    return hospital


def works(desk: Desk, hospital: Hospital, **when: Any) -> None:
    facts: dict[str, Any] = {"valid_from": date(2026, 1, 1), "valid_until": None} | when
    OpeningHours.objects.create(
        doctor=desk.doctor, hospital=hospital, weekday=1, opens=time(16), closes=time(20), **facts
    )


def reception(*hospitals: Hospital, email: str = "rita@example.org") -> User:
    user = make_staff(email)
    for hospital in hospitals:
        HospitalStaff.objects.create(hospital=hospital, user=user)
    return user


def entries(desk: Desk, **changes: str) -> dict[str, str]:
    return {
        "doctor": desk.doctor.slug, "day": "2026-11-10", "opens": "08:00", "closes": "23:00",
        "why": "",
    } | changes  # fmt: skip


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


@pytest.fixture
def visits(desk: Desk, far: Hospital, alice: User, bob: User) -> tuple[Appointment, Appointment]:
    """On one day: Alice's at Rita's hospital, and Bob's at the other one."""
    here = make_visit(alice.chart, AT, hospital=desk.hospital, doctor=desk.doctor)
    there = make_visit(bob.chart, AT + 8 * HOUR, hospital=far, doctor=desk.doctor)
    Appointment.objects.filter(pk=there.pk).update(service_name=SECRET)
    there.refresh_from_db()
    return here, there


# --- Visits of other hospitals ------------------------------------------------------------------
def test_reception_neither_reads_nor_cancels_visits_of_another_hospital(
    desk: Desk, visits: tuple[Appointment, Appointment]
) -> None:
    here, there = visits
    client = signed_in(reception(desk.hospital))
    look = text_of(client.post(CALL_OFF, entries(desk)))
    assert here.patient.name in look and "1 visit is cancelled" in look
    assert there.reference in look and "call the reception of Far Hospital" in look
    assert there.patient.name not in look and SECRET not in look

    seen = {"asked": "1", "seen": look_of(visits)}
    done = text_of(client.post(CALL_OFF, entries(desk) | seen))
    assert there.patient.name not in done and SECRET not in done
    assert f"visit {there.reference}. Call Far Hospital" in done
    assert "Still booked: another reception decides" in done
    for visit in visits:
        visit.refresh_from_db()
    assert (here.status, there.status) == (Status.CANCELLED, Status.BOOKED)
    assert TimeOff.objects.count() == 1


def test_time_off_names_and_cancels_own_visits_only(
    desk: Desk, visits: tuple[Appointment, Appointment]
) -> None:
    here, there = visits
    client = signed_in(reception(desk.hospital))
    address = reverse("hours_off", args=[desk.doctor.slug])
    period = {"first_day": "2026-11-10", "last_day": "2026-11-10"}
    asked = text_of(client.post(address, period))
    assert here.patient.name in asked and there.reference in asked
    assert there.patient.name not in asked and SECRET not in asked
    answer = {"asked": "1", "what": "tell", "seen": look_of(visits)}
    told = client.post(address, period | answer, follow=True)
    assert there.patient.name not in text_of(told)
    for visit in visits:
        visit.refresh_from_db()
    assert (here.status, there.status) == (Status.CANCELLED, Status.BOOKED)


def test_reception_keeps_hours_at_its_own_hospital_only(
    desk: Desk, far: Hospital, visits: tuple[Appointment, Appointment]
) -> None:
    rita = reception(desk.hospital)
    client = signed_in(rita)
    for page in ("hours_week", "hours_day"):
        address = reverse(page, args=[desk.doctor.slug])
        assert "Far Hospital" not in text_of(client.get(address))
        answer = client.post(address, {"hospital": far.slug, "valid_from": "2026-11-09"})
        assert answer.status_code == 422
        assert visits[1].reference not in text_of(answer)
    with pytest.raises(NotAtYourDesk):
        change_hours(
            doctor=desk.doctor, hospital=far, spans=[Span(1, time(3), time(4))],
            valid_from=date(2026, 11, 9), valid_until=None, what="tell",
            seen=look_of([visits[1]]), by=rita, now=NOW,
        )  # fmt: skip
    assert not OpeningHours.objects.filter(opens=time(3)).exists()


def test_the_doctor_and_the_directory_cancel_at_every_hospital(
    desk: Desk, visits: tuple[Appointment, Appointment]
) -> None:
    here, there = visits
    desk.doctor.user = make_staff("doc@example.org", role=Role.DOCTOR)
    desk.doctor.save()
    client = signed_in(desk.doctor.user)
    look = text_of(client.post(CALL_OFF, entries(desk, hospital=desk.hospital.slug)))
    assert there.patient.name in look and "2 visits are cancelled" in look

    by = make_staff("dir@example.org", role=Role.DIRECTORY)
    done = take_time_off(
        doctor=desk.doctor, starts_at=AT, ends_at=AT + DAY, why="", what="tell",
        seen=look_of(visits), by=by, now=NOW,
    )  # fmt: skip
    assert done.called_off == [here, there] and done.kept == []


def test_where_a_doctor_worked_once_reception_handles_nothing(desk: Desk) -> None:
    former = make_hospital(name="Former")
    works(desk, former, valid_from=date(2020, 1, 1), valid_until=date(2021, 1, 1))
    Service.objects.create(
        doctor=desk.doctor, hospital=former, name="Old", minutes=30, is_active=False
    )
    rita = reception(former)
    assert not may_change(rita, desk.doctor)
    client = signed_in(rita)
    assert desk.doctor.slug not in text_of(client.get(CALL_OFF))
    assert desk.doctor.display_name not in text_of(client.get("/admin/hours/"))
    works(desk, former, valid_from=date(2027, 1, 1))  # hours to come count
    assert may_change(rita, desk.doctor)


# --- Clocks -------------------------------------------------------------------------------------
def test_a_part_of_a_day_is_called_off_by_the_clock_of_receptions_hospital(
    desk: Desk, far: Hospital
) -> None:
    client = signed_in(reception(far))
    assert "Central Time" in text_of(client.get(CALL_OFF))
    client.post(CALL_OFF, entries(desk, opens="13:00", closes="15:00") | {"asked": "1",
                "seen": look_of([])})  # fmt: skip
    period = TimeOff.objects.get()
    assert period.starts_at == datetime(2026, 11, 10, 19, tzinfo=UTC)  # 1 pm in Chicago


def test_where_clocks_differ_it_is_asked_whose_is_meant(desk: Desk, far: Hospital) -> None:
    elsewhere = make_hospital(name="Third", time_zone="America/Denver")
    client = signed_in(reception(desk.hospital, far, elsewhere))
    page = text_of(client.get(CALL_OFF))
    assert "By the clock of" in page and "Far Hospital, Central Time" in page
    nobody = client.post(CALL_OFF, entries(desk))
    assert nobody.status_code == 422 and "Choose whose clock is meant." in text_of(nobody)
    wrong = client.post(CALL_OFF, entries(desk, hospital=elsewhere.slug))
    assert wrong.status_code == 422
    places = ", ".join(sorted([desk.hospital.name, far.name]))
    assert f"does not work there. Choose one of these: {places}." in text_of(wrong)
    fields = entries(desk, hospital=far.slug, opens="13:00", closes="15:00")
    assert f'name="hospital" value="{far.slug}"' in text_of(client.post(CALL_OFF, fields))
    client.post(CALL_OFF, fields | {"asked": "1", "seen": look_of([])})
    assert TimeOff.objects.get().starts_at == datetime(2026, 11, 10, 19, tzinfo=UTC)


def test_time_off_goes_by_the_clock_that_stands_beside_it(desk: Desk, far: Hospital) -> None:
    address = reverse("hours_off", args=[desk.doctor.slug])
    client = signed_in(reception(far))
    assert "Central Time" in text_of(client.get(address))
    client.post(address, {"first_day": "2026-11-10", "first_time": "13:00",
                          "last_day": "2026-11-10", "last_time": "15:00"})  # fmt: skip
    assert TimeOff.objects.get().starts_at == datetime(2026, 11, 10, 19, tzinfo=UTC)


# --- Many visits --------------------------------------------------------------------------------
@pytest.fixture
def many(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[Appointment]:
    monkeypatch.setattr(calling_off, "AT_ONCE", 3)
    monkeypatch.setattr(calling_off, "BATCH", 2)
    patients = [make_patient_user(f"p{n}@example.org", name=f"Pat {n}").chart for n in range(4)]
    patients.append(make_patient("Nora Ames"))  # no account and no mail address
    return [
        make_visit(patient, AT + number * HOUR, hospital=desk.hospital, doctor=desk.doctor)
        for number, patient in enumerate(patients)
    ]


def off(desk: Desk, by: User, **changes: Any) -> Any:
    facts: dict[str, Any] = {
        "doctor": desk.doctor, "starts_at": AT, "ends_at": AT + 5 * HOUR, "why": "",
        "what": "tell", "by": by, "now": NOW,
    }  # fmt: skip
    facts |= changes
    period = {name: facts[name] for name in ("doctor", "starts_at", "ends_at", "now")}
    facts.setdefault("seen", look_of(hit_by_time_off(**period)))
    return take_time_off(**facts)


def run_stored_task() -> int:
    stored = DBTaskResult.objects.get(task_path="appointments.calling_off.call_off")
    arguments = stored.args_kwargs
    stored.delete()
    return int(calling_off.call_off.func(*arguments["args"], **arguments["kwargs"]))


def test_many_visits_are_stored_as_a_list_and_called_off_in_batches(
    desk: Desk, many: list[Appointment]
) -> None:
    done = off(desk, reception(desk.hospital))
    assert done.is_under_way and done.called_off == many
    assert [visit.patient.name for visit in done.to_phone] == ["Nora Ames"]
    assert TimeOff.objects.exists()
    assert not Appointment.objects.filter(status=Status.CANCELLED).exists()

    assert run_stored_task() == 0
    assert Appointment.objects.filter(status=Status.CANCELLED).count() == 5
    assert OutgoingMail.objects.filter(to__startswith="p").count() == 4
    assert not DBTaskResult.objects.filter(task_path__endswith="call_off").exists()


def test_what_was_moved_or_cancelled_before_its_turn_stays_as_it_is(
    desk: Desk, many: list[Appointment]
) -> None:
    off(desk, reception(desk.hospital))
    by = many[0].patient.account
    moved = reschedule(appointment=many[0], starts_at=AT + 7 * DAY, by=by, key="k", now=NOW)
    Appointment.objects.filter(pk=many[1].pk).update(status=Status.DONE)
    run_stored_task()
    moved.refresh_from_db()
    assert (moved.status, moved.starts_at) == (Status.BOOKED, AT + 7 * DAY)
    many[1].refresh_from_db()
    assert many[1].status == Status.DONE
    assert Appointment.objects.filter(status=Status.CANCELLED).count() == 3


def test_a_batch_that_fails_is_tried_again_and_stops_no_other(
    desk: Desk, many: list[Appointment], monkeypatch: pytest.MonkeyPatch
) -> None:
    off(desk, reception(desk.hospital))
    cancel_all = calling_off.cancel_all

    def all_but_the_first(visits: list[Appointment], **more: Any) -> None:
        if many[0] in visits:
            raise LookupError
        cancel_all(visits, **more)

    monkeypatch.setattr(calling_off, "cancel_all", all_but_the_first)
    assert run_stored_task() == 1
    assert Appointment.objects.filter(status=Status.CANCELLED).count() == 3
    later = DBTaskResult.objects.get(task_path="appointments.calling_off.call_off")
    assert later.run_after == NOW + calling_off.AGAIN_AFTER
    monkeypatch.setattr(calling_off, "cancel_all", cancel_all)
    assert run_stored_task() == 0
    assert Appointment.objects.filter(status=Status.CANCELLED).count() == 5


def test_the_form_does_not_grow_with_the_visits(desk: Desk, many: list[Appointment]) -> None:
    """Django takes 500 fields of a form, and a doctor away for weeks has more visits."""
    client = signed_in(reception(desk.hospital))
    page = text_of(client.post(CALL_OFF, entries(desk)))
    assert page.count('name="seen"') == 1
    address = reverse("hours_off", args=[desk.doctor.slug])
    asked = text_of(client.post(address, {"first_day": "2026-11-10", "last_day": "2026-11-10"}))
    assert asked.count('name="seen"') == 1
    done = client.post(CALL_OFF, entries(desk) | {"asked": "1", "seen": look_of(many)})
    assert "told one after the other" in text_of(done)
    assert "Nora Ames" in text_of(done)


def test_another_list_of_visits_is_another_look(desk: Desk, many: list[Appointment]) -> None:
    assert look_of(many) == look_of(reversed(many))
    assert len({look_of(many[:count]) for count in range(6)}) == 6
    with pytest.raises(HitsChanged):
        off(desk, reception(desk.hospital), seen=look_of(many[:4]))
    assert not TimeOff.objects.exists()
