"""Settings whose channel layer drops 10 % of what it gets and doubles 5 %, on purpose."""

from __future__ import annotations

import random
from typing import Any

import structlog

from chat.layer import PipelinedLayer
from clinic.settings import *  # noqa: F403
from clinic.settings import CHANNEL_LAYERS

DROPPED = 0.10
DOUBLED = 0.05


logger = structlog.get_logger(__name__)


class LossyLayer(PipelinedLayer):
    dropped = 0

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        chance = random.random()
        if chance < DROPPED:
            self.dropped += 1
            if self.dropped % 10 == 0:
                logger.warning("dropped_on_purpose", messages=self.dropped)
            return
        await self._get_layer().group_send(group, message)
        if chance > 1 - DOUBLED:
            await self._get_layer().group_send(group, message)


CHANNEL_LAYERS["default"]["BACKEND"] = f"{__name__}.LossyLayer"
