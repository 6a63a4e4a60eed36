"""Files of a record, and the wish of a patient that the record be deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Patient
from records.models.base import Entry, RecordQuerySet
from records.models.encounters import Encounter


class DocumentQuerySet(RecordQuerySet):
    def visible_to(self, user: Any, now: datetime | None = None) -> Self:
        return super().visible_to(user, now).kept()

    def kept(self) -> Self:
        """Without rows whose bytes are still being stored, or never were."""
        return self.filter(kept_at__isnull=False)


class Document(Entry):
    """A PDF or picture of a patient, kept under a random name and given out by a checked view.

    The row is there before the bytes; ``kept_at`` says that they are stored, and before that nobody
    sees the document.
    """

    encounter = models.ForeignKey(
        Encounter, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    title = models.CharField(_("title"), max_length=120)
    name = models.CharField(_("file name"), max_length=120)
    content_type = models.CharField(max_length=60)
    size = models.PositiveIntegerField(_("size in bytes"))
    sha256 = models.CharField(max_length=64)
    stored_as = models.CharField(max_length=100, unique=True)
    thumbnail_as = models.CharField(max_length=100, blank=True)
    by_patient = models.BooleanField(_("sent in by the patient"), default=False)
    kept_at = models.DateTimeField(null=True, editable=False)

    objects = DocumentQuerySet.as_manager()  # type: ignore[misc]  # narrower than Entry's

    class Meta:
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        constraints = [
            models.UniqueConstraint(fields=["patient", "source"], name="document_imported_once")
        ]
        indexes = [
            # Serves a record's documents, newest first.
            models.Index(fields=["patient", "recorded_at"], name="documents_by_patient"),
            # Serves the limit per day, and the removal of rows whose bytes never came.
            models.Index(fields=["recorded_by", "recorded_at"], name="documents_by_sender"),
        ]

    def __str__(self) -> str:
        return self.title


class DeletionRequest(models.Model):
    """A patient's wish that the clinic delete what it keeps; reception decides and says why.

    What the law makes the clinic keep (medical records and their audit trail) stays either way;
    ``answer`` tells the patient what was deleted and what was kept for how long.
    """

    class Decision(models.TextChoices):
        OPEN = "open", _("Waiting for a decision")
        GRANTED = "granted", _("Done")
        REFUSED = "refused", _("Not possible")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="deletion_requests")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    asked_at = models.DateTimeField(_("asked"))
    words = models.CharField(_("what should be deleted"), max_length=1000, blank=True)
    decision = models.CharField(
        _("decision"), max_length=10, choices=Decision.choices, default=Decision.OPEN
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    answer = models.CharField(_("answer to the patient"), max_length=1000, blank=True)

    class Meta:
        verbose_name = _("request for deletion")
        verbose_name_plural = _("requests for deletion")
        constraints = [
            models.CheckConstraint(
                condition=Q(decision="open", decided_at=None)
                | (~Q(decision="open") & Q(decided_at__isnull=False)),
                name="decided_requests_say_when",
            ),
        ]

    def __str__(self) -> str:
        return str(self.get_decision_display())
