"""The administration: transcripts, the audit record, the catalog, users.

Built on Django's admin. It shows no key of a provider.
"""

from allauth.account.decorators import secure_admin_login
from django.apps import apps
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from chat.admin import (
    api_tokens,
    audit,
    catalog,
    endpoint,
    groups,
    second_factors,
    server_settings,
    shares,
    tool_servers,
    tools,
    transcripts,
    users,
)

__all__ = [
    "api_tokens",
    "audit",
    "catalog",
    "endpoint",
    "groups",
    "second_factors",
    "server_settings",
    "shares",
    "tool_servers",
    "tools",
    "transcripts",
    "users",
]

admin.site.site_header = admin.site.site_title = "Steady"
admin.site.index_title = _("Administration")
apps.get_app_config("mfa").verbose_name = _("Two-factor log-in")
# The only log-in page is the chat's, with its rate limits and second factor.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
