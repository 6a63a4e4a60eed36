"""What a patient takes: medications from elsewhere, and prescriptions written here."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from clinic.directory.models import Hospital, Service
from records.forms import MedicationForm, PrescriptionForm, StopForm
from records.medications import add_medication, prescribe, stop_medication, stop_prescription
from records.models import Allergy, Medication, MedicationStatus, Prescription
from records.notes import signature
from records.refusals import AllergyMatch, RecordRefused
from records.views_common import Sheet, chart_page, done, refused, sheet_of
from records.views_facts import entry_or_404


def medications(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Everything the patient takes or took; the form adds what others prescribed."""
    sheet = sheet_of(request, public_id)
    form = MedicationForm(request.POST if request.method == "POST" else None)
    status: int = HTTPStatus.OK
    if form.is_bound:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            try:
                add_medication(
                    patient=sheet.patient, by=sheet.by, now=sheet.now, **form.cleaned_data
                )
            except RecordRefused as refusal:
                status = refused(form, refusal)
            else:
                return done(request, sheet, _("The medication is recorded."), "chart_medications")
    taken = Medication.objects.visible_to(sheet.by, sheet.now).filter(patient=sheet.patient)
    written = Prescription.objects.visible_to(sheet.by, sheet.now).filter(patient=sheet.patient)
    running = {MedicationStatus.ACTIVE, MedicationStatus.ON_HOLD}
    prescriptions = list(
        written.select_related("doctor", "retracted_by").order_by("-issued_at", "-pk")
    )
    others = list(taken.select_related("retracted_by").order_by("-started_on", "-pk"))
    return chart_page(
        request,
        "records/medications.html",
        sheet,
        title=_("Medications"),
        section="medications",
        status=status,
        form=form,
        prescriptions=[one for one in prescriptions if _runs(one, running)],
        others=[one for one in others if _runs(one, running)],
        past=[one for one in [*prescriptions, *others] if not _runs(one, running)],
    )


def _runs(entry: Any, running: set[MedicationStatus]) -> bool:
    return entry.status in running and not entry.is_retracted


def prescription_new(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Prescribes. What matches a recorded allergy comes back (422) and asks for a typed reason."""
    sheet = sheet_of(request, public_id)
    matches: list[Allergy] = []
    form = PrescriptionForm()
    status: int = HTTPStatus.OK
    if request.method == "POST":
        form = PrescriptionForm(request.POST, about_allergy="despite_allergy" in request.POST)
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            try:
                written = _prescribe(sheet, form.cleaned_data)
            except AllergyMatch as match:
                matches, status = list(match.allergies), int(match.status)
                form = _asking_why(request, match)
            except RecordRefused as refusal:
                status = refused(form, refusal)
            else:
                words = _("%(name)s is prescribed. Print it for the pharmacy.")
                name = {"name": written.name}
                return done(request, sheet, words % name, "chart_prescription", written.public_id)
    return chart_page(
        request,
        "records/prescribe.html",
        sheet,
        title=_("Prescribe"),
        section="medications",
        status=status,
        form=form,
        matches=matches,
    )


def _prescribe(sheet: Sheet, given: dict[str, Any]) -> Prescription:
    return prescribe(
        patient=sheet.patient,
        name=given["name"],
        dose=given["dose"],
        quantity=given["quantity"],
        refills=given["refills"],
        encounter=None,
        despite_allergy=given.get("despite_allergy", ""),
        by=sheet.by,
        now=sheet.now,
    )


def _asking_why(request: HttpRequest, match: AllergyMatch) -> PrescriptionForm:
    """The same entries with the field for the reason, and the refusal at that field."""
    form = PrescriptionForm(request.POST, about_allergy=True)
    form.is_valid()
    form.add_error("despite_allergy", match.message)
    return form


@require_safe
def prescription(request: HttpRequest, public_id: uuid.UUID, entry_id: uuid.UUID) -> HttpResponse:
    """One prescription as it is printed for the pharmacy."""
    sheet = sheet_of(request, public_id)
    found = entry_or_404(Prescription, sheet, entry_id)
    return chart_page(
        request,
        "records/prescription.html",
        sheet,
        title=_("Prescription"),
        section="medications",
        prescription=found,
        hospital=_hospital_of(found),
        signature=signature(found.doctor) if found.doctor else "",
    )


def _hospital_of(found: Prescription) -> Hospital | None:
    """Where the patient was seen; without an encounter, where the doctor works."""
    if found.encounter is not None and found.encounter.hospital is not None:
        return found.encounter.hospital
    services = Service.objects.filter(doctor=found.doctor_id).select_related("hospital")
    first = services.order_by("-is_active", "position", "pk").first()
    return first.hospital if first is not None else None


def stop(
    request: HttpRequest, public_id: uuid.UUID, entry_id: uuid.UUID, kind: str
) -> HttpResponse:
    """Stops a medication or a prescription, with the reason."""
    sheet = sheet_of(request, public_id)
    model: type[Medication] | type[Prescription]
    model = Medication if kind == "medication" else Prescription
    entry = entry_or_404(model, sheet, entry_id)
    form = StopForm(request.POST if request.method == "POST" else None)
    status: int = HTTPStatus.OK
    if form.is_bound:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            try:
                _stop(entry, form.cleaned_data["why"], sheet)
            except RecordRefused as refusal:
                status = refused(form, refusal)
            else:
                words = _("%(name)s is stopped.") % {"name": entry.name}
                return done(request, sheet, words, "chart_medications")
    return chart_page(
        request,
        "records/stop.html",
        sheet,
        title=_("Stop a medication") if kind == "medication" else _("Stop a prescription"),
        status=status,
        form=form,
        entry=entry,
    )


def _stop(entry: Medication | Prescription, why: str, sheet: Sheet) -> None:
    if isinstance(entry, Medication):
        stop_medication(medication=entry, why=why, by=sheet.by, now=sheet.now)
    else:
        stop_prescription(prescription=entry, why=why, by=sheet.by, now=sheet.now)
