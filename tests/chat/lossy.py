"""Settings whose channel layer drops 10 % and doubles 5 % on purpose; the chat must not care."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from channels_redis.utils import _wrap_close

from chat.layer import PipelinedLayer, PipelinedLoopLayer
from clinic.settings import *  # noqa: F403
from clinic.settings import CHANNEL_LAYERS

DROPPED = 0.10
DOUBLED = 0.05


class LossyLoopLayer(PipelinedLoopLayer):
    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        chance = random.random()
        if chance < DROPPED:
            return
        await super().group_send(group, message)
        if chance > 1 - DOUBLED:
            await super().group_send(group, message)


class LossyLayer(PipelinedLayer):
    def _get_layer(self) -> PipelinedLoopLayer:
        loop = asyncio.get_running_loop()
        if loop not in self._layers:
            self._layers[loop] = LossyLoopLayer(*self._args, **self._kwargs, channel_layer=self)
            _wrap_close(self, loop)
        return self._layers[loop]


CHANNEL_LAYERS["default"]["BACKEND"] = "tests.chat.lossy.LossyLayer"
