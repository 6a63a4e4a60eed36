"""Referrals: a doctor asks that a colleague may read a patient's record; the patient agrees first.

Guarantee: a colleague reads nothing before the patient, or a carer who may read the record, said
yes; for a patient without an account the doctor notes that the patient said so in person. What was
agreed to ends after 12 months and can be taken back at any time. Each step has its audit row.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.audit import record, record_refusal
from accounts.models import Carer, Patient, User
from appointments.calendars import one_line
from appointments.care import has_care_of
from appointments.emergency import NoEmergencyAccess, doctor_of
from appointments.mails import language_of
from appointments.models import CareRelation, Referral
from appointments.refusals import Refusal
from appointments.transactions import lock_patient
from clinic.directory.models import Doctor
from clinic.jobs.outbox import enqueue_mail
from clinic.links import absolute

LASTS = timedelta(days=365)
REASON_AT_MOST = 300


class NotYours(Refusal):
    """Of somebody else's patient or referral one does not even learn that there is one."""

    code = "not_yours"
    status = 404

    def __init__(self) -> None:
        super().__init__(_("There is no such referral or patient."))


class NoReason(Refusal):
    code = "no_reason"

    def __init__(self) -> None:
        super().__init__(
            _("Type why you refer, in at most %(count)d characters. The patient reads it.")
            % {"count": REASON_AT_MOST}
        )


class NotReferable(Refusal):
    code = "not_referable"

    def __init__(self) -> None:
        super().__init__(_("This doctor cannot read records here. Choose somebody else."))


class AlreadyAsked(Refusal):
    code = "already_asked"
    status = 409

    def __init__(self) -> None:
        super().__init__(_("The patient has been asked about this doctor. Wait for the answer."))


class InCareAlready(Refusal):
    code = "in_care_already"
    status = 409

    def __init__(self) -> None:
        super().__init__(_("The patient is in this doctor's care already. No referral is needed."))


class PatientAnswers(Refusal):
    code = "patient_answers"

    def __init__(self) -> None:
        super().__init__(
            _("This patient answers by own account. Leave “agreed in person” out; we will ask.")
        )


class NobodyAnswers(Refusal):
    code = "nobody_answers"

    def __init__(self) -> None:
        super().__init__(
            _("This patient has no account that could answer. Ask in person, and note it here.")
        )


class Answered(Refusal):
    code = "answered"
    status = 409

    def __init__(self) -> None:
        super().__init__(_("This referral was answered or withdrawn already."))


# --- Who sees which -----------------------------------------------------------------------------
def of_patients_side(user: User, now: datetime) -> QuerySet[Referral]:
    """Referrals about which ``user`` may decide, as the patient or a carer with the record."""
    charts = Patient.objects.record_of(user, now).values("pk")
    return Referral.objects.filter(patient__in=charts).select_related(
        "patient", "from_doctor", "to_doctor"
    )


def agreed_by_patients_side(user: User, now: datetime) -> QuerySet[Referral]:
    """Those through which a colleague reads now, newest first; ``user`` may take them back."""
    mine = of_patients_side(user, now)
    running = mine.filter(answer=Referral.Answer.AGREED, answered_at__gt=now - LASTS)
    return running.order_by("-answered_at", "-pk")


def asked_of(*, public_id: uuid.UUID, by: User, now: datetime) -> Referral:
    """The referral about which ``by`` may decide.

    Raises `Referral.DoesNotExist` for anybody else's, and audits that.
    """
    try:
        return of_patients_side(by, now).get(public_id=public_id)
    except Referral.DoesNotExist:
        other = Referral.objects.select_related("patient").filter(public_id=public_id).first()
        if other is not None:
            record_refusal(
                "referral.answered", actor=by, patient=other.patient, subject=other,
                reason="not_found", now=now,
            )  # fmt: skip
        raise


def of_doctor(user: User) -> QuerySet[Referral]:
    """Referrals that ``user`` made; none for anybody but an approved doctor."""
    try:
        doctor = doctor_of(user)
    except NoEmergencyAccess:
        return Referral.objects.none()
    return Referral.objects.filter(from_doctor=doctor).select_related("patient", "to_doctor")


# --- The rules ----------------------------------------------------------------------------------
def refer(
    *,
    patient: Patient,
    to_doctor: Doctor,
    reason: str,
    by: User,
    now: datetime,
    in_person: bool = False,
) -> Referral:
    """Asks the patient whether ``to_doctor`` may read the record; ``by`` is the treating doctor.

    ``in_person``: the patient, who has no account, said yes to the doctor; access starts at once.
    Emergency access refers nobody. Raises `NotYours`, `NoReason`, `NotReferable`, `AlreadyAsked`,
    `InCareAlready`, `PatientAnswers`, `NobodyAnswers`.
    """
    reason = " ".join(reason.split())
    try:
        with transaction.atomic():
            lock_patient(patient.pk)
            doctor = _treating(by, patient, now)
            people = _who_answers(patient, now)
            _check(patient, doctor, to_doctor, reason, now)
            if in_person and people:
                raise PatientAnswers
            if not in_person and not people:
                raise NobodyAnswers
            referral = Referral.objects.create(
                patient=patient,
                from_doctor=doctor,
                to_doctor=to_doctor,
                reason=reason,
                asked_at=now,
                in_person=in_person,
                **(
                    {"answer": Referral.Answer.AGREED, "answered_at": now, "answered_by": by}
                    if in_person
                    else {}
                ),
            )
            if in_person:
                _start(referral, now)
            detail = f"{to_doctor.slug}{' (in person)' if in_person else ''}"
            record(
                "referral.made", actor=by, patient=patient, subject=referral, detail=detail, now=now
            )
            for account in people:
                _mail(referral, account, now=now)
    except Refusal as refusal:
        record_refusal("referral.made", actor=by, patient=patient, reason=refusal.code, now=now)
        raise
    return referral


def answer(*, referral: Referral, agreed: bool, by: User, now: datetime) -> Referral:
    """The patient's side decides. Raises `NotYours`, `Answered`, `NotReferable`."""
    action = "referral.agreed" if agreed else "referral.declined"
    try:
        with transaction.atomic():
            lock_patient(referral.patient_id)
            row = Referral.objects.select_for_update().get(pk=referral.pk)
            if not of_patients_side(by, now).filter(pk=row.pk).exists():
                raise NotYours
            if row.answer != Referral.Answer.OPEN:
                raise Answered
            if agreed and not _can_read(row.to_doctor):
                raise NotReferable
            row.answer = Referral.Answer.AGREED if agreed else Referral.Answer.DECLINED
            row.answered_at, row.answered_by = now, by
            row.save(update_fields=["answer", "answered_at", "answered_by"])
            if agreed:
                _start(row, now)
            record(
                action,
                actor=by,
                patient=row.patient,
                subject=row,
                detail=row.to_doctor.slug,
                now=now,
            )
    except Refusal as refusal:
        record_refusal(
            action,
            actor=by,
            patient=referral.patient,
            subject=referral,
            reason=refusal.code,
            now=now,
        )
        raise
    return row


def withdraw(*, referral: Referral, by: User, now: datetime) -> Referral:
    """Takes a question back (the doctor who asked), or what was agreed to (the patient's side).

    The colleague's access through it ends at once. Raises `NotYours`, `Answered`.
    """
    try:
        with transaction.atomic():
            lock_patient(referral.patient_id)
            row = Referral.objects.select_for_update().get(pk=referral.pk)
            asked = of_doctor(by).filter(pk=row.pk).exists()
            if not (asked or of_patients_side(by, now).filter(pk=row.pk).exists()):
                raise NotYours
            if row.answer not in {Referral.Answer.OPEN, Referral.Answer.AGREED}:
                raise Answered
            row.answer, row.answered_at, row.answered_by = Referral.Answer.WITHDRAWN, now, by
            row.save(update_fields=["answer", "answered_at", "answered_by"])
            _end(row, now)
            record(
                "referral.withdrawn",
                actor=by,
                patient=row.patient,
                subject=row,
                detail=row.to_doctor.slug,
                now=now,
            )
    except Refusal as refusal:
        record_refusal(
            "referral.withdrawn",
            actor=by,
            patient=referral.patient,
            subject=referral,
            reason=refusal.code,
            now=now,
        )
        raise
    return row


# --- Inside -------------------------------------------------------------------------------------
def _treating(by: User, patient: Patient, now: datetime) -> Doctor:
    try:
        doctor = doctor_of(by)
    except NoEmergencyAccess as error:
        raise NotYours from error
    if not has_care_of(doctor_id=doctor.pk, patient_id=patient.pk, now=now):
        raise NotYours
    return doctor


def _can_read(doctor: Doctor) -> bool:
    return doctor.is_public and doctor.user is not None and doctor.user.is_active


def _check(patient: Patient, doctor: Doctor, to: Doctor, reason: str, now: datetime) -> None:
    if not reason or len(reason) > REASON_AT_MOST:
        raise NoReason
    if to.pk == doctor.pk or not _can_read(to):
        raise NotReferable
    if has_care_of(doctor_id=to.pk, patient_id=patient.pk, now=now):
        raise InCareAlready
    asked = Referral.objects.filter(patient=patient, to_doctor=to, answer=Referral.Answer.OPEN)
    if asked.exists():
        raise AlreadyAsked


def _who_answers(patient: Patient, now: datetime) -> list[User]:
    """Accounts that can decide: the patient's own, and carers who may read the record."""
    carers = Carer.objects.reading(now).filter(patient=patient)
    users = User.objects.filter(is_active=True).filter(
        Q(pk=patient.account_id) | Q(pk__in=list(carers.values_list("user", flat=True)))
    )
    return list(users.order_by("pk"))


def _start(referral: Referral, now: datetime) -> None:
    CareRelation.objects.create(
        doctor_id=referral.to_doctor_id,
        patient_id=referral.patient_id,
        why=CareRelation.Why.REFERRAL,
        since=now,
        until=now + LASTS,
    )


def _end(referral: Referral, now: datetime) -> None:
    CareRelation.objects.running(now).filter(
        doctor=referral.to_doctor_id,
        patient=referral.patient_id,
        why=CareRelation.Why.REFERRAL,
    ).update(until=now)


def _mail(referral: Referral, account: User, *, now: datetime) -> None:
    """That there is a question, with no word about why."""
    with translation.override(language_of(account)):
        names = {
            "doctor": one_line(referral.from_doctor.display_name),
            "colleague": one_line(referral.to_doctor.display_name),
            "link": absolute("/record/"),
        }
        enqueue_mail(
            to=account.email,
            subject=_("A question about your record"),
            text=_(
                "%(doctor)s asks whether %(colleague)s may read your record.\n\n"
                "Say yes or no here:\n  %(link)s\n\nWithout your answer nothing is shown.\n"
            )
            % names,
            key=f"referral:{referral.public_id}:{account.pk}",
            now=now,
        )
