"""Whose record somebody may read, and whose a doctor may write. Nothing else decides it.

`CareRelation` decides for doctors: a visit, from its booking to 12 months after it; an open
conversation; a colleague's referral to which the patient agreed; emergency access for 60 minutes.
Patients read their own record, carers the one they were given the right to. Reception, directory
managers and administrators read no record at all.

Every queryset of this app is reached through `visible_to`, which asks here, so a forgotten check
means no row: pages, lists and searches of the admin, exports and files.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from accounts.models import Patient, PatientQuerySet
from appointments.care import patients_of

TO_FINISH = timedelta(hours=24)


def treated_by(user: Any, now: datetime) -> PatientQuerySet:
    """Charts that ``user`` may open and write in as a doctor."""
    return Patient.objects.current().filter(pk__in=patients_of(user, now))


def treated_lately(user: Any, now: datetime) -> PatientQuerySet:
    """Charts that ``user`` opens as a doctor, or did until `TO_FINISH` ago.

    Own drafts there can be finished, so that a treatment is not left undocumented because an
    emergency access or a visit ended meanwhile. Nothing else of the record is shown for it.
    """
    return Patient.objects.current().filter(pk__in=patients_of(user, now, ended_within=TO_FINISH))


def own_records(user: Any, now: datetime) -> PatientQuerySet:
    """Charts whose record ``user`` may read as the patient, or as a carer with that right."""
    return Patient.objects.record_of(user, now).current()


def readable_by(user: Any, now: datetime) -> PatientQuerySet:
    """Charts whose record ``user`` may read, for whichever reason."""
    return Patient.objects.filter(
        pk__in=treated_by(user, now).values("pk").union(own_records(user, now).values("pk"))
    )
