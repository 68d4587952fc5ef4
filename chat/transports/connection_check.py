"""The two endpoints of the connection check: a socket that echoes, and a stream of ticks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.views.decorators.http import require_GET

from chat.diagnosis.connection_token import TICK_SECONDS, TICKS, is_token
from chat.rate_limit import RateLimit
from chat.transports.sse import HEADERS, encoded

ECHO_LENGTH = 100


class ConnectionCheckConsumer(AsyncWebsocketConsumer):
    """Echoes short messages."""

    # As in the chat's consumer: the check reports an unreachable Redis separately.
    channel_layer_alias = "none"

    async def connect(self) -> None:
        self.rate = RateLimit(burst=10, per_second=1)
        if is_token(QueryDict(self.scope["query_string"]).get("token", "")):
            await self.accept()
        else:
            await self.close()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data is None or len(text_data) > ECHO_LENGTH or not self.rate.allows():
            await self.close(4429)
        else:
            await self.send(text_data=text_data)


@require_GET
async def ticks(request: HttpRequest) -> HttpResponseBase:
    """Sends a few events, half a second apart, each with the server's time."""
    if not is_token(request.GET.get("token", "")):
        return HttpResponse("The token has expired. Open the connection-check again.", status=403)
    return StreamingHttpResponse(_ticks(), content_type="text/event-stream", headers=HEADERS)


async def _ticks() -> AsyncIterator[bytes]:
    for number in range(TICKS):
        yield encoded(f"{time.time():.3f}", event_id=number)
        await asyncio.sleep(TICK_SECONDS)
