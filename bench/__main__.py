"""Runs every bench/bench_*.py, or those that are named: ``python -m bench pages``."""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path

from bench.common import say


def main(names: list[str]) -> int:
    found = {
        path.stem.removeprefix("bench_"): path.stem
        for path in sorted(Path(__file__).parent.glob("bench_*.py"))
    }
    if unknown := [name for name in names if name not in found]:
        say(f"No benchmark {', '.join(unknown)}; there are: {', '.join(found) or 'none'}.")
        return 2
    for name in names or found:
        say(f"\n== {name} ==")
        importlib.import_module(f"bench.{found[name]}").main()
    return 0


if __name__ == "__main__":
    # Ended by the system as by Ctrl-C: servers stop and their folders go.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
