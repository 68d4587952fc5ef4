"""Where the sockets are."""

from typing import Any

from channels.routing import URLRouter
from django.urls import path

from chat.transports.consumer import ChatConsumer
from chat.transports.origins import SameOrigin
from chat.transports.self_test import SelfTestConsumer

chat_socket: Any = ChatConsumer.as_asgi()  # Django types `path` for views; Channels documents it for this
self_test_socket: Any = SelfTestConsumer.as_asgi()
routes: list[Any] = [
    path("ws/conversations/<uuid:conversation_id>/", chat_socket),
    path("ws/self-test/", self_test_socket),
]

websocket = SameOrigin(URLRouter(routes))
