"""What a row of the matrix says: who gets what at one address, and whose form changes something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.security.world import ROLES, World

Text = str | Callable[[World], str]
Form = dict[str, Any] | Callable[[World], dict[str, Any]]

NOBODY = "01890000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Row:
    route: str
    get: str
    post: str = "405"
    address: Text = ""  # the route itself when it has no parts
    form: Form = field(default_factory=dict)
    changes: str = ""  # roles whose form is accepted and changes rows
    audited: str = ""  # roles whose reading is written into the patient's trail
    unknown: Text = ""  # the same address with an id that nobody has
    case: str = ""  # tells rows of one route apart

    @property
    def name(self) -> str:
        return f"{self.route or 'home'}{self.case and f' ({self.case})'}"

    def statuses(self, method: str) -> dict[str, int]:
        found = (self.post if method == "post" else self.get).split()
        return dict(zip(ROLES, map(int, found * 8 if len(found) == 1 else found), strict=True))

    def path(self, world: World) -> str:
        return _text(self.address or f"/{self.route}", world)

    def unknown_path(self, world: World) -> str:
        return _text(self.unknown, world)

    def sent(self, world: World) -> dict[str, Any]:
        return self.form(world) if callable(self.form) else self.form


def _text(text: Text, world: World) -> str:
    return text(world) if callable(text) else text
