"""A user finds what their chats contain at this moment, and nothing else. Every text is a query."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chat.actions import housekeeping
from chat.actions.branch import branch_conversation
from chat.actions.conversation import delete_conversation, rename_conversation, restore_conversation
from chat.actions.erasure import erase_conversations
from chat.actions.message import delete_message, restore_message
from chat.actions.reply import retry_reply
from chat.actions.send import send_message
from chat.actions.share import continue_share, make_share, range_of
from chat.actions.variant import show_message
from chat.generation.finish import end
from chat.live.reply_log import Segment
from chat.models import (
    ChatModel,
    Conversation,
    Endpoint,
    Generation,
    Message,
    Role,
    SearchEntry,
    ServerSettings,
    Status,
    User,
)
from chat.search import find, newest, search
from chat.search.catch_up import catch_up, is_complete
from chat.search.words import index_words, readable, words

pytestmark = pytest.mark.django_db

TEXTS = {
    "english": "The quick brown fox jumps over next_revision in chat/models/schema.py.",
    "french": "Crème brûlée au café de l'été, cœur",
    "german": "Die Straße nach Köln ist gesperrt.",
    "chinese": "我喜欢机器学习和自然语言处理",
    "japanese": "東京の天気予報は晴れです。猫",
    "russian": "Привет, мир! Ёлка",
    "arabic": "مُحَمَّد يكتب",
    "hindi": "नमस्ते दुनिया",
    "thai": "สวัสดีชาวโลก",
    "model": "Use gpt-4o, version 1.25 of ＡＢＣ",
}
FINDS = {
    "quick": "english",
    "qui": "english",
    "QUICK fox": "english",
    "fox quick": "english",
    '"quick brown"': "english",
    "next_revision": "english",
    "revision": "english",
    "chat/models": "english",
    "schema.py": "english",
    "creme": "french",
    "BRÛLÉE": "french",
    "cafe\u0301": "french",
    "coeur": "french",
    "strasse": "german",
    "koln": "german",
    "机器": "chinese",
    "学习和": "chinese",
    "理": "chinese",
    "天気": "japanese",
    "京の天気": "japanese",
    "猫": "japanese",
    "привет": "russian",
    "елка": "russian",
    "محمد": "arabic",
    "नमस्ते": "hindi",
    "ชาวโลก": "thai",
    "gpt-4o": "model",
    "gpt-4": "model",
    "1.25": "model",
    "abc": "model",
}
NOTHING = ('"brown quick"', '"quick bro"', "uick", "器机", "天報", "quickest", "q", "%", "_", "'", "*")


@pytest.fixture
def model(db: None) -> ChatModel:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=provider, name="demo", display_name="Claude Sonnet 4")


def chat_of(owner: User, *texts: str, title: str = "") -> Conversation:
    """Creates a chat as a process of a release without the index writes it."""
    conversation = Conversation.objects.create(owner=owner, title=title, last_position=len(texts), revision=1)
    for position, text in enumerate(texts, 1):
        time.sleep(0.002)  # Entries of the same millisecond have no order.
        Message.objects.create(
            conversation=conversation,
            position=position,
            role=Role.USER,
            text=text,
            added_revision=1,
            revision=1,
        )
    return conversation


def index_all() -> int:
    batches = 0
    while catch_up():
        batches += 1
    return batches


def found(user: User, query: str) -> list[str]:
    """The texts of the hits, with the hits in brackets."""
    chats = search(user, query).chats
    return ["".join(f"[{t}]" if is_hit else t for t, is_hit in h.pieces) for c in chats for h in c.hits]


def asked(user: User, model: ChatModel, text: str, chat: uuid.UUID | None = None) -> Message:
    sent = send_message(user, chat or uuid.uuid4(), client_id=uuid.uuid4(), text=text, model_ids=[model.pk])
    return sent.message


def answered(prompt: Message, text: str) -> Message:
    """Ends the reply to this prompt with a text."""
    generation = Generation.objects.get(message__parent=prompt, status=Status.QUEUED)
    # Entries of the same millisecond have no order.
    Message.objects.filter(generation=generation).update(created_at=prompt.created_at + timedelta(seconds=1))
    assert end(generation.pk, "", Status.COMPLETE, [Segment("text", text)], publish=lambda _: None)
    return generation.message


def test_words_phrases_beginnings_accents_and_scripts_without_spaces(person: User) -> None:
    for text in TEXTS.values():
        chat_of(person, text)
    assert not is_complete()
    index_all()
    assert is_complete()
    for query, name in FINDS.items():
        hits = found(person, query)
        assert [hit.replace("[", "").replace("]", "") for hit in hits] == [readable(TEXTS[name])], query
        assert "[" in hits[0], query
    for query in NOTHING:
        assert found(person, query) == [], query


@pytest.mark.parametrize("near", [0, 100])
def test_a_phrase_is_found_however_old_it_is(
    person: User, administrator: User, monkeypatch: pytest.MonkeyPatch, near: int
) -> None:
    """PostgreSQL searches for a phrase in parts of the entries, from the newest on."""
    monkeypatch.setattr(newest, "_FIRST_SCAN", 2)
    monkeypatch.setattr(newest, "_MOST_SCANNED", near)
    monkeypatch.setattr(find, "_FIRST_HITS", 3)
    texts = [f"{'red' if number % 3 else 'old red'} rose {number}" for number in range(12)]
    chats = [chat_of(person, text) for text in texts]
    for text in texts:
        chat_of(administrator, text)
    index_all()
    Conversation.objects.filter(pk=chats[6].pk).update(deleted_at=timezone.now())
    expected = [text for text in reversed(texts) if text.startswith("old")]
    expected.remove(texts[6])
    shown = [hit.replace("[", "").replace("]", "") for hit in found(person, '"old red rose"')]
    assert shown == expected
    assert len(found(person, '"red rose"')) == 11 and found(person, '"rose red"') == []
    assert len(found(person, '"red rose" from:me before:2100-01-01 after:2020-01-01')) == 11
    assert found(person, '"red rose" before:2020-01-01') == []
    page, seen = search(person, '"old red"', 2), 0
    while page.older:
        seen += len(page.chats)
        page = search(person, '"old red"', 2, until=page.older)
    assert seen + len(page.chats) == 3


def test_hits_in_the_trash_hide_no_older_ones(person: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL finds the newest hits first, and then whose they are."""
    monkeypatch.setattr(find, "_FIRST_HITS", 2)
    chats = [chat_of(person, f"rose {number}") for number in range(14)]
    index_all()
    deleted = [chat.pk for chat in chats[3:]]
    Conversation.objects.filter(pk__in=deleted).update(deleted_at=timezone.now())
    assert found(person, "rose") == ["[rose] 2", "[rose] 1", "[rose] 0"]


@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60) | st.text("\"*():^-+{}ANDORNEAT \\'~|&!<>:0é天\u0301\u0e31", max_size=60))
def test_every_text_is_a_query(person: User, query: str) -> None:
    query = query.encode("utf-8", "replace").decode()
    search(person, query)
    assert list(index_words(query)) == [word.text for word in words(readable(query))]


@pytest.mark.parametrize("query", ["a " * 5_000, '"' * 10_000, "x" * 10_000, "天" * 10_000, "(a*" * 3_000])
def test_a_long_query_is_cut_and_says_so(person: User, query: str) -> None:
    assert search(person, query).notes == ["Only the beginning of the search is used. Shorten it."]


def test_any_text_can_be_indexed(person: User) -> None:
    """PostgreSQL limits a vector to 1 MB: a message that does not fit must not fail to be sent."""
    hostile = [
        "".join(map(chr, range(0x4E00, 0x9FFF))) * 9,
        "w" * 200_000,
        " ".join(map(str, range(30_000))),
        "\u0301",
    ]
    chat_of(person, *hostile, "\u0378 \ue000 \x01")
    index_all()
    assert is_complete()
    assert len(found(person, "777")) == 1


def test_the_transaction_that_writes_a_text_indexes_it(person: User, model: ChatModel) -> None:
    prompt = asked(person, model, "Where do pears grow?")
    chat = prompt.conversation
    assert found(person, "pears") == ["Where do [pears] grow?"]
    reply = answered(prompt, "On a pear tree.")
    assert found(person, "pear tree") == ["On a [pear] [tree]."]
    assert catch_up() == 0, "nothing is left to a later process"
    rename_conversation(person, chat.pk, "Orchards")
    assert [str(it.conversation) for it in search(person, "orch").chats] == ["Orchards"]
    rename_conversation(person, chat.pk, "Gardens")
    assert search(person, "orchards").chats == []
    delete_message(person, reply.pk)
    assert found(person, "tree") == []
    restore_message(person, reply.pk)
    assert found(person, "tree") == ["On a pear [tree]."]
    delete_conversation(person, chat.pk)
    assert search(person, "gardens").chats == found(person, "pears") == []
    restore_conversation(person, chat.pk)
    assert found(person, "pears") == ["Where do [pears] grow?"]


def test_a_branch_and_a_copy_of_a_shared_chat_are_found_at_once(
    person: User, make_user: Callable[..., User], model: ChatModel
) -> None:
    ServerSettings(share_links="team").save()
    reader = make_user("reader@example.org")
    reply = answered(asked(person, model, "Where do quinces grow?"), "On a quince tree.")
    branch = branch_conversation(person, reply.pk)
    assert {each.conversation.pk for each in search(person, "quinces").chats} == {
        reply.conversation_id,
        branch.pk,
    }
    assert [str(it.conversation) for it in search(person, "model:claude tree").chats] == [branch.title] * 2
    shown = range_of(person, branch.pk)
    link = make_share(
        person,
        shown,
        fingerprint=shown.fingerprint,
        title="Fruit",
        audience="team",
        days=1,
        names=False,
        files=False,
        steps=False,
    )
    copy = continue_share(reader, link.secret)
    assert [each.conversation.pk for each in search(reader, "quince tree").chats] == [copy.pk]
    assert [each.conversation.pk for each in search(reader, "fruit").chats] == [copy.pk]
    assert catch_up() == 0, "nothing is left to a later process"


def test_only_those_whose_chats_are_not_indexed_yet_are_told_so(
    person: User, make_user: Callable[..., User]
) -> None:
    chat_of(person, "An old plum")
    assert not search(person, "plum").is_complete
    assert search(make_user("reader@example.org"), "plum").is_complete


def test_the_index_is_emptied_with_a_deletion(person: User, administrator: User, model: ChatModel) -> None:
    erased, emptied, removed = (asked(person, model, f"secret {name}") for name in "abc")
    answered(emptied, "secret reply")
    erase_conversations([erased.conversation_id], by=administrator)
    delete_conversation(person, emptied.conversation_id)
    long_ago = timezone.now() - timedelta(days=settings.CHAT_KEEP_DELETED_DAYS, minutes=1)
    Conversation.objects.filter(pk=emptied.conversation_id).update(deleted_at=long_ago)
    while housekeeping.clear_some():
        pass
    removed.conversation.messages.filter(generation__isnull=False).delete()
    assert set(SearchEntry.objects.values_list("conversation", flat=True)) == {removed.conversation_id}
    person.delete()
    assert not SearchEntry.objects.exists()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO chat_search (chat_search, rank) VALUES ('integrity-check', 1)")
            cursor.execute("SELECT count(*) FROM chat_search WHERE chat_search MATCH 'secret'")
            assert cursor.fetchone() == (0,)


def test_what_an_older_process_wrote_is_caught_up(person: User, model: ChatModel) -> None:
    running = asked(person, model, "A question")
    chat_of(person, *(f"plum {number}" for number in range(60)), title="Old plums")
    assert found(person, "plum") == []
    assert index_all() > 2, "in batches"
    assert len(search(person, "plum").chats) == 1
    reply = Message.objects.get(parent=running)
    Generation.objects.filter(message=reply).update(status=Status.COMPLETE)
    Message.objects.filter(pk=reply.pk).update(text="An old answer")  # by a process without the index
    index_all()
    assert found(person, "answer") == ["An old [answer]"]
    old = Conversation.objects.get(title="Old plums")
    Message.objects.filter(conversation=old).update(text="")  # emptied by such a process
    Conversation.objects.filter(pk=old.pk).update(title="", last_position=0, deleted_at=timezone.now())
    index_all()
    assert not SearchEntry.objects.filter(conversation=old).exists()


def test_filters(person: User, model: ChatModel) -> None:
    prompt = asked(person, model, "apples and pears")
    answered(prompt, "apples are fruits")
    old = chat_of(person, "apples of old")
    Message.objects.filter(conversation=old).update(created_at="2024-05-17T12:00:00Z")
    index_all()
    Conversation.objects.filter(pk=old.pk).update(pinned_at=timezone.now())
    mine, reply, past = "[apples] and pears", "[apples] are fruits", "[apples] of old"
    for query, hits in {
        "apples": [reply, mine, past],
        "apples from:me": [mine, past],
        "apples from:model": [reply],
        "apples model:sonnet": [reply],
        'model:"claude son" apples': [reply],
        "model:gpt apples": [],
        "apples before:2024-06": [past],
        "apples after:2024-05-17 before:2024-05-18": [past],
        "apples before:2024-05-17": [],
        "apples before:1950": [],  # before the first second of computers
        "apples after:2025": [reply, mine],
        "apples is:pinned": [past],
        "apples is:archived": [],
        "FROM:ME pears": ["apples and [pears]"],
    }.items():
        assert found(person, query) == hits, query
    for query in ("apples from:you", "apples is:odd", "apples before:soon", "apples after:2024-13"):
        assert len(search(person, query).notes) == 1


def test_nobody_finds_the_chats_of_others(person: User, administrator: User) -> None:
    chat_of(person, "my secret", title="Secret")
    index_all()
    assert search(administrator, "secret").chats == []
    person.is_active = False
    assert search(person, "secret").chats == []


@pytest.mark.parametrize("title", ["cherry", "pear"])
def test_a_long_list_of_results_has_pages(person: User, title: str) -> None:
    """The newest hits of all chats come first, so that each has hits on several pages."""
    chats = [chat_of(person, title=f"{title} {number}") for number in range(7)]
    for position in (1, 2, 3):
        for chat in chats:
            text = f"cherry {position}"
            Message.objects.create(
                conversation=chat, position=position, role=Role.USER, text=text, added_revision=1, revision=1
            )
    index_all()
    seen: list[uuid.UUID] = []
    until = 0
    while True:
        page = search(person, "cherry", 3, until=until)
        seen += [chat.conversation.pk for chat in page.chats]
        until = page.older
        if not until:
            break
    assert len(seen) == len(set(seen)) == 7


def test_the_page_marks_hits_and_trusts_no_text(person: User, client: Client) -> None:
    chat = chat_of(person, "a <script>alert(1)</script> & pear", title="<b>Bold</b> pear")
    index_all()
    client.force_login(person)
    for headers in ({}, {"HX-Request": "true"}):
        page = client.get(reverse("search"), {"q": "pear"}, headers=headers).content.decode()
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; <mark>pear</mark>" in page
        assert "&lt;b&gt;Bold&lt;/b&gt; <mark>pear</mark>" in page
        assert f"/conversations/{chat.pk}/?message={chat.messages.get().pk}" in page
    page = client.get(reverse("search"), {"q": '"><xyz>'}).content.decode()
    assert "Nothing found." in page
    assert "<xyz>" not in page
    assert client.get(reverse("search"), {"q": "x", "until": "9" * 400}).status_code == 200


def test_a_message_of_another_variant_is_shown_on_request(
    person: User, client: Client, model: ChatModel
) -> None:
    prompt = asked(person, model, "Which fruit?")
    first = answered(prompt, "A pear")
    retry_reply(person, first.pk)
    second = answered(prompt, "A plum")
    client.force_login(person)
    address = f"/conversations/{prompt.conversation_id}/"
    assert f'data-opened-at="m-{second.pk}"' in client.get(address, {"message": second.pk}).content.decode()
    page = client.get(address, {"message": first.pk}).content.decode()
    assert "in another variant of this chat" in page
    answer = client.post(reverse("message_path", args=[first.pk]))
    assert answer["Location"] == f"{address}?message={first.pk}"
    assert list(prompt.conversation.messages.shown()) == [prompt, first]
    third = asked(person, model, "And why?", prompt.conversation_id)
    show_message(person, first.pk)
    assert Message.objects.get(pk=third.pk).shown, "what is shown already stays"
    other = f"{address}?message={uuid.uuid4()}"
    assert "another variant" not in client.get(other).content.decode()
    assert "another variant" not in client.get(address, {"message": "x"}).content.decode()
