"""Middleware for every response of every view."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from urllib.parse import urljoin

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

type View = Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def links_from_steady_url(get_response: View) -> View:
    """Builds absolute links from `STEADY_URL`, whatever `Host` a request has. A client that chooses the host
    of a link in a mail gets its token. Without `STEADY_URL` only names of this machine are valid hosts, and
    the request's port is correct."""

    def prepare(request: HttpRequest) -> None:
        if settings.STEADY_URL != settings.DEFAULT_URL:
            vars(request)["build_absolute_uri"] = lambda location=None: urljoin(
                f"{settings.STEADY_URL}/", location or request.get_full_path()
            )

    return _wrapped(get_response, before=prepare)


@sync_and_async_middleware
def metrics_at_any_host(get_response: View) -> View:
    """Answers Prometheus by whatever name or address it has for a process: that of a container changes with
    each start. The response contains no link, and its view checks a token or the client's address."""

    def prepare(request: HttpRequest) -> None:
        if request.path == "/metrics":
            vars(request)["get_host"] = lambda: "localhost"

    return _wrapped(get_response, before=prepare)


@sync_and_async_middleware
def responses_stay_private(get_response: View) -> View:
    """Prevents browsers, proxies and shared computers from storing a page. WhiteNoise serves static files
    before. A browser may keep the files of a chat, if it asks each time whether it may still show them."""

    def mark(response: HttpResponseBase) -> None:
        control = response.headers.get("Cache-Control", "")
        if "no-store" not in control and control != "private, no-cache":
            response.headers["Cache-Control"] = "no-store, private"

    return _wrapped(get_response, after=mark)


class SessionsLiveWhileUsed(MiddlewareMixin):
    """Extends the session with each request if `STEADY_IDLE_MINUTES` is set, except requests that a page
    sends by itself."""

    BY_ITSELF = frozenset({"conversations", "events"})

    def __init__(self, get_response: Callable[..., HttpResponseBase]) -> None:
        if not settings.STEADY_IDLE_MINUTES:
            raise MiddlewareNotUsed
        super().__init__(get_response)

    def process_view(self, request: HttpRequest, *_: object) -> None:
        from chat import sessions

        match = request.resolver_match
        if match is None or match.url_name in self.BY_ITSELF or not request.user.is_authenticated:
            return
        if sessions.is_worth_extending(getattr(request.session, "expires_at", None)):
            sessions.extend(str(request.session.session_key))


def _wrapped(
    get_response: View,
    *,
    before: Callable[[HttpRequest], None] = lambda request: None,
    after: Callable[[HttpResponseBase], None] = lambda response: None,
) -> View:
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            before(request)
            response: HttpResponseBase = await get_response(request)
            after(response)
            return response

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        before(request)
        response = get_response(request)
        assert isinstance(response, HttpResponseBase)
        after(response)
        return response

    return synchronous
