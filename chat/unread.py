"""What somebody has not read yet."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import (
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce

from accounts.models import Role
from chat.models import Conversation, Event, Kind, Participant


def with_marks(conversations: QuerySet[Conversation], user: Any) -> QuerySet[Conversation]:
    """With ``read_seq``, how far ``user`` has read."""
    mine = Participant.objects.filter(conversation=OuterRef("pk"), user=user)
    return conversations.annotate(
        read_seq=Coalesce(Subquery(mine.values("read_seq")[:1]), 0, output_field=IntegerField())
    )


def _news(user: Any) -> QuerySet[Event]:
    """Messages beyond the mark of ``user`` that somebody else wrote. Notices are no messages: who
    books a visit need not be told of it by the header."""
    return Event.objects.filter(
        conversation=OuterRef("pk"), kind=Kind.MESSAGE, seq__gt=OuterRef("read_seq")
    ).exclude(sender=user)


def with_unread(conversations: QuerySet[Conversation], user: Any) -> QuerySet[Conversation]:
    """With ``read_seq`` and ``unread``, the number of messages not read."""
    counted = (
        _news(user).order_by().values("conversation").annotate(number=Count("seq")).values("number")
    )
    return with_marks(conversations, user).annotate(
        unread=Coalesce(Subquery(counted), 0, output_field=IntegerField())
    )


def unread_conversations(user: Any, now: datetime | None = None) -> int:
    """In how many conversations there is something new for ``user``, in one query.

    For reception only those count in which somebody waits for an answer: the desk shares its
    conversations, and what a colleague has answered is done.
    """
    mine = with_marks(Conversation.objects.visible_to(user, now), user)
    if user.role == Role.RECEPTION:
        mine = mine.filter(Q(doctor__isnull=False) | Q(waiting_since__isnull=False))
    return mine.filter(last_seq__gt=F("read_seq")).filter(Exists(_news(user))).count()
