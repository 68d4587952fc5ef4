"""The audit record cannot be avoided: every access to a text, by any user, adds an entry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin as django_admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.test import AsyncClient, Client
from django.urls import URLPattern, URLResolver
from django.utils import timezone

from chat.actions.first_admin import UNCLAIMED_ADDRESS, claim, ensure_first_admin
from chat.admin import guard
from chat.models import (
    ChatModel,
    Conversation,
    Endpoint,
    Feedback,
    Generation,
    JournalEntry,
    Message,
    Status,
    TranscriptRead,
    User,
)
from chat.models.audit import faults_of_record

CHATS, PEOPLE = "/admin/chat/conversation/", "/admin/chat/user/"
MODELS, PROVIDERS = "/admin/chat/chatmodel/", "/admin/chat/endpoint/"
WORD, OTHER_WORD = "canary", "sparow"
PASSWORD = "a long enough phrase"

MakeConversation = Callable[..., Conversation]


@pytest.fixture
def admin(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def conversation(person: User, make_conversation: MakeConversation) -> Conversation:
    """Returns a conversation with a text in every place that can have one."""
    make_conversation(person)
    conversation = make_conversation(person, status=Status.RUNNING)
    running = Generation.objects.get(status=Status.RUNNING)
    JournalEntry.objects.create(generation=running, start=0, segments=[["text", ""]])
    Feedback.objects.create(message=running.message, user=person, is_good=False)
    Generation.objects.exclude(pk=running.pk).update(status=Status.FAILED, finished_at=timezone.now())
    _say(WORD)
    return conversation


def _say(word: str) -> None:
    Conversation.objects.update(title=word)
    Message.objects.update(text=word, parts=[{"type": "reasoning", "text": word}])
    JournalEntry.objects.update(segments=[["text", word]])
    Feedback.objects.update(comment=word)
    Generation.objects.update(error_detail=word)


def _addresses() -> Iterator[str]:
    """Yields every address of the administration, with a real object in each place for one."""
    objects = {
        f"{model._meta.app_label}_{model._meta.model_name}": model._default_manager.first()
        for model in django_admin.site._registry
    }
    for pattern, names in _patterns(django_admin.site.get_urls(), ""):
        if names & {"content_type_id", "app_label", "url"} or "(" in pattern[0]:
            continue
        wanted = next((thing for name, thing in objects.items() if name in _name(pattern)), None)
        if not names:
            yield f"/admin/{pattern[0]}"
        elif wanted is not None:
            yield "/admin/" + re.sub(r"<\w+:\w+>", str(wanted.pk), pattern[0])
    for model in apps.get_models():
        if (thing := model._default_manager.first()) is not None:
            yield f"/admin/r/{ContentType.objects.get_for_model(model).pk}/{thing.pk}/"
        for field in model._meta.get_fields():
            where = f"app_label={model._meta.app_label}&model_name={model._meta.model_name}"
            if getattr(field, "remote_field", None) is not None:
                yield f"/admin/autocomplete/?{where}&field_name={field.name}"


def test_autocompletion_searches_nothing(admin: Client, conversation: Conversation) -> None:
    url = "/admin/autocomplete/?app_label=chat&model_name=message&field_name=conversation"
    for term in ("", "can", "zzz"):
        assert admin.get(f"{url}&term={term}").status_code == 403
    assert not TranscriptRead.objects.exists()


def _patterns(
    patterns: list[URLPattern | URLResolver], before: str
) -> Iterator[tuple[tuple[str, str], set[str]]]:
    for each in patterns:
        route = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _patterns(each.url_patterns, route)
        else:
            yield (route, each.name or before.replace("/", "_")), set(re.findall(r"<\w+:(\w+)>", route))


def _name(pattern: tuple[str, str]) -> str:
    return f"{pattern[1]} {pattern[0].replace('/', '_')}"


def _seen(ask: Callable[[], Any]) -> tuple[str, int]:
    """Returns the content of the response without its changing parts, and the number of new entries."""
    TranscriptRead.objects.all()._raw_delete(TranscriptRead.objects.db)
    answer = ask()
    body = b"" if answer.streaming else answer.content
    shown = f"{answer.status_code} {answer.headers.get('Location')} {body.decode()}"
    shown = re.sub(r'(csrfmiddlewaretoken" value|nonce|data-csrf)="[^"]*"', "", shown)
    return shown, TranscriptRead.objects.count()


@pytest.mark.once
@pytest.mark.parametrize("who", ["superuser", "reviewer", "somebody with every right but that one"])
def test_no_response_of_the_administration_depends_on_a_text_without_an_audit_entry(
    who: str, client: Client, make_user: Callable[..., User], conversation: Conversation
) -> None:
    user = make_user("looks@example.org", is_staff=True, is_superuser=who == "superuser")
    if who == "reviewer":
        user.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    elif who != "superuser":
        user.user_permissions.set(
            Permission.objects.exclude(codename__in=["view_conversation", "change_conversation"])
        )
    Group.objects.create(name="Group")
    client.force_login(user)
    client.raise_request_exception = False  # Django's autocomplete fails for some relations
    # So that each place for an object has one.
    client.post("/admin/auth/group/add/", {"name": "Another"})
    client.get("/admin/")
    ids = [str(pk) for pk in Conversation.objects.values_list("pk", flat=True)]

    def asks(url: str) -> Iterator[Callable[[], Any]]:
        if "autocomplete" in url:
            yield from (lambda term=term: client.get(f"{url}&term={term}") for term in ("", WORD))
            return
        queries = [{}]
        if url.endswith(("conversation/", "transcriptread/")):
            queries += [{"q": WORD}, {"q": WORD, "_popup": "1"}, {"o": "1"}, {"o": "-1.2", "p": "1"}]
            queries += [{"title__startswith": WORD}, {"all": ""}, {"_facets": "True"}, {"state": "complete"}]
            queries += [{"messages__text__contains": WORD}, {"q": " "}, {"q": f"{WORD} " * 40}]
        for query in queries:
            yield lambda query=query: client.get(url, query)
        if url == CHATS:
            for query in ("", f"?q={WORD}", "?q=%20", "?q=%00", f"?title__contains={WORD}"):
                for across in ("0", "1"):
                    form = {"action": "delete_selected", "_selected_action": ids, "select_across": across}
                    yield lambda query=query, form=form: client.post(url + query, form)
            yield lambda: client.post(url, {"action": "export", "_selected_action": ids})
        if url in {MODELS, PROVIDERS}:
            kept = list(ChatModel.objects.values_list("pk" if url == MODELS else "endpoint", flat=True))
            yield lambda: client.post(url, {"action": "delete_selected", "_selected_action": kept})
        if "/user/" in url or url == PEOPLE:
            people = [str(pk) for pk in User.objects.exclude(pk=user.pk).values_list("pk", flat=True)]
            yield lambda: client.post(PEOPLE, {"action": "delete_selected", "_selected_action": people})

    dependent, asked = set(), 0
    for url in sorted(set(_addresses())):
        for ask in asks(url):
            shown = {}
            for word in (WORD, OTHER_WORD):
                _say(word)
                shown[word], entries = _seen(ask)
                if shown[word].startswith("302"):
                    client.get("/admin/")  # it shows the notices that the next response would show
                if shown[word] != shown.get(WORD) or OTHER_WORD in shown[word]:
                    dependent.add(url)
                    assert entries, f"{url}: an answer depends on a text, and nothing was recorded"
            asked += 1
    assert asked > 100
    if who == "somebody with every right but that one":
        assert not dependent
    else:
        assert {CHATS, f"{CHATS}{Conversation._default_manager.first().pk}/change/"} <= dependent


def test_a_view_that_writes_no_audit_entry_is_refused_at_the_database(
    admin: Client, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "record", lambda *entries: None)
    for url in (CHATS, f"{CHATS}{conversation.pk}/change/", f"{CHATS}{conversation.pk}/delete/"):
        answer = admin.get(url)
        assert answer.status_code == 403
        assert WORD not in answer.content.decode()
    assert admin.get(PEOPLE).status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_the_refusal_works_with_concurrent_requests_too(
    async_client: AsyncClient,
    administrator: User,
    conversation: Conversation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await async_client.aforce_login(administrator)
    url = f"{CHATS}{conversation.pk}/change/"
    assert (await async_client.get(url)).status_code == 200
    monkeypatch.setattr(guard, "record", lambda *entries: None)
    assert (await async_client.get(url)).status_code == 403


def test_a_search_is_recorded_once_however_it_is_made(admin: Client, conversation: Conversation) -> None:
    form = {"action": "delete_selected", "_selected_action": [str(conversation.pk)]}
    page = admin.post(f"{CHATS}?q={WORD[:4]}", form).content.decode()
    assert "Are you sure" in page
    entry = TranscriptRead.objects.get()
    assert (entry.how, entry.words, entry.found) == ("searched", WORD[:4], 2)


def test_users_are_deleted_without_reading_what_they_wrote(
    admin: Client, person: User, conversation: Conversation
) -> None:
    for page in (
        admin.get(f"{PEOPLE}{person.pk}/delete/"),
        admin.post(PEOPLE, {"action": "delete_selected", "_selected_action": [person.pk]}),
    ):
        assert WORD not in page.content.decode()
        assert "Messages: 4" in " ".join(page.content.decode().split())
    admin.post(f"{PEOPLE}{person.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(pk=person.pk).exists()
    entry = TranscriptRead.objects.get()
    assert (entry.how, entry.owner, entry.owner_email) == ("deleted", None, "person@example.org")


def test_a_provider_shows_no_words_of_its_errors(admin: Client, conversation: Conversation) -> None:
    """They may quote a prompt. The transcript has them, with an entry."""
    page = admin.get(f"{PROVIDERS}{Endpoint.objects.get().pk}/change/")
    assert page.status_code == 200
    assert WORD not in page.content.decode()
    failed = Generation.objects.get(status=Status.FAILED)
    link = f"{CHATS}{failed.conversation_id}/change/"
    assert f'<a href="{link}">' in page.content.decode()
    assert not TranscriptRead.objects.exists()
    Generation.objects.update(error_code="refused", error_message="No.")
    assert f"The provider: {WORD}" in " ".join(admin.get(link).content.decode().split())
    assert TranscriptRead.objects.get().how == "read"


def test_models_and_providers_are_deleted_without_reading_what_was_written(
    admin: Client, conversation: Conversation
) -> None:
    for url, rows in ((MODELS, ChatModel.objects), (PROVIDERS, Endpoint.objects)):
        form = {"action": "delete_selected", "_selected_action": [rows.get().pk]}
        for page in (admin.get(f"{url}{rows.get().pk}/delete/"), admin.post(url, form)):
            assert page.status_code == 200
            assert WORD not in page.content.decode()
        assert admin.post(url, {**form, "post": "yes"}).status_code == 302
        assert not rows.exists()
    assert not TranscriptRead.objects.exists()


def test_the_title_of_an_erased_chat_is_kept_nowhere(admin: Client, conversation: Conversation) -> None:
    admin.post(f"{CHATS}{conversation.pk}/delete/", {"post": "yes"})
    form = {"action": "delete_selected", "_selected_action": list(Conversation.objects.values_list("pk"))}
    admin.post(CHATS, {**form, "_selected_action": [str(Conversation.objects.all()[1].pk)], "post": "yes"})
    assert not LogEntry.objects.filter(object_repr__contains=WORD).exists()
    assert TranscriptRead.objects.filter(how="erased").count() >= 1
    assert not TranscriptRead.objects.filter(details__contains=WORD).exists()


# --- Nobody causes an entry in another user's name -------------------------------------------------------

NOT_BY_ITSELF: list[dict[str, str]] = [
    {"Sec-Fetch-Dest": "image", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Dest": "script", "Accept": "text/html"},
    {"Sec-Fetch-Dest": "document", "Sec-Purpose": "prefetch;prerender"},
    {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"},
    {"Accept": "image/avif,image/webp,*/*;q=0.8"},
    {"Accept": "*/*"},
]


@pytest.mark.parametrize("headers", NOT_BY_ITSELF)
def test_what_a_page_loads_by_itself_writes_no_entry(
    headers: dict[str, str], admin: Client, conversation: Conversation
) -> None:
    for path in ("", "?q=x", f"{conversation.pk}/change/", f"{conversation.pk}/delete/"):
        for ask in (admin.get, admin.head):
            assert ask(CHATS + path, headers=headers).status_code == 403
    page = admin.get(f"{CHATS}{conversation.pk}/history/", headers=headers)
    assert WORD not in page.content.decode()
    assert not TranscriptRead.objects.exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin", "Accept": "text/html,*/*"},
        {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"},
        {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"},
        {},
    ],
)
def test_a_person_opens_a_transcript_in_any_browser(
    headers: dict[str, str], admin: Client, conversation: Conversation
) -> None:
    assert admin.get(f"{CHATS}{conversation.pk}/change/", headers=headers).status_code == 200
    assert TranscriptRead.objects.get().how == "read"


def test_a_visit_from_another_site_is_confirmed_first(admin: Client, conversation: Conversation) -> None:
    url = f"{CHATS}?q=x&state=complete"
    headers = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}
    page = admin.get(url, headers=headers).content.decode()
    assert "You followed a link from another site." in page
    assert f'<a href="{url.replace("&", "&amp;")}">Open the page</a>' in page


# --- Changes of users ------------------------------------------------------------------------------------


def _last(how: str) -> TranscriptRead:
    return TranscriptRead.objects.filter(how=how).order_by("-number")[0]


def test_changes_of_a_user_are_recorded(admin: Client, administrator: User) -> None:
    answer = admin.post(f"{PEOPLE}add/", {"email": "ada@example.org", "reviewer": "on"})
    ada = User.objects.get(email="ada@example.org")
    assert [entry.how for entry in TranscriptRead.objects.order_by("number")] == ["added", "rights", "link"]
    assert _last("added").changes == [["email", "", "ada@example.org"]]
    assert _last("rights").changes == [["reviewer", False, True]]
    assert (_last("link").reader, _last("link").owner) == (administrator, ada)
    Client().post(answer.context["link"], {"password": PASSWORD, "repeated": PASSWORD})
    assert (_last("used").owner, _last("used").reader_email) == (ada, "")
    form = {"email": "ada@example.org", "reviewer": "on", "is_active": "on"}
    admin.post(f"{PEOPLE}{ada.pk}/change/", form)
    assert TranscriptRead.objects.count() == 4, "what changes nothing is not recorded"
    group = Group.objects.create(name="Editors")
    admin.post(f"{PEOPLE}{ada.pk}/change/", {"email": "b@example.org", "groups": [group.pk]})
    assert _last("changed").changes == [["email", "ada@example.org", "b@example.org"]]
    assert _last("active").changes == [["active", True, False]]
    assert _last("rights").changes == [["reviewer", True, False], ["groups", "", "Editors"]]
    page = admin.get("/admin/chat/transcriptread/").content.decode()
    assert "Can review chats: yes → no; groups: - → Editors" in page
    assert list(faults_of_record()) == []


def test_a_change_of_a_groups_permissions_is_recorded(admin: Client) -> None:
    permission = Permission.objects.get(codename="view_conversation")
    admin.post("/admin/auth/group/add/", {"name": "Editors", "permissions": [permission.pk]})
    assert _last("group").changes == [["group", "", "Editors"], ["permissions", "", "chat.view_conversation"]]
    group = Group.objects.get()
    admin.post(f"/admin/auth/group/{group.pk}/change/", {"name": "Editors"})
    assert _last("group").changes[1] == ["permissions", "chat.view_conversation", ""]
    admin.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"})
    assert _last("group").changes[0] == ["group", "Editors", ""]


def test_the_first_administrator_is_recorded(db: None) -> None:
    token = ensure_first_admin()
    assert token
    assert User.objects.filter(email=UNCLAIMED_ADDRESS).exists()
    claim(token, "first@example.org", PASSWORD)
    entry = TranscriptRead.objects.get()
    assert (entry.how, entry.owner_email) == ("rights", "first@example.org")


def test_an_administrator_who_acted_is_deactivated_and_not_deleted(
    admin: Client, administrator: User, make_user: Callable[..., User], conversation: Conversation
) -> None:
    other = make_user("other@example.org", is_staff=True, is_superuser=True)
    acting = Client()
    acting.force_login(other)
    acting.get(f"{CHATS}{conversation.pk}/change/")
    words = "The audit record names people who acted as administrators, so they cannot be deleted."
    url = f"{PEOPLE}{other.pk}/delete/"
    assert words in admin.get(url).content.decode()
    assert words in admin.post(url, {"post": "yes"}).content.decode()
    together = {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"}
    assert words in admin.post(PEOPLE, together).content.decode()
    assert User.objects.filter(pk=other.pk).exists()
    admin.post(f"{PEOPLE}{other.pk}/change/", {"email": other.email, "administrator": "on"})
    other.refresh_from_db()
    assert not other.is_active


def test_nothing_is_shown_if_the_audit_entry_fails(
    admin: Client, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*entries: TranscriptRead) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("chat.admin.guard.add_to_record", full_disk)
    monkeypatch.setattr("chat.admin.transcripts.add_to_record", full_disk)
    admin.raise_request_exception = False
    for url in (CHATS, f"{CHATS}?q=ca", f"{CHATS}{conversation.pk}/change/"):
        answer = admin.get(url)
        assert answer.status_code == 500
        assert WORD not in answer.content.decode()


def test_only_addresses_of_the_administration_are_checked() -> None:
    request = HttpRequest()
    for path, is_watched in (
        ("/admin/chat/", True),
        ("/api/v1/admin/people", True),
        ("/api/v1/models", False),
        ("/administration", False),
    ):
        request.path = path
        assert (guard._watch_of(request) is not None) == is_watched
