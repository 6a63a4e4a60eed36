"""Who takes part in a conversation. Nobody is in one because of a row alone, except colleagues.

Patient and carers, the doctor, and the hospital's reception (in a conversation with the clinic) are
members because of what they are, looked up anew; so a carer whose right ended, or an account that
was disabled, is out at the next look. `Conversation.objects.visible_to(user)` asks the same from
the other side; a test holds both to the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce

from accounts.models import Carer, Role
from chat.compiled import Compiled, as_uuid
from chat.models import Conversation, Participant
from clinic.directory.models import HospitalStaff


class Part(StrEnum):
    """In which role somebody takes part; who has several parts has the first of these."""

    PATIENT = "patient"
    DOCTOR = "doctor"
    CARER = "carer"
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


def members_of(conversations: Iterable[int], now: datetime) -> Members:
    """Everybody who takes part in each conversation, by primary keys, in one query."""
    found: Members = {pk: {} for pk in conversations}
    rows = [(_RANKS[row[0]], *row[1:]) for row in _MEMBERS.rows(list(found), now)]
    # The first part somebody has counts: a patient who is also a carer is the patient.
    rows.sort(key=itemgetter(0))
    for rank, conversation, user, public_id, doctor, name, email in rows:
        members = found[conversation]
        if user not in members:
            shown = f"Dr. {doctor}" if doctor else name or email
            members[user] = Member(user, as_uuid(public_id), shown, _PARTS[rank])
    return found


_PARTS = tuple(Part)
_RANKS = {str(part): rank for rank, part in enumerate(_PARTS)}


def _members(pks: Sequence[int], now: datetime) -> QuerySet[Any, Any]:
    """One part after the other: part, conversation, user, public id, doctor, name, e-mail."""
    rows = Conversation.objects.filter(pk__in=pks)
    nobody = Value("")
    patients = rows.filter(patient__account__is_active=True).values_list(
        *(Value(str(Part.PATIENT)), "pk", "patient__account", "patient__account__public_id"),
        *(nobody, "patient__name", nobody),
    )
    doctors = rows.filter(
        doctor__user__is_active=True,
        doctor__user__role=Role.DOCTOR,
        doctor__withdrawn_at=None,
    ).values_list(
        *(Value(str(Part.DOCTOR)), "pk", "doctor__user", "doctor__user__public_id"),
        *("doctor__name", nobody, nobody),
    )
    carers = (
        Carer.objects.running(now)
        .filter(patient__conversations__in=pks, user__is_active=True, may_message=True)
        .values_list(
            *(Value(str(Part.CARER)), "patient__conversations", "user", "user__public_id"),
            *(nobody, "user__name", "user__email"),
        )
    )
    colleagues = (
        Participant.objects.colleagues()
        .filter(conversation__in=pks, user__is_active=True)
        .values_list(
            *(Value(str(Part.COLLEAGUE)), "conversation", "user", "user__public_id"),
            *(Coalesce("user__doctor__name", nobody), "user__name", "user__email"),
        )
    )
    staff = HospitalStaff.objects.filter(
        hospital__conversations__in=pks,
        hospital__conversations__doctor=None,
        user__is_active=True,
        user__role=Role.RECEPTION,
    ).values_list(
        *(Value(str(Part.RECEPTION)), "hospital__conversations", "user", "user__public_id"),
        *(nobody, "user__name", "user__email"),
    )
    return patients.union(doctors, carers, colleagues, staff, all=True)


_MEMBERS = Compiled(_members)
