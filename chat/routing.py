"""The chat's WebSocket application, for clinic/asgi.py."""

from __future__ import annotations

from chat.socket import application

websocket = application

__all__ = ["websocket"]
