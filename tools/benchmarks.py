"""`make bench`: runs the benchmarks in the tests' environment."""

from __future__ import annotations

import subprocess
import sys

from tools import environments, system_packages
from tools.environments import ROOT
from tools.suite import suite_python


def main() -> int:
    system_packages.ensure()
    python, _ = suite_python()
    names = [argument for argument in sys.argv[1:] if argument != "--"]
    return subprocess.run(
        [python, "-m", "bench", *names], cwd=ROOT, env=environments.embedded_environment()
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
