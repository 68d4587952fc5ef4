"""The search in one's own chats."""

from __future__ import annotations

from django.http import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.search import search
from chat.views.fields import number_of
from chat.views.responses import UserRequest, for_users

FOUND_CHATS = 20


@never_cache
@require_safe
@for_users
def search_page(request: UserRequest) -> HttpResponseBase:
    """Shows the chats that `q` finds: the list for the sidebar, or without scripts a page. `until` is where
    the previous page of results ended."""
    text = request.GET.get("q", "").strip()
    until = number_of(request.GET.get("until", ""))
    found = search(request.user, text, FOUND_CHATS, until=until, zone=timezone.get_current_timezone())
    context = {"found": found, "query": text, "is_further": until > 0}
    return render(request, "chat/_search_results.html" if request.htmx else "chat/search.html", context)
