"""What the first requests of a process would otherwise wait for, done before it takes any.

Django imports the views with the first request and compiles a template when it is first used: after
a rolling update the first visitors of each process paid for it. gunicorn loads the site once and
forks its processes from it, so that this is done once for all.

What is loaded by then stays until the process ends. Python's collector would still walk all of it
now and then, 60 to 80 ms in which nothing else runs: `keep_loaded` takes it out of its sight.
"""

from __future__ import annotations

import gc
from pathlib import Path

from django.conf import settings
from django.forms.renderers import get_default_renderer
from django.template.loader import get_template
from django.urls import reverse


def warm_up() -> int:
    """Imports the views and compiles every template of the project; returns how many."""
    reverse("home")
    get_default_renderer()
    names = [
        path.relative_to(folder).as_posix()
        for folder in map(Path, settings.TEMPLATES[0]["DIRS"])
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    for name in names:
        get_template(name)
    return len(names)


def keep_loaded() -> int:
    """Leaves what is loaded now out of every later collection; returns how many objects."""
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()
