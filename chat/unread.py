"""Somebody's conversations, and what they have not read in them yet.

`Conversation.objects.visible_to` decides about one conversation, found by its id. Here all of
somebody's are looked up, on every page for the header: each way of taking part is a look-up of its
own by an index, since a database reads the whole table for conditions joined by OR. A test holds
both to the same answer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import Role
from chat.models import Conversation, Event, Kind, Participant


def ways_in(user: Any, now: datetime) -> list[QuerySet[Conversation]]:
    """The conversations ``user`` takes part in, by the way they do; some may come twice."""
    every = Conversation.objects.all()
    running = Q(patient__carers__until=None) | Q(patient__carers__until__gt=now)
    ways: list[QuerySet[Conversation]] = [
        every.filter(patient__account=user),
        every.filter(
            running,
            patient__carers__user=user,
            patient__carers__since__lte=now,
            patient__carers__may_message=True,
        ),
    ]
    if user.role == Role.DOCTOR:
        ways.append(
            every.filter(
                participants__user=user,
                participants__user__doctor__withdrawn_at__isnull=True,
                participants__added_at__isnull=False,
                participants__removed_at__isnull=True,
            )
        )
        ways.append(every.filter(doctor__user=user, doctor__withdrawn_at=None))
    if user.role == Role.RECEPTION:
        ways.append(every.filter(doctor=None, hospital__staff__user=user))
    return ways


def ids_of(user: Any, now: datetime) -> QuerySet[Any]:
    """Primary keys of all conversations of ``user``, the newest first."""
    ways = [way.order_by().values("pk", "last_event_at") for way in ways_in(user, now)]
    return ways[0].union(*ways[1:]).order_by("-last_event_at", "-pk")


def heads_for(user: Any, now: datetime, *, most: int) -> dict[str, int]:
    """The last numbers of the newest ``most`` conversations of ``user``, by their public ids."""
    keys = [row["pk"] for row in ids_of(user, now)[:most]]
    found = Conversation.objects.filter(pk__in=keys).order_by("-last_event_at", "-pk")
    return {str(public_id): seq for public_id, seq in found.values_list("public_id", "last_seq")}


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
    ways: list[QuerySet[Conversation]] = [
        with_marks(way, user)
        .filter(last_seq__gt=F("read_seq"))
        .filter(Exists(_news(user)))
        .order_by()
        for way in ways_in(user, now or timezone.now())
    ]
    if user.role == Role.RECEPTION:
        ways[-1] = ways[-1].filter(waiting_since__isnull=False)
    found = [way.values("pk") for way in ways]
    return found[0].union(*found[1:]).count()
