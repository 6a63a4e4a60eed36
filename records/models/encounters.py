"""Meetings of a patient with the clinic, and the notes that doctors sign about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Patient
from appointments.models import Appointment
from clinic.directory.models import Doctor, Hospital
from records.access import own_records, treated_by, treated_lately
from records.models.base import Entry


class Encounter(Entry):
    """A meeting of a patient with a doctor: a booked visit, a call, a walk-in, or an imported one.

    ``doctor`` and ``hospital`` are empty for an imported encounter, which has names instead.
    """

    class Kind(models.TextChoices):
        VISIT = "visit", _("Visit")
        PHONE = "phone", _("Phone call")
        VIDEO = "video", _("Video call")
        MESSAGES = "messages", _("Messages")
        OTHER = "other", _("Other")

    appointment = models.OneToOneField(
        Appointment, null=True, blank=True, on_delete=models.PROTECT, related_name="encounter"
    )
    doctor = models.ForeignKey(
        Doctor, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    hospital = models.ForeignKey(
        Hospital, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    performer_name = models.CharField(max_length=200, blank=True)
    place_name = models.CharField(max_length=200, blank=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.VISIT)
    code_system = models.CharField(max_length=120, blank=True)
    code = models.CharField(max_length=60, blank=True)
    title = models.CharField(_("about"), max_length=300, blank=True)
    class_code = models.CharField(max_length=20, blank=True)  # FHIR's v3-ActCode, such as AMB
    starts_at = models.DateTimeField(_("began"))
    ends_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("encounter")
        verbose_name_plural = _("encounters")
        constraints = [
            models.UniqueConstraint(fields=["patient", "source"], name="encounter_imported_once"),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gte=F("starts_at")),
                name="encounter_ends_after_it_starts",
            ),
        ]
        # Serves the timeline of a record.
        indexes = [models.Index(fields=["patient", "starts_at"], name="encounters_by_patient")]

    def __str__(self) -> str:
        return self.title or str(self.get_kind_display())


class NoteQuerySet(models.QuerySet["Note"]):
    def visible_to(self, user: Any, now: datetime | None = None) -> Self:
        """Signed notes of records that ``user`` may read, and the own drafts about own patients."""
        now = now or timezone.now()
        treated = set(treated_by(user, now).values_list("pk", flat=True))
        readable = treated | set(own_records(user, now).values_list("pk", flat=True))
        signed = Q(patient__in=readable, status=Note.Status.SIGNED)
        return self.filter(
            signed | Q(patient__in=treated, status=Note.Status.DRAFT, author=user.pk)
        )

    def to_finish(self, user: Any, now: datetime) -> Self:
        """The own drafts, also where the care ended a short while ago (`treated_lately`)."""
        return self.drafts().filter(author=user.pk, patient__in=treated_lately(user, now))

    def signed(self) -> Self:
        return self.filter(status=Note.Status.SIGNED)

    def drafts(self) -> Self:
        return self.filter(status=Note.Status.DRAFT)


class Note(models.Model):
    """What a doctor writes about an encounter: a draft of its author's until it is signed.

    A signed note is never edited or deleted; an amendment is a note of its own with ``amends``.
    ``version`` counts the saves of a draft, so that a stale copy of it can be told. An imported
    note has no ``author`` here, only ``signed_name``.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", _("Draft")
        SIGNED = "signed", _("Signed")

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="+")
    encounter = models.ForeignKey(Encounter, on_delete=models.PROTECT, related_name="notes")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    amends = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="amendments"
    )
    source = models.CharField(max_length=200, null=True, editable=False)  # noqa: DJ001
    source_digest = models.CharField(max_length=64, blank=True, editable=False)
    body = models.TextField(_("note"), max_length=20_000, blank=True)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.DRAFT)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(_("begun"))
    saved_at = models.DateTimeField(_("saved"))
    signed_at = models.DateTimeField(_("signed"), null=True, blank=True)
    # The name and credentials at the time of signing; an account may be renamed later.
    signed_name = models.CharField(max_length=200, blank=True)

    objects = NoteQuerySet.as_manager()

    class Meta:
        verbose_name = _("note")
        verbose_name_plural = _("notes")
        constraints = [
            models.CheckConstraint(
                condition=Q(status="draft", signed_at=None)
                | (Q(status="signed", signed_at__isnull=False) & ~Q(body="")),
                name="signed_notes_say_when_and_something",
            ),
            models.CheckConstraint(
                condition=Q(author__isnull=False) | Q(source__isnull=False, status="signed"),
                name="notes_written_here_have_an_author",
            ),
            models.UniqueConstraint(fields=["patient", "source"], name="note_imported_once"),
        ]
        indexes = [
            # Serves the timeline of a record.
            models.Index(fields=["patient", "status", "signed_at"], name="notes_by_patient"),
            # Serves a doctor's unsigned drafts on My day.
            models.Index(fields=["author", "status", "saved_at"], name="notes_by_author"),
        ]

    def __str__(self) -> str:
        return str(self.get_status_display())

    @property
    def is_signed(self) -> bool:
        return self.status == self.Status.SIGNED
