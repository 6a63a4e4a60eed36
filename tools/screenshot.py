"""`make screenshot`: the README's picture, taken anew from a site with sample data.

Run it after a change of how finding a doctor looks, and look at the picture before committing it.
"""

from __future__ import annotations

import subprocess
import sys

from tools import environments, system_packages
from tools.environments import ROOT, say
from tools.suite import suite_python

PICTURE = ROOT / "docs" / "images" / "find-a-doctor.png"
ADDRESS = "/doctors/?q=check-up&place=Portland"
WIDTH, HEIGHT = 1366, 900
MOST_BYTES = 200_000


def take() -> None:
    """Starts a site, takes the picture, and ends the site. Needs the tests' packages."""
    from playwright.sync_api import sync_playwright  # not in the Python that make calls

    from tests.browser.conftest import ARGUMENTS
    from tests.site import Site

    sample = ("--doctors", "40", "--patients", "60", "--appointments", "400", "--seed", "1")
    with Site(worker=False, sample=sample) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=system_packages.find_chromium(), args=ARGUMENTS
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, locale="en-US")
        page.goto(site.url + ADDRESS)
        page.evaluate("document.fonts.ready")
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURE)
        browser.close()
    size = PICTURE.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{PICTURE.name} has {size:,} bytes; the limit is {MOST_BYTES:,}.")
    say(f"Wrote {PICTURE.relative_to(ROOT)}, {size:,} bytes.")


def main() -> int:
    if "--take" in sys.argv:
        take()
        return 0
    system_packages.ensure()
    python, _ = suite_python()
    return subprocess.run(
        [python, "-m", "tools.screenshot", "--take"],
        cwd=ROOT,
        env=environments.embedded_environment(),
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
