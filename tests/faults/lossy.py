"""Settings for a server whose channel layer loses messages: `DJANGO_SETTINGS_MODULE=tests.faults.lossy`.
`LOSSY_SHARE` is the share of lost messages (0 to 1)."""

from __future__ import annotations

import os
import random
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer

from chatproject.settings import *  # noqa: F403

CHANNEL_LAYERS = {"default": {**CHANNEL_LAYERS["default"], "BACKEND": "tests.faults.lossy.LossyLayer"}}  # noqa: F405


class LossyLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if random.random() >= float(os.environ["LOSSY_SHARE"]):
            await super().group_send(group, message)
