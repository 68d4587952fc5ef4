"""The root URL configuration."""

from django.contrib import admin
from django.urls import include, path

from chat.api.json_api import api, unknown
from chat.api.reference import reference

handler500 = "chat.views.responses.server_error"
urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", reference, name="api_reference"),
    path("api/v1/", api.urls),
    path("api/v1/<path:rest>", unknown),
    path("", include("chat.urls")),
]
