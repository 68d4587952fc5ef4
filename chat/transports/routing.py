"""URLs of the WebSockets."""

from typing import Any

from channels.routing import URLRouter
from django.urls import path

from chat.transports.connection_check import ConnectionCheckConsumer
from chat.transports.consumer import ChatConsumer
from chat.transports.origins import SameOrigin

chat_socket: Any = ChatConsumer.as_asgi()  # Django types `path` for views; Channels documents it for this
connection_check_socket: Any = ConnectionCheckConsumer.as_asgi()
routes: list[Any] = [
    path("ws/conversations/<uuid:conversation_id>/", chat_socket),
    path("ws/connection-check/", connection_check_socket),
]

websocket = SameOrigin(URLRouter(routes))
