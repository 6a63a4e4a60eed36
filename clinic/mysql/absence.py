"""Knowing that a server is away, so that not everybody has to find out.

Asking a server that is away may take seconds: a name that nobody answers for, an address behind
which nothing is. With every request waiting for that, all threads of a process wait, and it answers
nobody any more, not even who only asks whether it lives.
"""

from __future__ import annotations

import threading


class Absence:
    """Once somebody found the server away, one at a time asks again, and nobody waits for that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_away = False
        self._is_asked = False

    def may_ask(self) -> bool:
        """Whoever may has to say `answered` or `was_away` afterwards."""
        with self._lock:
            if not self._is_away:
                return True
            if self._is_asked:
                return False
            self._is_asked = True
            return True

    def answered(self) -> None:
        with self._lock:
            self._is_away = self._is_asked = False

    def was_away(self) -> None:
        with self._lock:
            self._is_away, self._is_asked = True, False
