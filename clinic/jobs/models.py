"""What must happen later: mails to send and regular jobs that fall due.

The tasks themselves are rows of django-tasks-db. A task may be lost or run twice (its worker was
killed), so whatever must be certain is a row here, and a task only says "look at row N".
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class OutgoingMailQuerySet(models.QuerySet["OutgoingMail"]):
    def open(self) -> OutgoingMailQuerySet:
        """Neither sent nor given up."""
        return self.filter(sent_at=None, failed_at=None)

    def due(self, now: datetime) -> OutgoingMailQuerySet:
        """To be sent now: their time has come and no living worker has them in hand."""
        free = Q(claimed_until=None) | Q(claimed_until__lte=now)
        return self.open().filter(free, next_attempt_at__lte=now)


class OutgoingMail(models.Model):
    """One mail to one person, stored in the transaction that is its reason.

    ``key`` names the occasion ("booked:<id>:<version>"), so that an occasion has one mail.
    ``last_error`` is an exception's class or an SMTP code, never a text: those quote addresses.
    """

    message_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    key = models.CharField(max_length=200, unique=True)
    to = models.EmailField(_("to"))
    subject = models.CharField(_("subject"), max_length=200)
    text = models.TextField(_("text"))
    html = models.TextField(blank=True)
    calendar = models.TextField(blank=True)
    calendar_method = models.CharField(max_length=10, blank=True)
    created_at = models.DateTimeField(_("created"))
    next_attempt_at = models.DateTimeField(_("next attempt"))
    claimed_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True)
    failed_at = models.DateTimeField(_("given up"), null=True)
    last_error = models.CharField(_("last error"), max_length=200, blank=True)

    objects = OutgoingMailQuerySet.as_manager()

    class Meta:
        verbose_name = _("outgoing mail")
        verbose_name_plural = _("outgoing mails")
        indexes = [
            # Serves `due`: the open rows come first and in the order of their time.
            models.Index(fields=["sent_at", "failed_at", "next_attempt_at"], name="mail_due"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(sent_at=None) | Q(failed_at=None), name="mail_is_sent_or_given_up"
            ),
            models.CheckConstraint(
                condition=Q(calendar="", calendar_method="")
                | (~Q(calendar="") & Q(calendar_method__in=["REQUEST", "CANCEL", "PUBLISH"])),
                name="mail_calendar_has_a_method",
            ),
        ]

    def __str__(self) -> str:
        return self.key


class RegularJob(models.Model):
    """When a job of settings.REGULAR_JOBS is due next. Whoever moves ``due_at`` runs it."""

    name = models.CharField(max_length=64, primary_key=True)
    due_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("regular job")
        verbose_name_plural = _("regular jobs")

    def __str__(self) -> str:
        return self.name


class Check(models.Model):
    """How the last run of a check ended: bookings, audit trail, backup, restore drill."""

    name = models.CharField(max_length=32, primary_key=True)
    at = models.DateTimeField()
    is_ok = models.BooleanField()
    passed_at = models.DateTimeField(null=True)  # the last run that ended well
    detail = models.CharField(max_length=200, blank=True)

    class Meta:
        # Named for whoever writes a row from a script without Django (docs/operations.md).
        db_table = "clinic_checks"
        verbose_name = _("check")
        verbose_name_plural = _("checks")

    def __str__(self) -> str:
        return self.name


class CachedCount(models.Model):
    """The table of the cache "counts" (Django's DatabaseCache reads and writes it).

    Limits are counted here while Redis is away.
    """

    cache_key = models.CharField(max_length=255, primary_key=True)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "clinic_cached_counts"

    def __str__(self) -> str:
        return self.cache_key
