"""What a process of the site does before it takes requests."""

from __future__ import annotations

import subprocess
import sys

from django.conf import settings

from clinic.warm import warm_up
from tools.environments import embedded_environment

ASK = """
import gc, sys
from clinic import wsgi
from django.template import engines
from django.urls import get_resolver
print(get_resolver()._populated, "records.views_mine" in sys.modules)
print(len(gc.get_objects()) < gc.get_freeze_count() / 10)
"""


def test_every_template_compiles() -> None:
    [folder] = settings.TEMPLATES[0]["DIRS"]
    assert warm_up() == len([path for path in folder.rglob("*") if path.is_file()]) > 100


def test_views_are_imported_and_what_is_loaded_is_not_collected_any_more() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=embedded_environment(), capture_output=True, text=True
    )
    assert done.stdout.split() == ["True", "True", "True"], done.stderr
