"""Who takes part in a conversation. Nobody is in one because of a row alone, except colleagues.

Patient and carers, the doctor, and the hospital's reception (in a conversation with the clinic) are
members because of what they are, looked up anew; so a carer whose right ended, or an account that
was disabled, is out at the next look. `Conversation.objects.visible_to(user)` asks the same from
the other side; a test holds both to the same answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from accounts.models import Carer, Role
from chat.models import Conversation, Participant
from clinic.directory.models import HospitalStaff


class Part(StrEnum):
    """In which role somebody takes part."""

    PATIENT = "patient"
    CARER = "carer"
    DOCTOR = "doctor"
    COLLEAGUE = "colleague"
    RECEPTION = "reception"


CLINIC_PARTS = {Part.DOCTOR, Part.COLLEAGUE, Part.RECEPTION}


@dataclass(frozen=True)
class Member:
    user_id: int
    public_id: UUID
    name: str
    part: Part

    @property
    def is_clinic(self) -> bool:
        return self.part in CLINIC_PARTS


Members = dict[int, dict[int, Member]]  # conversation → user → member

_USER = ("user_id", "user__public_id", "user__name", "user__email")


def members_of(conversations: Iterable[int], now: datetime) -> Members:
    """Everybody who takes part in each conversation, by primary keys, in four queries."""
    found: Members = {pk: {} for pk in conversations}
    by_patient: dict[int, list[int]] = defaultdict(list)
    by_hospital: dict[int, list[int]] = defaultdict(list)

    def add(conversation: int, user: int, public_id: UUID, name: str, part: Part) -> None:
        # The first part somebody has counts: a patient who is also a carer is the patient.
        found[conversation].setdefault(user, Member(user, public_id, name, part))

    for row in Conversation.objects.filter(pk__in=list(found)).values(
        "pk",
        "patient_id",
        "hospital_id",
        "doctor_id",
        "doctor__name",
        "doctor__user_id",
        "doctor__user__public_id",
        "doctor__user__is_active",
        "doctor__user__role",
        "doctor__withdrawn_at",
        "patient__name",
        "patient__account_id",
        "patient__account__public_id",
        "patient__account__is_active",
    ):
        by_patient[row["patient_id"]].append(row["pk"])
        if row["patient__account__is_active"]:
            add(
                row["pk"],
                row["patient__account_id"],
                row["patient__account__public_id"],
                row["patient__name"],
                Part.PATIENT,
            )
        if not row["doctor_id"]:
            by_hospital[row["hospital_id"]].append(row["pk"])
        elif (
            row["doctor__user__is_active"]
            and row["doctor__user__role"] == Role.DOCTOR
            and row["doctor__withdrawn_at"] is None
        ):
            add(
                row["pk"],
                row["doctor__user_id"],
                row["doctor__user__public_id"],
                f"Dr. {row['doctor__name']}",
                Part.DOCTOR,
            )
    carers = Carer.objects.running(now).filter(
        patient__in=list(by_patient), user__is_active=True, may_message=True
    )
    for patient, user, public_id, name, email in carers.values_list("patient_id", *_USER):
        for conversation in by_patient[patient]:
            add(conversation, user, public_id, name or email, Part.CARER)
    colleagues = Participant.objects.colleagues().filter(
        conversation__in=list(found), user__is_active=True
    )
    for conversation, doctor, user, public_id, name, email in colleagues.values_list(
        "conversation_id", "user__doctor__name", *_USER
    ):
        shown = f"Dr. {doctor}" if doctor else name or email
        add(conversation, user, public_id, shown, Part.COLLEAGUE)
    if by_hospital:
        staff = HospitalStaff.objects.filter(
            hospital__in=list(by_hospital), user__is_active=True, user__role=Role.RECEPTION
        )
        for hospital, user, public_id, name, email in staff.values_list("hospital_id", *_USER):
            for conversation in by_hospital[hospital]:
                add(conversation, user, public_id, name or email, Part.RECEPTION)
    return found
