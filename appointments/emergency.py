"""Emergency access: a doctor opens the record of somebody who is nobody's patient here.

Guarantee: it needs a typed reason, lasts 60 minutes and no longer, and is never silent: it is in
the patient's audit trail, and administrators and the patient get a mail, stored with the access
itself. A chart is found by full name and date of birth only, a few times an hour, so that nobody
can leaf through people. Nothing that lasts follows from it (`care.has_care_of`).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.audit import record, record_refusal
from accounts.models import AuditEvent, Carer, Patient, Role, User
from appointments.calendars import one_line
from appointments.care import has_care_of
from appointments.mails import language_of, moment_words
from appointments.models import CareRelation
from appointments.refusals import Refusal
from appointments.transactions import in_one_transaction, lock_patient
from appointments.zones import zone_words
from clinic.directory.models import Doctor, Hospital
from clinic.jobs.outbox import enqueue_mail
from clinic.links import absolute

LASTS = timedelta(minutes=60)
REASON_AT_LEAST = 10  # characters: enough to say what happened
REASON_AT_MOST = 300
ATTEMPTS = 10  # searches of one doctor an hour, found or not
ATTEMPTS_COUNT_FOR = timedelta(hours=1)
SEARCH = "emergency.search"


class NoEmergencyAccess(Refusal):
    code = "no_emergency_access"
    status = 404

    def __init__(self) -> None:
        super().__init__(_("Only approved doctors can open a record in an emergency."))


class NoReason(Refusal):
    code = "no_reason"

    def __init__(self) -> None:
        super().__init__(
            _("Type why you need the record now, in at least %(count)d characters.")
            % {"count": REASON_AT_LEAST}
        )


class ReasonTooLong(Refusal):
    code = "reason_too_long"

    def __init__(self) -> None:
        super().__init__(
            _("Shorten the reason to at most %(count)d characters.") % {"count": REASON_AT_MOST}
        )


class YourPatientAlready(Refusal):
    code = "your_patient_already"

    def __init__(self) -> None:
        super().__init__(
            _("This patient is in your care. Open the chart from the list of your patients.")
        )


class NobodyFound(Refusal):
    code = "nobody_found"
    status = 404

    def __init__(self) -> None:
        super().__init__(
            _(
                "Nobody has exactly this name and date of birth. Check both, letter by letter; "
                "the name is the full one, as on an insurance card."
            )
        )


class SeveralFound(Refusal):
    code = "several_found"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            _("More than one patient has this name and date of birth. Ask reception who it is.")
        )


class TooManySearches(Refusal):
    code = "too_many_searches"
    status = 429

    def __init__(self) -> None:
        super().__init__(_("You have searched too often. Wait an hour, or call reception."))


def doctor_of(user: User) -> Doctor:
    """The approved doctor that ``user`` is. Raises `NoEmergencyAccess`."""
    if user.is_active and user.is_staff and user.role == Role.DOCTOR:
        doctor = Doctor.objects.public().filter(user=user).first()
        if doctor is not None:
            return doctor
    raise NoEmergencyAccess


def find_patient(*, name: str, birth_date: date, by: User, now: datetime) -> Patient:
    """The one patient with exactly this name (case and spaces aside) and date of birth.

    Each search is in the audit trail, in the patient's chain when it found one. Raises
    `NoEmergencyAccess`, `TooManySearches`, `NobodyFound`, `SeveralFound`.
    """
    try:
        doctor_of(by)
    except NoEmergencyAccess as refused:
        record_refusal(SEARCH, actor=by, reason=refused.code, now=now)
        raise

    def search() -> Patient | Refusal:
        found = _named(name, birth_date)
        if len(found) == 1:
            lock_patient(found[0].pk)  # before the account, as everywhere
        # The lock makes searches of one account wait for each other, and a refusal is written
        # while it is held, or searches sent at once would all see the same count.
        User.objects.select_for_update().get(pk=by.pk)
        try:
            patient = _only_one(found, by, now)
        except Refusal as refusal:
            record(f"{SEARCH}.refused", actor=by, detail=refusal.code, now=now)
            return refusal
        record(SEARCH, actor=by, patient=patient, now=now)
        return patient

    answer = in_one_transaction(search)
    if isinstance(answer, Refusal):
        raise answer
    return answer


def _named(name: str, birth_date: date) -> list[Patient]:
    wanted = _plain(name)
    # Compared again in Python: to MySQL's collation José and Jose are the same.
    born_then = Patient.objects.current().filter(birth_date=birth_date)
    return [patient for patient in born_then if wanted and _plain(patient.name) == wanted]


def _only_one(found: list[Patient], by: User, now: datetime) -> Patient:
    made = AuditEvent.objects.filter(
        actor_id=by.pk, at__gt=now - ATTEMPTS_COUNT_FOR, action__in=[SEARCH, f"{SEARCH}.refused"]
    ).count()
    if made >= ATTEMPTS:
        raise TooManySearches
    if not found:
        raise NobodyFound
    if len(found) > 1:
        raise SeveralFound
    return found[0]


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def open_in_emergency(
    *, doctor: Doctor, patient: Patient, reason: str, by: User, now: datetime
) -> CareRelation:
    """Lets ``doctor`` read and write in the record of ``patient`` for 60 minutes from ``now``.

    Access that still runs is given back as it is, so a form sent twice changes nothing. Raises
    `NoEmergencyAccess`, `NoReason`, `ReasonTooLong`, `YourPatientAlready`.
    """
    reason = " ".join(reason.split())

    def work() -> CareRelation:
        lock_patient(patient.pk)
        _check(doctor, patient, reason, by, now)
        running = _running(now).filter(doctor=doctor, patient=patient).first()
        if running is not None:
            return running
        relation = CareRelation.objects.create(
            doctor=doctor,
            patient=patient,
            why=CareRelation.Why.EMERGENCY,
            since=now,
            until=now + LASTS,
            reason=reason,
        )
        # Not the reason itself: it may say what is wrong with the patient.
        record("emergency.opened", actor=by, patient=patient, subject=relation, now=now)
        _tell(relation, by=by, now=now)
        return relation

    try:
        return in_one_transaction(work)
    except Refusal as refusal:
        record_refusal("emergency.opened", actor=by, patient=patient, reason=refusal.code, now=now)
        raise


def _check(doctor: Doctor, patient: Patient, reason: str, by: User, now: datetime) -> None:
    if doctor_of(by).pk != doctor.pk or patient.replaced_by_id is not None:
        raise NoEmergencyAccess
    if len(reason) < REASON_AT_LEAST:
        raise NoReason
    if len(reason) > REASON_AT_MOST:
        raise ReasonTooLong
    if has_care_of(doctor_id=doctor.pk, patient_id=patient.pk, now=now):
        raise YourPatientAlready


def _running(now: datetime) -> QuerySet[CareRelation]:
    return CareRelation.objects.running(now).filter(why=CareRelation.Why.EMERGENCY)


def given_since(moment: datetime) -> QuerySet[CareRelation]:
    """Emergency access given since ``moment``, newest first, with doctor and patient."""
    return (
        CareRelation.objects.filter(why=CareRelation.Why.EMERGENCY, since__gte=moment)
        .select_related("doctor", "patient")
        .order_by("-since", "-pk")
    )


# --- Who is told --------------------------------------------------------------------------------
def _tell(relation: CareRelation, *, by: User, now: datetime) -> None:
    key = f"emergency:{relation.pk}"
    administrators = User.objects.filter(
        role=Role.ADMINISTRATOR, is_staff=True, is_active=True
    ).order_by("pk")
    for administrator in administrators:
        with translation.override(language_of(administrator)):
            _mail(
                administrator.email,
                subject=_("Emergency access to a record"),
                text=_text_for_administrators(relation, administrator),
                key=f"{key}:a{administrator.pk}",
                now=now,
            )
    for account, address in _patients_side(relation.patient, now):
        with translation.override(language_of(account)):
            _mail(
                address,
                subject=_("A notice about your record"),
                text=_text_for_patient(relation, account),
                key=f"{key}:p{account.pk if account else 0}",
                now=now,
            )


def _mail(address: str, *, subject: str, text: str, key: str, now: datetime) -> None:
    enqueue_mail(to=address, subject=subject, text=text.strip() + "\n", key=key, now=now)


def _patients_side(patient: Patient, now: datetime) -> list[tuple[User | None, str]]:
    """The patient's own account, else the address in the chart, else carers who read the record."""
    own = patient.account
    if own is not None and own.is_active:
        return [(own, own.email)]
    if patient.email:
        return [(None, patient.email)]
    carers = Carer.objects.reading(now).filter(patient=patient, user__is_active=True)
    return [(carer.user, carer.user.email) for carer in carers.select_related("user")]


def _facts(relation: CareRelation, reader: User | None) -> dict[str, str]:
    """What mails may say: who and when, never why."""
    zone = reader.time_zone if reader is not None else ""
    if not zone:
        zone = (
            Hospital.objects.filter(services__doctor=relation.doctor)
            .values_list("time_zone", flat=True)
            .first()
            or "UTC"
        )
    until = relation.until or relation.since + LASTS
    return {
        "doctor": one_line(relation.doctor.display_name),
        "clinic": one_line(settings.CLINIC_NAME),
        "since": f"{moment_words(relation.since, zone)}, {zone_words(relation.since, zone)}",
        "until": moment_words(until, zone),
    }


def _text_for_patient(relation: CareRelation, account: User | None) -> str:
    facts = _facts(relation, account)
    opening = (
        _(
            "%(doctor)s opened your record in an emergency, without having you in their care "
            "before.\n\nFrom: %(since)s\nUntil: %(until)s"
        )
        % facts
    )
    link = _page("record_who")
    where = _("Who opened your record, and when:") + f"\n  {link}" if link else ""
    closing = (
        _("If you do not know why, answer to the clinic. %(clinic)s looks at every such access.")
        % facts
    )
    return "\n\n".join(part for part in (opening, where, closing) if part)


def _text_for_administrators(relation: CareRelation, reader: User) -> str:
    chart = relation.patient.public_id
    facts = _facts(relation, reader) | {"chart": str(chart)}
    opening = (
        _(
            "%(doctor)s opened a record in an emergency.\n\nFrom: %(since)s\nUntil: %(until)s\n"
            "Chart: %(chart)s\n\nThe typed reason stands with the access. Ask the doctor about it."
        )
        % facts
    )
    link = _page("emergency_of", chart)
    where = _("The access, after signing in:") + f"\n  {link}" if link else ""
    return "\n\n".join(part for part in (opening, where) if part)


def _page(name: str, *parts: Any) -> str:
    """The address of a page of a higher app; nothing where it is not installed."""
    try:
        return absolute(reverse(name, args=parts))
    except NoReverseMatch:
        return ""
