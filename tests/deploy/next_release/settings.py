"""The project's settings, and one app more."""

from clinic.settings import *  # noqa: F403
from clinic.settings import INSTALLED_APPS as _OURS

INSTALLED_APPS = [
    *_OURS,
    "tests.deploy.next_release.apps.NextRelease",
    "django_migration_linter",
]
