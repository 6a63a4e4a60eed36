"""Visits, the grains of time they occupy, and who is in whose care.

A time can never be given twice because of two unique keys: `DoctorHold` (doctor, grain) and
`PatientHold` (patient, grain). A grain is 5 minutes of UTC, counted from 1970.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import readable_code, uuid7
from accounts.models import Patient, Role
from appointments.models_reminders import Hours as Hours
from appointments.models_reminders import Reminder as Reminder
from appointments.models_reminders import ReminderChoice as ReminderChoice
from appointments.models_waitlist import FreedTime as FreedTime
from appointments.models_waitlist import WaitlistEntry as WaitlistEntry
from appointments.models_waitlist import WaitlistOffer as WaitlistOffer
from clinic.directory.models import Doctor, Hospital, Service, Visit
from clinic.directory.staff import hospitals_of


class Status(models.TextChoices):
    BOOKED = "booked", _("Booked")
    ARRIVED = "arrived", _("Arrived")
    DONE = "done", _("Done")
    NO_SHOW = "no_show", _("Did not come")
    CANCELLED = "cancelled", _("Cancelled")


class AppointmentQuerySet(models.QuerySet["Appointment"]):
    def visible_to(self, user: Any, now: datetime | None = None) -> AppointmentQuerySet:
        """Visits ``user`` may see: of charts in their care, and of the doctor who signed in."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        mine = Q(patient__in=Patient.objects.in_care_of(user, now))
        if user.role == Role.DOCTOR:
            mine |= Q(doctor__user=user, doctor__withdrawn_at=None)
        return self.filter(mine)

    def in_care_of(self, user: Any, now: datetime | None = None) -> AppointmentQuerySet:
        """Visits ``user`` may move and cancel as the patient or a carer."""
        return self.filter(patient__in=Patient.objects.in_care_of(user, now))

    def handled_by(self, user: Any) -> AppointmentQuerySet:
        """Visits that ``user`` handles as staff: a doctor's own, reception's hospitals' ones."""
        if not user.is_authenticated or not user.is_active or not user.is_staff:
            return self.none()
        if user.role == Role.DOCTOR:
            return self.filter(doctor__user=user, doctor__withdrawn_at=None)
        if user.role == Role.RECEPTION:
            return self.filter(hospital__in=hospitals_of(user))
        return self.none()

    def active(self) -> AppointmentQuerySet:
        return self.exclude(status=Status.CANCELLED)

    def upcoming(self, now: datetime) -> AppointmentQuerySet:
        return self.filter(status=Status.BOOKED, ends_at__gt=now)

    def with_parts(self) -> AppointmentQuerySet:
        """With everything a page, a mail or a calendar says about a visit, in one query."""
        return self.select_related("doctor", "hospital", "patient", "booked_by", "service")


def new_reference() -> str:
    return readable_code(8)


class Appointment(models.Model):
    """A visit of a patient to a doctor. What was booked is copied, so a changed service changes
    no visit that was already booked."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    reference = models.CharField(
        _("reference"), max_length=10, unique=True, default=new_reference, editable=False
    )
    doctor = models.ForeignKey(Doctor, on_delete=models.PROTECT, related_name="appointments")
    hospital = models.ForeignKey(Hospital, on_delete=models.PROTECT, related_name="appointments")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="appointments")
    booked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    service = models.ForeignKey(Service, null=True, on_delete=models.SET_NULL, related_name="+")
    service_name = models.CharField(_("service"), max_length=80)
    minutes = models.PositiveSmallIntegerField(_("length in minutes"))
    buffer_minutes = models.PositiveSmallIntegerField(_("pause after it"), default=0)
    price_cents = models.PositiveIntegerField(_("price in cents"), null=True, blank=True)
    visit = models.CharField(_("visit type"), max_length=10, choices=Visit.choices)
    bring = models.CharField(_("what to bring"), max_length=200, blank=True)
    starts_at = models.DateTimeField(_("starts"))
    ends_at = models.DateTimeField(_("ends"))
    occupied_until = models.DateTimeField(editable=False)  # ends_at and the pause after it
    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.BOOKED
    )
    reason = models.TextField(_("reason for visit"), max_length=500, blank=True)
    calendar_sequence = models.PositiveIntegerField(default=0)  # SEQUENCE of RFC 5546
    created_at = models.DateTimeField(_("booked on"))
    cancelled_at = models.DateTimeField(_("cancelled on"), null=True, blank=True)
    cancelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    cancelled_late = models.BooleanField(_("cancelled after the deadline"), default=False)
    cancel_reason = models.CharField(_("reason for cancelling"), max_length=200, blank=True)

    # What happened at the desk, and what stood there before: the last step can be undone.
    arrived_at = models.DateTimeField(_("arrived"), null=True, blank=True, editable=False)
    status_at = models.DateTimeField(null=True, editable=False)
    status_before = models.CharField(max_length=10, blank=True, editable=False)
    is_walk_in = models.BooleanField(_("walked in"), default=False, editable=False)
    # The limits that staff set aside for this booking, and why; never the one on double bookings.
    booked_despite = models.CharField(max_length=200, blank=True, editable=False)

    objects = AppointmentQuerySet.as_manager()

    class Meta:
        verbose_name = _("visit")
        verbose_name_plural = _("visits")
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")) & Q(occupied_until__gte=F("ends_at")),
                name="visit_ends_after_it_starts",
            ),
            models.CheckConstraint(
                condition=Q(status=Status.CANCELLED, cancelled_at__isnull=False)
                | (~Q(status=Status.CANCELLED) & Q(cancelled_at__isnull=True)),
                name="cancelled_visits_say_when",
            ),
        ]
        indexes = [
            # Serves the free times of the doctors on a page, from the index alone.
            models.Index(
                fields=["doctor", "starts_at", "status", "occupied_until"], name="visits_by_doctor"
            ),
            # Serves the day of a hospital's reception, and whom reception may know.
            models.Index(fields=["hospital", "starts_at"], name="visits_by_hospital"),
            # Serves a patient's visits, the clash check and the count of open bookings.
            models.Index(fields=["patient", "starts_at"], name="visits_by_patient"),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def is_cancelled(self) -> bool:
        return self.status == Status.CANCELLED


def new_token() -> str:
    return secrets.token_urlsafe(24)


class SlotHold(models.Model):
    """A time kept for somebody who is still filling in the form; it counts until ``held_until``.

    The session holds ``token``. The typed answers stay here after the time was lost, so that they
    can be shown again with the nearest free times.
    """

    token = models.CharField(max_length=40, unique=True, default=new_token)
    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="+")
    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="+")
    starts_at = models.DateTimeField()
    occupied_until = models.DateTimeField()
    held_until = models.DateTimeField()
    extensions = models.PositiveSmallIntegerField(default=0)
    reason = models.TextField(blank=True)
    patient_choice = models.CharField(max_length=40, blank=True)
    address = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            # Serves the free times of the doctors on a page.
            models.Index(fields=["doctor", "starts_at"], name="slot_holds_by_doctor"),
            # Serves the limit of holds per address.
            models.Index(fields=["address", "held_until"], name="slot_holds_by_address"),
            # Serves pruning.
            models.Index(fields=["held_until"], name="slot_holds_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.doctor_id} {self.starts_at:%Y-%m-%d %H:%M}"


class DoctorHold(models.Model):
    """One grain of a doctor's time that is taken, by a visit or by a `SlotHold`.

    The key is the guarantee and the clustering order: a doctor's grains lie side by side.
    """

    pk = models.CompositePrimaryKey("doctor_id", "grain")
    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="+")
    grain = models.PositiveIntegerField()
    appointment = models.ForeignKey(
        Appointment, null=True, on_delete=models.CASCADE, related_name="doctor_holds"
    )
    slot_hold = models.ForeignKey(
        SlotHold, null=True, on_delete=models.CASCADE, related_name="doctor_holds"
    )
    held_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(appointment__isnull=False, held_until__isnull=True)
                | Q(appointment__isnull=True, held_until__isnull=False),
                name="hold_is_a_visit_or_provisional",
            )
        ]

    def __str__(self) -> str:
        return f"{self.doctor_id}/{self.grain}"


class PatientHold(models.Model):
    """One grain of a patient's time that a visit takes: nobody is in two places at once."""

    pk = models.CompositePrimaryKey("patient_id", "grain")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="+")
    grain = models.PositiveIntegerField()
    appointment = models.ForeignKey(
        Appointment, on_delete=models.CASCADE, related_name="patient_holds"
    )

    def __str__(self) -> str:
        return f"{self.patient_id}/{self.grain}"


class BookingRequest(models.Model):
    """An idempotency key that was used: the same key of the same account gives the same visit."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)
    appointment = models.ForeignKey(Appointment, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="one_answer_per_booking_key")
        ]
        indexes = [models.Index(fields=["created_at"], name="booking_requests_by_age")]

    def __str__(self) -> str:
        return self.key


class CareRelationQuerySet(models.QuerySet["CareRelation"]):
    def running(
        self, now: datetime, *, ended_within: timedelta | None = None
    ) -> CareRelationQuerySet:
        """Those that count at ``now``, or ended no longer than ``ended_within`` ago."""
        after = now if ended_within is None else now - ended_within
        return self.filter(Q(until=None) | Q(until__gt=after), since__lte=now)


class CareRelation(models.Model):
    """Why a doctor may know about a patient, and for how long: the answer to "is this mine?"."""

    class Why(models.TextChoices):
        VISIT = "visit", _("Visit")
        CONVERSATION = "conversation", _("Conversation")
        REFERRAL = "referral", _("Referral")
        EMERGENCY = "emergency", _("Emergency")

    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="care_relations")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="care_relations")
    why = models.CharField(max_length=12, choices=Why.choices)
    appointment = models.OneToOneField(
        Appointment, null=True, on_delete=models.CASCADE, related_name="care_relation"
    )
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300, blank=True)  # typed for emergency access

    objects = CareRelationQuerySet.as_manager()

    class Meta:
        indexes = [
            # Serves "is this patient mine now?" and a doctor's list of patients.
            models.Index(fields=["doctor", "patient", "until"], name="care_by_doctor"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(why="emergency") | (~Q(reason="") & Q(until__isnull=False)),
                name="emergency_access_says_why_and_ends",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.doctor_id} → {self.patient_id} ({self.why})"


class Referral(models.Model):
    """A doctor asks that a colleague may read a patient's record; the patient agrees first."""

    class Answer(models.TextChoices):
        OPEN = "open", _("Waiting for the patient")
        AGREED = "agreed", _("Agreed")
        DECLINED = "declined", _("Declined")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="referrals")
    from_doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="+")
    to_doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="+")
    reason = models.CharField(_("reason"), max_length=300)
    asked_at = models.DateTimeField()
    answer = models.CharField(max_length=10, choices=Answer.choices, default=Answer.OPEN)
    answered_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    # The doctor heard the patient say yes; for patients without an account.
    in_person = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(from_doctor=F("to_doctor")), name="referred_to_somebody_else"
            ),
            models.CheckConstraint(
                condition=Q(answer="open", answered_at=None)
                | (~Q(answer="open") & Q(answered_at__isnull=False)),
                name="answered_referrals_say_when",
            ),
        ]
        indexes = [models.Index(fields=["patient", "answer"], name="referrals_by_patient")]

    def __str__(self) -> str:
        return f"{self.from_doctor_id} → {self.to_doctor_id}"


class Registration(models.Model):
    """That a hospital's reception knows a patient, beside those with visits there."""

    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="+")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="registrations")
    since = models.DateTimeField()
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["patient", "hospital"], name="registered_once")
        ]

    def __str__(self) -> str:
        return f"{self.patient_id} @ {self.hospital_id}"


class CalendarFeed(models.Model):
    """The secret address under which an account's own visits can be subscribed to."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="calendar_feed"
    )
    secret = models.CharField(max_length=40, unique=True, default=new_token)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.user_id}"
