"""Colleagues in a conversation: added, removed, and a conversation handed over.

Guarantee: everybody in the conversation sees it happen as a notice, and it grants this conversation
alone: a colleague gets no care relation, so neither the record nor other conversations.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.audit import record
from accounts.models import User
from chat.access import Member, Part
from chat.announcing import after_commit, look_again_after_commit
from chat.log import Entry, notice
from chat.models import Conversation, Participant
from chat.opening import member_of
from chat.refusals import NoColleague, NotForPatients
from clinic.directory.models import Doctor


def possible_colleagues(conversation: Conversation) -> QuerySet[Doctor]:
    """Doctors with an account who offer visits at the conversation's hospital."""
    return (
        Doctor.objects.public()
        .filter(
            user__is_active=True,
            services__hospital=conversation.hospital_id,
            services__is_active=True,
        )
        .exclude(pk=conversation.doctor_id or 0)
        .distinct()
        .order_by("name", "pk")
    )


def add_colleague(*, conversation: Conversation, doctor: Doctor, by: User, now: datetime) -> None:
    """Lets ``doctor`` read and write here. Raises `NotForPatients`, `NoColleague`."""
    member = _of_the_clinic(conversation, by, now)
    with transaction.atomic():
        row = Conversation.objects.select_for_update().get(pk=conversation.pk)
        if _give_access(row, doctor, by, now):
            words = {"name": member.name, "colleague": doctor.display_name}
            after_commit(
                notice(
                    row, _("%(name)s added %(colleague)s to this conversation.") % words, now=now
                )
            )


def hand_over(*, conversation: Conversation, doctor: Doctor, by: User, now: datetime) -> None:
    """``doctor`` answers from now on. Raises `NotForPatients`, `NoColleague`."""
    member = _of_the_clinic(conversation, by, now)
    with transaction.atomic():
        row = Conversation.objects.select_for_update().get(pk=conversation.pk)
        _give_access(row, doctor, by, now)
        if row.handed_to_id == doctor.pk:
            return
        row.handed_to = doctor
        row.save(update_fields=["handed_to"])
        words = {"name": member.name, "colleague": doctor.display_name}
        after_commit(
            notice(
                row,
                _("%(name)s handed this conversation over. %(colleague)s answers from now on.")
                % words,
                now=now,
            )
        )
        _record("conversation.hand_over", row, doctor, by, now)


def remove_colleague(*, conversation: Conversation, user: User, by: User, now: datetime) -> None:
    """Ends a colleague's part at once; colleagues may also leave by themselves."""
    member = _of_the_clinic(conversation, by, now)
    with transaction.atomic():
        row = Conversation.objects.select_for_update().get(pk=conversation.pk)
        colleague = member_of(row, user, now)
        ended = (
            Participant.objects.colleagues()
            .filter(conversation=row, user=user)
            .update(removed_at=now)
        )
        if not ended:
            raise NoColleague(_("This person is not here as a colleague."))
        doctor = Doctor.objects.filter(user=user).first()
        if doctor is not None and row.handed_to_id == doctor.pk:
            row.handed_to = None
            row.save(update_fields=["handed_to"])
        words = {"name": member.name, "colleague": colleague.name}
        sentence = (
            _("%(name)s left this conversation.")
            if user.pk == by.pk
            else _("%(name)s removed %(colleague)s from this conversation.")
        )
        after_commit(notice(row, sentence % words, now=now))
        _record("conversation.colleague_removed", row, doctor, by, now)
        look_again_after_commit([user.pk])


def let_cover(row: Conversation, cover: Doctor, now: datetime) -> Entry | None:
    """Lets ``cover`` answer for a doctor who is away; a notice when that is new.

    Call it inside a transaction that holds the conversation's row; publish the entry after it.
    """
    if not _give_access(row, cover, None, now):
        return None
    return notice(
        row, _("%(name)s covers and can answer here.") % {"name": cover.display_name}, now=now
    )


def _of_the_clinic(conversation: Conversation, by: User, now: datetime) -> Member:
    member = member_of(conversation, by, now)
    if not member.is_clinic:
        raise NotForPatients
    return member


def _give_access(row: Conversation, doctor: Doctor, by: User | None, now: datetime) -> bool:
    """Whether ``doctor`` is now a colleague here and was not before."""
    if doctor.pk == row.doctor_id:
        raise NoColleague(_("This is the doctor of the conversation already."))
    user = doctor.user
    if user is None or not user.is_active or not doctor.is_public:
        raise NoColleague(
            _("%(name)s cannot read messages here. Choose somebody else.")
            % {"name": doctor.display_name}
        )
    mine, _made = Participant.objects.get_or_create(conversation=row, user=user)
    if mine.added_at is not None and mine.removed_at is None:
        return False
    mine.added_at, mine.added_by, mine.removed_at = now, by, None
    mine.save(update_fields=["added_at", "added_by", "removed_at"])
    _record("conversation.colleague_added", row, doctor, by, now)
    look_again_after_commit([user.pk])
    return True


def _record(
    action: str, row: Conversation, doctor: Doctor | None, by: User | None, now: datetime
) -> None:
    detail = doctor.slug if doctor else Part.COLLEAGUE
    record(action, actor=by, patient=row.patient, subject=row, detail=detail, now=now)
