"""The rows that make a time taken: one per 5 minutes, for the doctor and for the patient.

Called under the doctor's lock by the rules of `booking`. A grain that is taken makes the database
refuse (IntegrityError), whatever those rules believed.
"""

from __future__ import annotations

from datetime import datetime

from appointments.models import Appointment, DoctorHold, PatientHold, SlotHold
from appointments.slots import grain_at, grain_end


def take(visit: Appointment, now: datetime) -> None:
    """Inserts the visit's hold rows, in place of provisional ones that have expired."""
    start, end = grain_at(visit.starts_at), grain_end(visit.ends_at)
    occupied = grain_end(visit.occupied_until)
    DoctorHold.objects.filter(
        doctor=visit.doctor_id, grain__gte=start, grain__lt=occupied, held_until__lte=now
    ).delete()
    DoctorHold.objects.bulk_create(
        DoctorHold(doctor_id=visit.doctor_id, grain=grain, appointment=visit)
        for grain in range(start, occupied)
    )
    PatientHold.objects.bulk_create(
        PatientHold(patient_id=visit.patient_id, grain=grain, appointment=visit)
        for grain in range(start, end)
    )


def free(visit: Appointment) -> None:
    """Deletes the visit's hold rows, so that its time can be booked at once."""
    # By key range first: the clustered key finds the rows without the index of the foreign key.
    span = {"grain__gte": grain_at(visit.starts_at), "grain__lt": grain_end(visit.occupied_until)}
    DoctorHold.objects.filter(doctor=visit.doctor_id, appointment=visit, **span).delete()
    PatientHold.objects.filter(patient=visit.patient_id, appointment=visit, **span).delete()


def use_up_hold(token: str) -> set[int]:
    """Gives up what the caller kept, at whichever doctor; returns whose times that changed."""
    hold = SlotHold.objects.filter(token=token).first() if token else None
    if hold is None:
        return set()
    hold.doctor_holds.all().delete()
    hold.delete()
    return {hold.doctor_id}
