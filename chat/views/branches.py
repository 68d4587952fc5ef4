"""Branches of a chat: a copy up to one message, as a new chat."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_POST

from chat.actions.branch import branch_conversation
from chat.views.responses import UserRequest, for_users, redirect_to_chat


@require_POST
@for_users
def branches(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """Makes the new chat and opens it."""
    branch = branch_conversation(request.user, message_id)
    return redirect_to_chat(request, reverse("conversation", args=[branch.pk]))
