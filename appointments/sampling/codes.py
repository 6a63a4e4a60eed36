"""Identifiers that look random and are the same for the same seed."""

from __future__ import annotations

import uuid
from datetime import datetime
from random import Random

from accounts.ids import REFERENCE_ALPHABET


def random_id(rng: Random, at: datetime) -> uuid.UUID:
    """A version 7 UUID of the moment ``at``, as `accounts.ids.uuid7` makes them."""
    milliseconds = int(at.timestamp() * 1000)
    bits = rng.getrandbits(74)
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76
    value |= (bits >> 62) << 64 | 0b10 << 62 | bits & (1 << 62) - 1
    return uuid.UUID(int=value)


def code(number: int, length: int, seed: int) -> str:
    """The ``number``-th of codes that never repeat and do not look counted."""
    base = len(REFERENCE_ALPHABET)
    # The factor shares no divisor with the base, so the products reach every value once.
    mixed = (number * 0x2545_F491_4F6C_DD1D + seed) % base**length
    letters = []
    for _ in range(length):
        mixed, letter = divmod(mixed, base)
        letters.append(REFERENCE_ALPHABET[letter])
    return "".join(letters)
