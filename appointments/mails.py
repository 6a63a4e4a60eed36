"""Mails about a visit: booked, moved, cancelled.

Guarantee: a mail is stored in the transaction that is its reason, once per state of the visit. It
says when and where, and with whom; never why: no reason, no service, no specialty. The subject,
which a locked phone shows, has the time alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import Carer, Patient, User
from appointments.calendars import one_line, page, visit_ics
from appointments.models import Appointment
from appointments.zones import date_words, differs, time_words, zone_words
from clinic.directory.models import Visit
from clinic.jobs.outbox import enqueue_mail
from clinic.links import absolute


def booked(appointment: Appointment, *, now: datetime) -> None:
    """Stores the confirmation of a new visit, with an invitation for the calendar."""
    send(appointment, kind="booked", method="REQUEST", now=now)


def moved(appointment: Appointment, *, now: datetime, previous: datetime) -> None:
    """Stores the mail about a new time, which takes the place of ``previous``."""
    send(appointment, kind="moved", method="REQUEST", now=now, previous=previous)


def cancelled(appointment: Appointment, *, now: datetime) -> None:
    """Stores the mail that the visit is off; its calendar part takes the visit out."""
    send(appointment, kind="cancelled", method="CANCEL", now=now)


def send(
    appointment: Appointment,
    *,
    kind: str,
    method: str,
    now: datetime,
    previous: datetime | None = None,
) -> None:
    account, address = recipient(appointment, now=now)
    if not address:
        return
    with translation.override(language_of(account)):
        facts = facts_of(appointment, account=account, now=now, previous=previous)
        invitation = visit_ics(appointment, method=method, now=now, attendee=address)
        enqueue_mail(
            to=address,
            subject=subject(kind, facts),
            text=render_to_string(f"appointments/mail/{kind}.txt", facts).strip() + "\n",
            html=render_to_string(f"appointments/mail/{kind}.html", facts),
            calendar=invitation.decode(),
            calendar_method=method,
            key=f"visit-{kind}:{appointment.public_id}:{appointment.calendar_sequence}",
            now=now,
        )


def recipient(appointment: Appointment, *, now: datetime) -> tuple[User | None, str]:
    """Who is told about the visit: an account (None: a chart without one) and the address.

    First whoever booked, if they still act for the patient; reception books for people on the
    phone and must not get their mails. Then the patient, then somebody who cares for the patient.
    """
    patient, by = appointment.patient, appointment.booked_by
    if by is not None and by.is_active and acts_for(by, patient, now=now):
        return by, by.email
    own = patient.account
    if own is not None and own.is_active:
        return own, own.email
    if patient.email:
        return None, patient.email
    carer = (
        Carer.objects.running(now)
        .filter(patient=patient, user__is_active=True)
        .select_related("user")
        .order_by("pk")
        .first()
    )
    return (carer.user, carer.user.email) if carer else (None, "")


def acts_for(account: User, patient: Patient, *, now: datetime) -> bool:
    if account.pk == patient.account_id:
        return True
    return Carer.objects.running(now).filter(user=account, patient=patient).exists()


def language_of(account: User | None) -> str:
    """The recipient's language if the site speaks it."""
    wanted = account.language if account else ""
    return wanted if wanted in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


def subject(kind: str, facts: dict[str, Any]) -> str:
    when = {"date": facts["date"], "time": facts["time"]}
    if kind == "moved":
        return _("Your visit was moved to %(date)s at %(time)s") % when
    if kind == "cancelled":
        return _("Cancelled: your visit on %(date)s at %(time)s") % when
    return _("Your visit on %(date)s at %(time)s") % when


def moment_words(moment: datetime, zone: str) -> str:
    """``"Monday, November 30, 2026 at 9:10 am"``."""
    return _("%(date)s at %(time)s") % {
        "date": date_words(moment, zone),
        "time": time_words(moment, zone),
    }


def facts_of(
    appointment: Appointment,
    *,
    account: User | None,
    now: datetime,
    previous: datetime | None,
) -> dict[str, Any]:
    """What the templates may say, each on one line: names come from people, and a text part has no
    escaping that would stop one from adding lines that look like ours."""
    hospital, doctor, patient = appointment.hospital, appointment.doctor, appointment.patient
    zone, starts_at = hospital.time_zone, appointment.starts_at
    deadline = starts_at - timedelta(hours=doctor.cancel_hours)
    own_zone = account.time_zone if account else ""
    for_other = account is not None and account.pk != patient.account_id
    return {
        "clinic_name": one_line(settings.CLINIC_NAME),
        "language_code": translation.get_language(),
        "date": date_words(starts_at, zone),
        "time": time_words(starts_at, zone),
        "when": moment_words(starts_at, zone),
        "zone": zone_words(starts_at, zone),
        "own_when": (
            f"{moment_words(starts_at, own_zone)}, {zone_words(starts_at, own_zone)}"
            if own_zone and differs(starts_at, zone, own_zone)
            else ""
        ),
        "previous": moment_words(previous, zone) if previous else "",
        "video": appointment.visit == Visit.VIDEO,
        "hospital": one_line(hospital.name),
        "address": one_line(hospital.full_address),
        "phone": one_line(hospital.phone),
        "doctor": one_line(doctor.display_name),
        # The first name is enough for a carer to know, and little for whoever else reads it.
        "person": one_line(patient.name).partition(" ")[0] if for_other else "",
        "bring": one_line(appointment.bring),
        "reference": appointment.reference,
        "cancel_hours": doctor.cancel_hours,
        "deadline": (
            f"{moment_words(deadline, zone)}, {zone_words(deadline, zone)}"
            if now <= deadline
            else ""
        ),
        "by_clinic": cancelled_by_clinic(appointment),
        "cancelled_late": appointment.cancelled_late,
        "link": page(appointment),
        "doctor_link": absolute(reverse("doctor", args=[doctor.slug])),
    }


def cancelled_by_clinic(appointment: Appointment) -> bool:
    by = appointment.cancelled_by
    return by is not None and (by.is_staff or by.pk == appointment.doctor.user_id)
