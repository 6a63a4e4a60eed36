"""What a patient takes, and what doctors here prescribe."""

from __future__ import annotations

from datetime import date, datetime

from django.utils.translation import gettext as _

from accounts.audit import record
from accounts.models import Patient, User
from clinic.directory.text import fold
from records.allergies import active_allergies
from records.matching import matching
from records.models import Encounter, Medication, MedicationStatus, Prescription
from records.refusals import AllergyMatch, AlreadyRecorded, NoLongerActive, NotPossible
from records.writing import SENT_TWICE, doctor_of, encounter_or_none, entry_in, in_chart, words

NAME_LENGTH = 300
DOSE_LENGTH = 300
QUANTITY_LENGTH = 60
WHY_LENGTH = 200
DESPITE_LENGTH = 300
MOST_REFILLS = 12  # a year of monthly ones; for many drugs the law allows fewer
CURRENT = (MedicationStatus.ACTIVE, MedicationStatus.ON_HOLD)


def add_medication(
    *,
    patient: Patient,
    name: str,
    dose: str = "",
    started_on: date | None = None,
    encounter: Encounter | None = None,
    by: User,
    now: datetime,
) -> Medication:
    """Records what the patient takes without a prescription of ours; raises `AlreadyRecorded`."""

    def work(chart: Patient) -> Medication:
        doctor_of(by)
        what = words(name, NAME_LENGTH, field="name", required=_("Say what the patient takes."))
        if started_on and started_on > now.date():
            raise NotPossible(
                _("This lies in the future. Enter when it was begun."), field="started_on"
            )
        taken = Medication.objects.filter(patient=chart, status__in=CURRENT).standing()
        if any(fold(other.name) == fold(what) for other in taken):
            raise AlreadyRecorded(what)
        medication = Medication.objects.create(
            patient=chart,
            name=what,
            dose=words(dose, DOSE_LENGTH, field="dose"),
            started_on=started_on,
            encounter=encounter_or_none(chart, encounter),
            recorded_by=by,
            recorded_at=now,
        )
        record("medication.added", actor=by, patient=chart, subject=medication, now=now)
        return medication

    return in_chart(work, action="medication.added", patient=patient, by=by, now=now)


def stop_medication(*, medication: Medication, why: str, by: User, now: datetime) -> Medication:
    """The patient takes it no longer; raises `NoLongerActive`."""

    def work(chart: Patient) -> Medication:
        found = entry_in(chart, medication)
        if found.is_retracted or found.status not in CURRENT:
            raise NoLongerActive
        found.status, found.ended_on = MedicationStatus.STOPPED, now.date()
        found.stopped_why = words(why, WHY_LENGTH, field="why")
        found.save(update_fields=["status", "ended_on", "stopped_why"])
        record("medication.stopped", actor=by, patient=chart, subject=found, now=now)
        return found

    return in_chart(
        work,
        action="medication.stopped",
        patient=medication.patient,
        by=by,
        now=now,
        subject=medication,
    )


def prescribe(
    *,
    patient: Patient,
    name: str,
    dose: str,
    quantity: str,
    refills: int,
    encounter: Encounter | None = None,
    despite_allergy: str = "",
    by: User,
    now: datetime,
) -> Prescription:
    """Issues a prescription. The same one sent twice within minutes is one.

    Raises `AllergyMatch` when it may be what the patient is allergic to (`records.matching`) and
    ``despite_allergy`` gives no reason.
    """

    def work(chart: Patient) -> Prescription:
        doctor = doctor_of(by)
        facts = {
            "name": words(name, NAME_LENGTH, field="name", required=_("Say what you prescribe.")),
            "dose": words(
                dose, DOSE_LENGTH, field="dose", required=_("Say how it is to be taken.")
            ),
            "quantity": words(
                quantity, QUANTITY_LENGTH, field="quantity", required=_("Say how much to give out.")
            ),
            "refills": refills,
        }
        if not 0 <= refills <= MOST_REFILLS:
            raise NotPossible(
                _("Choose between 0 and %(most)d refills.") % {"most": MOST_REFILLS},
                field="refills",
            )
        reason = words(despite_allergy, DESPITE_LENGTH, field="despite_allergy")
        found = matching(str(facts["name"]), active_allergies(chart))
        if found and not reason:
            raise AllergyMatch(found)
        again = Prescription.objects.filter(
            patient=chart, doctor=doctor, issued_at__gt=now - SENT_TWICE, **facts
        )
        same = again.filter(status=MedicationStatus.ACTIVE).standing().first()
        if same is not None:
            return same
        prescription = Prescription.objects.create(
            patient=chart,
            doctor=doctor,
            issued_at=now,
            despite_allergy=reason if found else "",
            encounter=encounter_or_none(chart, encounter),
            recorded_by=by,
            recorded_at=now,
            **facts,
        )
        record("prescription.issued", actor=by, patient=chart, subject=prescription, now=now)
        return prescription

    return in_chart(work, action="prescription.issued", patient=patient, by=by, now=now)


def stop_prescription(
    *, prescription: Prescription, why: str, by: User, now: datetime
) -> Prescription:
    """Ends a prescription, also a colleague's; raises `NoLongerActive`."""

    def work(chart: Patient) -> Prescription:
        found = entry_in(chart, prescription)
        if found.is_retracted or found.status not in CURRENT:
            raise NoLongerActive
        found.status = MedicationStatus.STOPPED
        found.stopped_why = words(
            why, WHY_LENGTH, field="why", required=_("Say why it is stopped.")
        )
        found.save(update_fields=["status", "stopped_why"])
        record("prescription.stopped", actor=by, patient=chart, subject=found, now=now)
        return found

    return in_chart(
        work,
        action="prescription.stopped",
        patient=prescription.patient,
        by=by,
        now=now,
        subject=prescription,
    )
