"""Who may begin a conversation with whom, and its closing and reopening.

Guarantee: for each pair (a patient and a doctor, or a patient and a hospital) there is at most one
conversation. It comes to be only where both have to do with each other: the patient is in the
doctor's care, or the hospital's reception answers messages. Each change is stored with its audit
row and with a notice that everybody in the conversation sees; a refusal leaves an audit row.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.audit import record, record_refusal
from accounts.models import Patient, Role, User
from appointments.care import end_for_conversation, has_care_of, start_for_conversation
from appointments.models import Appointment
from appointments.refusals import Refusal
from appointments.templatetags.times import when_at
from chat.access import Member, members_of
from chat.announcing import after_commit, look_again_after_commit
from chat.log import notice
from chat.models import Conversation
from chat.refusals import NobodyAnswers, NotForPatients, NotInCare, NotVisited, NotYours
from clinic.directory.models import Doctor, Hospital, HospitalStaff


def open_conversation(
    *,
    patient: Patient,
    hospital: Hospital,
    by: User,
    now: datetime,
    doctor: Doctor | None = None,
    appointment: Appointment | None = None,
) -> Conversation:
    """The conversation of ``patient`` with ``doctor``, or with reception at ``hospital``.

    An existing one is given back, reopened if it was closed. ``appointment`` says what it is
    about. Raises `NotYours`, `NotInCare`, `NobodyAnswers`, `NotVisited`.
    """
    try:
        by_patient = _check(patient, doctor, hospital, by, now)
        if appointment is not None and (
            appointment.patient_id != patient.pk
            or (doctor is not None and appointment.doctor_id != doctor.pk)
            or (doctor is None and appointment.hospital_id != hospital.pk)
        ):
            raise NotYours
    except Refusal as refusal:
        _record_refused("conversation.open", patient, by, refusal)
        raise
    pair = f"d{doctor.pk}.{patient.pk}" if doctor else f"h{hospital.pk}.{patient.pk}"
    with transaction.atomic():
        conversation, is_new = Conversation.objects.select_for_update().get_or_create(
            pair=pair,
            defaults={
                "patient": patient,
                "doctor": doctor,
                "hospital": hospital,
                "created_at": now,
                "last_event_at": now,
            },
        )
        if doctor is not None and (is_new or conversation.is_closed or by_patient):
            start_for_conversation(
                doctor_id=doctor.pk, patient_id=patient.pk, by_patient=by_patient, now=now
            )
        if is_new:
            record("conversation.open", actor=by, patient=patient, subject=conversation, now=now)
            members = members_of([conversation.pk], now)[conversation.pk]
            look_again_after_commit(members)
        elif conversation.is_closed:
            _reopen(conversation, by, now)
        if appointment is not None and conversation.appointment_id != appointment.pk:
            conversation.appointment = appointment
            conversation.save(update_fields=["appointment"])
            when = when_at(appointment.starts_at, appointment.hospital.time_zone)
            after_commit(
                notice(conversation, _("About the visit on %(when)s.") % {"when": when}, now=now)
            )
        conversation.refresh_from_db()
    return conversation


def close(*, conversation: Conversation, by: User, now: datetime) -> None:
    """Ends the conversation until somebody starts it again; only the clinic's side may."""
    member = member_of(conversation, by, now)
    if not member.is_clinic:
        refusal = NotForPatients()
        _record_refused("conversation.close", conversation.patient, by, refusal, conversation)
        raise refusal
    with transaction.atomic():
        row = Conversation.objects.select_for_update().get(pk=conversation.pk)
        if row.is_closed:
            return
        row.closed_at, row.closed_by, row.waiting_since = now, by, None
        row.save(update_fields=["closed_at", "closed_by", "waiting_since"])
        if row.doctor_id is not None:
            end_for_conversation(doctor_id=row.doctor_id, patient_id=row.patient_id, now=now)
        after_commit(
            notice(row, _("%(name)s closed this conversation.") % {"name": member.name}, now=now)
        )
        record("conversation.close", actor=by, patient=row.patient, subject=row, now=now)


def reopen(*, conversation: Conversation, by: User, now: datetime) -> None:
    """Starts a closed conversation again; anybody who takes part may, while the reason lasts.

    The conversation itself is a reason until it is closed; another one must still run.
    """
    member = member_of(conversation, by, now)
    if conversation.doctor_id is None:
        open_conversation(
            patient=conversation.patient, hospital=conversation.hospital, by=by, now=now
        )
        return
    doctor = conversation.doctor
    if not has_care_of(
        doctor_id=conversation.doctor_id, patient_id=conversation.patient_id, now=now
    ):
        refusal = NotInCare(doctor.display_name if doctor else "")
        _record_refused("conversation.reopen", conversation.patient, by, refusal, conversation)
        raise refusal
    with transaction.atomic():
        row = Conversation.objects.select_for_update().get(pk=conversation.pk)
        if row.is_closed:
            start_for_conversation(
                doctor_id=conversation.doctor_id,
                patient_id=conversation.patient_id,
                by_patient=not member.is_clinic,
                now=now,
            )
            _reopen(row, by, now)


def member_of(conversation: Conversation, user: User, now: datetime) -> Member:
    """As whom ``user`` takes part. Raises `NotYours`."""
    member = members_of([conversation.pk], now)[conversation.pk].get(user.pk)
    if member is None:
        raise NotYours
    return member


def answers_messages(hospital: Hospital) -> bool:
    """Whether somebody at reception there reads messages."""
    return HospitalStaff.objects.filter(
        hospital=hospital, user__is_active=True, user__role=Role.RECEPTION
    ).exists()


def _check(
    patient: Patient, doctor: Doctor | None, hospital: Hospital, by: User, now: datetime
) -> bool:
    """Whether ``by`` is on the patient's side; raises unless they may open this conversation."""
    if Patient.objects.messages_of(by, now).current().filter(pk=patient.pk).exists():
        _check_for_patient(patient, doctor, hospital, now)
        return True
    if doctor is not None:
        if doctor.user_id != by.pk:
            raise NotYours
        if not has_care_of(doctor_id=doctor.pk, patient_id=patient.pk, now=now):
            raise NotYours  # of somebody else's patient a doctor does not even learn this much
        return False
    works_there = HospitalStaff.objects.filter(hospital=hospital, user=by).exists()
    if by.role != Role.RECEPTION or not works_there:
        raise NotYours
    if not _has_visit(patient, hospital):
        raise NotVisited(hospital.name)
    return False


def _check_for_patient(
    patient: Patient, doctor: Doctor | None, hospital: Hospital, now: datetime
) -> None:
    if doctor is not None:
        if not has_care_of(doctor_id=doctor.pk, patient_id=patient.pk, now=now):
            raise NotInCare(doctor.display_name)
        gone = doctor.user is None or not doctor.user.is_active or doctor.withdrawn_at is not None
        if gone:
            raise NobodyAnswers(doctor.display_name, hospital.phone)
        return
    if not hospital.is_listed and not _has_visit(patient, hospital):
        raise NotYours
    if not answers_messages(hospital):
        raise NobodyAnswers(hospital.name, hospital.phone)


def _has_visit(patient: Patient, hospital: Hospital) -> bool:
    return Appointment.objects.filter(patient=patient, hospital=hospital).exists()


def _reopen(row: Conversation, by: User, now: datetime) -> None:
    row.closed_at = row.closed_by = None
    row.save(update_fields=["closed_at", "closed_by"])
    member = members_of([row.pk], now)[row.pk].get(by.pk)
    name = member.name if member else by.display_name
    after_commit(
        notice(row, _("%(name)s started this conversation again.") % {"name": name}, now=now)
    )
    record("conversation.reopen", actor=by, patient=row.patient, subject=row, now=now)


def _record_refused(
    action: str,
    patient: Patient,
    by: User,
    refusal: Refusal,
    conversation: Conversation | None = None,
) -> None:
    record_refusal(
        action,
        actor=by,
        patient=patient,
        subject=conversation,
        reason=type(refusal).__name__,
    )
