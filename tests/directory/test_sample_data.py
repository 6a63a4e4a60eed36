"""Sample data: repeatable, within opening hours, never overlapping, never by mistake."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import AuditEvent, Carer, Patient, User
from appointments.checker import find_faults
from appointments.free_times import free_times
from appointments.models import Appointment, CareRelation, DoctorHold, Reminder, Status
from appointments.sampling.plan import specialty_mix
from appointments.sampling.sizes import ImpossibleSizes, Sizes, sample_today
from appointments.sampling.store import PASSWORD, make_sample_data
from appointments.sampling.visits import NoRoomError
from chat.models import Conversation, Event
from clinic.directory.holidays import public_holidays
from clinic.directory.models import Doctor, Hospital, Service
from clinic.directory.reference import specialty_facts
from records.charts import summary
from records.entries import FACTS
from records.models import AllergyStatement, Encounter, Note

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
SMALL = Sizes(doctors=12, patients=15, appointments=150)


def make(sizes: Sizes = SMALL, now: datetime = NOW) -> None:
    make_sample_data(sizes=sizes, now=now, report=lambda what, done, total: None)


def remove_what_keeps_people() -> None:
    Event.objects.all().delete()
    Conversation.objects.all().delete()
    for model in [Note, AllergyStatement, *FACTS, Encounter]:
        model.objects.all().delete()


def everything() -> list[Any]:
    visits = Appointment.objects.order_by("pk").values_list(
        "reference", "public_id", "starts_at", "status", "doctor__name", "patient__name",
        "service__name", "reason", "created_at", "cancelled_at",
    )  # fmt: skip
    doctors = Doctor.objects.order_by("pk").values_list(
        "name", "slug", "credentials", "specialties__name", "grid_minutes", "accepts_new"
    )
    hospitals = Hospital.objects.order_by("pk").values_list("name", "address", "latitude")
    services = Service.objects.order_by("pk").values_list("code", "name", "price_cents")
    entries: list[Any] = []
    for model in [Encounter, *FACTS]:
        entries += model.objects.order_by("pk").values_list("public_id", "recorded_at")
    entries += Note.objects.order_by("pk").values_list("public_id", "body")
    return [list(visits), list(doctors), list(hospitals), list(services), entries]


def test_visits_and_holds_are_sound() -> None:
    make()
    assert Appointment.objects.count() == SMALL.appointments
    assert list(find_faults(NOW)) == []
    assert DoctorHold.objects.exists()
    assert CareRelation.objects.count() == SMALL.appointments


def test_visits_ahead_have_reminders_and_none_is_due_at_once() -> None:
    make()
    booked = Appointment.objects.filter(status=Status.BOOKED)
    later = booked.filter(starts_at__gt=NOW + timedelta(days=3))
    assert later.exists()
    planned = Reminder.objects.filter(closed_at=None, due_at__gt=NOW)
    assert set(later) <= {row.appointment for row in planned.select_related("appointment")}
    assert planned.count() == Reminder.objects.count()


def test_every_visit_is_within_the_doctors_hours_and_on_the_grid() -> None:
    make()
    for visit in Appointment.objects.select_related("doctor", "hospital"):
        zone = ZoneInfo(visit.hospital.time_zone)
        starts, ends = visit.starts_at.astimezone(zone), visit.ends_at.astimezone(zone)
        fitting = [
            line
            for line in visit.doctor.opening_hours.filter(hospital=visit.hospital)
            if line.weekday == starts.weekday()
            and line.opens <= starts.time()
            and ends.time() <= line.closes
            and line.valid_from <= starts.date()
            and (line.valid_until is None or starts.date() < line.valid_until)
        ]
        assert fitting, visit
        assert (starts.hour * 60 + starts.minute) % visit.doctor.grid_minutes == 0
        assert starts.date() not in public_holidays(visit.hospital.state, starts.year)
        assert not visit.doctor.time_off.filter(
            starts_at__lt=visit.ends_at, ends_at__gt=visit.starts_at
        )


def test_patient_n_has_a_past_and_a_coming_visit_with_doctor_n() -> None:
    make()
    for number in range(1, min(SMALL.doctors, SMALL.patients) + 1):
        own = Appointment.objects.filter(
            patient__account__email=f"patient{number}@example.org",
            doctor__user__email=f"doctor{number}@example.org",
        )
        assert own.filter(status=Status.DONE, ends_at__lt=NOW).exists(), number
        assert own.upcoming(NOW).exists(), number


def test_most_doctors_have_free_times_soon_and_nobody_is_at_the_limit() -> None:
    make()
    services = list(
        Service.objects.filter(doctor__in=Doctor.objects.public()).select_related(
            "doctor", "hospital"
        )
    )
    free = free_times(services, first=sample_today(NOW), days=14, now=NOW)
    with_times = {service.doctor_id for service in services if free[service.pk]}
    assert len(with_times) >= SMALL.doctors - 1
    open_visits = Counter(Appointment.objects.upcoming(NOW).values_list("patient_id", flat=True))
    assert max(open_visits.values()) <= 6


def test_the_same_seed_and_day_give_the_same_data() -> None:
    make()
    first = everything()
    remove_what_keeps_people()
    Appointment.objects.all().delete()
    Doctor.objects.all().delete()
    Hospital.objects.all().delete()
    Patient.objects.all().delete()
    User.objects.all().delete()
    make(now=NOW + timedelta(hours=3))
    # Keys count on where the database keeps counting; everything else is the same.
    assert strip(everything()) == strip(first)


def strip(data: list[Any]) -> list[Any]:
    visits, doctors, hospitals, services, entries = data
    return [
        [row[1:] for row in visits],
        doctors,
        hospitals,
        [row[1:] for row in services],
        entries,
    ]


def test_another_seed_gives_other_data() -> None:
    make()
    names = set(Doctor.objects.values_list("name", flat=True))
    remove_what_keeps_people()
    Appointment.objects.all().delete()
    Doctor.objects.all().delete()
    User.objects.all().delete()
    make(Sizes(SMALL.doctors, SMALL.patients, SMALL.appointments, seed=2))
    assert len(names & set(Doctor.objects.values_list("name", flat=True))) < SMALL.doctors


def test_the_sign_ins_work_and_two_doctors_wait_for_approval() -> None:
    make()
    for name in ("patient1", "patient15", "doctor1", "doctor12", "reception", "newdoctor1"):
        answer = Client().post(
            "/accounts/login/", {"login": f"{name}@example.org", "password": PASSWORD}
        )
        assert answer.status_code == 302, name
    admin = User.objects.get(email="admin@example.org")
    assert admin.is_staff and admin.is_superuser
    assert Doctor.objects.public().count() == SMALL.doctors
    assert Doctor.objects.waiting_for_approval().count() == 2
    assert not Appointment.objects.filter(doctor__verified_at=None).exists()
    assert all(Doctor.objects.values_list("is_sample", flat=True))
    assert all(Hospital.objects.values_list("is_sample", flat=True))
    assert not AuditEvent.objects.filter(action__startswith="visit").exists()


def test_patient_1_cares_for_a_child_and_a_parent() -> None:
    make()
    relations = Carer.objects.filter(user__email="patient1@example.org")
    assert sorted(relations.values_list("relation", flat=True)) == ["child", "parent"]


def test_one_doctor_works_in_two_time_zones() -> None:
    make()
    zones = Doctor.objects.get(user__email="doctor7@example.org").opening_hours.values_list(
        "hospital__time_zone", flat=True
    )
    assert set(zones) == {"America/New_York", "America/Chicago"}


def test_the_mix_of_specialties_is_the_real_one() -> None:
    facts = specialty_facts()
    mix = Counter(specialty_mix(facts, 1_000))
    assert mix.total() == 1_000
    total = sum(fact.clinicians for fact in facts if fact.credentials)
    for fact in facts:
        share = fact.clinicians / total * 1_000 if fact.credentials else 0
        assert abs(mix[fact.name] - share) <= 1, fact.name


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(1, 1, 0),
        Sizes(1, 1, 2),
        Sizes(1, 5, 100),
        Sizes(30, 2, 60),
        Sizes(3, 200, 1),
    ],
)
def test_small_and_lopsided_sizes(sizes: Sizes) -> None:
    make(sizes)
    assert Appointment.objects.count() == sizes.appointments
    assert Doctor.objects.public().count() == sizes.doctors
    assert list(find_faults(NOW)) == []


def test_sizes_that_cannot_be_are_refused_and_nothing_is_stored() -> None:
    with pytest.raises((ImpossibleSizes, NoRoomError)):
        make(Sizes(doctors=2, patients=2, appointments=50_000))
    assert not Doctor.objects.exists() and not User.objects.exists()


def run(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("sample_data", *arguments, stdout=out, **options)
    return out.getvalue()


def test_the_command_is_done_once_and_says_how_to_sign_in(settings: Any) -> None:
    settings.PRODUCTION = False
    said = run("--doctors", "3", "--patients", "4", "--appointments", "10")
    assert "Made 3 doctors (and 2 who wait for approval), 4 patients and 10 visits" in said
    assert PASSWORD in said
    before = everything()
    assert "Nothing was changed" in run("--doctors", "9")
    assert everything() == before


def test_production_needs_the_flag(settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="--yes-this-is-not-real"):
        run()
    assert not Doctor.objects.exists()
    run("--doctors", "2", "--patients", "2", "--appointments", "4", "--yes-this-is-not-real")
    assert Doctor.objects.public().count() == 2


def test_an_account_that_is_in_the_way_is_said_and_left_alone(alice: User, settings: Any) -> None:
    settings.PRODUCTION = False
    User.objects.create(email="admin@example.org")
    with pytest.raises(CommandError, match="sample sign-in"):
        run()
    assert not Doctor.objects.exists()


@pytest.mark.parametrize(
    "arguments", [("--doctors", "0"), ("--appointments", "-1"), ("--patients", "x")]
)
def test_odd_numbers_are_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match="no whole number"):
        run(*arguments)


def test_patient_n_talks_with_doctor_n_and_some_with_reception() -> None:
    make()
    for number in (1, 2, SMALL.doctors):
        talk = Conversation.objects.get(
            patient__account__email=f"patient{number}@example.org",
            doctor__user__email=f"doctor{number}@example.org",
        )
        seqs = list(Event.objects.filter(conversation=talk).values_list("seq", flat=True))
        assert seqs == list(range(1, talk.last_seq + 1))
        assert Event.objects.filter(conversation=talk, at__gt=NOW).count() == 0
    desk = Conversation.objects.filter(doctor=None)
    assert desk.exists()
    reception = User.objects.get(email="reception@example.org")
    seen = Conversation.objects.visible_to(reception, NOW)
    assert set(seen) == set(desk)


def test_doctor_n_has_the_record_of_patient_n() -> None:
    make()
    for number in (1, 2, SMALL.doctors):
        patient = Patient.objects.get(account__email=f"patient{number}@example.org")
        doctor = User.objects.get(email=f"doctor{number}@example.org")
        known = summary(patient, by=doctor, now=NOW)
        assert len(known.conditions) == 2 and known.medications and known.prescriptions
        assert known.allergies or known.allergy_words == "No known allergies"
        assert [reading.name for reading in known.vital_signs] == [
            "Blood pressure",
            "Heart rate",
            "Body weight",
        ]
        notes = Note.objects.visible_to(doctor, NOW).filter(patient=patient)
        assert notes.exists() and not notes.drafts().exists()
        assert set(notes.values_list("encounter__appointment__doctor__user", flat=True)) == {
            doctor.pk
        }
    assert not Note.objects.exclude(patient__account__email__startswith="patient").exists()
    assert not Note.objects.filter(signed_at__gt=NOW).exists()
