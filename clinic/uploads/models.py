"""Uploaded files as rows, so that every server sees them and one backup covers them."""

from __future__ import annotations

from django.db import models


class StoredChunk(models.Model):
    """A piece of a file; its pieces in the order of their numbers are the file.

    Every piece but the last has `clinic.uploads.storage.CHUNK` bytes; an empty file has one piece.
    """

    # The key is a plain number although (name, number) would do: names are random, and a table
    # ordered by them would move large rows about with every insert.
    name = models.CharField(max_length=100)
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [
            # Serves reading a file piece by piece; and a name is one file.
            models.UniqueConstraint(fields=["name", "number"], name="one_chunk_per_number"),
        ]

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"
