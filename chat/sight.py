"""Who is at a socket and what they may see, read for many people in few queries.

`chat.access.members_of` says who takes part in given conversations; here the question is the other
way round, for all users with a socket on a server. A test holds both to the same answer.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db.models import Value
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts import second_factor, sessions
from accounts.ids import uuid7
from accounts.models import Carer, Patient, Role, SignIn, User
from chat.access import Member, members_of
from chat.compiled import Compiled, as_moment, as_uuid
from chat.models import ChatSettings, Conversation, Epoch, Participant
from chat.presence import Peer
from clinic.directory.models import Doctor, HospitalStaff

# Conversations of one user that `welcome` and `pong` name, newest first. Reception and busy doctors
# have thousands; a conversation in which something happens is among the newest.
MOST_NAMED = 300
TOGETHER = 64  # keys of one query


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody signed in, and what must stay as it is for the socket to stay open."""

    user_id: int
    public_id: UUID
    session_key: str
    role: str
    password_digest: str
    sign_in: UUID | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A conversation as a position in its log."""

    pk: int
    public_id: UUID
    last_seq: int


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def identify(session_keys: Sequence[str | None]) -> list[Identity | None]:
    """Who is signed in with each session key; None for nobody.

    Sessions are read from the database and not from their cache, so that one that was ended is
    ended here too, and nothing is written: to open a socket is no activity.
    """
    now = timezone.now()
    wanted = {key for key in session_keys if key}
    rows = Session.objects.filter(session_key__in=wanted, expire_date__gt=now)
    data: dict[str, dict[str, Any]] = {row.session_key: row.get_decoded() for row in rows}
    pks: dict[str, int] = {}
    for key, values in data.items():
        if values.get(BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS:
            with suppress(ValidationError):  # a session of something else
                pks[key] = User._meta.pk.to_python(values.get(SESSION_KEY))
    users = User.objects.in_bulk(set(pks.values()))
    carried = {key: sessions.sign_in_id(values) for key, values in data.items()}
    sign_ins = _sign_ins(carried.values())
    found: dict[str, Identity] = {}
    for key, pk in pks.items():
        user = users.get(pk)
        if user is None or not user.is_active:
            continue
        given = data[key].get(HASH_SESSION_KEY) or ""
        hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
        if not any(constant_time_compare(given, known) for known in hashes):
            continue
        who = Identity(
            user.pk, user.public_id, key, user.role, _digest(user.password), carried[key]
        )
        if _why_over(who, sign_ins, user.role, user.is_staff, now) is None and (
            second_factor.need_of(data[key], user) == second_factor.Need.NOTHING
        ):
            found[key] = who
    return [found.get(key) if key else None for key in session_keys]


def _sign_ins(public_ids: Iterable[UUID | None]) -> dict[UUID, SignIn]:
    wanted = {public_id for public_id in public_ids if public_id}
    return {row.public_id: row for row in SignIn.objects.filter(public_id__in=wanted)}


def note_activity(sign_in: UUID, *, now: datetime) -> None:
    """Stores that a person has just written over a socket, so that the session does not count as
    idle meanwhile. An ended sign-in stays ended."""
    row = SignIn.objects.filter(public_id=sign_in).first()
    if row is not None:
        sessions.note_activity(row, now=now)


def _why_over(
    who: Identity, sign_ins: dict[UUID, SignIn], role: str, is_staff: bool, now: datetime
) -> sessions.Over | None:
    row = sign_ins.get(who.sign_in) if who.sign_in else None
    if row is not None and row.user_id != who.user_id:
        row = None
    return sessions.why_over(
        row, carried=who.sign_in is not None, role=role, is_staff=is_staff, now=now
    )


_SESSIONS = Compiled(
    lambda keys, now: Session.objects.filter(session_key__in=keys, expire_date__gt=now).values_list(
        "session_key"
    ),
    kind=str,
)
_ACTIVE = Compiled(
    lambda keys, now: User.objects.filter(pk__in=keys, is_active=True).values_list(
        "pk", "role", "is_staff", "password"
    )
)


def still_valid(identities: Iterable[Identity]) -> dict[Identity, str]:
    """Of each identity: "" while it holds, "signed_out" or "role" when it no longer does."""
    asked = list(identities)
    now = timezone.now()
    alive = {key for (key,) in _SESSIONS.rows([who.session_key for who in asked], now)}
    users = {
        pk: (role, bool(is_staff), _digest(password))
        for pk, role, is_staff, password in _ACTIVE.rows(list({who.user_id for who in asked}), now)
    }
    sign_ins = _sign_ins(who.sign_in for who in asked)
    found = {}
    for who in asked:
        role, is_staff, digest = users.get(who.user_id, ("", False, ""))
        over = _why_over(who, sign_ins, role, is_staff, now)
        if who.session_key not in alive or digest != who.password_digest:
            found[who] = "signed_out"
        elif role != who.role or over == sessions.Over.ROLE:
            found[who] = "role"
        else:
            found[who] = "signed_out" if over is not None else ""
    return found


# Of each way to take part: what it is by, that one's key, and the user.
_WAYS = Compiled(
    lambda users, now: (
        Patient.objects.filter(account__in=users, account__is_active=True)
        .values_list(Value("patient"), "pk", "account")
        .union(
            Carer.objects.running(now)
            .filter(user__in=users, user__is_active=True, may_message=True)
            .values_list(Value("patient"), "patient", "user"),
            Doctor.objects.filter(
                user__in=users, user__is_active=True, user__role=Role.DOCTOR, withdrawn_at=None
            ).values_list(Value("doctor"), "pk", "user"),
            HospitalStaff.objects.filter(
                user__in=users, user__is_active=True, user__role=Role.RECEPTION
            ).values_list(Value("hospital"), "hospital", "user"),
            Participant.objects.colleagues()
            .filter(user__in=users, user__is_active=True)
            .values_list(Value("conversation"), "conversation", "user"),
            all=True,
        )
    )
)


def _newest(column: str, **also: Any) -> Compiled:
    return Compiled(
        lambda keys, now: (
            Conversation.objects.filter(**{f"{column}__in": keys}, **also)
            .order_by("-last_event_at")
            .values_list("pk", "public_id", "last_seq", "last_event_at", column)[
                : MOST_NAMED * len(keys)
            ]
        )
    )


# One query for each way to take part: a single one with OR could use no index.
_NEWEST = {
    "patient": _newest("patient"),
    "doctor": _newest("doctor"),
    "hospital": _newest("hospital", doctor=None),
    "conversation": _newest("pk"),
}


def _newest_of(way: str, keys: list[int], now: datetime) -> list[tuple[Any, ...]]:
    """The newest conversations of each key. Asked together, one with very many could crowd out the
    others; then each is asked alone."""
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(keys), TOGETHER):
        some = keys[start : start + TOGETHER]
        rows = list(_NEWEST[way].rows(some, now))
        if len(some) > 1 and len(rows) >= MOST_NAMED * len(some):
            rows = [row for key in some for row in _NEWEST[way].rows([key], now)]
        found += rows
    return found


def places_of(users: Collection[int], now: datetime) -> dict[int, list[Place]]:
    """The conversations each user takes part in, newest first, at most `MOST_NAMED` of each."""
    ways: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for way, key, user in _WAYS.rows(list(users), now):
        ways[way][key].add(user)
    found: dict[int, dict[int, tuple[datetime, Place]]] = {pk: {} for pk in users}
    for way, people in ways.items():
        for pk, public_id, last_seq, at, key in _newest_of(way, list(people), now):
            place = Place(pk, as_uuid(public_id), last_seq)
            for user in people[key]:
                found[user][pk] = (as_moment(at) or now, place)
    return {
        user: [place for _, place in sorted(rows.values(), key=_newest_first)[:MOST_NAMED]]
        for user, rows in found.items()
    }


def _newest_first(row: tuple[datetime, Place]) -> tuple[float, int]:
    return (-row[0].timestamp(), -row[1].pk)


_HEADS = Compiled(
    lambda keys, _: Conversation.objects.filter(pk__in=keys).values_list("pk", "last_seq")
)


def heads_of(pks: Collection[int]) -> dict[int, int]:
    """The last number of each conversation."""
    return dict(_HEADS.rows(list(pks), timezone.now()))


def heads_of_each(asked: Sequence[frozenset[int]]) -> list[dict[int, int]]:
    """The same of several questions at once."""
    heads = heads_of({pk for pks in asked for pk in pks})
    return [{pk: heads[pk] for pk in pks if pk in heads} for pks in asked]


def not_seen(pairs: Collection[tuple[int, int]], now: datetime) -> set[tuple[int, int]]:
    """Of pairs (user, conversation), those in which the user takes no part (any more)."""
    members = members_of({conversation for _, conversation in pairs}, now)
    return {pair for pair in pairs if pair[0] not in members.get(pair[1], {})}


@dataclass(frozen=True, slots=True)
class Party:
    """Who takes part in a conversation right now."""

    pk: int
    public_id: UUID
    last_seq: int
    patient_id: int
    members: dict[int, Member]
    # Members of the clinic who do not show when they have read something.
    hides_seen: frozenset[int] = frozenset()


def parties(public_ids: Sequence[UUID]) -> list[Party | None]:
    rows = {
        row[1]: row
        for row in Conversation.objects.filter(public_id__in=set(public_ids)).values_list(
            "pk", "public_id", "last_seq", "patient"
        )
    }
    members = members_of([row[0] for row in rows.values()], timezone.now())
    hiding = hides_seen(member for found in members.values() for member in found.values())
    return [
        Party(*rows[public_id], members[rows[public_id][0]], hiding) if public_id in rows else None
        for public_id in public_ids
    ]


def hides_seen(members: Iterable[Member]) -> frozenset[int]:
    clinic = {member.user_id for member in members if member.is_clinic}
    if not clinic:
        return frozenset()
    return frozenset(
        ChatSettings.objects.filter(user__in=clinic, show_seen=False).values_list("user", flat=True)
    )


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a socket is told first."""

    epoch: str
    places: list[Place]
    frames: list[dict[str, Any]]  # `conversations` of the frame
    peers: dict[int, Peer] = field(default_factory=dict)  # whose presence is of interest


def welcomes(user_ids: Sequence[int]) -> list[Welcome]:
    now = timezone.now()
    places = places_of(set(user_ids), now)
    pks = {place.pk for some in places.values() for place in some}
    members = members_of(pks, now)
    hiding = hides_seen(member for found in members.values() for member in found.values())
    marks: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
    for pk, user, delivered, read in Participant.objects.filter(conversation__in=pks).values_list(
        "conversation", "user", "delivered_seq", "read_seq"
    ):
        marks[pk][user] = (delivered, read)
    epoch = current_epoch()
    found = []
    for user in user_ids:
        frames: list[dict[str, Any]] = []
        peers: dict[int, Peer] = {}
        for place in places[user]:
            here = members[place.pk]
            me = here.get(user)
            other_side = {pk for pk, one in here.items() if me and one.is_clinic != me.is_clinic}
            for pk, one in here.items():
                if pk != user:
                    peer = peers.setdefault(pk, Peer(one.public_id))
                    peer.conversations.append(str(place.public_id))
            of_peers = [marks[place.pk].get(pk, (0, 0)) for pk in other_side]
            shown = [marks[place.pk].get(pk, (0, 0)) for pk in other_side - hiding]
            frames.append(
                {
                    "id": str(place.public_id),
                    "last_seq": place.last_seq,
                    "read_seq": marks[place.pk].get(user, (0, 0))[1],
                    "peer_read_seq": max((read for _, read in shown), default=0),
                    "peer_delivered_seq": max((got for got, _ in of_peers), default=0),
                }
            )
        found.append(Welcome(epoch, places[user], frames, peers))
    return found


def current_epoch() -> str:
    """The database's epoch. The first server that asks gives it one, `manage.py new_epoch` another
    one after a restore."""
    value = Epoch.objects.order_by("pk").values_list("value", flat=True).first()
    if value is None:
        value = Epoch.objects.get_or_create(pk=1, defaults={"value": str(uuid7())})[0].value
    return value


def renew_epoch() -> str:
    """Gives the database a new epoch, as after a restore: numbers of messages may come again."""
    value = str(uuid7())
    Epoch.objects.update_or_create(pk=1, defaults={"value": value})
    return value


@dataclass(frozen=True, slots=True)
class Look:
    """What was found about one user who has sockets here."""

    identities: dict[Identity, str]
    places: list[Place]
    lost: set[int]  # conversations seen before in which the user takes no part any more


def look(asked: Sequence[tuple[int, frozenset[Identity], frozenset[int]]]) -> list[Look]:
    """``asked``: user, the identities of the sockets, the conversations seen before."""
    now = timezone.now()
    valid = still_valid(who for _, identities, _ in asked for who in identities)
    places = places_of({user for user, _, _ in asked}, now)
    missing = {
        (user, pk) for user, _, seen in asked for pk in seen - {place.pk for place in places[user]}
    }
    gone = not_seen(missing, now) if missing else set()
    return [
        Look(
            {who: valid[who] for who in identities},
            places[user],
            {pk for pk in seen if (user, pk) in gone},
        )
        for user, identities, seen in asked
    ]
