"""What signing up as a doctor makes besides the account.

Guarantee: a new doctor is neither shown nor bookable before staff approve (`approval.approve`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.audit import record
from accounts.models import User
from clinic.directory.models import Doctor, Specialty, add_doctor
from clinic.directory.slugs import free_slug


def add_waiting_doctor(
    *,
    user: User,
    npi: str,
    credentials: str,
    specialties: Iterable[Specialty],
    now: datetime,
) -> Doctor:
    """Makes the page of a doctor that waits for approval.

    An NPI that a doctor here has already is not stored a second time but noted for staff: the form
    must not tell who works here, and who of the two is right is for staff to find out.
    """
    with transaction.atomic():
        try:
            doctor, taken = _add(user, npi, credentials)
        except IntegrityError:  # somebody took the NPI or the address of the page a moment ago
            doctor, taken = _add(user, npi, credentials)
        doctor.specialties.set(specialties)
        record(
            "doctor.signed_up",
            actor=user,
            subject=doctor,
            detail="gave the NPI of another doctor" if taken else "",
            now=now,
        )
    return doctor


def _add(user: User, npi: str, credentials: str) -> tuple[Doctor, bool]:
    taken = Doctor.objects.filter(npi=npi).exists()
    with transaction.atomic():
        doctor = add_doctor(
            user=user,
            name=user.name,
            slug=free_slug(Doctor, user.name),
            npi=None if taken else npi,
            credentials=credentials,
        )
    return doctor, taken
