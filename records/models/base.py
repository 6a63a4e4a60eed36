"""What every entry of a record has in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Patient
from records.access import own_records, treated_by


class RecordQuerySet(models.QuerySet):
    def visible_to(self, user: Any, now: datetime | None = None) -> Self:
        """Entries of records that ``user`` may read (`records.access`)."""
        now = now or timezone.now()
        # Two short lists of keys rather than one query: MySQL reads every row of a subquery that
        # stands beside an OR.
        charts = set(treated_by(user, now).values_list("pk", flat=True)) | set(
            own_records(user, now).values_list("pk", flat=True)
        )
        return self.filter(patient__in=charts)

    def standing(self) -> Self:
        """Without what was entered in error."""
        return self.filter(retracted_at=None)


class Entry(models.Model):
    """One entry of a patient's record. It is never deleted: an error is retracted and stays.

    ``source`` names where an imported entry comes from (``system|ResourceType/id``), so that an
    import can be repeated; it is null for what was written here. ``source_digest`` is the SHA-256
    of what was imported: an import of the same again leaves alone what was changed here since.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="+")
    source = models.CharField(max_length=200, null=True, editable=False)  # noqa: DJ001
    source_digest = models.CharField(max_length=64, blank=True, editable=False)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    recorded_at = models.DateTimeField(_("recorded"))
    retracted_at = models.DateTimeField(_("entered in error"), null=True, blank=True)
    retracted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    retracted_why = models.CharField(max_length=200, blank=True)

    objects = RecordQuerySet.as_manager()

    class Meta:
        abstract = True

    @property
    def is_retracted(self) -> bool:
        return self.retracted_at is not None


class Coded(models.Model):
    """Something with a name and, where one is known, a code of a code system (kept as it came)."""

    code_system = models.CharField(max_length=120, blank=True)  # a URI, such as http://loinc.org
    code = models.CharField(_("code"), max_length=60, blank=True)
    name = models.CharField(_("name"), max_length=300)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
