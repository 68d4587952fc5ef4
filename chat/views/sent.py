"""What a model was sent: summaries of earlier messages."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.access import summary_for
from chat.views.answers import PersonRequest, for_people


@never_cache
@require_safe
@for_people
def summary(request: PersonRequest, summary_id: UUID) -> HttpResponseBase:
    """Shows a summary: a fragment for htmx, else a page."""
    template = "chat/_summary.html" if request.htmx else "chat/summary.html"
    return render(request, template, {"summary": summary_for(request.user, summary_id)})
