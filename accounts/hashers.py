"""How passwords are stored, and what one check costs."""

from __future__ import annotations

import threading

from django.contrib.auth.hashers import Argon2PasswordHasher

# Each hash in progress holds 46 MiB. Two at a time use both cores of a small server and keep a
# rush of sign-ins below 100 MiB a process; the others wait, some 70 ms each on a 2-core machine.
HASHES_AT_ONCE = 2


class ClinicArgon2(Argon2PasswordHasher):
    """argon2id with 46 MiB, one pass and one lane.

    The first of the equivalent settings of the OWASP Password Storage Cheat Sheet
    (https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html): m=47104,
    t=1, p=1. About 70 ms a check on a 2-core machine, where Django's default takes 325 ms and
    100 MiB. Hashes stored with other parameters are replaced when their owner next signs in.
    """

    time_cost = 1
    memory_cost = 47_104  # KiB
    parallelism = 1

    _running = threading.BoundedSemaphore(HASHES_AT_ONCE)

    def encode(self, password: str, salt: str) -> str:
        with self._running:
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with self._running:
            return super().verify(password, encoded)
