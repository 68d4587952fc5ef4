"""How a stream is treated, from the settings and the catalog."""

from __future__ import annotations

from chat.models import ChatModel
from chat.pipeline.compose import StreamPolicy


def policy_for(model: ChatModel) -> StreamPolicy:
    return StreamPolicy()
