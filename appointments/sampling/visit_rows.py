"""Writes planned visits with what refers to them: care relations and the holds of their time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from appointments.care import AFTER_VISIT
from appointments.models import (
    Appointment,
    CareRelation,
    DoctorHold,
    PatientHold,
    Reminder,
    Status,
)
from appointments.reminders import first_look
from appointments.sampling.codes import code, random_id
from appointments.sampling.plan import DoctorPlan
from appointments.sampling.rows import insert_rows
from appointments.sampling.visits import VisitPlan
from appointments.slots import grain_at, grain_end

BY_RECEPTION = 7  # one visit of so many was booked on the phone

CARE_FIELDS = ("doctor", "patient", "why", "appointment", "since", "until", "reason")
VISIT_FIELDS = (
    "id", "public_id", "reference", "doctor", "hospital", "patient", "booked_by", "service",
    "service_name", "minutes", "buffer_minutes", "price_cents", "visit", "bring", "starts_at",
    "ends_at", "occupied_until", "status", "reason", "calendar_sequence", "created_at",
    "cancelled_at", "cancelled_by", "cancelled_late", "cancel_reason", "status_before",
    "is_walk_in", "booked_despite",
)  # fmt: skip


@dataclass
class VisitWriter:
    """Knows the keys that the plans' numbers stand for."""

    doctors: Sequence[DoctorPlan]
    doctor_ids: Sequence[int]
    hospital_ids: Sequence[int]
    service_ids: Sequence[Sequence[int]]  # by doctor
    patient_ids: Sequence[int]
    accounts: Sequence[int]  # by patient: who books for them
    reception: int
    holds_since: datetime  # earlier visits have no hold rows any more
    reminders_after: datetime
    seed: int
    rng: Random
    _care: list[tuple[Any, ...]] = field(default_factory=list)
    _doctor_holds: list[tuple[int, int, int]] = field(default_factory=list)
    _patient_holds: list[tuple[int, int, int]] = field(default_factory=list)
    _reminders: list[tuple[int, datetime, datetime, str]] = field(default_factory=list)

    def write(
        self, plans: Iterable[VisitPlan], *, first_id: int, report: Callable[[int], None]
    ) -> None:
        def after_visits(done: int) -> None:
            """What refers to the visits just written."""
            insert_rows(CareRelation, CARE_FIELDS, self._care)
            insert_rows(DoctorHold, ("doctor", "grain", "appointment"), self._doctor_holds)
            insert_rows(PatientHold, ("patient", "grain", "appointment"), self._patient_holds)
            insert_rows(Reminder, ("appointment", "asked_at", "due_at", "how"), self._reminders)
            for written in (
                self._care,
                self._doctor_holds,
                self._patient_holds,
                self._reminders,
            ):
                written.clear()
            report(done)

        rows = self._rows(plans, first_id)
        insert_rows(Appointment, VISIT_FIELDS, rows, after_each=after_visits)

    def _rows(self, plans: Iterable[VisitPlan], first_id: int) -> Iterator[tuple[Any, ...]]:
        for number, plan in enumerate(plans, first_id):
            offer = self.doctors[plan.doctor].services[plan.service].offer
            ends_at = plan.starts_at + timedelta(minutes=offer.minutes)
            occupied_until = ends_at + timedelta(minutes=offer.buffer)
            self._add_care(number, plan, ends_at)
            if plan.cancelled_at is None and occupied_until > self.holds_since:
                self._add_holds(number, plan, ends_at, occupied_until)
            due_at = first_look(plan.starts_at, max(plan.created_at, self.reminders_after))
            if plan.status == Status.BOOKED and due_at is not None:
                self._reminders.append((number, plan.created_at, due_at, ""))
            yield self._row(number, plan, ends_at, occupied_until)

    def _add_care(self, number: int, plan: VisitPlan, ends_at: datetime) -> None:
        self._care.append(
            (
                self.doctor_ids[plan.doctor],
                self.patient_ids[plan.patient],
                CareRelation.Why.VISIT.value,
                number,
                plan.created_at,
                plan.cancelled_at or ends_at + AFTER_VISIT,
                "",
            )
        )

    def _add_holds(
        self, number: int, plan: VisitPlan, ends_at: datetime, occupied_until: datetime
    ) -> None:
        doctor, patient = self.doctor_ids[plan.doctor], self.patient_ids[plan.patient]
        start = grain_at(plan.starts_at)
        for grain in range(start, grain_end(occupied_until)):
            self._doctor_holds.append((doctor, grain, number))
        for grain in range(start, grain_end(ends_at)):
            self._patient_holds.append((patient, grain, number))

    def _row(
        self, number: int, plan: VisitPlan, ends_at: datetime, occupied_until: datetime
    ) -> tuple[Any, ...]:
        doctor = self.doctors[plan.doctor]
        service = doctor.services[plan.service]
        account = self.accounts[plan.patient]
        deadline = plan.starts_at - timedelta(hours=doctor.cancel_hours)
        return (
            number,
            random_id(self.rng, plan.created_at),
            code(number, 8, self.seed),
            self.doctor_ids[plan.doctor],
            self.hospital_ids[service.hospital],
            self.patient_ids[plan.patient],
            self.reception if number % BY_RECEPTION == 0 else account,
            self.service_ids[plan.doctor][plan.service],
            service.offer.name,
            service.offer.minutes,
            service.offer.buffer,
            service.offer.price,
            service.offer.visit,
            service.offer.bring,
            plan.starts_at,
            ends_at,
            occupied_until,
            Status(plan.status).value,
            plan.reason,
            1 if plan.cancelled_at else 0,
            plan.created_at,
            plan.cancelled_at,
            account if plan.cancelled_at else None,
            plan.cancelled_at is not None and plan.cancelled_at > deadline,
            "",
            "",
            False,
            "",
        )
