"""Entry point for gunicorn."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinic.settings")

_django = get_wsgi_application()

from clinic.bodies import limited_wsgi  # noqa: E402  (settings must be ready)
from clinic.warm import keep_loaded, warm_up  # noqa: E402

warm_up()
application = limited_wsgi(_django)
keep_loaded()
