"""What is vendored stays clean, complete and light. `tools/vendor.py` makes it; these tests hold it
to what the pages promise, whoever changes a file by hand."""

from __future__ import annotations

import gzip
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "static"
VENDOR = STATIC / "vendor"
GOVUK_CSS = VENDOR / "govuk" / "govuk-frontend.min.css"
KB = 1024  # the limits are meant in the units a browser's network panel shows

# What the find-a-doctor page loads; govuk's JavaScript only comes with a form that has errors,
# a counted text or a password (site.js), none of which is on that page. It is counted all the same.
FIND_A_DOCTOR = [
    GOVUK_CSS,
    STATIC / "css" / "site.css",
    STATIC / "js" / "site.js",
    VENDOR / "htmx" / "htmx.min.js",
]


def vendor_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vendor_script", ROOT / "tools" / "vendor.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def gzipped(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9))


@pytest.mark.parametrize("trace", ["GDS", "@font-face", "crest", "url(", "/assets/", "Transport"])
def test_nothing_of_the_government_brand_returns(trace: str) -> None:
    assert trace not in GOVUK_CSS.read_text()


def test_every_font_stack_of_the_vendored_sheet_is_ours_or_the_printers() -> None:
    stacks = set(re.findall(r"font-family:([^;}]*)", GOVUK_CSS.read_text()))
    assert stacks == {vendor_script().FONT_STACK, "sans-serif"}


def test_debranding_removes_each_trace_and_says_what_it_missed() -> None:
    script = vendor_script()
    branded = (
        "@font-face{font-family:GDS Transport;src:url(/assets/fonts/light.woff2)}"
        ".a{font-family:GDS Transport,arial,sans-serif;color:red}"
        ".b{-webkit-mask-image:url(/assets/images/govuk-crest.svg);mask-image:"
        "url(/assets/images/govuk-crest.svg);margin:0}"
        "/*# sourceMappingURL=x.css.map */"
    )
    assert script.leftovers(branded)
    clean = script.debrand(branded)
    assert script.leftovers(clean) == []
    assert "color:red" in clean and "margin:0" in clean
    assert script.leftovers(".new{background:url(/assets/new.svg)}") == ["url(", "/assets/"]


@pytest.mark.parametrize("name", ["govuk", "htmx", "inter", "lucide"])
def test_each_vendored_part_says_its_licence_and_version(name: str) -> None:
    assert len((VENDOR / name / "LICENSE").read_text()) > 500
    assert re.fullmatch(r"\S+ \d+\.\d+\.\d+\n", (VENDOR / name / "VERSION").read_text())


def test_versions_are_those_the_lock_file_pins() -> None:
    lock = (ROOT / "tools" / "vendor" / "package-lock.json").read_text()
    for path in VENDOR.glob("*/VERSION"):
        package, version = path.read_text().split()
        assert re.search(
            rf'"node_modules/{re.escape(package)}": {{\s+"version": "{re.escape(version)}"', lock
        ), package
    assert '"resolved"' not in lock  # the address of a registry is the builder's business


def test_no_file_asks_for_a_source_map_that_is_not_there() -> None:
    """The hashed static storage refuses to collect a file that names a missing one."""
    for path in [*STATIC.rglob("*.js"), *STATIC.rglob("*.css")]:
        assert "sourceMappingURL" not in path.read_text(), path


def test_find_a_doctor_loads_at_most_50_kb_of_css_and_js() -> None:
    assert sum(gzipped(path) for path in FIND_A_DOCTOR) <= 50 * KB


def test_own_css_and_js_stay_within_6_kb() -> None:
    own = [*(STATIC / "css").glob("*.css"), *(STATIC / "js").glob("*.js")]
    own = [path for path in own if path.name in {"site.css", "site.js"}]
    assert len(own) == 2
    assert sum(gzipped(path) for path in own) <= 6 * KB


def test_the_fonts_weigh_at_most_50_kb_together() -> None:
    fonts = list((VENDOR / "inter").glob("*.woff2"))
    assert len(fonts) == 2
    assert sum(path.stat().st_size for path in fonts) <= 50 * KB


def test_own_style_sheets_only_load_files_that_exist() -> None:
    css = STATIC / "css" / "site.css"
    addresses = re.findall(r'url\("([^"]+)"\)', css.read_text())
    assert addresses
    for address in addresses:
        assert (css.parent / address).resolve().is_file(), address


def test_no_template_holds_what_the_content_security_policy_refuses() -> None:
    """Inline scripts, styles and handlers; JSON-LD is data. Mails have no policy and no classes."""
    refused = re.compile(
        r"<style|\sstyle=|\son(?:click|load|submit|change|input)=|\shx-on|javascript:|\bjs:"
        r"|<script(?![^>]*\bsrc=)(?![^>]*application/(?:ld\+)?json)",
        re.IGNORECASE,
    )
    for path in (ROOT / "templates").rglob("*.html"):
        if "mail" in path.parts or "email" in path.parts:
            continue
        found = refused.search(
            re.sub(r"{% comment %}.*?{% endcomment %}", "", path.read_text(), flags=re.S)
        )
        assert found is None, f"{path.relative_to(ROOT)}: {found and found.group()}"
