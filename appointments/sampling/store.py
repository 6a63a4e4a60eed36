"""Writes a plan of sample data into the database, in one transaction.

The audit trail gets no rows for sample visits: nobody did anything. Everything made here is marked
as sample data (`is_sample`) or belongs to an account under example.org.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Max, Model

from accounts.models import Carer, Patient, Role, User
from appointments import signals
from appointments.models import Appointment
from appointments.sampling.codes import code, random_id
from appointments.sampling.plan import (
    DoctorPlan,
    HospitalPlan,
    PatientPlan,
    doctor_plans,
    hospital_plans,
    patient_plans,
)
from appointments.sampling.sizes import ZONE, Sizes, past_days, sample_today
from appointments.sampling.visit_rows import VisitWriter
from appointments.sampling.visits import Diary, plan_visits
from appointments.upkeep import KEEP_HOLDS
from clinic.directory.holidays import public_holidays
from clinic.directory.models import (
    Doctor,
    DoctorLanguage,
    Hospital,
    HospitalStaff,
    OpeningHours,
    Schedule,
    Service,
    Specialty,
    TimeOff,
    hospital_search_text,
)
from clinic.directory.reference import load_specialties, specialty_facts, zip_centroids
from clinic.directory.slugs import Slugs
from clinic.directory.text import fold

PASSWORD = "sample-data-only-1"  # noqa: S105  (invented people; printed by the command)
VERIFIED_WHAT = "sample entry, an invented doctor"

Report = Callable[[str, int, int], None]  # what, done, of how many


def is_there() -> bool:
    return Doctor.objects.filter(is_sample=True).exists()


def make_sample_data(*, sizes: Sizes, now: datetime, report: Report) -> None:
    """Makes everything or nothing; the same for the same sizes, seed and day."""
    today = sample_today(now)
    since = today - timedelta(days=past_days(sizes))
    load_specialties()
    plans = Random(f"{sizes.seed}:plans")  # noqa: S311  (repeatable, not secret)
    hospitals = hospital_plans(sizes.doctors, plans)
    doctors = doctor_plans(
        sizes.doctors, hospitals, specialty_facts(), today=today, since=since, rng=plans
    )
    patients = patient_plans(sizes.patients, today=today, rng=plans)
    store = _Store(sizes, today, since, report)
    with transaction.atomic():
        store.hospitals(hospitals)
        store.staff()
        store.doctors(doctors)
        store.patients(patients)
        store.visits(doctors, hospitals, patients)
        store.announce(doctors, now)


def _next_id(model: type[Model]) -> int:
    highest: int | None = model._default_manager.aggregate(highest=Max("pk"))["highest"]
    return (highest or 0) + 1


class _Store:
    """Rows get their keys here, since not every database returns those of many rows."""

    def __init__(self, sizes: Sizes, today: date, since: date, report: Report) -> None:
        self._sizes, self._today, self._since, self._report = sizes, today, since, report
        self._rng = Random(f"{sizes.seed}:rows:{today}")  # noqa: S311
        self._midnight = datetime.combine(today, time(), UTC)
        self._joined = datetime.combine(since, time(15), UTC) - timedelta(days=200)
        self._encoded = make_password(PASSWORD)
        self._service_ids: list[list[int]] = []

    # --- People -----------------------------------------------------------------------------
    def _users(self, people: Iterable[dict[str, Any]]) -> list[User]:
        first = _next_id(User)
        users = [
            User(
                pk=first + number,
                public_id=random_id(self._rng, self._joined),
                password=self._encoded,
                date_joined=self._joined,
                terms_version=settings.TERMS_VERSION,
                terms_accepted_at=self._joined,
                time_zone=ZONE,
                **facts,
            )
            for number, facts in enumerate(people)
        ]
        User.objects.bulk_create(users, batch_size=2_000)
        EmailAddress.objects.bulk_create(
            [
                EmailAddress(user=user, email=user.email, verified=True, primary=True)
                for user in users
            ],
            batch_size=2_000,
        )
        return users

    def staff(self) -> None:
        self._reception, self._admin = self._users(
            [
                {
                    "email": "reception@example.org",
                    "name": "Rita Lund",
                    "role": Role.RECEPTION,
                    "is_staff": True,
                },
                {
                    "email": "admin@example.org",
                    "name": "Ada Moreau",
                    "role": Role.ADMINISTRATOR,
                    "is_staff": True,
                    "is_superuser": True,
                },
            ]
        )

    def announce(self, plans: list[DoctorPlan], now: datetime) -> None:
        """Tells the apps above this one, which add what is theirs."""
        approved = [index for index, plan in enumerate(plans) if plan.is_approved]
        HospitalStaff.objects.bulk_create(
            [HospitalStaff(hospital=row, user=self._reception) for row in self._hospitals]
        )
        signals.sample_data_made.send(
            sender=None,
            patients=[chart for chart in self._charts if chart.account_id is not None],
            doctors=[self._doctors[index] for index in approved],
            hospitals=self._hospitals,
            homes=[self._hospitals[plans[index].hours[0].hospital] for index in approved],
            reception=self._reception,
            seed=self._sizes.seed,
            now=now,
        )

    # --- Directory --------------------------------------------------------------------------
    def hospitals(self, plans: list[HospitalPlan]) -> None:
        wanted = {plan.town.zip_code for plan in plans}
        places = {code: place for code, *place in zip_centroids() if code in wanted}
        slugs = Slugs(Hospital.objects.values_list("slug", flat=True))
        first = _next_id(Hospital)
        rows = []
        for number, plan in enumerate(plans):
            latitude, longitude = places[plan.town.zip_code]
            hospital = Hospital(
                pk=first + number,
                name=plan.name,
                slug=slugs.give(
                    plan.name if plan.town.name in plan.name else f"{plan.name} {plan.town.name}"
                ),
                kind=plan.kind,
                ownership="Invented",
                address=plan.address,
                city=plan.town.name,
                state=plan.town.state,
                zip_code=plan.town.zip_code,
                county=plan.town.county,
                phone=plan.phone,
                latitude=latitude,
                longitude=longitude,
                time_zone=plan.town.zone,
                time_zone_confirmed=True,
                emergency_care=plan.emergency_care,
                is_sample=True,
            )
            hospital.search_text = hospital_search_text(hospital)
            rows.append(hospital)
        Hospital.objects.bulk_create(rows, batch_size=500)
        self._hospitals = rows

    def doctors(self, plans: list[DoctorPlan]) -> None:
        count = self._sizes.doctors
        users = self._users(
            {
                "email": (
                    f"doctor{number + 1}@example.org"
                    if plan.is_approved
                    else f"newdoctor{number + 1 - count}@example.org"
                ),
                "name": plan.name,
                "role": Role.DOCTOR,
                "is_staff": plan.is_approved,
            }
            for number, plan in enumerate(plans)
        )
        slugs = Slugs(Doctor.objects.values_list("slug", flat=True))
        first = _next_id(Doctor)
        doctors = [
            Doctor(
                pk=first + number,
                user=user,
                name=plan.name,
                slug=slugs.give(plan.name),
                credentials=plan.credentials,
                about=self._about(plan),
                practicing_since=plan.practicing_since,
                accepts_new=plan.accepts_new,
                verified_at=self._joined if plan.is_approved else None,
                verified_by=self._admin if plan.is_approved else None,
                verified_what=VERIFIED_WHAT if plan.is_approved else "",
                grid_minutes=plan.grid,
                lead_minutes=plan.lead_minutes,
                horizon_days=plan.horizon_days,
                cancel_hours=plan.cancel_hours,
                is_sample=True,
                search_text=fold(plan.name)[:200],
            )
            for number, (plan, user) in enumerate(zip(plans, users, strict=True))
        ]
        Doctor.objects.bulk_create(doctors, batch_size=500)
        Schedule.objects.bulk_create([Schedule(doctor=doctor) for doctor in doctors])
        self._doctors = doctors
        specialties = dict(Specialty.objects.values_list("name", "pk"))
        through = Doctor.specialties.through
        through.objects.bulk_create(
            [
                through(doctor_id=doctor.pk, specialty_id=specialties[plan.specialty])
                for doctor, plan in zip(doctors, plans, strict=True)
            ]
        )
        DoctorLanguage.objects.bulk_create(
            [
                DoctorLanguage(doctor=doctor, code=code)
                for doctor, plan in zip(doctors, plans, strict=True)
                for code in plan.languages
            ]
        )
        self._services(plans)
        self._hours(plans)

    def _about(self, plan: DoctorPlan) -> str:
        town = self._hospitals[plan.hours[0].hospital].city
        return (
            f"{plan.specialty} in {town}. This doctor is invented, like everybody in the sample "
            "data."
        )

    def _services(self, plans: list[DoctorPlan]) -> None:
        number = _next_id(Service)
        services = []
        for doctor, plan in zip(self._doctors, plans, strict=True):
            ids = []
            for position, service in enumerate(plan.services):
                offer = service.offer
                services.append(
                    Service(
                        pk=number,
                        code=code(number, 10, self._sizes.seed),
                        doctor=doctor,
                        hospital=self._hospitals[service.hospital],
                        name=offer.name,
                        minutes=offer.minutes,
                        buffer_minutes=offer.buffer,
                        price_cents=offer.price,
                        visit=offer.visit,
                        bring=offer.bring,
                        position=position,
                    )
                )
                ids.append(number)
                number += 1
            self._service_ids.append(ids)
        Service.objects.bulk_create(services, batch_size=2_000)

    def _hours(self, plans: list[DoctorPlan]) -> None:
        hours, absences = [], []
        for doctor, plan in zip(self._doctors, plans, strict=True):
            for part in plan.hours:
                for weekday, spans in part.week.items():
                    hours += [
                        OpeningHours(
                            doctor=doctor,
                            hospital=self._hospitals[part.hospital],
                            weekday=weekday,
                            opens=time(*divmod(opens, 60)),
                            closes=time(*divmod(closes, 60)),
                            valid_from=part.valid_from,
                            valid_until=part.valid_until,
                        )
                        for opens, closes in spans
                    ]
            zone = ZoneInfo(self._hospitals[plan.hours[0].hospital].time_zone)
            absences += [
                TimeOff(
                    doctor=doctor,
                    starts_at=datetime.combine(first, time(), zone),
                    ends_at=datetime.combine(until, time(), zone),
                    why="Sample",
                )
                for first, until in plan.time_off
            ]
        OpeningHours.objects.bulk_create(hours, batch_size=2_000)
        TimeOff.objects.bulk_create(absences)

    def patients(self, plans: list[PatientPlan]) -> None:
        self._accounts = self._users(
            {
                "email": f"patient{number + 1}@example.org",
                "name": plan.name,
                "phone": plan.phone,
                "language": plan.language,
            }
            for number, plan in enumerate(plans)
            if plan.carer is None
        )
        first = _next_id(Patient)
        charts = [
            Patient(
                pk=first + number,
                public_id=random_id(self._rng, self._joined),
                account=self._accounts[number] if plan.carer is None else None,
                name=plan.name,
                birth_date=plan.birth_date,
                sex=plan.sex,
                phone=plan.phone,
                created_at=self._joined,
            )
            for number, plan in enumerate(plans)
        ]
        Patient.objects.bulk_create(charts, batch_size=2_000)
        Carer.objects.bulk_create(
            [
                Carer(
                    user=self._accounts[plan.carer],
                    patient=chart,
                    relation=plan.relation,
                    since=self._joined,
                )
                for chart, plan in zip(charts, plans, strict=True)
                if plan.carer is not None
            ]
        )
        self._charts = charts

    # --- Visits -----------------------------------------------------------------------------
    def visits(
        self,
        doctors: list[DoctorPlan],
        hospitals: list[HospitalPlan],
        patients: list[PatientPlan],
    ) -> None:
        diary = Diary(
            doctors=doctors,
            hospitals=hospitals,
            patients=len(patients),
            today=self._today,
            since=self._since,
            is_closed=lambda hospital, day: (
                day in public_holidays(hospitals[hospital].town.state, day.year)
            ),
            rng=Random(f"{self._sizes.seed}:visits:{self._today}"),  # noqa: S311
        )
        plans = plan_visits(
            diary,
            count=self._sizes.appointments,
            doctors=self._sizes.doctors,
            accounts=self._sizes.patients,
            today=self._today,
        )
        accounts = [
            self._accounts[number if plan.carer is None else plan.carer].pk
            for number, plan in enumerate(patients)
        ]
        writer = VisitWriter(
            doctors=doctors,
            doctor_ids=[doctor.pk for doctor in self._doctors],
            hospital_ids=[hospital.pk for hospital in self._hospitals],
            service_ids=self._service_ids,
            patient_ids=[chart.pk for chart in self._charts],
            accounts=accounts,
            reception=self._reception.pk,
            holds_since=self._midnight - KEEP_HOLDS,
            # Not of today's visits: the first worker would mail to everybody at once.
            reminders_after=self._midnight + timedelta(days=1),
            seed=self._sizes.seed,
            rng=self._rng,
        )
        writer.write(
            plans,
            first_id=_next_id(Appointment),
            report=lambda done: self._report("Visits", done, self._sizes.appointments),
        )
