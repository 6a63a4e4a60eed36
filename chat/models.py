"""Conversations and their numbered logs.

Everything that happens in a conversation (a message, an edit, a deletion, a notice) is one `Event`
with the next number, so one cursor replays everything and a hole is visible. The number is given
under the conversation's row lock; the log's key `(conversation, seq)` is also its clustering order.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Patient, Role
from appointments.models import Appointment
from clinic.directory.models import Doctor, Hospital, HospitalStaff, ReplyTime


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def visible_to(self, user: Any, now: datetime | None = None) -> ConversationQuerySet:
        """Conversations ``user`` takes part in, by what they are (see `chat.access.members_of`)."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        charts = Patient.objects.messages_of(user, now).values("pk")
        added = Participant.objects.colleagues().filter(user=user).values("conversation_id")
        mine = Q(patient__in=charts) | Q(pk__in=added)
        if user.role == Role.DOCTOR:
            own = Doctor.objects.filter(user=user, withdrawn_at=None)
            mine |= Q(doctor__in=own.values("pk"))
        if user.role == Role.RECEPTION:
            posts = HospitalStaff.objects.filter(user=user).values("hospital_id")
            mine |= Q(doctor=None, hospital__in=posts)
        return self.filter(mine)


class Conversation(models.Model):
    """A patient's conversation with one doctor, or with a hospital's reception (no doctor).

    There is at most one for each pair, closed and reopened as needed. The row is the lock under
    which events are numbered.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="conversations")
    doctor = models.ForeignKey(
        Doctor, null=True, blank=True, on_delete=models.PROTECT, related_name="conversations"
    )
    hospital = models.ForeignKey(Hospital, on_delete=models.PROTECT, related_name="conversations")
    # "d<doctor>.<patient>" or "h<hospital>.<patient>": MySQL has no partial unique keys.
    pair = models.CharField(max_length=48, unique=True, editable=False)
    appointment = models.ForeignKey(
        Appointment, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    last_seq = models.PositiveIntegerField(default=0, editable=False)
    last_event_at = models.DateTimeField(default=timezone.now, editable=False)
    # The patient's oldest message that nobody of the clinic has answered yet.
    waiting_since = models.DateTimeField(null=True, blank=True, editable=False)
    # When the automatic answer outside office hours was last given.
    away_answer_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # A colleague who answers in the doctor's place since the conversation was handed over.
    handed_to = models.ForeignKey(
        Doctor, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = ConversationQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        indexes = [
            # Serves the list of a patient's conversations, newest first.
            models.Index(fields=["patient", "last_event_at"], name="conversations_by_patient"),
            # Serves a doctor's list.
            models.Index(fields=["doctor", "last_event_at"], name="conversations_by_doctor"),
            # Serves reception's list, and its questions that wait too long.
            models.Index(
                fields=["hospital", "doctor", "waiting_since"], name="conversations_by_waiting"
            ),
        ]

    def __str__(self) -> str:
        return str(self.public_id)

    @property
    def is_closed(self) -> bool:
        return self.closed_at is not None


class Attachment(models.Model):
    """A file sent in a conversation. Its bytes are in the uploads storage under a random name."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.PROTECT, related_name="attachments"
    )
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    name = models.CharField(max_length=120)  # as shown; never a path
    content_type = models.CharField(max_length=40)
    size = models.PositiveIntegerField()  # bytes
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    stored_as = models.CharField(max_length=80)
    thumbnail_as = models.CharField(max_length=80, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    # The message it was sent with; an upload that no message took is removed after a day.
    sent_seq = models.PositiveIntegerField(null=True)

    class Meta:
        indexes = [
            # Serves the removal of uploads that were never sent.
            models.Index(fields=["sent_seq", "created_at"], name="attachments_unsent"),
        ]

    def __str__(self) -> str:
        return self.name


class Kind(models.TextChoices):
    MESSAGE = "message", _("Message")
    EDITED = "edited", _("Edit")
    DELETED = "deleted", _("Deletion")
    NOTICE = "notice", _("Notice")


class Event(models.Model):
    """One numbered entry of a conversation's log; never changed or deleted."""

    pk = models.CompositePrimaryKey("conversation_id", "seq")
    conversation = models.ForeignKey(Conversation, on_delete=models.PROTECT, related_name="events")
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=8, choices=Kind.choices)
    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    client_id = models.CharField(max_length=36, null=True)  # noqa: DJ001  (unique where given)
    body = models.TextField(blank=True)
    target = models.PositiveIntegerField(null=True)  # edits and deletions: the message's seq
    reply_to = models.PositiveIntegerField(null=True)
    attachment = models.ForeignKey(Attachment, null=True, on_delete=models.PROTECT)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            # A message sent again by the same person is the same message.
            models.UniqueConstraint(fields=["sender", "client_id"], name="one_event_per_client_id"),
            models.CheckConstraint(
                condition=Q(kind="notice", client_id__isnull=True)
                | (~Q(kind="notice") & Q(client_id__isnull=False, sender__isnull=False)),
                name="people_send_with_client_ids",
            ),
        ]
        indexes = [
            # Serves the edits and deletions of the messages on a page.
            models.Index(fields=["conversation", "target"], name="events_by_target"),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id}/{self.seq}"


class ParticipantQuerySet(models.QuerySet["Participant"]):
    def colleagues(self) -> ParticipantQuerySet:
        """Rows that give the right to take part, now: of doctors who still work here."""
        return self.filter(
            added_at__isnull=False,
            removed_at__isnull=True,
            user__role=Role.DOCTOR,
            user__doctor__withdrawn_at__isnull=True,
        )


class Participant(models.Model):
    """How far somebody has got in a conversation; for a colleague also the right to take part.

    Patient, carers, the doctor and reception take part because of what they are
    (`chat.access`), so they have a row only for their marks.
    """

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="participants"
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    delivered_seq = models.PositiveIntegerField(default=0)
    read_seq = models.PositiveIntegerField(default=0)
    read_at = models.DateTimeField(null=True)
    # A colleague who was added or took the conversation over, and until when.
    added_at = models.DateTimeField(null=True)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    removed_at = models.DateTimeField(null=True)
    # Up to which message a mail about unread messages was sent.
    mailed_seq = models.PositiveIntegerField(default=0)

    objects = ParticipantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "user"], name="one_participant_row_per_person"
            ),
            models.CheckConstraint(
                condition=Q(removed_at=None) | Q(removed_at__gte=F("added_at")),
                name="colleague_removed_after_added",
            ),
        ]
        # Serves the conversations a colleague was added to.
        indexes = [models.Index(fields=["user", "removed_at"], name="conversations_by_colleague")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.conversation_id}"


class ChatSettings(models.Model):
    """What a doctor decides about messages: "Seen", when to expect an answer, absence, cover."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="+"
    )
    show_seen = models.BooleanField(_("show when I have seen a message"), default=True)
    # None: as the hospital says.
    reply_days = models.PositiveSmallIntegerField(
        _("messages are answered within"), choices=ReplyTime, null=True, blank=True
    )
    away_from = models.DateField(_("away from"), null=True, blank=True)
    away_until = models.DateField(_("back on"), null=True, blank=True)
    cover = models.ForeignKey(
        Doctor,
        verbose_name=_("who covers for me"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    def __str__(self) -> str:
        return f"{self.user_id}"


class Epoch(models.Model):
    """One row whose value changes when the database is restored: clients drop their cursors."""

    value = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.value
