from __future__ import annotations

import os
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from clinic.jobs import measures
from clinic.jobs.worker import Worker


class Command(BaseCommand):
    help = (
        "Sends mails and runs the regular jobs. Start as many as you like: each task and each "
        "due run is claimed once. SIGTERM ends it after the current task, with exit code 0."
    )
    # The database may still be starting; the loop waits for it, a check would end the process.
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Do what is due now, then end.")
        # Accepted because supervisors pass it: there is no reloading here that could be on.
        parser.add_argument("--no-reload", action="store_true", help="Has no effect.")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        worker = Worker()

        def stop(number: int, frame: object) -> None:
            if worker.stopping:  # the second signal does not wait for the task
                os._exit(1)
            worker.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        if settings.METRICS_PORT:
            measures.serve(settings.METRICS_PORT)
        if once:
            self.stdout.write(f"{worker.run_until_idle()} tasks and jobs done.")
        else:
            worker.run()
