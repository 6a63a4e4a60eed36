"""Mails about a visit: booked, moved, cancelled, and coming soon.

Guarantee: a mail is stored in the transaction that is its reason, once per state of the visit. It
says when and where, and with whom; never why: no reason, no service, no specialty. The subject,
which a locked phone shows, has the time alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import Carer, Patient, User
from appointments.calendars import one_line, page, visit_ics
from appointments.models import Appointment, WaitlistEntry
from appointments.zones import date_words, differs, time_words, zone_words
from clinic.directory.models import Doctor, Hospital, Service, Visit
from clinic.jobs.outbox import Draft, enqueue_mail
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


def reminder(
    appointment: Appointment, *, account: User | None, address: str, now: datetime
) -> Draft:
    """The mail some time before a visit; one for each time that the visit is given."""
    with translation.override(language_of(account)):
        facts = facts_of(appointment, account=account, now=now, previous=None)
        return Draft(
            to=address,
            subject=subject("reminder", facts),
            text=render_to_string("appointments/mail/reminder.txt", facts).strip() + "\n",
            html=render_to_string("appointments/mail/reminder.html", facts),
            key=f"visit-reminder:{appointment.public_id}:{appointment.calendar_sequence}",
        )


def time_free(
    entry: WaitlistEntry,
    *,
    service: Service,
    starts_at: datetime,
    link_token: str,
    account: User | None,
    address: str,
) -> Draft:
    """The mail to somebody on the waiting list about one time that became free."""
    with translation.override(language_of(account)):
        facts = time_and_place(
            starts_at,
            hospital=service.hospital,
            doctor=service.doctor,
            video=service.visit == Visit.VIDEO,
            patient=entry.patient,
            account=account,
        ) | {
            "earlier": entry.before is not None,
            "link": absolute(reverse("waitlist_offer", args=[link_token])),
            "list_link": absolute(reverse("waitlist")),
        }
        return Draft(
            to=address,
            subject=subject("free", facts),
            text=render_to_string("appointments/mail/free.txt", facts).strip() + "\n",
            html=render_to_string("appointments/mail/free.html", facts),
            key=f"waitlist:{entry.public_id}:{service.doctor_id}:{starts_at:%Y%m%dT%H%MZ}",
        )


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
    return recipient_of(appointment.patient, appointment.booked_by, now=now)


def recipient_of(
    patient: Patient, by: User | None, *, now: datetime, carers: Sequence[Carer] | None = None
) -> tuple[User | None, str]:
    """Who is told what concerns ``patient`` and was asked for ``by`` somebody, as `recipient`.

    ``carers`` are the chart's running ones, oldest first, where the caller has read them.
    """
    if by is not None and by.is_active and acts_for(by, patient, now=now, carers=carers):
        return by, by.email
    own = patient.account
    if own is not None and own.is_active:
        return own, own.email
    if patient.email:
        return None, patient.email
    if carers is None:
        running = Carer.objects.running(now).filter(patient=patient, user__is_active=True)
        carers = list(running.select_related("user").order_by("pk")[:1])
    user = next((carer.user for carer in carers if carer.user.is_active), None)
    return (user, user.email) if user is not None else (None, "")


def acts_for(
    account: User, patient: Patient, *, now: datetime, carers: Sequence[Carer] | None = None
) -> bool:
    if account.pk == patient.account_id:
        return True
    if carers is not None:
        return any(carer.user_id == account.pk for carer in carers)
    return Carer.objects.running(now).filter(user=account, patient=patient).exists()


def language_of(account: User | None) -> str:
    """The recipient's language if the site speaks it."""
    wanted = account.language if account else ""
    return wanted if wanted in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


def subject(kind: str, facts: dict[str, Any]) -> str:
    when = {"date": facts["date"], "time": facts["time"]}
    if kind == "moved":
        return _("Your visit was moved to %(date)s at %(time)s") % when
    if kind == "free":
        return _("A time has become free: %(date)s at %(time)s") % when
    if kind == "reminder":
        return _("Reminder: your visit on %(date)s at %(time)s") % when
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
    hospital, doctor = appointment.hospital, appointment.doctor
    zone, starts_at = hospital.time_zone, appointment.starts_at
    deadline = starts_at - timedelta(hours=doctor.cancel_hours)
    return time_and_place(
        starts_at,
        hospital=hospital,
        doctor=doctor,
        video=appointment.visit == Visit.VIDEO,
        patient=appointment.patient,
        account=account,
    ) | {
        "previous": moment_words(previous, zone) if previous else "",
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
        "reminders_link": absolute(reverse("reminder_settings")),
    }


def time_and_place(
    starts_at: datetime,
    *,
    hospital: Hospital,
    doctor: Doctor,
    video: bool,
    patient: Patient,
    account: User | None,
) -> dict[str, Any]:
    zone = hospital.time_zone
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
        "video": video,
        "hospital": one_line(hospital.name),
        "address": one_line(hospital.full_address),
        "phone": one_line(hospital.phone),
        "doctor": one_line(doctor.display_name),
        # The first name is enough for a carer to know, and little for whoever else reads it.
        "person": one_line(patient.name).partition(" ")[0] if for_other else "",
    }


def cancelled_by_clinic(appointment: Appointment) -> bool:
    by = appointment.cancelled_by
    return by is not None and (by.is_staff or by.pk == appointment.doctor.user_id)
