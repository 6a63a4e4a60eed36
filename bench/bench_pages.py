"""Pages and booking: the table of docs/benchmarks.md, its query counts and EXPLAINs.

Two stacks run side by side, one with ten times the visits of the other, and beside the product a
control that looks and then inserts (bench/naive_urls.py). All are measured in turn, round by round.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench.common import Stack, percentile, save, say, stack, table
from bench.data import Amount, Copy, kept, minutes_to_make, sync_ms
from bench.explained import explain_all
from bench.http import Answer, ask, ask_all, book_path, confirmation, get, post
from bench.probe import Probe
from bench.search_links import first_free

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
LARGE = Amount(doctors=5_000, patients=20_000, appointments=1_000_000)
SMALL = Amount(doctors=5_000, patients=20_000, appointments=100_000)
# A booking waits for the disk, so a core can serve more than one worker.
WORKERS = 4
CLIENTS = 8
RACES = 20  # times for which CLIENTS people ask at once
FRESH = 20

ONE_CLIENT, EIGHT_CLIENTS = "booking POST, one client", f"booking POST, {CLIENTS} clients"
CONTROL = "control: look, then insert, "
CONTROL_ONE, CONTROL_EIGHT = f"{CONTROL}one client", f"{CONTROL}{CLIENTS} clients"


@dataclass
class Batch:
    """What one round of one row gave."""

    ms: list[float]
    pages_cpu: float  # seconds, of gunicorn or of the process that ran the rule
    database_cpu: float
    seconds: float


@dataclass
class Row:
    """A row of the table: what is measured, how, and what it should reach."""

    name: str
    how: str
    run: Callable[[Side], Batch]
    most_ms: float | None = None
    least_per_second: float | None = None
    grows: bool = True  # whether it is measured on the small stack too


@dataclass
class Side:
    """One amount of data with its servers, and a supply of things to ask for."""

    stack: Stack
    control: Stack
    probe: Probe
    begun: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    control_slugs: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        wide = self.probe.ask("specialties", doctors=100)
        # Pages with 20 doctors each, a specialty's first page before anybody's second.
        self._searches = [
            f"/doctors/?specialty={one['slug']}&new=1&page={page}"
            for page in range(1, max(one["count"] for one in wide) // 20 + 1)
            for one in wide
            if one["count"] >= page * 20
        ]
        self._asked = 0
        self._slots = self.probe.ask("free_slots", doctors=400, each=40)
        self._control_slots = self.probe.ask("free_slots", doctors=400, each=40)

    # --- What is asked for --------------------------------------------------------------------
    def searches(self, count: int) -> list[bytes]:
        start = self._asked
        self._asked += count
        every = self._searches
        return [get(every[number % len(every)]) for number in range(start, start + count)]

    def bookings(self, count: int) -> list[bytes]:
        slots, self._slots = self._slots[:count], self._slots[count:]
        people = self._people(count)
        return [_booking(slot, key) for slot, key in zip(slots, people, strict=True)]

    def control_bookings(self, count: int) -> list[bytes]:
        slots, self._control_slots = self._control_slots[:count], self._control_slots[count:]
        self.control_slugs |= {slot["slug"] for slot in slots}
        people = self._people(count)
        return [_booking(slot, key, at="/naive") for slot, key in zip(slots, people, strict=True)]

    def one_time_for_many(self, *, control: bool) -> list[bytes]:
        slots = self._control_slots if control else self._slots
        slot = slots.pop(0)
        if control:
            self.control_slugs.add(slot["slug"])
        at = "/naive" if control else ""
        return [_booking(slot, session, at=at) for session in self._people(CLIENTS)]

    def _people(self, count: int) -> list[str]:
        keys: list[str] = self.probe.ask("sessions", count=count)
        return keys

    def flush(self) -> None:
        self.stack.redis.ask("FLUSHALL")

    # --- How it is measured -------------------------------------------------------------------
    def pages(
        self,
        requests: Sequence[bytes],
        *,
        clients: int = 1,
        expect: int = 200,
        before_each: Callable[[], object] | None = None,
        control: bool = False,
    ) -> Batch:
        server = self.control if control else self.stack
        pages, database = server.server_cpu(), server.database_cpu()
        begun = time.monotonic()
        answers: list[Answer] = []
        if before_each is None:
            answers = ask_all(server.port, requests, clients=clients)
        else:
            for request in requests:
                before_each()
                answers.append(ask(server.port, request))
        seconds = time.monotonic() - begun
        wrong = [answer for answer in answers if answer.status != expect]
        if wrong:
            raise RuntimeError(
                f"{len(wrong)} of {len(answers)} answers were not {expect}, the first is "
                f"{wrong[0].status}:\n{wrong[0].body[:2000]}"
            )
        return Batch(
            [answer.ms for answer in answers],
            server.server_cpu() - pages,
            server.database_cpu() - database,
            seconds,
        )

    def rule(self, *, doctors: int, days: int, repeats: int, warm: bool = False) -> Batch:
        database = self.stack.database_cpu()
        begun = time.monotonic()
        found = self.probe.ask("rule", doctors=doctors, days=days, repeats=repeats, warm=warm)
        seconds = time.monotonic() - begun
        return Batch(found["ms"], found["cpu"], self.stack.database_cpu() - database, seconds)


def _booking(slot: dict[str, str], session: str, *, at: str = "") -> bytes:
    return post(f"{at}{book_path(slot)}", confirmation(slot), session)


# --- The rows ---------------------------------------------------------------------------------
def search_cold(side: Side) -> Batch:
    return side.pages(side.searches(30), before_each=side.flush)


def search_warm(side: Side) -> Batch:
    requests = side.searches(40)
    side.pages(requests)
    return side.pages(requests)


def doctor_cold(side: Side) -> Batch:
    side.flush()
    return side.pages([get(f"/doctors/{slug}/") for slug in side.probe.ask("slugs", count=40)])


def doctor_warm(side: Side) -> Batch:
    requests = [get(f"/doctors/{slug}/") for slug in side.probe.ask("slugs", count=40)]
    side.pages(requests)
    return side.pages(requests)


def book_one(side: Side) -> Batch:
    return side.pages(side.bookings(40), expect=302)


def book_eight(side: Side) -> Batch:
    return side.pages(side.bookings(200), clients=CLIENTS, expect=302)


def control_one(side: Side) -> Batch:
    return side.pages(side.control_bookings(40), expect=302, control=True)


def control_eight(side: Side) -> Batch:
    requests = side.control_bookings(200)
    return side.pages(requests, clients=CLIENTS, expect=302, control=True)


RULE, HTTP = "rule in-process, not cached", "HTTP"
ROWS = [
    Row(
        "free times of one doctor, a day",
        RULE,
        lambda side: side.rule(doctors=1, days=1, repeats=60),
        most_ms=5,
    ),
    Row(
        "free times of one doctor, a month",
        RULE,
        lambda side: side.rule(doctors=1, days=31, repeats=60),
        most_ms=12,
    ),
    Row(
        "free times of one doctor, a month, cached",
        "rule in-process",
        lambda side: side.rule(doctors=1, days=31, repeats=60, warm=True),
    ),
    Row(
        "free times of any of 50 doctors, a day",
        RULE,
        lambda side: side.rule(doctors=50, days=1, repeats=20),
        most_ms=20,
    ),
    Row("doctor page with a month, cold", HTTP, doctor_cold),
    Row("doctor page with a month, warm", HTTP, doctor_warm),
    Row("search page, 20 doctors, cold", HTTP, search_cold, most_ms=60),
    Row("search page, 20 doctors, warm", HTTP, search_warm, most_ms=10),
    Row(ONE_CLIENT, HTTP, book_one, most_ms=14),
    Row(CONTROL_ONE, HTTP, control_one, grows=False),
    Row(EIGHT_CLIENTS, HTTP, book_eight, least_per_second=150),
    Row(CONTROL_EIGHT, HTTP, control_eight, grows=False),
]


def main() -> None:
    begun = time.monotonic()
    load_before = os.getloadavg()[0]
    folders = {"large": kept(LARGE), "small": kept(SMALL)}
    minutes = minutes_to_make(folders["large"])
    with ExitStack() as running:
        sides = {}
        for name, folder in folders.items():
            real = running.enter_context(stack(database=Copy(folder), workers=WORKERS))
            control = Stack(
                real.database,
                real.redis,
                workers=WORKERS,
                settings={"DJANGO_SETTINGS_MODULE": "bench.naive_settings"},
            )
            running.callback(control.end)
            control.serve()
            sides[name] = Side(real, control, running.enter_context(Probe(real)))
        large = sides["large"]
        say(f"Load before: {load_before:.1f} on {os.cpu_count()} cores. Warming up …")
        for row in ROWS:
            for side in sides.values():
                row.run(side)
        results = _rounds(sides)
        rows = [
            _told(row, results[row.name, "large"], results.get((row.name, "small"))) for row in ROWS
        ]
        say("\nQueries")
        counts = _query_counts(large)
        say(table(counts))
        say("\nEXPLAIN, with 1,000,000 visits")
        plans = explain_all(large.probe, large._people(1)[0], large._slots.pop(0))
        say(table([plan.cells() for plan in plans]))
        say("")
        facts = _safety(large)
    facts = {
        "one write to the disk (fsync), ms": sync_ms(),
        "minutes to make a million visits": minutes,
        **facts,
        "load before and after": f"{load_before:.1f}, {os.getloadavg()[0]:.1f}",
        "minutes of this run": round((time.monotonic() - begun) / 60, 1),
    }
    say(table([{"what": what, "found": found} for what, found in facts.items()]))
    say("")
    save(
        "pages",
        rows,
        facts=facts,
        queries=counts,
        plans=[plan.cells() | {"sql": plan.sql} for plan in plans],
        setting={"workers": WORKERS, "rounds": ROUNDS},
    )
    if (
        facts["check_bookings: faults"]
        or facts["doubles"]
        or any(found for what, found in facts.items() if what.startswith("stale pages"))
    ):
        sys.exit("A time was given twice or shown although it was taken: see above.")


def _rounds(sides: dict[str, Side]) -> dict[tuple[str, str], list[Batch]]:
    results: dict[tuple[str, str], list[Batch]] = {}
    for number in range(ROUNDS):
        say(f"Round {number + 1} of {ROUNDS}, load {os.getloadavg()[0]:.1f}")
        for row in ROWS:
            for name, side in sides.items():
                if row.grows or name == "large":
                    results.setdefault((row.name, name), []).append(row.run(side))
    return results


def _median(batches: Sequence[Batch], figure: Callable[[Batch], float]) -> float:
    return statistics.median(figure(batch) for batch in batches)


def _told(row: Row, large: list[Batch], small: list[Batch] | None) -> dict[str, object]:
    """The cells: medians over the rounds, p95 over all repeats."""

    def p50(batch: Batch) -> float:
        return percentile(batch.ms, 50)

    def cpu(batch: Batch) -> float:
        return (batch.pages_cpu + batch.database_cpu) / len(batch.ms) * 1000

    found = _median(large, p50)
    per_second = _median(large, lambda batch: len(batch.ms) / batch.seconds)
    target, reached = "", ""
    if row.most_ms is not None:
        target, reached = f"p50 ≤ {row.most_ms:g} ms", "yes" if found <= row.most_ms else "no"
    if row.least_per_second is not None:
        target = f"≥ {row.least_per_second:g}/s"
        reached = "yes" if per_second >= row.least_per_second else "no"
    growth = ""
    if small is not None:
        time_ratio, cpu_ratio = (
            found / _median(small, p50),
            _median(large, cpu) / _median(small, cpu),
        )
        growth = f"{time_ratio:.2f} / {cpu_ratio:.2f}"
    return {
        "work": row.name,
        "how": row.how,
        "target": target,
        "p50 ms": round(found, 1),
        "p95 ms": round(percentile([ms for batch in large for ms in batch.ms], 95), 1),
        "per second": round(per_second) if row.how == HTTP else "",
        "pages CPU ms": round(_median(large, lambda b: b.pages_cpu / len(b.ms) * 1000), 1),
        "database CPU ms": round(_median(large, lambda b: b.database_cpu / len(b.ms) * 1000), 1),
        "reached": reached,
        "10× visits: time / CPU": growth,
    }


def _query_counts(side: Side) -> list[dict[str, object]]:
    one = side.probe.ask("slugs", count=1)[0]
    session = side._people(1)[0]
    slot = side._slots.pop(0)
    search = side._searches[0]
    name = one.replace("-", "+")
    found: list[dict[str, object]] = []
    requests: dict[str, dict[str, Any]] = {
        "search, 20 doctors, cold": {"path": search},
        "search, 20 doctors, warm": {"path": search},
        "search by a name": {"path": f"/doctors/?q={name}"},
        "doctor page, cold": {"path": f"/doctors/{one}/"},
        "doctor page, warm": {"path": f"/doctors/{one}/"},
        "booking POST": {
            "path": book_path(slot),
            "session": session,
            "post": confirmation(slot),
        },
    }
    for what, asked in requests.items():
        if "cold" in what:
            side.flush()
        answer = side.probe.ask("queries", **asked)
        found.append({"request": what, "status": answer["status"], "queries": len(answer["sql"])})
    return found


def _safety(side: Side) -> dict[str, object]:
    accepted = _races(side, control=False)
    control_accepted = _races(side, control=True)
    stale = _stale(side)
    slugs = sorted(side.control_slugs)
    control_doubles = side.probe.ask("doubles", slugs=slugs, since=side.begun)
    side.probe.ask("forget", slugs=slugs, since=side.begun)
    faults = side.probe.ask("check")
    for fault in faults[:10]:
        say(f"check_bookings: {fault}")
    return {
        f"{CLIENTS} posts at once for each of {RACES} free times: accepted": accepted,
        "the same by the control": control_accepted,
        "doubles": max(0, accepted - RACES),
        "doubles of the control": control_doubles,
        "check_bookings: faults": len(faults),
        f"stale pages after {FRESH} bookings and {FRESH} cancellations": stale,
    }


def _races(side: Side, *, control: bool) -> int:
    """How many of the simultaneous requests for the same times were accepted."""
    server = side.control if control else side.stack
    accepted = 0
    for _ in range(RACES):
        requests = side.one_time_for_many(control=control)
        answers = ask_all(server.port, requests, clients=CLIENTS)
        if odd := [one for one in answers if one.status not in (302, 409)]:
            raise RuntimeError(f"A race answered {odd[0].status}:\n{odd[0].body[:2000]}")
        accepted += sum(answer.status == 302 for answer in answers)
    return accepted


def _stale(side: Side) -> int:
    """Search pages that still show a time at once after its booking, or do not after its end."""
    stale = 0
    for request in side.searches(FRESH):
        page = ask(side.stack.port, request)
        slot = first_free(page.body)
        session = side._people(1)[0]
        done = ask(side.stack.port, _booking(slot.fields, session))
        if done.status != 302:
            raise RuntimeError(f"A time of the search page could not be booked: {done.status}")
        stale += slot.link in ask(side.stack.port, request).body
        cancelled = ask(side.stack.port, post(f"{done.location}cancel/", {"reason": ""}, session))
        if cancelled.status != 302:
            raise RuntimeError(f"A visit could not be cancelled: {cancelled.status}")
        stale += slot.link not in ask(side.stack.port, request).body
    return stale
