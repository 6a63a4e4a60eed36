"""Whom an account may act for: its own chart, and the charts of people in its owner's care.

Guarantee: an account reaches an existing chart only by a one-time code that reception gave to a
person in front of them; never by a name and a date of birth, which relatives and strangers know.
Every change is stored with its audit row, every refusal leaves one.

Joining an own chart: who signs up gets a new chart, and may have an older one from visits booked
by phone. A code from reception makes the older chart the account's own. The new one is set aside
(`Patient.replaced_by`) if nothing but its own bookkeeping refers to it; if it holds a visit or
anything else, two charts would have to be merged, which people at reception do, not a form.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import ForeignObjectRel, Q
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.audit import record, record_refusal
from accounts.ids import readable_code
from accounts.models import AuditEvent, Carer, LinkCode, Patient, Role, User

CODE_LENGTH = 10  # 47 random bits; with the limit below, guessing one takes longer than it lives
CODE_LIVES = timedelta(days=14)
ATTEMPTS_COUNT_FOR = timedelta(minutes=15)
PEOPLE_PER_ACCOUNT = 20

MAY_GIVE_CODES = {Role.RECEPTION, Role.ADMINISTRATOR}


class Refused(Exception):
    """Something that is not done; the message says why and what to do next."""

    reason = "refused"  # for the audit trail
    sentence: Any = ""

    def __init__(self) -> None:
        super().__init__(self.sentence)


class AlreadyInCare(Refused):
    reason = "already in care"
    sentence = _("This person is in your list already.")


class TooManyPeople(Refused):
    reason = "too many people"
    sentence = _("Your list is full. End the care of somebody first, or call the clinic.")


class NotInCare(Refused):
    reason = "not in care"
    sentence = _("This person is not in your list.")


class MayNotGiveCodes(Refused):
    reason = "not reception"
    sentence = _("Only reception may give codes.")


class ChartHasAccount(Refused):
    reason = "chart has an account"
    sentence = _("This chart belongs to an account already. Ask reception to help you.")


class ChartSetAside(Refused):
    reason = "chart was set aside"
    sentence = _("This chart was replaced by another one. Give the code for that one.")


class UnknownCode(Refused):
    reason = "unknown, used or expired code"
    sentence = _(
        "This code is not valid. Check it letter by letter; a code works once and for 14 days. "
        "Reception can give you a new one."
    )


class TooManyAttempts(Refused):
    reason = "too many attempts"
    sentence = _("Too many wrong codes. Wait 15 minutes and try again.")


class ChartsNeedMerging(Refused):
    reason = "own chart is in use"
    sentence = _(
        "You have visits in two charts, which we cannot join here. Call reception and ask them to "
        "merge your charts."
    )


class OwnChart(Refused):
    reason = "own chart"
    sentence = _("This is your own chart. You can book for yourself already.")


def update_profile(
    *, user: User, name: str, phone: str, time_zone: str, language: str, now: datetime
) -> None:
    """Stores what people say about themselves.

    The own chart's name follows as long as it equals the account's; a chart that was linked by a
    code keeps the name that reception wrote.
    """
    with transaction.atomic():
        chart = Patient.objects.select_for_update().filter(account=user).first()
        if chart is not None:
            if chart.name == user.name:
                chart.name = name
            chart.phone = phone
            chart.save(update_fields=["name", "phone"])
        user.name, user.phone, user.time_zone, user.language = name, phone, time_zone, language
        user.save(update_fields=["name", "phone", "time_zone", "language"])
        record("profile.changed", actor=user, patient=chart, subject=user, now=now)


def add_person_in_care(
    *, by: User, name: str, birth_date: date, relation: str, now: datetime
) -> Patient:
    """Makes a new chart for somebody in the care of ``by``; never joins an existing one.

    Raises `AlreadyInCare` for the same name and date of birth in ``by``'s own list (a form sent
    twice), `TooManyPeople` at the limit.
    """
    try:
        with transaction.atomic():
            User.objects.select_for_update().get(pk=by.pk)  # one at a time, so that the limit holds
            # Not `running(now)`: whoever waited for the lock has a ``now`` before the winner's.
            unended = Carer.objects.filter(Q(until=None) | Q(until__gt=now), user=by)
            mine = [carer.patient for carer in unended.select_related("patient")]
            if any(p.name == name and p.birth_date == birth_date for p in mine):
                raise AlreadyInCare
            if len(mine) >= PEOPLE_PER_ACCOUNT:
                raise TooManyPeople
            patient = Patient.objects.create(name=name, birth_date=birth_date, created_at=now)
            Carer.objects.create(user=by, patient=patient, relation=relation, since=now)
            record("care.begun", actor=by, patient=patient, detail=relation, now=now)
    except Refused as refusal:
        record_refusal("care.begun", actor=by, reason=refusal.reason)
        raise
    return patient


def end_care(*, by: User, patient: Patient, now: datetime) -> None:
    """Ends the care of ``by`` for ``patient`` at once; the chart itself stays."""
    with transaction.atomic():
        lock_chart(patient.pk)
        ended = Carer.objects.running(now).filter(user=by, patient=patient).update(until=now)
        if ended:
            record("care.ended", actor=by, patient=patient, now=now)
    if not ended:
        record_refusal("care.ended", actor=by, patient=patient, reason=NotInCare.reason)
        raise NotInCare


def normal_code(text: str) -> str:
    """A code as people type it, without spaces and dashes and in upper case."""
    return re.sub(r"[\s\-–—.]", "", text).upper()


def code_hashes(code: str) -> list[str]:
    """Keyed hashes of a code, the current key's first; old keys stay valid while they rotate."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [
        salted_hmac("accounts.link_code", code, secret=key, algorithm="sha256").hexdigest()
        for key in keys
    ]


def issue_link_code(*, patient: Patient, purpose: str, by: User, now: datetime) -> str:
    """Makes a one-time code that joins an account to ``patient``, valid for 14 days.

    It is returned once and stored only as a keyed hash. Unused codes for the same purpose end.
    Raises `MayNotGiveCodes` unless ``by`` works at reception, `ChartHasAccount` when somebody's
    account is this chart's own already, `ChartSetAside`.
    """
    try:
        with transaction.atomic():
            if not (by.is_active and by.is_staff and by.role in MAY_GIVE_CODES):
                raise MayNotGiveCodes
            patient = Patient.objects.select_for_update().get(pk=patient.pk)
            if patient.replaced_by_id is not None:
                raise ChartSetAside
            if purpose == LinkCode.Purpose.SELF and patient.account_id is not None:
                raise ChartHasAccount
            LinkCode.objects.filter(
                patient=patient, purpose=purpose, used_at=None, expires_at__gt=now
            ).update(expires_at=now)
            code = readable_code(CODE_LENGTH)
            LinkCode.objects.create(
                patient=patient,
                purpose=purpose,
                code_hash=code_hashes(code)[0],
                created_by=by,
                created_at=now,
                expires_at=now + CODE_LIVES,
            )
            record("link_code.given", actor=by, patient=patient, detail=purpose, now=now)
    except Refused as refusal:
        record_refusal("link_code.given", actor=by, patient=patient, reason=refusal.reason)
        raise
    return code


def redeem_link_code(*, code: str, by: User, now: datetime) -> Patient:
    """Joins ``by`` to the chart that the code is for, and uses the code up.

    Raises `TooManyAttempts` (also for a right code) after `LINK_CODE_ATTEMPTS` refusals in 15
    minutes, `UnknownCode`, `OwnChart`, `ChartHasAccount`, `ChartsNeedMerging`. A refused code
    stays unused.
    """
    with transaction.atomic():
        _lock_charts_of(code, by, now)
        # The lock makes attempts of one account wait for each other. A refusal is written while it
        # is held, or guesses sent at once would all see the same count.
        user = User.objects.select_for_update().get(pk=by.pk)
        patient: Patient | None = None
        try:
            link = _usable_code(code, user, now)
            patient = link.patient
            with transaction.atomic():  # a refusal half-way undoes the half
                if link.purpose == LinkCode.Purpose.SELF:
                    _become_own_chart(patient, user, now)
                else:
                    _become_carer(patient, user, now)
                link.used_at, link.used_by = now, user
                link.save(update_fields=["used_at", "used_by"])
                record("chart.linked", actor=user, patient=patient, detail=link.purpose, now=now)
            return patient
        except Refused as error:
            refusal = error
            record(
                "chart.linked.refused",
                actor=user,
                patient=patient,
                detail=refusal.reason,
                now=now,
            )
    raise refusal


def lock_chart(*patients: int) -> None:
    """Locks charts until the transaction ends. Charts come before accounts, carers and codes,
    everywhere: two rules that lock the same rows never wait for each other crosswise."""
    ids = sorted(patients)
    list(Patient.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk"))


def _lock_charts_of(code: str, by: User, now: datetime) -> None:
    """The chart that a code is for and the account's own one; whether the code is good is asked
    later."""
    hashes = code_hashes(normal_code(code))
    charts = LinkCode.objects.filter(code_hash__in=hashes, used_at=None, expires_at__gt=now)
    ids = set(charts.values_list("patient_id", flat=True))
    if ids:
        ids |= set(Patient.objects.filter(account=by).values_list("pk", flat=True))
        lock_chart(*ids)


def end_codes(*, patient: Patient, now: datetime) -> None:
    """Ends all unused codes for a chart, in the transaction of whoever locked it."""
    unused = LinkCode.objects.filter(patient=patient, used_at=None, expires_at__gt=now)
    unused.update(expires_at=now)


def _usable_code(code: str, user: User, now: datetime) -> LinkCode:
    wrong = AuditEvent.objects.filter(
        actor_id=user.pk, at__gt=now - ATTEMPTS_COUNT_FOR, action="chart.linked.refused"
    ).count()
    if wrong >= settings.LINK_CODE_ATTEMPTS:
        raise TooManyAttempts
    link = (
        LinkCode.objects.select_for_update()  # no join: MariaDB would lock the chart as well
        .filter(code_hash__in=code_hashes(normal_code(code)), used_at=None, expires_at__gt=now)
        .first()
    )
    if link is None:
        raise UnknownCode
    return link


def _become_own_chart(patient: Patient, user: User, now: datetime) -> None:
    own = Patient.objects.filter(account=user).first()
    if own is not None and own.pk == patient.pk:
        raise OwnChart
    ids = sorted({patient.pk} | ({own.pk} if own else set()))
    charts = {
        p.pk: p for p in Patient.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    }
    patient = charts[patient.pk]
    if patient.account_id is not None:
        raise ChartHasAccount
    if own is not None:
        own = charts[own.pk]
        if in_use(own):
            raise ChartsNeedMerging
        own.account, own.replaced_by = None, patient
        own.save(update_fields=["account", "replaced_by"])
        record("chart.set_aside", actor=user, patient=own, now=now)
    patient.account = user
    patient.save(update_fields=["account"])
    # Who cared for this chart and now owns it needs no second right to it.
    Carer.objects.running(now).filter(user=user, patient=patient).update(until=now)


def _become_carer(patient: Patient, user: User, now: datetime) -> None:
    if patient.account_id == user.pk:
        raise OwnChart
    carer, created = Carer.objects.get_or_create(
        user=user, patient=patient, defaults={"since": now}
    )
    if created:
        return
    if carer.until is None or carer.until > now:
        raise AlreadyInCare
    carer.since, carer.until = now, None
    # A code lets somebody book. What the patient agreed to once and took back is not agreed to now.
    carer.may_message = True
    carer.may_read_record, carer.agreed, carer.agreed_at = False, Carer.Agreed.NOT_ASKED, None
    carer.save()


def in_use(patient: Patient) -> bool:
    """Whether anything but the audit trail and ended codes refers to this chart.

    Asks every table that points here, so that one of a later app (visits, records, conversations)
    counts without this app knowing it.
    """
    bookkeeping: set[type[models.Model]] = {AuditEvent, LinkCode}
    return any(
        model._base_manager.filter(**{field: patient}).exists()
        for model, field in referring()
        if model not in bookkeeping
    )


def referring() -> list[tuple[type[models.Model], str]]:
    """Each table with a key to charts and the name of that key; also those without a way back
    (``related_name="+"``), which `related_objects` leaves out."""
    return [
        (relation.related_model, relation.field.name)
        for relation in Patient._meta.get_fields(include_hidden=True)
        if isinstance(relation, ForeignObjectRel) and not isinstance(relation.related_model, str)
    ]
