"""Decisions on calls of tools."""

from __future__ import annotations

from django.http import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_POST

from chat.actions.errors import InvalidInputError
from chat.actions.tool_call import Decision, decide_tool_call
from chat.views.fields import UNREADABLE
from chat.views.responses import UserRequest, done, for_users


@require_POST
@for_users
def tool_call(request: UserRequest, call_id: int) -> HttpResponseBase:
    """Approves or declines a call that waits: `decision` is `once`, `chat` or `decline`."""
    try:
        decision = Decision(request.POST.get("decision", ""))
    except ValueError:
        raise InvalidInputError(UNREADABLE) from None
    message = decide_tool_call(request.user, call_id, decision)
    return done(request, to=reverse("conversation", args=[message.conversation_id]))
