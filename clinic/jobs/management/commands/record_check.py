"""`manage.py record_check`: a script that runs outside (a backup) says how its run ended."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from clinic.jobs.checks_log import note

NAME = re.compile(r"[a-z][a-z_]{0,31}")


class Command(BaseCommand):
    help = "Stores how a run of a check ended, for the status page and the monitoring."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="which check: backup, restore_drill, …")
        state = parser.add_mutually_exclusive_group(required=True)
        state.add_argument("--ok", action="store_true", help="it ended well")
        state.add_argument("--failed", action="store_true", help="it did not")
        parser.add_argument("--detail", default="", help="one line, without personal data")

    def handle(self, *args: Any, name: str, ok: bool, detail: str, **options: Any) -> None:
        if not NAME.fullmatch(name):
            raise CommandError("A check's name has small letters and _ only, at most 32.")
        note(name, is_ok=ok, detail=" ".join(detail.split()), now=timezone.now())
        self.stdout.write(f"{name}: {'ok' if ok else 'failed'} noted.")
