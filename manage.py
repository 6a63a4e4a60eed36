#!/usr/bin/env python3
"""Django's command line for Clinic."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinic.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # A wrong setting is the operator's to fix: the sentence helps, a traceback hides it.
        sys.exit(f"Clinic cannot start: {error}")


if __name__ == "__main__":
    main()
