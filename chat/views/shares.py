"""Share links: the dialog that makes them, the list of one's own, and the page that a link opens.

The page of a link needs no log-in. Whatever is wrong with a link, the response is the same 404. The page has
no scripts, loads nothing from other sites, and is not stored by browsers or listed by search engines."""

from __future__ import annotations

from functools import wraps
from typing import Any
from uuid import UUID, uuid4

from allauth.account.adapter import get_adapter
from django import forms
from django.contrib import messages
from django.db import DatabaseError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.csp import CSP
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csp import csp_override
from django.views.decorators.http import require_http_methods, require_safe

from chat.access import NotFoundError, conversations_of, may_open, share_for, shared_attachment
from chat.actions.errors import ActionError, ConflictError, InvalidInputError
from chat.actions.share import (
    MOST_MESSAGES,
    Range,
    allowed_audiences,
    continue_share,
    make_share,
    range_of,
    revoke_share,
    shares_of,
)
from chat.downloads import file_response
from chat.models import Audience, Message, Role, Share, User
from chat.models.conversation import TITLE_LENGTH
from chat.rate_limit import network_of
from chat.rendering.words import in_words
from chat.runtime import current
from chat.translatable import translatable
from chat.views.fields import number_of
from chat.views.responses import UserRequest, View, for_users, logger, unavailable

_DAYS = [
    ("1", _("In 1 day")),
    ("7", _("In 7 days")),
    ("30", _("In 30 days")),
    ("90", _("In 90 days")),
    ("365", _("In a year")),
]
PAGE = 50  # messages on a page of a link: anyone may open it, and each is rendered
_WORDS = 50  # characters of a message in the lists of the form

_POLICY = {
    "default-src": [CSP.NONE],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF],
    "font-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}


class ShareForm(forms.Form):
    """What a link shows, and to whom. Its ends are messages of `shown`."""

    title = forms.CharField(
        label=_("Title"),
        max_length=TITLE_LENGTH,
        required=False,
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    first = forms.ChoiceField(label=_("From"))
    last = forms.ChoiceField(label=_("To"))
    audience = forms.ChoiceField(label=_("Who can open it"))
    days = forms.ChoiceField(label=_("Expires"), choices=_DAYS)
    with_names = forms.BooleanField(label=_("Show my name"), required=False)
    with_files = forms.BooleanField(label=_("Show files and images"), required=False)
    with_steps = forms.BooleanField(label=_("Show reasoning and tool calls"), required=False)

    def __init__(self, data: Any = None, *, shown: Range) -> None:
        super().__init__(data, initial=self._initial(shown), label_suffix="")
        choices: dict[str, list[tuple[str, Any]]] = {
            "first": [_choice(it) for at, it in enumerate(shown.choices) if it.role == Role.USER or not at],
            "last": [_choice(it) for it in shown.choices],
            "audience": [(str(it.value), it.label) for it in allowed_audiences()],
        }
        for name, values in choices.items():
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = values

    @staticmethod
    def _initial(shown: Range) -> dict[str, Any]:
        return {
            "title": shown.conversation.title,
            "first": str(shown.messages[0].pk),
            "last": str(shown.messages[-1].pk),
            "audience": Audience.TEAM.value,
            "days": "7",
        }


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def shares(request: UserRequest, conversation_id: UUID) -> HttpResponseBase:
    """GET shows the form for a link to this chat, with a preview. POST shows the preview of other choices, or
    with `create` makes the link that was previewed. A fragment for htmx, else a page."""
    if request.method != "POST":
        shown = _range(request, conversation_id)
        return _form(request, shown, ShareForm(shown=shown))
    error = ""
    try:
        shown = _range(request, conversation_id, request.POST.get("first"), request.POST.get("last"))
    except ActionError as refusal:
        shown, error = _range(request, conversation_id), in_words(refusal)
    form = ShareForm(request.POST, shown=shown)
    if "create" in request.POST and not error and form.is_valid():
        try:
            made = _make(request, shown, form.cleaned_data)
        except ActionError as refusal:
            error = in_words(refusal)
        else:
            context = {"share": made, "link": _link(request, made)}
            return render(request, _template(request, "share_made"), context)
    return _form(request, shown, form, error)


@never_cache
@require_safe
@for_users
def my_shares(request: UserRequest) -> HttpResponseBase:
    """Lists the user's links."""
    listed = list(shares_of(request.user).annotate(count=Count("messages")).select_related("conversation"))
    for each in listed:
        each.link = _link(request, each)  # type: ignore[attr-defined]
    return render(request, "chat/shares.html", {"shares": listed, "allowed": allowed_audiences()})


@require_http_methods(["POST", "DELETE"])
@for_users
def share(request: UserRequest, share_id: UUID) -> HttpResponseBase:
    """Revokes a link."""
    revoke_share(request.user, share_id)
    messages.success(request, gettext("Link revoked."))
    return redirect("my_shares")


def for_anyone(view: View[...]) -> View[...]:
    """Limits the requests, and gives every link that cannot be opened the same response."""

    @wraps(view)
    def limited(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            user = _user(request)
            key = f"user {user.pk}" if user else network_of(get_adapter().get_client_ip(request))
            if not current().share_requests.allows(key):
                response: HttpResponseBase = render(request, "chat/share_refused.html", status=429)
                response.headers["Retry-After"] = "30"
            else:
                response = view(request, *args, **kwargs)
        except NotFoundError:
            response = render(request, "chat/share_missing.html", status=404)
        except DatabaseError:
            logger.exception("A request failed because of the database.")
            response = unavailable(request)
        response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
        response.headers["Cache-Control"] = "no-store, private"
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        return response

    return limited


@require_safe
@csp_override(_POLICY)
@for_anyone
def shared(request: HttpRequest, secret: str) -> HttpResponseBase:
    """Shows one page of what a link shows."""
    user = _user(request)
    found = share_for(user, secret)
    number = number_of(request.GET.get("page", "1"), digits=3)
    shown = list(found.shown_messages[(number - 1) * PAGE : number * PAGE + 1]) if number else []
    if not shown:
        raise NotFoundError
    context = {
        "share": found,
        "shown_messages": shown[:PAGE],
        "before": number - 1,
        "after": number + 1 if len(shown) > PAGE else 0,
        "person": user,
        "new_id": uuid4(),
    }
    response = render(request, "chat/share.html", context)
    if user is not None:  # with no-referrer, browsers send the form with `Origin: null`, which is refused
        response.headers["Referrer-Policy"] = "strict-origin"
    return response


@require_safe
@for_anyone
def shared_file(request: HttpRequest, secret: str, attachment_id: UUID) -> HttpResponseBase:
    """Returns a file of a link that shows files."""
    found = shared_attachment(_user(request), secret, attachment_id)
    return file_response(request, found, thumbnail="thumbnail" in request.GET)


@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def continued(request: UserRequest, secret: str) -> HttpResponseBase:
    """Copies what the link shows into a chat of the user, and opens it. A log-in in between requests the
    address with GET: then the link is shown again."""
    if request.method != "POST":
        return redirect("shared", secret)
    try:
        chat_id = UUID(request.POST.get("chat", ""))
    except ValueError:
        chat_id = None
    return redirect("conversation", continue_share(request.user, secret, chat_id).pk)


def _user(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) and request.user.is_authenticated else None


def _range(
    request: UserRequest, conversation_id: UUID, first: str | None = None, last: str | None = None
) -> Range:
    if may_open(request.user, conversation_id) and not conversations_of(request.user).filter(
        pk=conversation_id
    ):
        raise ConflictError(translatable("This chat has no messages yet."))  # the page of a new chat
    try:
        ends = [UUID(end) if end else None for end in (first, last)]
    except ValueError:
        raise InvalidInputError(translatable("There is no such message.")) from None
    return range_of(request.user, conversation_id, *ends)


def _make(request: UserRequest, shown: Range, chosen: dict[str, Any]) -> Share:
    return make_share(
        request.user,
        shown,
        fingerprint=request.POST.get("fingerprint", ""),
        title=chosen["title"],
        audience=chosen["audience"],
        days=int(chosen["days"]),
        names=chosen["with_names"],
        files=chosen["with_files"],
        steps=chosen["with_steps"],
    )


def _form(request: UserRequest, shown: Range, form: ShareForm, error: str = "") -> HttpResponse:
    context = {"shown": shown, "form": form, "error": error, "most": MOST_MESSAGES}
    refused = bool(error) or ("create" in request.POST and not form.is_valid())
    return render(request, _template(request, "share_new"), context, status=409 if refused else 200)


def _template(request: UserRequest, name: str) -> str:
    return f"chat/_{name}.html" if request.htmx else f"chat/{name}.html"


def _link(request: HttpRequest, share: Share) -> str:
    return request.build_absolute_uri(reverse("shared", args=[share.secret]))


def _choice(message: Message) -> tuple[str, str]:
    who = gettext("You") if message.role == Role.USER else (message.reply and message.reply.model_label) or ""
    text = " ".join(message.text[: 4 * _WORDS].split())
    return str(message.pk), f"{who}: {text[:_WORDS]}{'…' if len(text) > _WORDS else ''}"
