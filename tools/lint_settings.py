"""The project's settings with the migration linter, which is an app; only `make lint` uses it."""

from clinic.settings import *  # noqa: F403
from clinic.settings import INSTALLED_APPS as _OURS

INSTALLED_APPS = [*_OURS, "django_migration_linter"]

MIGRATION_LINTER_OPTIONS = {
    # Of before the first release: no site runs on what was before them. Later ones have to work
    # with the release before: a new column that must not be empty gets a `db_default`, and what
    # goes is taken out of the code one release before it is dropped.
    "ignore_name": [
        *("0001_initial", "0002_carer_rights", "0003_sign_ins_and_anchors", "0002_workplace"),
        *("0002_reply_time", "0002_hospitalstaff", "0003_reply_time", "0002_checks", "0002_rules"),
        *("0003_icd_categories", "0003_reminders_and_waiting_list"),
    ],
}
