"""Starts the socket server with something taken out of it, for the controls."""

from __future__ import annotations

import sys
from collections.abc import Callable

from clinic import websocket_server


def serve(break_it: Callable[[], None]) -> None:
    websocket_server.use_uvloop()  # before Django's apps import daphne
    import django

    django.setup()
    break_it()
    sys.exit(websocket_server.main())
