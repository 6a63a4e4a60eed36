#!/usr/bin/env python3
"""Re-creates static/vendor and templates/components/icons from the pinned npm packages.

    python3 -m pip install -r tools/vendor/requirements.txt   # font tools, once
    python3 tools/vendor.py

Needs npm; nothing of this runs in production. The result is committed, so that neither a build
nor a running site needs Node. Versions are pinned in tools/vendor/package-lock.json.

What is changed on the way, and why:

* govuk-frontend: its font, crest and the font's @font-face rules belong to the British government
  and may not be used elsewhere. The font stacks point to ours instead.
* Inter: cut to the weights 400-700 and to Latin, in two files that a browser picks from by
  ``unicode-range``; only names such as "Łukasz" or "Nguyễn" load the second.
* Source map comments go, because the hashed static storage insists on the files they name.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "tools" / "vendor"
VENDOR = ROOT / "static" / "vendor"
ICONS = ROOT / "templates" / "components" / "icons"

FONT_STACK = 'Inter,system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif'
FONT_WEIGHTS = "wght=400:700"
# Everyday Latin; then what Central European, Turkish, Romanian and Vietnamese names need.
FONT_FILES = {
    "latin": (
        "*",
        "kern,liga,calt,ccmp,locl,mark,mkmk,tnum",
    ),
    "latin-ext": (
        "U+0100-017F,U+01A0-01A1,U+01AF-01B0,U+0218-021B,U+1EA0-1EF9",
        "kern,ccmp,locl,mark,mkmk",
    ),
}
LUCIDE_ICONS = (
    "calendar-plus",
    "chevron-left",
    "chevron-right",
    "map-pin",
    "phone",
    "printer",
    "search",
    "video",
)
SOURCE_MAP = re.compile(r"\s*(?://|/\*)# sourceMappingURL=\S+(?:\s*\*/)?\s*$")


def debrand(css: str) -> str:
    """The govuk-frontend style sheet without the government's font, crest and asset addresses."""
    css = re.sub(r"@font-face\{[^}]*\}", "", css)
    css = re.sub(r"font-family:GDS Transport,arial,sans-serif", f"font-family:{FONT_STACK}", css)
    css = re.sub(
        r"(?:-webkit-)?(?:background-image|mask-image|mask|background):url\([^)]*crest[^)]*\);?",
        "",
        css,
    )
    return SOURCE_MAP.sub("\n", css)


def leftovers(css: str) -> list[str]:
    """What of the government's brand is still in a style sheet; empty when it is clean."""
    forbidden = ("GDS Transport", "@font-face", "crest", "url(", "/assets/", "sourceMappingURL")
    return [word for word in forbidden if word in css]


def version(modules: Path, package: str) -> str:
    found: str = json.loads((modules / package / "package.json").read_text())["version"]
    return found


def publish(modules: Path, package: str, name: str, licence: Path) -> Path:
    """An empty static/vendor/<name> with the package's licence and version in it."""
    target = VENDOR / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copyfile(licence, target / "LICENSE")
    (target / "VERSION").write_text(f"{package} {version(modules, package)}\n")
    return target


def govuk(modules: Path) -> None:
    # Its npm package names the licence (MIT) but does not hold the text.
    target = publish(modules, "govuk-frontend", "govuk", MANIFEST / "govuk-frontend.LICENSE")
    dist = modules / "govuk-frontend" / "dist" / "govuk"
    css = debrand((dist / "govuk-frontend.min.css").read_text())
    if rest := leftovers(css):
        sys.exit(
            f"The new govuk-frontend still holds {', '.join(rest)} after de-branding. "
            "Look at its style sheet and extend debrand() in tools/vendor.py."
        )
    (target / "govuk-frontend.min.css").write_text(css)
    js = (dist / "govuk-frontend.min.js").read_text()
    (target / "govuk-frontend.min.js").write_text(SOURCE_MAP.sub("\n", js))


def htmx(modules: Path) -> None:
    target = publish(modules, "htmx.org", "htmx", modules / "htmx.org" / "LICENSE")
    js = (modules / "htmx.org" / "dist" / "htmx.min.js").read_text()
    (target / "htmx.min.js").write_text(SOURCE_MAP.sub("\n", js))


def inter(modules: Path, scratch: Path) -> None:
    package = "@fontsource-variable/inter"
    target = publish(modules, package, "inter", modules / package / "LICENSE")
    for name, (characters, features) in FONT_FILES.items():
        source = modules / package / "files" / f"inter-{name}-wght-normal.woff2"
        cut = scratch / f"{name}.ttf"
        run(
            sys.executable, "-m", "fontTools.varLib.instancer",
            str(source), FONT_WEIGHTS, "-o", str(cut), "-q", "--no-recalc-timestamp",
        )  # fmt: skip
        run(
            sys.executable, "-m", "fontTools.subset", str(cut),
            f"--unicodes={characters}", f"--layout-features={features}",
            "--flavor=woff2", f"--output-file={target / f'inter-{name}.woff2'}",
        )  # fmt: skip


def lucide(modules: Path) -> None:
    """Each icon as a template to include: decoration beside words, hidden from screen readers."""
    publish(modules, "lucide-static", "lucide", modules / "lucide-static" / "LICENSE")
    shutil.rmtree(ICONS, ignore_errors=True)
    ICONS.mkdir(parents=True)
    for name in LUCIDE_ICONS:
        svg = (modules / "lucide-static" / "icons" / f"{name}.svg").read_text()
        drawing = re.sub(r"\s+", " ", svg[svg.index(">", svg.index("<svg")) + 1 :])
        drawing = re.sub(r" ?/>", "/>", drawing.replace("</svg>", "")).replace("> <", "><").strip()
        (ICONS / f"{name}.html").write_text(
            '<svg class="icon" width="20" height="20" viewBox="0 0 24 24" fill="none"'
            ' stroke="currentColor" stroke-width="2" stroke-linecap="round"'
            f' stroke-linejoin="round" aria-hidden="true" focusable="false">{drawing}</svg>\n'
        )


def run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True)


def main() -> None:
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm was not found. Install Node.js 20 or newer and run this again.")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(MANIFEST / name, scratch / name)
        run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=scratch)
        modules = scratch / "node_modules"
        govuk(modules)
        htmx(modules)
        inter(modules, scratch)
        lucide(modules)
    for path in sorted(VENDOR.rglob("*.*")):
        print(f"{path.stat().st_size:>8}  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
