"""What is known about a patient: allergies, conditions, medications, measurements."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Patient
from clinic.directory.models import Doctor
from records.models.base import Coded, Entry
from records.models.encounters import Encounter


class IcdCategory(models.Model):
    """A three-character category of ICD-10-CM: the doctor's pick list (CDC/NCHS, public domain)."""

    code = models.CharField(max_length=7, primary_key=True)
    name = models.CharField(max_length=250)
    search_text = models.CharField(max_length=270)

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


class Clinical(Entry, Coded):
    """An entry that may belong to an encounter and has a name."""

    encounter = models.ForeignKey(
        Encounter, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        abstract = True


class AllergyStatement(models.Model):
    """That a patient was asked about allergies. No row means "Not asked".

    ``none_known`` says "No known allergies"; a recorded allergy and it exclude each other.
    """

    patient = models.OneToOneField(
        Patient, primary_key=True, on_delete=models.PROTECT, related_name="allergy_statement"
    )
    none_known = models.BooleanField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    asked_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(_("No known allergies") if self.none_known else _("Asked"))


class Allergy(Clinical):
    """A substance that harms this patient."""

    class Criticality(models.TextChoices):
        HIGH = "high", _("High risk")
        LOW = "low", _("Low risk")
        UNKNOWN = "unable-to-assess", _("Risk not known")

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        INACTIVE = "inactive", _("No longer")
        RESOLVED = "resolved", _("Resolved")

    reaction = models.CharField(_("reaction"), max_length=200, blank=True)
    criticality = models.CharField(
        _("risk"), max_length=20, choices=Criticality.choices, default=Criticality.UNKNOWN
    )
    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.ACTIVE
    )
    onset_on = models.DateField(_("since"), null=True, blank=True)

    class Meta:
        verbose_name = _("allergy")
        verbose_name_plural = _("allergies")
        constraints = [
            models.UniqueConstraint(fields=["patient", "source"], name="allergy_imported_once")
        ]


class Condition(Clinical):
    """A diagnosis or problem: a category of ICD-10-CM, or free text."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        RECURRENCE = "recurrence", _("Back again")
        REMISSION = "remission", _("In remission")
        INACTIVE = "inactive", _("Inactive")
        RESOLVED = "resolved", _("Resolved")

    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.ACTIVE
    )
    verification = models.CharField(max_length=20, default="confirmed")  # FHIR's codes
    onset_at = models.DateTimeField(_("since"), null=True, blank=True)
    abated_at = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        verbose_name = _("condition")
        verbose_name_plural = _("conditions")
        constraints = [
            models.UniqueConstraint(fields=["patient", "source"], name="condition_imported_once")
        ]


class MedicationStatus(models.TextChoices):
    ACTIVE = "active", _("Current")
    ON_HOLD = "on-hold", _("Paused")
    STOPPED = "stopped", _("Stopped")
    COMPLETED = "completed", _("Completed")
    CANCELLED = "cancelled", _("Cancelled")


class Medication(Clinical):
    """Something the patient takes that was not prescribed here, as patient or letters say."""

    dose = models.CharField(_("dose and how to take it"), max_length=300, blank=True)
    status = models.CharField(
        _("status"),
        max_length=10,
        choices=MedicationStatus.choices,
        default=MedicationStatus.ACTIVE,
    )
    started_on = models.DateField(_("since"), null=True, blank=True)
    ended_on = models.DateField(_("until"), null=True, blank=True)
    stopped_why = models.CharField(_("why it was stopped"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("medication")
        verbose_name_plural = _("medications")
        constraints = [
            models.UniqueConstraint(fields=["patient", "source"], name="medication_imported_once")
        ]


class Prescription(Clinical):
    """A medication that a doctor prescribed, signed by being issued; printed for the pharmacy.

    ``despite_allergy`` is the reason that the doctor typed when it matched a recorded allergy.
    ``doctor`` is empty for an imported one, which has ``prescriber_name``.
    """

    doctor = models.ForeignKey(
        Doctor, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    prescriber_name = models.CharField(max_length=200, blank=True)
    dose = models.CharField(_("dose and how to take it"), max_length=300, blank=True)
    quantity = models.CharField(_("quantity"), max_length=60, blank=True)
    refills = models.PositiveSmallIntegerField(_("refills"), default=0)
    status = models.CharField(
        _("status"),
        max_length=10,
        choices=MedicationStatus.choices,
        default=MedicationStatus.ACTIVE,
    )
    issued_at = models.DateTimeField(_("prescribed"))
    stopped_why = models.CharField(_("why it was stopped"), max_length=200, blank=True)
    despite_allergy = models.CharField(
        _("why it is prescribed despite the allergy"), max_length=300, blank=True
    )

    class Meta:
        verbose_name = _("prescription")
        verbose_name_plural = _("prescriptions")
        constraints = [
            models.UniqueConstraint(fields=["patient", "source"], name="prescription_imported_once")
        ]


class Observation(Clinical):
    """A measurement or finding at a moment, with its unit.

    ``components`` are the parts of one with several values, such as a blood pressure: a list of
    objects with ``code_system``, ``code``, ``name``, ``value`` (a decimal as text), ``unit``.
    """

    class Category(models.TextChoices):
        VITAL_SIGNS = "vital-signs", _("Vital signs")
        LABORATORY = "laboratory", _("Laboratory")
        SURVEY = "survey", _("Survey")
        SOCIAL = "social-history", _("Social history")
        OTHER = "exam", _("Other")

    category = models.CharField(
        max_length=20, choices=Category.choices, default=Category.VITAL_SIGNS
    )
    observed_at = models.DateTimeField(_("measured"))
    value = models.DecimalField(_("value"), max_digits=32, decimal_places=16, null=True, blank=True)
    unit = models.CharField(_("unit"), max_length=40, blank=True)  # UCUM
    value_text = models.CharField(_("finding"), max_length=300, blank=True)
    value_code_system = models.CharField(max_length=120, blank=True)
    value_code = models.CharField(max_length=60, blank=True)
    components = models.JSONField(default=list, blank=True)

    class Meta:
        verbose_name = _("observation")
        verbose_name_plural = _("observations")
        constraints = [
            models.UniqueConstraint(fields=["patient", "source"], name="observation_imported_once"),
            models.CheckConstraint(
                condition=Q(value=None) | ~Q(unit=""), name="observed_values_have_units"
            ),
        ]
        # Serves the series of one measurement and the latest vital signs.
        indexes = [
            models.Index(fields=["patient", "code", "observed_at"], name="observations_by_code")
        ]


class Immunization(Clinical):
    """A vaccination that the patient was given."""

    status = models.CharField(max_length=16, default="completed")  # FHIR's codes
    given_at = models.DateTimeField(_("given"))

    class Meta:
        verbose_name = _("vaccination")
        verbose_name_plural = _("vaccinations")
        constraints = [
            models.UniqueConstraint(fields=["patient", "source"], name="immunization_imported_once")
        ]


class Procedure(Clinical):
    """Something that was done to the patient: an operation, a procedure."""

    status = models.CharField(max_length=16, default="completed")  # FHIR's codes
    performed_at = models.DateTimeField(_("done"))
    performed_until = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        verbose_name = _("procedure")
        verbose_name_plural = _("procedures")
        constraints = [
            models.UniqueConstraint(fields=["patient", "source"], name="procedure_imported_once")
        ]
