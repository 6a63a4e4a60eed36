"""The table and its verdict. Nothing here asks the Swarm: rows in, table and exit code out.

A row has what was counted and the limits it is held to; a row without a limit that was checked
counts as missed, and so does a fault that was asked for and has no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MET, MISSED = "met", "MISSED"


@dataclass(frozen=True)
class Check:
    """``value`` may be at most ``most`` and must be at least ``least``."""

    what: str
    value: float
    most: float | None = None
    least: float | None = None

    @property
    def is_met(self) -> bool:
        if self.most is None and self.least is None:
            return False  # nothing was checked
        if self.value != self.value:  # not a number: it could not be measured
            return False
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    @property
    def words(self) -> str:
        limits = [
            f"{sign} {limit:g}"
            for sign, limit in (("≤", self.most), ("≥", self.least))
            if limit is not None
        ]
        return f"{self.what} {self.value:.4g} ({' and '.join(limits) or 'no limit'})"


@dataclass
class Row:
    """One fault. Errors are counted as people saw them; ``lost`` is known at the end."""

    fault: str
    expected: str
    errors: int = 0
    acknowledged: int = 0
    lost: int = 0
    recovery: float = 0.0  # seconds
    checks: list[Check] = field(default_factory=list)
    failed: str = ""  # why the fault could not be played or measured
    begun: float = 0.0
    ended: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def is_met(self) -> bool:
        return (
            not self.failed
            and bool(self.checks)
            and self.lost == 0
            and all(check.is_met for check in self.checks)
        )

    @property
    def missed(self) -> list[str]:
        found = [check.words for check in self.checks if not check.is_met]
        if self.failed:
            found.append(self.failed)
        if self.lost:
            found.append(f"{self.lost} acknowledged and lost")
        if not self.checks:
            found.append("nothing was checked")
        return found


def exit_code(rows: Sequence[Row], asked: Iterable[str]) -> int:
    """0 only when every fault that was asked for has a row and every row is met."""
    named = {row.fault for row in rows}
    missing = [fault for fault in asked if fault not in named]
    return 0 if rows and not missing and all(row.is_met for row in rows) else 1


COLUMNS = (
    "fault",
    "errors",
    "acknowledged",
    "lost",
    "recovery s",
    "expected",
    "measured",
    "verdict",
)


def cells(row: Row) -> dict[str, str]:
    return {
        "fault": row.fault,
        "errors": str(row.errors),
        "acknowledged": str(row.acknowledged),
        "lost": str(row.lost),
        "recovery s": f"{row.recovery:.1f}",
        "expected": row.expected,
        "measured": "; ".join(check.words for check in row.checks) + _noted(row),
        "verdict": MET if row.is_met else f"{MISSED}: {'; '.join(row.missed)}",
    }


def _noted(row: Row) -> str:
    return f" [{'; '.join(row.notes)}]" if row.notes else ""


def markdown(rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        found = cells(row)
        lines.append("| " + " | ".join(_plain(found[name]) for name in COLUMNS) + " |")
    return "\n".join(lines)


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def as_json(rows: Sequence[Row], **facts: Any) -> dict[str, Any]:
    return {
        **facts,
        "rows": [
            {
                **{
                    name: value
                    for name, value in asdict(row).items()
                    if name not in {"begun", "ended"}
                },
                "seconds": round(row.ended - row.begun, 1),
                "verdict": MET if row.is_met else MISSED,
                "missed": row.missed,
            }
            for row in rows
        ],
    }
