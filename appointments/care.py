"""Who is in whose care: the rows that decide which patients a doctor may know about."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Patient, PatientQuerySet, Role
from appointments.models import Appointment, CareRelation, CareRelationQuerySet, Registration
from clinic.directory.staff import hospitals_of

# A visit lets its doctor read the record from the booking to a year after the visit.
AFTER_VISIT = timedelta(days=365)
AFTER_CONVERSATION = timedelta(days=365)  # from its opening by the patient's side


def start_for_visit(appointment: Appointment, *, now: datetime) -> None:
    CareRelation.objects.create(
        doctor_id=appointment.doctor_id,
        patient_id=appointment.patient_id,
        why=CareRelation.Why.VISIT,
        appointment=appointment,
        since=now,
        until=appointment.ends_at + AFTER_VISIT,
    )


def move_for_visit(appointment: Appointment, *, now: datetime) -> None:
    """Follows a visit to its new time and, when it went to another doctor, to that one."""
    of_visit = CareRelation.objects.filter(appointment=appointment)
    kept = of_visit.filter(doctor=appointment.doctor_id).update(
        until=appointment.ends_at + AFTER_VISIT
    )
    if not kept:
        of_visit.update(until=now, appointment=None)
        start_for_visit(appointment, now=now)


def end_for_visit(appointment: Appointment, *, now: datetime) -> None:
    """A visit that will not happen is no reason to know anything from now on."""
    CareRelation.objects.filter(appointment=appointment).update(until=now)


def is_patient_of(patient_id: int, doctor_id: int) -> bool:
    """Whether the patient has been in this doctor's care, now or before: not a *new* patient."""
    return (
        CareRelation.objects.filter(patient=patient_id, doctor=doctor_id)
        .exclude(why=CareRelation.Why.EMERGENCY)
        .exists()
    )


def start_for_conversation(
    *, doctor_id: int, patient_id: int, by_patient: bool, now: datetime
) -> None:
    """A conversation lets its doctor read the record: for a year when the patient's side opens it.

    Opened by the doctor it lasts no longer than what allowed the doctor to open it, or doctors
    could extend their own access for ever.
    """
    running = _lasting(now).filter(doctor=doctor_id, patient=patient_id)
    until: datetime | None = now + AFTER_CONVERSATION
    if not by_patient:
        ends = list(running.values_list("until", flat=True))
        until = None if None in ends else max((end for end in ends if end), default=now)
    relation = running.filter(why=CareRelation.Why.CONVERSATION).order_by("pk").first()
    if relation is None:
        CareRelation.objects.create(
            doctor_id=doctor_id,
            patient_id=patient_id,
            why=CareRelation.Why.CONVERSATION,
            since=now,
            until=until,
        )
    elif by_patient:
        relation.until = until
        relation.save(update_fields=["until"])


def end_for_conversation(*, doctor_id: int, patient_id: int, now: datetime) -> None:
    """A conversation that was closed is no reason to read on; other reasons stay."""
    CareRelation.objects.running(now).filter(
        doctor=doctor_id, patient=patient_id, why=CareRelation.Why.CONVERSATION
    ).update(until=now)


def _lasting(now: datetime) -> CareRelationQuerySet:
    """Running relations without those of an emergency, which opens the record for an hour and
    gives no right that lasts longer: no conversation, no visit, no referral follows from it."""
    return CareRelation.objects.running(now).exclude(why=CareRelation.Why.EMERGENCY)


def has_care_of(*, doctor_id: int, patient_id: int, now: datetime) -> bool:
    """Whether the patient is in this doctor's care now; emergency access is no such care."""
    return _lasting(now).filter(doctor=doctor_id, patient=patient_id).exists()


def patients_of(
    user: Any, now: datetime, *, in_emergency: bool = True, ended_within: timedelta | None = None
) -> QuerySet[CareRelation, int]:
    """Keys of the charts in the care of ``user``, an approved doctor; nobody else has any.

    Without ``in_emergency`` those of emergency access are left out, for what outlasts it. Those
    whose care ended no longer than ``ended_within`` ago are among them.
    """
    running = CareRelation.objects.running(now, ended_within=ended_within)
    if not in_emergency:
        running = running.exclude(why=CareRelation.Why.EMERGENCY)
    # Nobody signed in is neither active nor staff.
    if not (user.is_active and user.is_staff and user.role == Role.DOCTOR):
        running = running.none()
    return running.filter(
        doctor__user=user.pk, doctor__verified_at__isnull=False, doctor__withdrawn_at=None
    ).values_list("patient_id", flat=True)


def known_to_reception(user: Any) -> PatientQuerySet:
    """Charts whose contact data ``user`` may see at reception: with visits or registered there."""
    charts = Patient.objects.current()
    if not user.is_staff:
        return charts.none()
    # Empty for everybody but reception, so nothing is found for them.
    here = [hospital.pk for hospital in hospitals_of(user).only("pk")]
    visits = Appointment.objects.filter(patient=OuterRef("pk"), hospital__in=here)
    registered = Registration.objects.filter(patient=OuterRef("pk"), hospital__in=here)
    return charts.filter(Q(Exists(visits)) | Q(Exists(registered)))
