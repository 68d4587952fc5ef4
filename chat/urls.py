"""The pages and fragments of the chat."""

from django.urls import path

from chat.transports.sse import events
from chat.views import conversations, messages
from chat.views.first_admin import first_admin
from chat.views.health import healthz, readyz

urlpatterns = [
    path("", conversations.home, name="home"),
    path("conversations/<uuid:conversation_id>/", conversations.conversation, name="conversation"),
    path("conversations/<uuid:conversation_id>/events/", events, name="events"),
    path("conversations/<uuid:conversation_id>/messages/", messages.messages, name="messages"),
    path(
        "conversations/<uuid:conversation_id>/before/<int:position>/", conversations.earlier, name="earlier"
    ),
    path("messages/<uuid:message_id>/generation/", messages.generation, name="generation"),
    path("messages/<uuid:message_id>/generations/", messages.generations, name="generations"),
    path("welcome/<str:token>/", first_admin, name="first_admin"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
