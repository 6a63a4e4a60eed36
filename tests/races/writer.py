"""The writers' program: one start of Django, then as many forked processes as were asked for.

    python -m tests.races.writer 16

Reads one JSON object per line and answers with one. ``{"call": NAME, "with": {…}}`` runs a function
of `tests.races.ward` (or ``migrate``); ``{"race": [[job, …], …]}`` gives each writer its jobs,
starts all at the same moment and answers what came of each.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

import django

START_SECONDS = 60


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints, prints into the log
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from tests.races import acts, ward  # imported once, before the fork

    count = int(sys.argv[1])
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(count)
    pipes: list[Connection] = []
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if "race" in asked:
            while len(pipes) < count:  # forked late, so that all have what the calls warmed up
                ours, theirs = context.Pipe()
                pipes.append(ours)
                own = (theirs, barrier, acts.perform, ward.NOW, pipes)
                context.Process(target=_write, args=own, daemon=True).start()
                theirs.close()
            jobs: list[list[acts.Job]] = asked["race"]
            jobs += [[] for _ in range(count - len(jobs))]
            for pipe, job in zip(pipes, jobs, strict=True):
                pipe.send(job)
            answer: Any = [pipe.recv() for pipe in pipes]
        elif asked["call"] == "migrate":
            call_command("migrate", interactive=False, verbosity=0)
            ward.warm_up()
            answer = None
        else:
            answer = getattr(ward, asked["call"])(**asked.get("with", {}))
        connections.close_all()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _write(
    pipe: Connection, barrier: Barrier, perform: Any, now: Any, others: list[Connection]
) -> None:
    """One writer. It ends when the program's end of the pipe is gone."""
    for other in others:
        other.close()
    random.seed()  # forked processes would otherwise wait in step
    while True:
        try:
            jobs = pipe.recv()
        except EOFError:
            return
        barrier.wait(START_SECONDS)
        pipe.send([perform(job, now) for job in jobs])


if __name__ == "__main__":
    main()
