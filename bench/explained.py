"""How the database answers each query of a page or a booking: EXPLAIN, one line per table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.http import book_path, confirmation
from bench.probe import Probe

WHAT = {
    "directory_openinghours": "opening hours",
    "directory_timeoff": "time off",
    "appointments_appointment": "visits",
    "appointments_slothold": "provisional holds",
    "appointments_doctorhold": "doctor's grains",
    "appointments_patienthold": "patient's grains",
    "directory_hospitalday": "special days",
    "directory_schedule": "lock rows",
}
_TABLE = re.compile(r"(?:FROM|UPDATE|DELETE FROM) `?(\w+)`?", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """One table's part in one statement."""

    of: str
    statement: str
    table: str
    access: str
    key: str
    rows: str
    extra: str
    sql: str

    def cells(self) -> dict[str, object]:
        return {
            "of": self.of,
            "statement": self.statement,
            "table": self.table,
            "access": self.access,
            "key": self.key,
            "rows": self.rows,
            "extra": self.extra,
        }


def explain_all(probe: Probe, session: str, slot: dict[str, str]) -> list[Plan]:
    """Plans of the free times of 20 doctors, of a search and of a booking."""
    asked = {
        "free times of 20 doctors, a month": probe.ask("rule_queries", doctors=20, days=31),
        "search": probe.ask("queries", path="/doctors/?q=cardiology&place=Portland")["sql"],
        "booking": probe.ask(
            "queries", path=book_path(slot), session=session, post=confirmation(slot)
        )["sql"],
    }
    return [plan for of, found in asked.items() for sql in found for plan in _plans(probe, of, sql)]


def _plans(probe: Probe, of: str, sql: str) -> list[Plan]:
    verb = sql.split(None, 1)[0].upper()
    if verb not in {"SELECT", "UPDATE", "DELETE"}:
        return []
    named = _TABLE.search(sql)
    name = named[1] if named else ""
    lock = " for update" if sql.rstrip().endswith("FOR UPDATE") else ""
    statement = f"{verb.lower()}{lock}: {WHAT.get(name, name)}"
    return [
        Plan(
            of=of,
            statement=statement,
            table=str(line["table"] or ""),
            access=str(line["type"] or ""),
            key=str(line["key"] or ""),
            rows=str(line["rows"] or ""),
            extra=str(line["Extra"] or ""),
            sql=sql,
        )
        for line in probe.ask("explain", sql=sql)
    ]
