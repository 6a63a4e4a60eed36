"""Loads what a new clinic needs before its first search: specialties and ZIP codes."""

from typing import Any

from django.core.management.base import BaseCommand

from clinic.directory.reference import load_specialties, load_zip_codes


class Command(BaseCommand):
    help = "Adds the specialties with their everyday words and the ZIP codes; safe to run again."

    def handle(self, *args: Any, **options: Any) -> None:
        specialties, codes = load_specialties(), load_zip_codes()
        self.stdout.write(f"{specialties} specialties and {codes} ZIP codes were added.")
