"""Who waits for a time, the times that became free, and what was offered to whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Patient
from clinic.directory.models import Doctor, Hospital, Service, Specialty, Visit


class WaitlistEntryQuerySet(models.QuerySet["WaitlistEntry"]):
    def in_care_of(self, user: Any, now: datetime) -> WaitlistEntryQuerySet:
        """Entries that ``user`` may see and remove, as the patient or a carer."""
        return self.filter(patient__in=Patient.objects.in_care_of(user, now))

    def with_parts(self) -> WaitlistEntryQuerySet:
        return self.select_related(
            "patient__account", "by", "doctor", "service", "specialty", "hospital", "earlier_than"
        )


class WaitlistEntry(models.Model):
    """Somebody would like a time that is not free: with a doctor, or with any doctor of a specialty
    at a hospital.

    With ``earlier_than`` the patient has a visit already, which began at ``before`` when the entry
    was made, and would come sooner. ``earliest`` and ``latest`` are the clinic's days, both
    included. Whether it still waits is said by `appointments.waitlist.waiting`; a row that does not
    is removed within a day.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="waits_for")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    doctor = models.ForeignKey(Doctor, null=True, on_delete=models.CASCADE, related_name="+")
    service = models.ForeignKey(Service, null=True, on_delete=models.CASCADE, related_name="+")
    specialty = models.ForeignKey(Specialty, null=True, on_delete=models.CASCADE, related_name="+")
    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="+")
    visit = models.CharField(_("visit type"), max_length=10, choices=Visit.choices, blank=True)
    earlier_than = models.ForeignKey(
        "appointments.Appointment", null=True, on_delete=models.CASCADE, related_name="+"
    )
    before = models.DateTimeField(null=True)
    earliest = models.DateField(_("first day"))
    latest = models.DateField(_("last day"))
    mornings = models.BooleanField(default=True)
    afternoons = models.BooleanField(default=True)
    evenings = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    objects = WaitlistEntryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(latest__gte=F("earliest")), name="waits_for_a_day"),
            models.CheckConstraint(
                condition=Q(doctor__isnull=False, service__isnull=False, specialty=None)
                | Q(doctor=None, service=None, specialty__isnull=False),
                name="waits_for_a_doctor_or_a_specialty",
            ),
            models.CheckConstraint(
                condition=Q(earlier_than=None, before=None)
                | Q(earlier_than__isnull=False, before__isnull=False),
                name="waits_for_earlier_than_a_moment",
            ),
        ]
        indexes = [
            # Serve "who waits for this doctor's time", and the same for a specialty.
            models.Index(fields=["doctor", "latest"], name="waits_by_doctor"),
            models.Index(fields=["hospital", "specialty", "latest"], name="waits_by_specialty"),
            # Serves removing what has ended.
            models.Index(fields=["latest"], name="waits_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.patient_id} {self.earliest} – {self.latest}"


class FreedTime(models.Model):
    """A doctor's time that became free and is being offered to those who wait.

    Stored with what freed it; the job looks at it again at ``due_at`` and removes it at the end.
    """

    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    # Who gave it up is not asked whether they want it.
    given_up_by = models.ForeignKey(Patient, null=True, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="freed_time_ends_after_it_starts"
            )
        ]
        # Serves the job.
        indexes = [models.Index(fields=["due_at"], name="freed_times_due")]

    def __str__(self) -> str:
        return f"{self.doctor_id} {self.starts_at:%Y-%m-%d %H:%M}"


class WaitlistOffer(models.Model):
    """That an entry was mailed about a time. The key keeps a time from being mailed twice."""

    entry = models.ForeignKey(WaitlistEntry, on_delete=models.CASCADE, related_name="offers")
    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="+")
    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="+")
    starts_at = models.DateTimeField()
    mailed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["entry", "doctor", "starts_at"], name="a_time_is_offered_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.entry_id} {self.starts_at:%Y-%m-%d %H:%M}"
