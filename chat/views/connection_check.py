"""The page of the connection check, for administrators."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.http import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.diagnosis.connection_token import SILENCE_SECONDS, TICK_SECONDS, TICKS, new_token
from chat.diagnosis.findings import PROXY_FIXES
from chat.diagnosis.server_checks import check_server
from chat.views.responses import UserRequest, for_users, not_found


@never_cache
@require_safe
@for_users
def connection_check(request: UserRequest) -> HttpResponseBase:
    """Shows the findings of the server, and runs a script that checks the connection from this browser."""
    if not request.user.is_superuser:
        return not_found(request, "")
    context = {
        "findings": async_to_sync(check_server)(),
        "token": new_token(),
        "silence": int(SILENCE_SECONDS),
        "least_spread": int((TICKS - 1) * TICK_SECONDS * 500),  # milliseconds, half of the expected value
        "proxy_fixes": PROXY_FIXES,
    }
    return render(request, "connection_check.html", context)
