"""Tags of a chat."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat.access import conversation_for
from chat.actions.tag import tag_conversation, tag_names, untag_conversation
from chat.rendering import fragments
from chat.views.responses import UserRequest, for_users, wanted_method
from chat.views.sidebar import list_context, page_of


@never_cache
@require_http_methods(["GET", "HEAD", "POST", "DELETE"])
@for_users
def conversation_tags(request: UserRequest, conversation_id: UUID) -> HttpResponseBase:
    """POST gives the chat the tag `name`, DELETE removes it. GET shows those that it has: the menu asks when
    it opens, since another page may have changed them."""
    if request.method in ("GET", "HEAD"):
        conversation = conversation_for(request.user, conversation_id)
        if not request.htmx:
            return redirect("conversation", conversation_id)
        return HttpResponse(fragments.conversation_tags(conversation))
    change = untag_conversation if wanted_method(request) == "DELETE" else tag_conversation
    change(request.user, conversation_id, request.POST.get("name", ""))
    if not request.htmx:
        return redirect("conversation", conversation_id)
    html = fragments.tag_names(tag_names(request.user))
    if page_of(request) == conversation_id:
        html += fragments.conversation_tags(conversation_for(request.user, conversation_id))
    return HttpResponse(fragments.conversation_list(list_context(request.user, page_of(request))) + html)
