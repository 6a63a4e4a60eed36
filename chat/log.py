"""The conversation's numbered log: messages, edits and deletions become events here.

Guarantee: an event has the number after the last one of its conversation, numbers have no holes,
and their order is the commit order, because the number is read and written under the
conversation's row lock, which is held to the commit. The same `client_id` of the same sender is the
same event: it gets the number it has, and a different content under it is a conflict. Whoever
calls acknowledges only what `append` returned, so only what was committed.

Many acts go into one transaction (group commit): each is accepted or refused on its own, and one
commit serves all. `append` is safe to repeat.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection
from django.db.models import Q, QuerySet

from accounts.models import User
from appointments.transactions import in_one_transaction
from chat.access import Member, Members, members_of
from chat.compiled import Compiled, as_moment, as_uuid
from chat.frames import CLOSED, CONFLICT, FORBIDDEN, NOT_FOUND, Delete, Edit, Send
from chat.models import Attachment, Conversation, Event, Kind

EDIT_WITHIN = timedelta(minutes=15)


@dataclass(frozen=True)
class Act:
    """Something ``sender`` (a user's primary key) wants to add to a conversation."""

    sender: int
    what: Send | Edit | Delete


@dataclass(frozen=True)
class Refused:
    """Why an act was not taken: an error code of the protocol and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True)
class Busy:
    """The conversation's row is locked by somebody else; try this act again, waiting for it."""


@dataclass(frozen=True)
class Entry:
    """An event as stored, with what a frame about it says and whom it concerns."""

    conversation: UUID
    conversation_id: int
    seq: int
    kind: str
    at: datetime
    sender_id: int | None = None
    sender: UUID | None = None
    name: str = ""
    client_id: str | None = None
    body: str = ""
    target: int | None = None
    reply_to: int | None = None
    attachment: dict[str, Any] | None = None
    # Everybody who takes part, for the fan-out; empty when the entry was read back from the log.
    audience: tuple[int, ...] = ()
    # Somebody of the clinic wrote it, as far as that is known.
    by_clinic: bool = False
    # Whether this call stored it; False when the same client_id had been stored before.
    is_new: bool = True

    def frame(self) -> dict[str, Any]:
        """The event object of the protocol, over the socket and over HTTP alike."""
        frame: dict[str, Any] = {
            "type": self.kind,
            "conversation": str(self.conversation),
            "seq": self.seq,
        }
        if self.client_id is not None:
            frame["client_id"] = self.client_id
        if self.sender is not None:
            frame["sender"] = str(self.sender)
            frame["name"] = self.name
        if self.target is not None:
            frame["target"] = self.target
        if self.kind != Kind.DELETED:
            frame["body"] = self.body
        frame["at"] = iso(self.at)
        if self.reply_to is not None:
            frame["reply_to"] = self.reply_to
        if self.attachment is not None:
            frame["attachment"] = self.attachment
        return frame


Outcome = Entry | Refused | Busy


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def attachment_frame(attachment: Attachment) -> dict[str, Any]:
    """What a frame says about a file: never where it is stored."""
    frame: dict[str, Any] = {
        "id": str(attachment.public_id),
        "name": attachment.name,
        "content_type": attachment.content_type,
        "size": attachment.size,
    }
    if attachment.width:
        frame |= {"width": attachment.width, "height": attachment.height}
    return frame


def append(acts: Sequence[Act], *, now: datetime, wait: bool = True) -> list[Outcome]:
    """Adds ``acts``, in their order, and says of each what became of it.

    ``wait=False`` answers `Busy` for conversations whose row somebody else holds, so that one slow
    conversation does not hold up the others of a batch.
    """
    try:
        return in_one_transaction(lambda: _append(acts, now, wait, is_known=False))
    except IntegrityError:
        # A client_id was stored before, here or in another conversation: now it is looked up, and
        # answered as the same event or the conflict it is.
        return in_one_transaction(lambda: _append(acts, now, wait, is_known=True))


@dataclass(slots=True)
class _Place:
    """A conversation whose row this transaction holds."""

    pk: int
    public_id: UUID
    last_seq: int
    is_closed: bool
    waiting_since: datetime | None
    has_changed: bool = False


@dataclass(slots=True)
class _Draft:
    """An event before it is stored; has the names of `Event`."""

    conversation_id: int
    seq: int
    sender_id: int
    client_id: str
    at: datetime
    kind: str = Kind.MESSAGE
    body: str = ""
    target: int | None = None
    reply_to: int | None = None
    attachment: Attachment | None = None


@dataclass
class _Batch:
    """What is known about the conversations of a batch while their rows are locked."""

    acts: Sequence[Act]
    places: dict[UUID, _Place]
    members: Members
    targets: dict[tuple[int, int], Event | _Draft]
    deleted: set[tuple[int, int]]
    attachments: dict[UUID, Attachment]
    # Events by sender and client_id: those of this batch, and once it is asked those stored before.
    known: dict[tuple[int, str], Event | _Draft] = field(default_factory=dict)
    is_known: bool = False
    events: list[_Draft] = field(default_factory=list)

    def find(self, act: Act) -> Event | _Draft | None:
        """The event that was stored for ``act`` before."""
        if not self.is_known:
            self.is_known = True
            for event in Event.objects.filter(
                sender__in={act.sender for act in self.acts},
                client_id__in={act.what.client_id for act in self.acts},
            ).select_related("attachment"):
                self.known.setdefault((event.sender_id or 0, event.client_id or ""), event)
        return self.known.get((act.sender, act.what.client_id))


def _append(acts: Sequence[Act], now: datetime, wait: bool, *, is_known: bool) -> list[Outcome]:
    """``is_known``: a client_id may have been stored before, so they are looked up.

    Almost none was. So without it they are looked up only before something is refused, and the
    database's own rule (`one_event_per_client_id`) tells the others: the transaction fails.
    """
    wanted = {act.what.conversation for act in acts}
    skip = not wait and connection.features.has_select_for_update_skip_locked
    places = _lock(list(wanted), now, skip)
    unlocked = wanted - set(places)
    busy = (
        set(Conversation.objects.filter(public_id__in=unlocked).values_list("public_id", flat=True))
        if skip and unlocked
        else set()
    )
    batch = _read(acts, places, now)
    outcomes: list[Outcome] = []
    for act in acts:
        if act.what.conversation in busy:
            outcomes.append(Busy())
            continue
        if is_known:
            batch.find(act)
        outcomes.append(_take(act, batch, now))
    _write(batch, now)
    return outcomes


def _locked(public_ids: Sequence[UUID], skip: bool) -> QuerySet[Any, Any]:
    return (
        Conversation.objects.select_for_update(skip_locked=skip)
        .filter(public_id__in=public_ids)
        .order_by("pk")
        .values_list("pk", "public_id", "last_seq", "closed_at", "waiting_since")
    )


_WAITING = Compiled(lambda keys, _: _locked(keys, False), kind=UUID)
_SKIPPING = Compiled(lambda keys, _: _locked(keys, True), kind=UUID)


def _lock(public_ids: Sequence[UUID], now: datetime, skip: bool) -> dict[UUID, _Place]:
    found = {}
    rows = (_SKIPPING if skip else _WAITING).rows(public_ids, now)
    for pk, public_id, last_seq, closed_at, waiting_since in rows:
        place = _Place(
            pk, as_uuid(public_id), last_seq, closed_at is not None, as_moment(waiting_since)
        )
        found[place.public_id] = place
    return found


def _read(acts: Sequence[Act], places: dict[UUID, _Place], now: datetime) -> _Batch:
    wanted: dict[int, set[int]] = defaultdict(set)
    files: set[UUID] = set()
    for act in acts:
        place = places.get(act.what.conversation)
        if place is None:
            continue
        if isinstance(act.what, Send):
            if act.what.reply_to is not None:
                wanted[place.pk].add(act.what.reply_to)
            if act.what.attachment is not None:
                files.add(act.what.attachment)
        else:
            wanted[place.pk].add(act.what.target)
    targets: dict[tuple[int, int], Event | _Draft] = {}
    deleted: set[tuple[int, int]] = set()
    if wanted:
        which = Q()
        for pk, seqs in wanted.items():
            which |= Q(conversation=pk) & (Q(seq__in=seqs) | Q(target__in=seqs, kind=Kind.DELETED))
        for event in Event.objects.filter(which):
            if event.kind == Kind.DELETED and event.target is not None:
                deleted.add((event.conversation_id, event.target))
            targets[event.conversation_id, event.seq] = event
    return _Batch(
        acts=acts,
        places=places,
        members=members_of([place.pk for place in places.values()], now),
        targets=targets,
        deleted=deleted,
        attachments={row.public_id: row for row in Attachment.objects.filter(public_id__in=files)}
        if files
        else {},
    )


def _take(act: Act, batch: _Batch, now: datetime) -> Outcome:
    """Accepts one act into the batch, or says why not."""
    what = act.what
    place = batch.places.get(what.conversation)
    member = batch.members[place.pk].get(act.sender) if place is not None else None
    if place is None or member is None:
        return Refused(NOT_FOUND, "There is no such conversation.")
    known = batch.known.get((act.sender, what.client_id))
    if known is not None:
        return _again(known, what, place, batch)
    event = _Draft(place.pk, place.last_seq + 1, act.sender, what.client_id, now)
    refusal = _fill(event, what, place, batch, now)
    if refusal is not None:
        # What was stored before is answered as such, whatever happened to its conversation since.
        known = batch.find(act)
        return refusal if known is None else _again(known, what, place, batch)
    place.last_seq = event.seq
    place.has_changed = True
    if event.kind == Kind.MESSAGE:
        if member.is_clinic:
            place.waiting_since = None
        elif place.waiting_since is None:
            place.waiting_since = now
    batch.events.append(event)
    batch.known[act.sender, what.client_id] = event
    batch.targets[place.pk, event.seq] = event
    return _entry(event, place, batch.members[place.pk])


def _fill(
    event: _Draft, what: Send | Edit | Delete, place: _Place, batch: _Batch, now: datetime
) -> Refused | None:
    if place.is_closed:
        return Refused(CLOSED, "This conversation is closed. Start it again to write.")
    if isinstance(what, Send):
        return _fill_message(event, what, batch)
    return _fill_change(event, what, batch, now)


def _fill_message(event: _Draft, what: Send, batch: _Batch) -> Refused | None:
    event.body = what.body
    if what.reply_to is not None:
        replied = batch.targets.get((event.conversation_id, what.reply_to))
        if replied is None or replied.kind not in {Kind.MESSAGE, Kind.NOTICE}:
            return Refused(NOT_FOUND, "The message you reply to is not in this conversation.")
        event.reply_to = what.reply_to
    if what.attachment is not None:
        file = batch.attachments.get(what.attachment)
        if (
            file is None
            or file.conversation_id != event.conversation_id
            or file.uploaded_by_id != event.sender_id
        ):
            return Refused(NOT_FOUND, "There is no such attachment in this conversation.")
        if file.sent_seq is not None:
            return Refused(CONFLICT, "This file was sent already. Upload it again to resend it.")
        file.sent_seq = event.seq
        event.attachment = file
    return None


def _fill_change(
    event: _Draft, what: Edit | Delete, batch: _Batch, now: datetime
) -> Refused | None:
    event.target = what.target
    event.kind = Kind.EDITED if isinstance(what, Edit) else Kind.DELETED
    event.body = what.body if isinstance(what, Edit) else ""
    place = (event.conversation_id, what.target)
    target = batch.targets.get(place)
    if target is None or target.kind != Kind.MESSAGE:
        return Refused(NOT_FOUND, "There is no such message in this conversation.")
    if target.sender_id != event.sender_id:
        return Refused(FORBIDDEN, "Only your own messages can be changed.")
    if place in batch.deleted:
        return Refused(CONFLICT, "This message was deleted already.")
    if isinstance(what, Edit) and now - target.at > EDIT_WITHIN:
        return Refused(FORBIDDEN, "A message can be changed for 15 minutes. Write a new one.")
    if isinstance(what, Delete):
        batch.deleted.add(place)
    return None


def _again(
    known: Event | _Draft, what: Send | Edit | Delete, own: _Place, batch: _Batch
) -> Outcome:
    """The answer to a ``client_id`` that was stored before: the same number, or a conflict."""
    same = known.conversation_id == own.pk and (
        (
            known.kind == Kind.MESSAGE
            and isinstance(what, Send)
            and known.body == what.body
            and known.reply_to == what.reply_to
            and (known.attachment.public_id if known.attachment else None) == what.attachment
        )
        or (
            known.kind == Kind.EDITED
            and isinstance(what, Edit)
            and (known.target, known.body) == (what.target, what.body)
        )
        or (known.kind == Kind.DELETED and isinstance(what, Delete) and known.target == what.target)
    )
    if not same:
        return Refused(CONFLICT, "This client_id was used for something else.")
    return _entry(known, own, batch.members[own.pk], is_new=isinstance(known, _Draft))


def _entry(
    event: Event | _Draft,
    conversation: Conversation | _Place,
    members: dict[int, Member],
    *,
    is_new: bool = True,
) -> Entry:
    member = members.get(event.sender_id or 0)
    return Entry(
        conversation=conversation.public_id,
        conversation_id=conversation.pk,
        seq=event.seq,
        kind=event.kind,
        at=event.at,
        sender_id=event.sender_id,
        sender=member.public_id if member else None,
        name=member.name if member else "",
        client_id=event.client_id,
        body=event.body,
        target=event.target,
        reply_to=event.reply_to,
        attachment=attachment_frame(event.attachment) if event.attachment else None,
        audience=tuple(members),
        by_clinic=member is not None and member.is_clinic,
        is_new=is_new,
    )


def _write(batch: _Batch, now: datetime) -> None:
    """Stores what the batch accepted, in two statements: a `bulk_create` and a `bulk_update` took
    most of a batch's time, since they build an expression for each row and column."""
    if not batch.events:
        return
    _insert(batch.events, now)
    _move_on([place for place in batch.places.values() if place.has_changed], now)
    sent = [event.attachment for event in batch.events if event.attachment is not None]
    if sent:
        Attachment.objects.bulk_update(sent, ["sent_seq"])


_COLUMNS = (
    *("conversation_id", "seq", "kind", "sender_id", "client_id", "body", "target", "reply_to"),
    *("attachment_id", "at"),
)


def _insert(events: Sequence[_Draft], now: datetime) -> None:
    quote = connection.ops.quote_name
    columns = ", ".join(quote(name) for name in _COLUMNS)
    row = f"({', '.join(['%s'] * len(_COLUMNS))})"
    at = connection.ops.adapt_datetimefield_value(now)
    values: list[Any] = []
    for event in events:
        attachment = event.attachment.pk if event.attachment else None
        values += (event.conversation_id, event.seq, str(event.kind), event.sender_id)
        values += (event.client_id, event.body, event.target, event.reply_to, attachment, at)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {quote(Event._meta.db_table)} ({columns}) "  # noqa: S608
            f"VALUES {', '.join([row] * len(events))}",
            values,
        )


def _move_on(places: Sequence[_Place], now: datetime) -> None:
    """The conversations' rows, which this transaction holds."""
    table = connection.ops.quote_name(Conversation._meta.db_table)
    adapt = connection.ops.adapt_datetimefield_value
    each = " ".join(["WHEN %s THEN %s"] * len(places))
    numbers = [value for place in places for value in (place.pk, place.last_seq)]
    since = [value for place in places for value in (place.pk, adapt(place.waiting_since))]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET last_event_at = %s, last_seq = CASE id {each} END, "  # noqa: S608
            f"waiting_since = CASE id {each} END WHERE id IN ({', '.join(['%s'] * len(places))})",
            [adapt(now), *numbers, *since, *(place.pk for place in places)],
        )


def notice(conversation: Conversation, body: str, *, now: datetime) -> Entry:
    """Adds a notice by the system. Call it inside a transaction; publish the entry after it."""
    row = Conversation.objects.select_for_update().get(pk=conversation.pk)
    row.last_seq += 1
    row.last_event_at = now
    event = Event(conversation=row, seq=row.last_seq, kind=Kind.NOTICE, body=body, at=now)
    event.save(force_insert=True)
    row.save(update_fields=["last_seq", "last_event_at"])
    return _entry(event, row, members_of([row.pk], now)[row.pk])


def read(
    conversation: Conversation, *, after: int, limit: int, before: int | None = None
) -> tuple[list[Entry], bool]:
    """Events with ``seq > after`` (and ``< before``), ascending, and whether there are more."""
    rows = Event.objects.filter(conversation=conversation, seq__gt=after)
    if before is not None:
        rows = rows.filter(seq__lt=before)
    events = list(rows.select_related("attachment").order_by("seq")[: limit + 1])
    return entries_of(events[:limit], {conversation.pk: conversation}), len(events) > limit


def entries_of(events: Sequence[Event], conversations: dict[int, Conversation]) -> list[Entry]:
    """Entries of stored events, with their senders' names as they are now, in one query."""
    senders = names_of({event.sender_id for event in events if event.sender_id})
    return [
        Entry(
            conversation=conversations[event.conversation_id].public_id,
            conversation_id=event.conversation_id,
            seq=event.seq,
            kind=event.kind,
            at=event.at,
            sender_id=event.sender_id,
            sender=senders[event.sender_id][0] if event.sender_id else None,
            name=senders[event.sender_id][1] if event.sender_id else "",
            client_id=event.client_id,
            body=event.body,
            target=event.target,
            reply_to=event.reply_to,
            attachment=attachment_frame(event.attachment) if event.attachment else None,
        )
        for event in events
    ]


def names_of(users: set[int]) -> dict[int, tuple[UUID, str]]:
    """``user → (public id, name as shown in conversations)``."""
    rows = User.objects.filter(pk__in=users).values_list(
        "pk", "public_id", "doctor__name", "chart__name", "name", "email"
    )
    return {
        pk: (public_id, f"Dr. {doctor}" if doctor else chart or name or email)
        for pk, public_id, doctor, chart, name, email in rows
    }
