"""A share link shows what its preview said, to those whom it is for, until it ends; and nothing else."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.actions.conversation import delete_conversation, restore_conversation
from chat.actions.erasure import erase_conversations
from chat.actions.housekeeping import clear_some
from chat.actions.message import delete_message, restore_message
from chat.actions.send import send_message
from chat.actions.share import MOST_MESSAGES, make_share, range_of
from chat.files.contents import part_of
from chat.models import (
    Attachment,
    ChatModel,
    Conversation,
    Endpoint,
    Generation,
    Message,
    ServerSettings,
    Share,
    Status,
    StoredFile,
    TranscriptRead,
    User,
)
from chat.parts import (
    Citation,
    NoticePart,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCall,
    ToolResult,
    WebSearch,
    stored,
)
from chat.rate_limit import RateLimits
from chat.runtime import Runtime
from chat.views import shares as views

pytestmark = pytest.mark.django_db(transaction=True)

REPLY = "**bold** <script>alert(1)</script> ![pixel](https://tracker.example/p.png)"


@pytest.fixture
def model(db: None) -> ChatModel:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=provider, name="demo")


@pytest.fixture
def owner(make_user: Callable[..., User]) -> User:
    return make_user("owner@example.org", first_name="Ada", last_name="Long")


@pytest.fixture
def teammate(make_user: Callable[..., User]) -> User:
    return make_user("teammate@example.org")


@pytest.fixture
def chat(owner: User, model: ChatModel) -> Conversation:
    """Two prompts with replies. The first prompt has a picture, the first reply thoughts and a call."""
    picture = attached(owner)
    conversation = uuid.uuid4()
    say(owner, conversation, model, "First prompt", [picture.pk])
    say(owner, conversation, model, "Second prompt")
    return Conversation.objects.get(pk=conversation)


def attached(owner: User) -> Attachment:
    path = default_storage.save("picture", ContentFile(b"\x89PNG picture"))
    file, _ = StoredFile.objects.get_or_create(
        sha256="0" * 64,
        defaults={
            "size": 12,
            "media_type": "image/png",
            "path": path,
            "thumbnail": path,
            "width": 9,
            "height": 9,
        },
    )
    return Attachment.objects.create(owner=owner, name="holiday.png", size=12, stored=file)


def say(
    owner: User, conversation: uuid.UUID, model: ChatModel, text: str, files: list[uuid.UUID] | None = None
) -> Message:
    sent = send_message(
        owner,
        conversation,
        client_id=uuid.uuid4(),
        text=text,
        model_ids=[model.pk],
        attachments=files or [],
    )
    parts = [
        ReasoningPart("Private thoughts"),
        ToolCall("1", "clock", '{"zone": "private"}'),
        ToolResult("1", "Private result"),
        TextPart(REPLY),
    ]
    reply = sent.message.children.get()
    Message.objects.filter(pk=reply.pk).update(text=REPLY, parts=stored(parts))
    Generation.objects.filter(message=reply).update(status=Status.COMPLETE)
    return sent.message


def made(owner: User, chat: Conversation, **choices: object) -> Share:
    first, last = choices.pop("first", None), choices.pop("last", None)
    shown = range_of(owner, chat.pk, first, last)  # type: ignore[arg-type]
    defaults: dict[str, object] = {
        "fingerprint": shown.fingerprint,
        "title": "Tides",
        "audience": "team",
        "days": 7,
        "names": False,
        "files": False,
        "steps": False,
    }
    return make_share(owner, shown, **(defaults | choices))  # type: ignore[arg-type]


def allow(whom: str) -> None:
    ServerSettings(share_links=whom).save()


def address(share: Share) -> str:
    return reverse("shared", args=[share.secret])


def as_user(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


# Who may open a link: (what the server allows, whom the link is for) -> who gets the page.
OPENED_BY = {
    ("none", "team"): set(),
    ("none", "anyone"): set(),
    ("team", "team"): {"owner", "teammate"},
    ("team", "anyone"): {"owner", "teammate"},
    ("anyone", "team"): {"owner", "teammate"},
    ("anyone", "anyone"): {"owner", "teammate", "deactivated", "anonymous"},
}


def test_each_kind_of_link_opens_for_each_kind_of_viewer_as_it_should(
    make_user: Callable[..., User], owner: User, teammate: User, chat: Conversation
) -> None:
    former = make_user("deactivated@example.org")
    viewers = {"owner": as_user(owner), "teammate": as_user(teammate), "deactivated": as_user(former)}
    viewers["anonymous"] = Client()
    User.objects.filter(pk=former.pk).update(is_active=False)
    allow("anyone")
    links = {kind: made(owner, chat, audience=kind, files=True) for kind in ("team", "anyone")}
    file = Attachment.objects.get(message__conversation=chat)
    for (allowed, audience), opened in OPENED_BY.items():
        allow(allowed)
        for name, client in viewers.items():
            link = links[audience]
            expected = 200 if name in opened else 404
            assert client.get(address(link)).status_code == expected, (allowed, audience, name)
            picture = reverse("shared_file", args=[link.secret, file.pk])
            assert client.get(picture).status_code == expected, (allowed, audience, name)
            for method in ("post", "put", "patch", "delete"):
                assert getattr(client, method)(address(link)).status_code == 405


def test_every_link_that_cannot_be_opened_gets_the_same_answer(owner: User, chat: Conversation) -> None:
    allow("anyone")
    kept = made(owner, chat, audience="team")
    expired, revoked = made(owner, chat, audience="anyone"), made(owner, chat, audience="anyone")
    Share.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    as_user(owner).post(reverse("share", args=[revoked.pk]))
    answers = set()
    for secret in (kept.secret, expired.secret, revoked.secret, "x" * 32):
        answer = Client().get(reverse("shared", args=[secret]))
        headers = frozenset(answer.headers.items()) - {("Content-Length", "")}
        page = answer.content.decode().replace(secret, "")
        page = re.sub(r'nonce="[^"]*"', "", page)
        answers.add((answer.status_code, page, frozenset(name for name, _ in headers)))
    assert len(answers) == 1
    assert answers.pop()[0] == 404


def test_the_page_has_nothing_that_leaks_or_runs(owner: User, chat: Conversation) -> None:
    allow("anyone")
    share = made(owner, chat, audience="anyone", title="<img src=x onerror=alert(1)>")
    answer = Client().get(address(share))
    page = answer.content.decode()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert 'src="https://tracker.example' not in page
    assert "<strong>bold</strong>" in page
    assert 'name="robots" content="noindex' in page
    assert "csrfmiddlewaretoken" not in page
    assert not answer.cookies
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["Cache-Control"] == "no-store, private"
    assert answer["X-Robots-Tag"].startswith("noindex")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer["X-Frame-Options"] == "DENY"


def test_unselected_content_is_not_in_the_page(owner: User, teammate: User, chat: Conversation) -> None:
    viewer = as_user(teammate)
    plain = viewer.get(address(made(owner, chat))).content.decode()
    for secret in ("Ada", "owner@", "holiday.png", "Private", "clock"):
        assert secret not in plain
    assert "First prompt" in plain
    full = made(owner, chat, names=True, files=True, steps=True)
    page = viewer.get(address(full)).content.decode()
    for shown in ("Ada Long", "holiday.png", "Private thoughts", "Private result"):
        assert shown in page
    assert "owner@" not in page


def test_cited_pages_are_shown_and_passages_of_files_are_not(
    owner: User, teammate: User, chat: Conversation
) -> None:
    parts = [
        WebSearch("s", "Secret query", "done", "google"),
        TextPart("It is so."),
        Citation("https://news.example/a", "News <b>", 9),
        SourcePart("secret-contract.txt", "Secret passage", 3),
    ]
    Message.objects.filter(text=REPLY).update(text="It is so.", parts=stored(parts))
    viewer = as_user(teammate)
    for steps in (False, True):
        page = viewer.get(address(made(owner, chat, files=True, steps=steps))).content.decode()
        assert 'href="https://news.example/a" target="_blank" rel="noopener noreferrer nofollow"' in page
        assert "News &lt;b&gt;" in page
        assert "Secret passage" not in page and "secret-contract" not in page
        assert ("https://www.google.com/search?q=Secret+query" in page) == steps


def test_a_file_comes_only_from_a_link_that_shows_it(
    owner: User, teammate: User, model: ChatModel, chat: Conversation
) -> None:
    viewer, file = as_user(teammate), Attachment.objects.get(message__conversation=chat)

    def answer(share: Share) -> int:
        return viewer.get(reverse("shared_file", args=[share.secret, file.pk])).status_code

    with_files = made(owner, chat, files=True)
    assert answer(with_files) == 200
    found = viewer.get(reverse("shared_file", args=[with_files.secret, file.pk]))
    assert found["Cache-Control"] == "no-store, private"
    assert found["Referrer-Policy"] == "no-referrer"
    assert answer(made(owner, chat)) == 404
    second = chat.messages.get(text="Second prompt")
    assert answer(made(owner, chat, files=True, first=second.pk)) == 404  # the file is outside of the range
    assert viewer.get(reverse("attachment", args=[file.pk])).status_code == 404


def test_a_link_never_grows_and_loses_what_is_deleted(
    owner: User, teammate: User, model: ChatModel, chat: Conversation
) -> None:
    share, viewer = made(owner, chat), as_user(teammate)
    say(owner, chat.pk, model, "Third prompt")
    first, second = chat.messages.get(text="First prompt"), chat.messages.get(text="Second prompt")
    send_message(
        owner, chat.pk, client_id=uuid.uuid4(), text="Second, edited", model_ids=[model.pk], edits=second.pk
    )
    Generation.objects.update(status=Status.COMPLETE)
    page = viewer.get(address(share)).content.decode()
    assert "Second prompt" in page
    assert "Third prompt" not in page
    assert "edited" not in page
    edited = chat.messages.get(text="Second, edited")
    delete_message(owner, edited.pk)  # another variant
    delete_message(owner, second.pk)
    page = viewer.get(address(share)).content.decode()
    assert "First prompt" in page
    assert "Second prompt" not in page
    delete_message(owner, first.pk)
    assert viewer.get(address(share)).status_code == 404


def test_a_hidden_variant_below_a_deleted_message_leaves_the_link(
    owner: User, teammate: User, model: ChatModel, chat: Conversation
) -> None:
    share, viewer = made(owner, chat), as_user(teammate)
    first, second = chat.messages.get(text="First prompt"), chat.messages.get(text="Second prompt")
    send_message(
        owner, chat.pk, client_id=uuid.uuid4(), text="Second, edited", model_ids=[model.pk], edits=second.pk
    )
    Generation.objects.update(status=Status.COMPLETE)
    delete_message(owner, first.pk)
    assert viewer.get(address(share)).status_code == 404
    assert viewer.post(reverse("continued_share", args=[share.secret])).status_code == 404
    restore_message(owner, first.pk)
    assert "Second prompt" in viewer.get(address(share)).content.decode()


def test_the_links_of_a_deleted_chat_are_deleted(owner: User, teammate: User, chat: Conversation) -> None:
    share, viewer = made(owner, chat), as_user(teammate)
    delete_conversation(owner, chat.pk)
    assert viewer.get(address(share)).status_code == 404
    restore_conversation(owner, chat.pk)
    assert viewer.get(address(share)).status_code == 200
    User.objects.filter(pk=owner.pk).update(is_active=False)
    assert viewer.get(address(share)).status_code == 404
    User.objects.filter(pk=owner.pk).update(is_active=True)
    erase_conversations([chat.pk], by=teammate)
    assert not Share.objects.exists()


def test_the_clean_up_deletes_old_links_and_those_of_emptied_chats(
    owner: User, model: ChatModel, chat: Conversation
) -> None:
    old, _kept = made(owner, chat), made(owner, chat)
    long_ago = timezone.now() - timedelta(days=400)
    Share.objects.filter(pk=old.pk).update(expires_at=long_ago)
    while clear_some():
        pass
    assert Share.objects.count() == 1
    Conversation.objects.update(deleted_at=long_ago)
    while clear_some():
        pass
    assert not Share.objects.exists()


def test_the_dialog_says_what_the_link_shows_and_makes_exactly_that(
    owner: User, teammate: User, model: ChatModel, chat: Conversation
) -> None:
    client, form = as_user(owner), reverse("shares", args=[chat.pk])
    page = client.get(form).content.decode()
    assert "4 messages" in page
    assert "Not the files:" in page
    assert "No reasoning and no tool calls" in page
    first = chat.messages.get(text="First prompt")
    reply = first.children.get()
    choices = {
        "title": "Tides",
        "first": str(first.pk),
        "last": str(reply.pk),
        "audience": "team",
        "days": "7",
        "with_names": "on",
        "with_files": "on",
    }
    page = client.post(form, choices).content.decode()
    assert "2 messages" in page
    assert "Your name: Ada Long" in page
    assert "which can be downloaded" in page
    assert not Share.objects.exists(), "a preview makes nothing"
    fingerprint = re.search(r'name="fingerprint" value="(\w+)"', page)
    assert fingerprint
    create = choices | {"create": "1", "fingerprint": fingerprint[1]}
    assert client.post(form, create | {"last": str(first.pk)}).status_code == 409, "it was not previewed"
    assert client.post(form, create | {"audience": "anyone"}).status_code == 409, "an administrator allows it"
    assert client.post(form, create | {"first": str(reply.pk), "last": str(first.pk)}).status_code == 409
    assert not Share.objects.exists()
    answer = client.post(form, create)
    share = Share.objects.get()
    assert address(share) in answer.content.decode()
    assert [message.pk for message in share.shown_messages] == [first.pk, reply.pk]
    assert (share.author, share.shows_files, share.shows_steps) == ("Ada Long", True, False)
    assert len(share.secret) == 32
    listed = client.get(reverse("my_shares")).content.decode()
    assert address(share) in listed
    assert "2 messages" in listed
    entry = TranscriptRead.objects.get(how="shared")
    assert (entry.owner, entry.reader, entry.conversation_id) == (owner, None, chat.pk)
    assert share.secret not in entry.details


def test_what_cannot_be_shared_is_refused_in_words(
    owner: User, teammate: User, model: ChatModel, chat: Conversation
) -> None:
    client, form = as_user(owner), reverse("shares", args=[chat.pk])
    assert as_user(teammate).get(form).status_code == 404
    assert client.get(reverse("shares", args=[uuid.uuid4()])).status_code == 409
    Generation.objects.filter(message__parent__text="Second prompt").update(status=Status.RUNNING)
    page = client.get(form).content.decode()
    assert "A reply is still running" in page
    shown = range_of(owner, chat.pk)
    made_by = {"first": shown.messages[0].pk, "last": shown.messages[-1].pk, "audience": "team", "days": "7"}
    create = made_by | {"create": "1", "fingerprint": shown.fingerprint}
    assert client.post(form, create).status_code == 409
    assert not Share.objects.exists()
    allow("none")
    assert client.get(form).status_code == 409
    assert "Share" not in client.get(reverse("conversation", args=[chat.pk])).content.decode()


def test_a_long_chat_offers_its_newest_messages(owner: User, model: ChatModel, chat: Conversation) -> None:
    last = chat.messages.latest("position")
    Message.objects.bulk_create(
        Message(
            conversation=chat,
            parent=last,
            position=last.position + number,
            role="user",
            text=f"Number {number}",
            added_revision=9,
            revision=9,
        )
        for number in range(1, MOST_MESSAGES)
    )
    shown = range_of(owner, chat.pk)
    assert shown.is_longer
    assert len(shown.messages) == MOST_MESSAGES
    assert shown.messages[-1].text == f"Number {MOST_MESSAGES - 1}"


def test_a_link_is_continued_as_an_own_chat(
    owner: User, teammate: User, model: ChatModel, chat: Conversation
) -> None:
    closed = ChatModel.objects.create(endpoint=model.endpoint, name="closed", for_everyone=False)
    Generation.objects.filter(message__parent__text="Second prompt").update(model=closed)
    share, viewer = made(owner, chat, names=True, files=True, steps=True), as_user(teammate)
    assert "Continue as my own chat" in viewer.get(address(share)).content.decode()
    answer = viewer.post(reverse("continued_share", args=[share.secret]))
    copy = Conversation.objects.get(owner=teammate)
    assert answer["Location"] == reverse("conversation", args=[copy.pk])
    first, reply, second, last = copy.messages.shown()
    assert (first.text, second.text, copy.title) == ("First prompt", "Second prompt", "Tides")
    assert first.notices == [("Copied from a chat that was shared by:", "Ada Long")]
    assert [part["type"] for part in reply.parts] == ["text"]
    assert (reply.generation.model, last.generation.model) == (model, None)
    assert reply.generation.cost is None
    assert (reply.parent, second.parent, copy.head) == (first, reply, last)
    (file,) = first.attachments.all()
    assert file.owner == teammate
    assert viewer.get(reverse("attachment", args=[file.pk])).status_code == 200
    page = viewer.get(answer["Location"]).content.decode()
    assert "Ada Long" in page
    without = made(owner, chat)
    viewer.post(reverse("continued_share", args=[without.secret]))
    bare = Conversation.objects.filter(owner=teammate).exclude(pk=copy.pk).get()
    assert not Attachment.objects.filter(message__conversation=bare).exists()
    assert not any(message.files for message in bare.messages.all())
    assert Client().post(reverse("continued_share", args=[share.secret])).status_code == 302
    assert viewer.post(reverse("continued_share", args=["x" * 32])).status_code == 404


def test_a_double_click_continues_once_and_the_files_count(
    owner: User, teammate: User, chat: Conversation
) -> None:
    share, viewer = made(owner, chat, files=True), as_user(teammate)
    address_of_copies = reverse("continued_share", args=[share.secret])
    found = re.search(r'name="chat" value="([0-9a-f-]{36})"', viewer.get(address(share)).content.decode())
    assert found
    answers = [viewer.post(address_of_copies, {"chat": found[1]})["Location"] for _click in range(2)]
    assert answers == [reverse("conversation", args=[found[1]])] * 2
    assert Conversation.objects.filter(owner=teammate).count() == 1
    answer = viewer.post(address_of_copies, {"chat": str(chat.pk)})
    assert str(chat.pk) not in answer["Location"], "the id of another person's chat is not taken"
    viewer.post(address_of_copies, {"chat": "x"})
    assert Conversation.objects.filter(owner=teammate).count() == 3

    StoredFile.objects.update(size=3 * 1024 * 1024)
    ServerSettings(person_files_mb=1).save()
    assert viewer.post(address_of_copies).status_code == 302, "these files are the user's already"
    Conversation.objects.filter(owner=teammate).delete()
    Attachment.objects.filter(owner=teammate).delete()
    assert viewer.post(address_of_copies).status_code == 429
    assert not Conversation.objects.filter(owner=teammate).exists()


def test_a_log_in_before_continuing_leads_back_to_the_link(
    owner: User, teammate: User, chat: Conversation
) -> None:
    share = made(owner, chat)
    to = reverse("continued_share", args=[share.secret])
    asked = Client().post(to)
    assert asked.status_code == 302 and asked["Location"].endswith(f"?next={to}")
    assert as_user(teammate).get(to)["Location"] == address(share)
    assert not Conversation.objects.filter(owner=teammate).exists()


def test_a_long_link_has_pages(
    owner: User, teammate: User, chat: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PAGE", 3)
    share, viewer = made(owner, chat), as_user(teammate)
    first = viewer.get(address(share)).content.decode()
    assert first.count("<article") == 3
    assert "More messages" in first and "Earlier messages" not in first and "?page=2" in first
    second = viewer.get(address(share), {"page": "2"}).content.decode()
    assert second.count("<article") == 1
    assert "More messages" not in second and "Earlier messages" in second and "?page=1" in second
    for page in ("3", "0", "-1", "x", "9999999", "²"):
        assert viewer.get(address(share), {"page": page}).status_code == 404


def test_a_copy_has_nothing_that_the_link_does_not_show(
    owner: User, teammate: User, chat: Conversation
) -> None:
    """The reply has a picture that its model made, and thoughts and a call that the link does not show."""
    reply = chat.messages.get(text="First prompt").children.get()
    picture = attached(owner)
    Attachment.objects.filter(pk=picture.pk).update(message=reply)
    parts = stored([part_of(picture), NoticePart("These files were left out:\nsalaries.pdf")])
    Message.objects.filter(pk=reply.pk).update(parts=reply.parts + parts)
    for files, kinds in ((True, ["text", "file"]), (False, ["text", "notice"])):
        share = made(owner, chat, files=files)
        answer = as_user(teammate).post(reverse("continued_share", args=[share.secret]))
        copy = Conversation.objects.get(owner=teammate, pk=answer["Location"].strip("/").split("/")[-1])
        copied = copy.messages.shown()[1]
        assert [part["type"] for part in copied.parts] == kinds
        assert "salaries" not in str(copied.parts)
        assert [file.owner for file in copied.attachments.all()] == [teammate] * files


def test_only_the_owner_and_administrators_revoke(
    make_user: Callable[..., User], owner: User, teammate: User, chat: Conversation
) -> None:
    share = made(owner, chat)
    assert as_user(teammate).post(reverse("share", args=[share.pk])).status_code == 404
    administrator = make_user("administrator@example.org", is_staff=True, is_superuser=True)
    client = as_user(administrator)
    page = client.get(reverse("admin:chat_share_changelist"))
    assert page.status_code == 200
    for secret in (share.secret, "Tides"):
        assert secret not in page.content.decode()
    assert (
        share.secret not in client.get(reverse("admin:chat_share_change", args=[share.pk])).content.decode()
    )
    action = {"action": "revoke", "_selected_action": [str(share.pk)]}
    assert client.post(reverse("admin:chat_share_changelist"), action).status_code == 302
    assert not Share.objects.exists()
    entry = TranscriptRead.objects.get(how="unshared")
    assert (entry.owner, entry.reader, entry.conversation_id) == (owner, administrator, chat.pk)


def test_guessing_is_slowed_down_by_network(owner: User, chat: Conversation, runtime: Runtime) -> None:
    runtime.share_requests = RateLimits(burst=20, per_second=0.001)  # no more is allowed while the test runs
    client = Client(REMOTE_ADDR="192.0.2.7")
    codes = [client.get(reverse("shared", args=["x" * 32])).status_code for _ in range(40)]
    assert codes.count(429) == 20
    assert client.get(reverse("shared", args=["x" * 32]))["Retry-After"]
    assert Client(REMOTE_ADDR="198.51.100.7").get(reverse("shared", args=["x" * 32])).status_code == 404


def test_people_who_are_logged_in_do_not_share_the_limit_of_their_address(
    owner: User, teammate: User, chat: Conversation, runtime: Runtime
) -> None:
    runtime.share_requests = RateLimits(burst=2, per_second=0.0)
    share = made(owner, chat)
    assert [Client().get(address(share)).status_code for _ in range(3)] == [404, 404, 429]
    for viewer in (as_user(owner), as_user(teammate)):
        assert [viewer.get(address(share)).status_code for _ in range(3)] == [200, 200, 429]
