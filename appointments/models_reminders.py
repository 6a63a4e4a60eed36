"""When a visit's patient is reminded, and who wants to be."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Hours(models.IntegerChoices):
    """How long before a visit the reminder goes out. Hours, since a day can have 23 or 25."""

    OFF = 0, _("No reminders")
    DAY = 24, _("24 hours before")
    TWO_DAYS = 48, _("48 hours before")


class ReminderChoice(models.Model):
    """What an account chose; without a row it is `Hours.DAY`."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="reminder_choice"
    )
    hours = models.PositiveSmallIntegerField(choices=Hours.choices, default=Hours.DAY)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(hours__in=[0, 24, 48]), name="known_reminder_hours")
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.hours}"


class Reminder(models.Model):
    """The mail some time before a visit: one row per visit, which says what became of it.

    ``asked_at`` is since when the visit has its time (booked or moved), ``due_at`` when the job
    looks at the row next. A closed row says in ``how`` why nothing more is to be done.
    """

    class How(models.TextChoices):
        MAILED = "mailed", _("Mailed")
        OFF = "off", _("No reminder wanted")
        NEAR = "near", _("Booked when the visit was near")
        LATE = "late", _("The visit had begun")
        NOBODY = "nobody", _("No address")
        GONE = "gone", _("The visit is cancelled")
        FAILED = "failed", _("Could not be written")

    appointment = models.OneToOneField(
        "appointments.Appointment", on_delete=models.CASCADE, related_name="reminder"
    )
    asked_at = models.DateTimeField()
    due_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    how = models.CharField(max_length=8, choices=How.choices, blank=True)

    class Meta:
        indexes = [
            # Serves the job: the open rows come first and in the order of their time.
            models.Index(fields=["closed_at", "due_at"], name="reminders_due"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(closed_at=None, how="") | (Q(closed_at__isnull=False) & ~Q(how="")),
                name="closed_reminders_say_how",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.appointment_id} {self.due_at:%Y-%m-%d %H:%M}"
