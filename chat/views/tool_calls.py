"""Decisions on calls of tools."""

from __future__ import annotations

from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_POST

from chat.actions.errors import InvalidInputError
from chat.actions.tool_call import Decision, decide_tool_call
from chat.views.answers import PersonRequest, done, for_people


@require_POST
@for_people
def tool_call(request: PersonRequest, call_id: int) -> HttpResponseBase:
    """Approves or declines a call that waits: `decision` is `once`, `chat` or `decline`."""
    try:
        decision = Decision(request.POST.get("decision", ""))
    except ValueError:
        words = gettext_noop("The page sent something that cannot be read. Reload it.")
        raise InvalidInputError(words) from None
    message = decide_tool_call(request.user, call_id, decision)
    return done(request, to=reverse("conversation", args=[message.conversation_id]))
