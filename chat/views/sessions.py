"""The page of the user's log-ins."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.utils.translation import gettext, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat.actions.sessions import end_log_in, end_other_log_ins, log_ins_of
from chat.views.responses import UserRequest, for_users, wanted_method


@never_cache
@require_http_methods(["GET", "HEAD", "POST", "DELETE"])
@for_users
def sessions(request: UserRequest) -> HttpResponseBase:
    """Lists the user's log-ins; DELETE ends all but this one."""
    key = request.session.session_key
    if wanted_method(request) == "DELETE":
        ended = end_other_log_ins(request.user, key)
        words = ngettext("Logged out of %(count)d session.", "Logged out of %(count)d sessions.", ended)
        messages.success(request, words % {"count": ended})
        return redirect("sessions")
    if request.method == "POST":
        return HttpResponseNotAllowed(["GET", "HEAD", "DELETE"])
    return render(request, "chat/sessions.html", {"log_ins": log_ins_of(request.user, key)})


@require_http_methods(["POST", "DELETE"])
@for_users
def session(request: UserRequest, log_in_id: int) -> HttpResponseBase:
    """Ends one log-in."""
    end_log_in(request.user, log_in_id)
    messages.success(request, gettext("Session logged out."))
    return redirect("sessions")
