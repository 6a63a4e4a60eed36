from __future__ import annotations


class BackupError(Exception):
    """What went wrong, as a sentence for the operator."""
