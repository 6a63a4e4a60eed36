"""Public identifiers: random enough that nobody guesses one, ordered so that indexes stay small."""

import secrets
import time
import uuid

# No 0/O, 1/I/L, 5/S, 8/B: a reference is read out on the phone.
REFERENCE_ALPHABET = "234679ACDEFGHJKMNPQRTUVWXYZ"


def uuid7() -> uuid.UUID:
    """A version 7 UUID (RFC 9562 §5.7): 48 bits of milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76
    value |= secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)


def readable_code(length: int) -> str:
    """``length`` random characters that are not mistaken for each other (4.75 bits each)."""
    return "".join(secrets.choice(REFERENCE_ALPHABET) for _ in range(length))
