"""Where the sockets are."""

from typing import Any

from channels.routing import URLRouter
from django.urls import path

from chat.transports.consumer import ChatConsumer
from chat.transports.origins import SameOrigin

chat_socket: Any = ChatConsumer.as_asgi()  # Django types `path` for views; Channels documents it for this
routes: list[Any] = [path("ws/conversations/<uuid:conversation_id>/", chat_socket)]

websocket = SameOrigin(URLRouter(routes))
