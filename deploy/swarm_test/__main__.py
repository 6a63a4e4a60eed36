"""`make stack-test`: see play.py. Ends with 1 when anything that was promised was missed."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from types import FrameType

from deploy.swarm_test.ledger import Ledger, started_at
from deploy.swarm_test.play import FOLDER, Play, say
from deploy.swarm_test.table import FAULTS, NAMES


def main() -> int:
    asked = arguments()
    if os.geteuid() != 0:
        sys.exit("The stack test makes networks and starts engines: run it as root.")
    ledger = Ledger()
    runner = next((one for one in ledger.entries if one["kind"] == "runner"), None)
    if runner and started_at(runner["pid"]) == runner["started"]:
        sys.exit(f"A stack test is running (process {runner['pid']}). End it, or wait for it.")
    if ledger.entries:
        say("Removing what an earlier run has left …")
        ledger.undo()
    if asked.clean:
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    begun = time.monotonic()
    ledger.note("runner", pid=os.getpid(), started=started_at(os.getpid()))
    ledger.note("folder", path=str(FOLDER))
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    faults = [fault for fault in FAULTS if fault.name in asked.only]
    play = Play(ledger, keep=asked.keep)
    try:
        play.build()
        play.deploy()
        play.break_everything(faults)
        scaled = [] if asked.no_scaling else play.scale()
        return play.report([fault.name for fault in faults], scaled, time.monotonic() - begun)
    finally:
        if asked.keep:
            say("Kept as asked; `make stack-test ARGS=--clean` removes everything.")
        else:
            say("Removing everything …")
            ledger.undo()
            say(f"Done after {(time.monotonic() - begun) / 60:.1f} minutes.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make stack-test ARGS=…", description=__doc__)
    parser.add_argument("--only", type=_faults, default=NAMES, help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--keep", action="store_true", help="leave nodes and stack for a look")
    parser.add_argument("--no-scaling", action="store_true", help="faults only")
    parser.add_argument("--clean", action="store_true", help="remove what a run has left, and end")
    return parser.parse_args([argument for argument in sys.argv[1:] if argument != "--"])


def _faults(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in NAMES]:
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(unknown)}")
    return names


def _stop(number: int, frame: FrameType | None) -> None:
    """Ends as Ctrl-C does, so that everything is taken away."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
