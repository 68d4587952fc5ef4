"""Responses of views: the same error as a page, as a fragment for htmx, or as JSON for a program."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from functools import wraps
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext
from django.views import defaults

from chat.access import NotFoundError
from chat.actions.errors import ActionError
from chat.actions.shown_path import HiddenMessages
from chat.models import Message, User
from chat.rendering import fragments
from chat.rendering.words import in_words

logger = logging.getLogger(__name__)


class UserRequest(HttpRequest):
    """A request of a logged-in user."""

    user: User
    htmx: bool


type View[**P] = Callable[..., HttpResponseBase]


def for_users(view: View[...]) -> View[...]:
    """Restricts a view to logged-in users, and turns a refused action into a response with its message."""

    @login_required
    def page(request: UserRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except NotFoundError as error:
            return refused(request, 404, "not_found", in_words(error))
        except ActionError as error:
            return refused(request, error.status, error.code, in_words(error))

    @wraps(view)
    def response(request: UserRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            # htmx would insert the log-in page into the page.
            if request.htmx and not request.user.is_authenticated:
                return HttpResponse(status=401, headers={"HX-Redirect": resolve_url(settings.LOGIN_URL)})
            return page(request, *args, **kwargs)
        except DatabaseError:
            logger.exception("A request failed because of the database.")
            return unavailable(request)

    return response


def refused(request: UserRequest, status: int, code: str, words: str) -> HttpResponseBase:
    if request.htmx:
        return HttpResponse(fragments.notice(words, client_id=_client_id(request)), status=status)
    if request.accepts("text/html"):
        if status == 404:
            return not_found(request, words)
        messages.error(request, words)
        return render(request, "refused.html", status=status)
    return JsonResponse({"error": {"code": code, "message": words}}, status=status)


def unavailable(request: HttpRequest) -> HttpResponseBase:
    """Returns a response without database access: no session, no user, no context."""
    response = _unavailable(request, gettext(fragments.no_database()))
    # The cause is logged already: Django must not log each response as an error of its own.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's handler for unexpected errors, such as a log-in or a session that cannot be written."""
    if isinstance(sys.exc_info()[1], DatabaseError):
        logger.exception("A request failed because of the database.")
        return unavailable(request)
    return defaults.server_error(request)


def _unavailable(request: HttpRequest, words: str) -> HttpResponseBase:
    if getattr(request, "htmx", False):  # missing if a middleware failed
        return HttpResponse(fragments.notice(words, client_id=_client_id(request)), status=503)
    if request.accepts("text/html"):
        return HttpResponse(render_to_string("500.html", {"words": words}), status=503)
    return JsonResponse({"error": {"code": "unavailable", "message": words}}, status=503)


def _client_id(request: HttpRequest) -> UUID | None:
    """Returns the client id of the prompt in the request, if there is one."""
    try:
        return UUID(request.POST.get("client_id", ""))
    except ValueError:
        return None


def not_found(request: UserRequest, words: str) -> HttpResponse:
    return render(request, "404.html", {"words": words}, status=404)


def done(request: UserRequest, *, to: str) -> HttpResponseBase:
    """Responds after an action: htmx receives its effect by the live stream, a plain form is redirected to
    `to`."""
    return HttpResponse(status=204) if request.htmx else redirect(to)


def done_with_undo(
    request: UserRequest, reply: Message, words: str, hidden: HiddenMessages, *, is_rated: bool = False
) -> HttpResponseBase:
    """Responds after an action that showed `reply`. If messages are `hidden` by it, `words` say so, and the
    user can take it back. `is_rated`: the action also rated the reply."""
    to = reverse("conversation", args=[reply.conversation_id])
    if hidden.last is None:
        return done(request, to=to)
    if not request.htmx:
        messages.info(request, words)
        return redirect(to)
    query = {"undo": reply.pk} | ({"rated": "1"} if is_rated else {})
    undo = f"{reverse('message_path', args=[hidden.last])}?{urlencode(query)}"
    return HttpResponse(fragments.toast(words, undo=undo, beside=",".join(map(str, hidden.beside))))


def redirect_to_chat(request: UserRequest, url: str) -> HttpResponseBase:
    """Opens the chat at this URL: htmx swaps it in, a plain form is redirected."""
    if not request.htmx:
        return redirect(url)
    where = {"path": url, "target": "#chat", "swap": "outerHTML"}
    return HttpResponse(headers={"HX-Location": json.dumps(where)})


def wanted_method(request: HttpRequest) -> str:
    """Returns the intended method: a plain form can only POST, and names the other one in `_method`."""
    if request.method == "POST" and request.POST.get("_method") == "delete":
        return "DELETE"
    return request.method or "GET"
