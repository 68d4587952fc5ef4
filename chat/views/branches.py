"""Branches of a chat: a copy up to one message, as a new chat."""

from __future__ import annotations

import json
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from chat.actions.branch import branch_conversation
from chat.views.answers import PersonRequest, for_people


@require_POST
@for_people
def branches(request: PersonRequest, message_id: UUID) -> HttpResponseBase:
    """Makes the new chat and opens it."""
    branch = branch_conversation(request.user, message_id)
    if not request.htmx:
        return redirect("conversation", branch.pk)
    where = {"path": reverse("conversation", args=[branch.pk]), "target": "#chat", "swap": "outerHTML"}
    return HttpResponse(headers={"HX-Location": json.dumps(where)})
