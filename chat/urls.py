"""The pages and fragments of the chat."""

from django.urls import URLPattern, path

from chat.views.first_admin import first_admin
from chat.views.health import healthz, readyz

urlpatterns: list[URLPattern] = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("welcome/<str:token>/", first_admin, name="first_admin"),
]
