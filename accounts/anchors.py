"""Daily anchors of the audit trail: a hash over everything that was added since the last one.

Guarantee: from the day after a row was written, changing or removing it, and adding one among the
old ones, is found by `manage.py check_audit`, also for rows of no patient and for the end of a
chain, and also when whoever did it could write to every table. For that an anchor must be known
outside the database: each one is a line of the log ("audit_anchor"), which is kept elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction

from accounts.audit import PAGE, chain_hash, hashed_fields
from accounts.models import AuditAnchor, AuditEvent

# Numbers of rows are given out before their transaction commits, so the newest rows wait: by then
# no transaction that began before them can still add one in between.
SETTLED_AFTER = timedelta(hours=6)

# An anchor is made every day; rows that have waited this long for one show that none is.
OVERDUE_AFTER = timedelta(days=2)

log = structlog.get_logger("clinic.audit")


@dataclass(frozen=True)
class AnchorFault:
    anchor: AuditAnchor
    what: str


class Digest:
    """The hash of an anchor: of the anchor before it and of number and hash of each row."""

    def __init__(self, previous: str) -> None:
        self._hash = hashlib.sha256(f"{previous}\n".encode())
        self.count = 0

    def add(self, pk: int, row_hash: str) -> None:
        self._hash.update(f"{pk}:{row_hash}\n".encode())
        self.count += 1

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def rows_after(pk: int, *, until: int | None = None) -> Iterator[AuditEvent]:
    """All rows of the trail with a higher number, in their order, a page at a time."""
    rows = AuditEvent.objects.order_by("pk")
    if until is not None:
        rows = rows.filter(pk__lte=until)
    while page := list(rows.filter(pk__gt=pk)[:PAGE]):
        yield from page
        pk = page[-1].pk


def add_anchor(*, now: datetime) -> AuditAnchor | None:
    """Regular job: anchors the rows that have settled; None when there are no new ones.

    Takes no lock: a locking read needs a right to change rows, which the site's own database user
    does not have here. Of two workers at once the later one meets a unique key and stores nothing.
    """
    last = AuditAnchor.objects.order_by("-last_id").first()
    digest = Digest(last.digest if last else "")
    first_pk = last_pk = last.last_id if last else 0
    for event in rows_after(last_pk):
        if event.at > now - SETTLED_AFTER:
            break
        if not digest.count:
            first_pk = event.pk
        digest.add(event.pk, event.hash)
        last_pk = event.pk
    if not digest.count:
        return None
    try:
        with transaction.atomic():
            anchor = AuditAnchor.objects.create(
                at=now,
                first_id=first_pk,
                last_id=last_pk,
                count=digest.count,
                previous_digest=last.digest if last else "",
                digest=digest.hexdigest(),
            )
    except IntegrityError:
        return None
    log.info("audit_anchor", last=anchor.last_id, count=anchor.count, digest=anchor.digest)
    return anchor


def overdue() -> datetime | None:
    """Since when rows wait for an anchor that should have come; None when nothing waits too long.

    Measured by the rows themselves, not by a clock: in a restored copy nothing is added any more.
    """
    last = AuditAnchor.objects.order_by("-last_id").values_list("last_id", flat=True).first()
    waiting = (
        AuditEvent.objects.filter(pk__gt=last or 0).order_by("pk").values_list("at", flat=True)
    )
    first, newest = waiting.first(), waiting.reverse().first()
    if first is None or newest is None or newest - first < OVERDUE_AFTER:
        return None
    return first


def verify_anchors(*, since: datetime | None = None, progress: Any = None) -> list[AnchorFault]:
    """Faults of the anchors and of the rows that they cover; ``progress`` gets rows read so far.

    ``since`` leaves out anchors made before it; each one holds the hash of the one before.
    """
    faults: list[AnchorFault] = []
    anchors = AuditAnchor.objects.order_by("last_id")
    before: AuditAnchor | None = None
    if since is not None:
        before = anchors.filter(at__lt=since).order_by("-last_id").first()
        anchors = anchors.filter(at__gte=since)
    read = 0
    for anchor in anchors:
        if anchor.previous_digest != (before.digest if before else ""):
            faults.append(AnchorFault(anchor, "does not follow the anchor before it"))
        digest = Digest(anchor.previous_digest)
        for event in rows_after(before.last_id if before else 0, until=anchor.last_id):
            digest.add(event.pk, event.hash)
            # Rows of a patient are recomputed with their chain.
            if event.patient_id is None and event.hash != chain_hash("", hashed_fields(event)):
                faults.append(AnchorFault(anchor, f"row {event.pk} was edited"))
            read += 1
            if progress is not None:
                progress(read)
        if digest.count != anchor.count:
            faults.append(
                AnchorFault(anchor, f"covers {anchor.count} rows, {digest.count} are there")
            )
        elif digest.hexdigest() != anchor.digest:
            faults.append(AnchorFault(anchor, "a row it covers was changed"))
        before = anchor
    return faults


def edited_since_last() -> list[int]:
    """Rows of no patient that no anchor covers yet and whose own hash is wrong."""
    last = AuditAnchor.objects.order_by("-last_id").values_list("last_id", flat=True).first()
    return [
        event.pk
        for event in rows_after(last or 0)
        if event.patient_id is None and event.hash != chain_hash("", hashed_fields(event))
    ]


def last_before(moment: datetime) -> int:
    """The last row of the last anchor made before ``moment``: later ones are newer than that."""
    anchors = AuditAnchor.objects.filter(at__lt=moment).order_by("-last_id")
    return anchors.values_list("last_id", flat=True).first() or 0


def covered(since: datetime | None = None) -> int:
    """How many rows the anchors made since then cover."""
    anchors = AuditAnchor.objects.all()
    if since is not None:
        anchors = anchors.filter(at__gte=since)
    return sum(anchors.values_list("count", flat=True))
