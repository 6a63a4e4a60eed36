"""Entry point for socket servers: chat in production, chat and pages in the embedded default."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinic.settings")

_django = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402  (apps must be ready)

from chat.routing import websocket  # noqa: E402
from clinic.bodies import limited_asgi  # noqa: E402

application = ProtocolTypeRouter({"http": limited_asgi(_django), "websocket": websocket})
