"""The command palette: finds chats, actions, models and pages by a few letters.

An action presses its button on the page, so each action exists once. The page leaves out actions whose
buttons it does not have at the moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from chat.access import conversations_of, newest_versions
from chat.actions.errors import InvalidInputError
from chat.actions.preferences import set_preferences
from chat.models import ChatModel, Conversation, Folder, Preferences, User
from chat.search.find import titled
from chat.search.words import index_words
from chat.views.fields import UNREADABLE
from chat.views.responses import UserRequest, for_users
from chat.views.sidebar import page_of

MOST_CHARACTERS = 200  # of a query
MOST_USED = 8  # entries of those that were used last
_CHATS, _FOLDERS, _MODELS, _PRESETS = 6, 6, 6, 6  # that are listed

type Text = str | Promise


class Entry(NamedTuple):
    """What choosing the entry does: `press` is the selector of a button of the page, `focus` the id of the
    field that has the focus then, `url` a page, which `swaps` only the chat or opens as a `sheet`, `theme` a
    choice of `Preferences.Theme`, `model` the id of a model, `search` a query for the search field. `key`
    names the entry in the browser's memory. `also` are further words that find it."""

    key: str
    icon: str
    label: Text
    press: str = ""
    keys: str = ""
    focus: str = ""
    url: str = ""
    theme: str = ""
    model: int | None = None
    search: str | None = None
    swaps: bool = False
    sheet: bool = False
    note: Text = ""
    also: Text = ""


class Section(NamedTuple):
    key: str
    label: Text
    entries: list[Entry]


def _option(key: str, icon: str, label: Text, button: str) -> Entry:
    return Entry(key, icon, label, f"#chat-options {button}")


ACTIONS = (
    Entry("new", "square-pen", gettext_lazy("New chat"), ".new-chat", "Ctrl Shift O"),
    Entry("search", "search", gettext_lazy("Search chats"), keys="Ctrl Shift F", search=""),
    Entry("model", "bot", gettext_lazy("Choose a model"), "#model", "Ctrl Shift M"),
    Entry("attach", "paperclip", gettext_lazy("Attach files"), "#attach"),
    Entry("compare", "columns-2", gettext_lazy("Send a message to several models"), "#compare"),
    Entry("stop", "square", gettext_lazy("Stop the reply"), ".send-button.stop", "Ctrl Shift X"),
    Entry(
        "copy",
        "copy",
        gettext_lazy("Copy the last reply"),
        '[data-role="assistant"] [data-rich]',
        "Ctrl Shift C",
    ),
    Entry(
        "rename",
        "pencil",
        gettext_lazy("Rename this chat"),
        '[popovertarget="chat-options"]',
        focus="title-field",
    ),
    Entry("edit", "pencil", gettext_lazy("Edit your last message"), "[data-edit]"),
    Entry(
        "retry",
        "rotate-ccw",
        gettext_lazy("Retry the last reply"),
        '.retry:not(.of-choice) [type="submit"]',
    ),
    Entry(
        "branch",
        "git-branch",
        gettext_lazy("Branch into a new chat from the last message"),
        '[action$="/branches/"] button',
    ),
    Entry("last-prompt", "arrow-up", gettext_lazy("Go to your last message"), "#to-prompt", "Ctrl Shift L"),
    _option("pin", "pin", gettext_lazy("Pin this chat"), '[name="pinned"][value="1"]'),
    _option("unpin", "pin-off", gettext_lazy("Unpin this chat"), '[name="pinned"][value=""]'),
    _option("archive", "archive", gettext_lazy("Archive this chat"), '[name="archived"][value="1"]'),
    _option(
        "unarchive", "archive-restore", gettext_lazy("Unarchive this chat"), '[name="archived"][value=""]'
    ),
    Entry("share", "share-2", gettext_lazy("Share this chat"), ".head-share button"),
    _option("markdown", "file-down", gettext_lazy("Export this chat as Markdown"), '[value="markdown"]'),
    _option("json", "braces", gettext_lazy("Export this chat as JSON"), '[value="json"]'),
    _option("print", "printer", gettext_lazy("Print or save as PDF"), "[data-print]"),
    _option("delete", "trash-2", gettext_lazy("Delete this chat"), ".danger"),
    Entry("folder", "folder-plus", gettext_lazy("New folder"), ".folder-new"),
    Entry("select", "list-checks", gettext_lazy("Select chats"), "#select-chats"),
    Entry(
        "sidebar",
        "panel-left",
        gettext_lazy("Show or hide the list of chats"),
        ".sidebar-toggle",
        "Ctrl Shift S",
    ),
    Entry("shortcuts", "keyboard", gettext_lazy("Keyboard shortcuts"), "#show-shortcuts"),
    Entry("log-out", "log-out", gettext_lazy("Log out"), "#log-out button"),
)
THEMES = tuple(
    Entry(f"theme-{theme}", "sun-moon", theme.label, theme=theme, note=gettext_lazy("Theme"))
    for theme in Preferences.Theme
)
_PAGES = (
    ("settings", "settings", gettext_lazy("Settings")),
    ("instructions", "user-round-check", gettext_lazy("My instructions")),
    ("presets", "wand-sparkles", gettext_lazy("Presets")),
    ("saved_prompts", "message-square", gettext_lazy("Saved prompts")),
    ("my_shares", "share-2", gettext_lazy("Share links")),
    ("usage", "settings", gettext_lazy("Usage")),
    ("transfer", "file-down", gettext_lazy("Export and import")),
    ("api_tokens", "braces", gettext_lazy("API tokens")),
    ("sessions", "settings", gettext_lazy("Sessions")),
    ("account_change_password", "settings", gettext_lazy("Password")),
    ("mfa_index", "shield", gettext_lazy("Two-factor log-in")),
    ("account_email", "settings", gettext_lazy("Email address")),
)
_LISTS = (
    ("archived", "archive", gettext_lazy("Archive")),
    ("deleted", "trash-2", gettext_lazy("Deleted chats")),
)
_ADMINISTRATION = ("admin:index", "shield", gettext_lazy("Administration"))


@never_cache
@require_safe
@for_users
def palette(request: UserRequest) -> HttpResponseBase:
    """Returns the entries that `q` finds. `used` has the keys of those that were used last, in order."""
    if not request.htmx:
        return redirect("home")
    query = request.GET.get("q", "").strip()[:MOST_CHARACTERS]
    used = request.GET.get("used", "").split()[:MOST_USED]
    context = {"sections": _sections(request.user, query, used, page_of(request))}
    return render(request, "chat/_palette_entries.html", context)


@require_POST
@for_users
def theme(request: UserRequest) -> HttpResponseBase:
    """Sets the theme alone: the page shows it already."""
    wanted = request.POST.get("theme", "")
    if wanted not in Preferences.Theme.values:
        raise InvalidInputError(UNREADABLE)
    set_preferences(request.user, {"theme": wanted})
    return HttpResponse(status=204) if request.htmx else redirect("settings")


def _sections(user: User, query: str, used: Sequence[str], shown: UUID | None) -> list[Section]:
    words = index_words(query)
    settings = [*THEMES, *_pages(user)]
    folders = list(_folders(user))
    models, presets = list(_models(user)), list(_presets(user, shown))
    known = {
        entry.key: entry
        for entry in (*ACTIONS, *folders, *models, *presets, *settings, *_used_chats(user, used))
    }
    last = [known[key] for key in dict.fromkeys(used) if key in known]
    chats = titled(user, query, _CHATS + len(used)) if words else conversations_of(user)[: _CHATS + len(used)]
    found = [
        Section("last", _("Last used"), _matching(last, words)),
        Section("chats", _("Chats"), _without(map(_chat, chats), last)[:_CHATS]),
        Section("folders", _("Folders"), _matching(_without(folders, last), words)[:_FOLDERS]),
        Section("actions", _("Actions"), _matching(_without(ACTIONS, last), words)),
        Section("models", _("Models"), _matching(_without(models, last), words)[:_MODELS]),
        Section("presets", _("Presets"), _matching(_without(presets, last), words)[:_PRESETS]),
        Section("settings", _("Settings"), _matching(_without(settings, last), words)),
    ]
    if query:
        label = _("Search chats for “%(query)s”") % {"query": query}
        found.append(Section("search", _("Search"), [Entry("search", "search", label, search=query)]))
    return [section for section in found if section.entries]


def _matching(entries: Iterable[Entry], words: Sequence[str]) -> list[Entry]:
    """Returns the entries that have a word beginning with each of `words`."""
    return [
        entry for entry in entries if _has(index_words(f"{entry.label} {entry.note} {entry.also}"), words)
    ]


def _has(found: Sequence[str], words: Sequence[str]) -> bool:
    return all(any(one.startswith(word) for one in found) for word in words)


def _without(entries: Iterable[Entry], others: Sequence[Entry]) -> list[Entry]:
    keys = {entry.key for entry in others}
    return [entry for entry in entries if entry.key not in keys]


def _used_chats(user: User, used: Sequence[str]) -> Iterable[Entry]:
    ids = [pk for key in used if key.startswith("chat:") and (pk := _uuid(key.removeprefix("chat:")))]
    return map(_chat, conversations_of(user).filter(pk__in=ids))


def _chat(conversation: Conversation) -> Entry:
    url = reverse("conversation", args=[conversation.pk])
    note = _("Archive") if conversation.archived_at else ""
    return Entry(
        f"chat:{conversation.pk}", "message-square", str(conversation), url=url, swaps=True, note=note
    )


def _models(user: User) -> Iterable[Entry]:
    models = sorted(ChatModel.objects.usable_by(user).filter(hidden=False), key=ChatModel.place_in_list)
    for model in models:
        yield Entry(
            f"model:{model.pk}", "bot", model.label, model=model.pk, note=str(model.endpoint), also=model.name
        )


def _presets(user: User, shown: UUID | None) -> Iterable[Entry]:
    """Yields the presets for the chat on the page."""
    versions = newest_versions(user).defer("instructions", "parameters", "tools", "prompts")
    for version in versions if shown else []:
        url = f"{reverse('preset_choice', args=[shown])}?preset={version.preset_id}"
        yield Entry(f"preset:{version.preset_id}", "wand-sparkles", version.name, url=url, sheet=True)


def _folders(user: User) -> Iterable[Entry]:
    """Yields the folders, and the lists of other chats."""
    for folder in Folder.objects.filter(owner=user):
        yield Entry(
            f"folder:{folder.pk}",
            "folder",
            folder.name,
            url=reverse("folder", args=[folder.pk]),
            note=_("Folder"),
        )
    for name, icon, label in _LISTS:
        yield Entry(f"list:{name}", icon, label, url=f"{reverse('conversations')}?{name}=1")


def _pages(user: User) -> Iterable[Entry]:
    for name, icon, label in (*_PAGES, *([_ADMINISTRATION] if user.is_staff else [])):
        yield Entry(f"page:{name}", icon, label, url=reverse(name))


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
