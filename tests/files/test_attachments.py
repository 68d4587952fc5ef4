"""A file is uploaded in pieces, stored once, sent with a prompt, given to its owner alone, and deleted with
the last message that uses it."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from PIL import Image

from chat.access import NotFoundError
from chat.actions.attachment import clear_files, receive_piece, remove_attachment
from chat.actions.branch import branch_conversation
from chat.actions.conversation import delete_conversation
from chat.actions.erasure import erase_conversations
from chat.actions.errors import InvalidInputError, LimitReachedError, MismatchError, TooLongError
from chat.actions.housekeeping import clear_some
from chat.actions.send import Sent, send_message
from chat.api.resources import file_json
from chat.files import store
from chat.models import (
    Attachment,
    ChatModel,
    Conversation,
    Generation,
    Message,
    ServerSettings,
    Status,
    StoredFile,
    User,
)

pytestmark = pytest.mark.django_db(transaction=True)

type Upload = Callable[..., Attachment]


def picture(size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "teal").save(data, kind)
    return data.getvalue()


def send(user: User, model: ChatModel, *attachments: Attachment, text: str = "Look", **more: object) -> Sent:
    ids = [attachment.pk for attachment in attachments]
    where = {"client_id": uuid.uuid4(), **more}
    chat = where.pop("chat", uuid.uuid4())
    return send_message(user, chat, text=text, model_ids=[model.pk], attachments=ids, **where)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def patch(client: Client, at: str, data: bytes, offset: int, length: int, name: str = "a.txt") -> dict:
    response = client.patch(
        at,
        data,
        content_type="application/octet-stream",
        headers={
            "Upload-Offset": offset,
            "Upload-Length": length,
            "Upload-Name": name,
            "Accept": "application/json",
        },
    )
    return {"status": response.status_code, **response.json()}


def test_a_file_arrives_in_pieces_and_a_piece_may_arrive_twice(person: User, client: Client) -> None:
    client.force_login(person)
    at = f"/files/{uuid.uuid4()}/"
    assert patch(client, at, b"Hello ", 0, 11)["received"] == 6
    assert patch(client, at, b"Hello ", 0, 11)["received"] == 6
    assert patch(client, at, b"!", 9, 11)["received"] == 6  # the pieces before it are missing
    assert patch(client, at, b"world", 6, 11)["file"]["name"] == "a.txt"
    assert patch(client, at, b"world", 6, 11)["received"] == 11
    response = client.get(at)
    assert response.content == b"Hello world"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]
    assert response["Cache-Control"] == "private, no-cache"
    assert client.get(at, headers={"If-None-Match": response["ETag"]}).status_code == 304


def test_more_bytes_than_announced_are_refused_on_arrival(person: User, client: Client) -> None:
    client.force_login(person)
    at = f"/files/{uuid.uuid4()}/"
    assert patch(client, at, b"12345", 0, 4)["status"] == 413
    too_much = b"x" * (store.PIECE_BYTES + 1)
    assert patch(client, at, too_much, 0, len(too_much))["status"] == 413
    assert patch(client, at, b"", -1, 4)["status"] == 400
    assert StoredFile.objects.count() == 0


def test_limits_are_reported_before_anything_is_written(person: User, storage: Path) -> None:
    ServerSettings(file_mb=1, person_files_mb=1).save()
    new = {"name": "a", "offset": 0, "data": b"x"}
    with pytest.raises(TooLongError, match="2 MB; the limit is 1 MB"):
        receive_piece(person, uuid.uuid4(), size=2 * 1024 * 1024, **new)
    with pytest.raises(InvalidInputError):
        receive_piece(person, uuid.uuid4(), size=0, **new)
    receive_piece(person, uuid.uuid4(), size=1024 * 1024, **new)
    with pytest.raises(LimitReachedError):
        receive_piece(person, uuid.uuid4(), size=1, **new)
    assert names(storage) == []


def test_an_edited_prompt_keeps_more_files_than_a_new_one_may_have(
    person: User, model: ChatModel, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = send(person, model, *(upload(person, b"Notes") for _ in range(3))).message
    Generation.objects.update(status=Status.COMPLETE)
    monkeypatch.setattr("chat.actions.attachment.MOST_IN_A_PROMPT", 2)  # an imported prompt may have more
    edited = {"chat": first.conversation_id, "edits": first.pk, "text": "Look again"}
    with pytest.raises(LimitReachedError):
        send(person, model, upload(person, b"More"), **edited)
    assert len(send(person, model, **edited).message.files) == 3


def test_files_of_others_are_not_found(
    person: User, make_user: Callable[..., User], client: Client, upload: Upload, model: ChatModel
) -> None:
    theirs = upload(make_user("other@example.org"), b"Secret words")
    boss = make_user("boss@example.org", is_staff=True, is_superuser=True)
    at = f"/files/{theirs.pk}/"
    for user in (person, boss):
        client.force_login(user)
        assert client.get(at).status_code == 404
        assert client.delete(at).status_code == 404
        assert patch(client, at, b"Secret words", 0, 12)["status"] == 404
        with pytest.raises(NotFoundError):
            send(user, model, theirs)
    assert Attachment.objects.filter(pk=theirs.pk, message=None).exists()
    client.logout()
    assert client.get(at).status_code == 302


def test_a_content_is_stored_once(person: User, upload: Upload, storage: Path) -> None:
    first, second = upload(person, b"The same", "a.txt"), upload(person, b"The same", "b.txt")
    assert first.stored == second.stored
    assert len([name for name in names(storage) if "." not in name]) == 1
    remove_attachment(person, first.pk)
    assert StoredFile.objects.count() == 1
    assert second.stored
    assert store.read(second.stored.path) == b"The same", "it is there under the name of the first"
    remove_attachment(person, second.pk)
    assert (StoredFile.objects.count(), names(storage)) == (0, [])


def test_a_content_with_two_names_is_of_two_kinds_of_text(
    person: User, upload: Upload, model: ChatModel
) -> None:
    files = [upload(person, b"# The same", name) for name in ("a.txt", "b.md")]
    assert files[0].stored == files[1].stored
    prompt = send(person, model, *files).message
    assert [part.media_type for part in prompt.files] == ["text/plain", "text/markdown"]
    assert [file_json(file)["media_type"] for file in files] == ["text/plain", "text/markdown"]


def test_a_prompt_keeps_its_files_and_is_one_prompt(person: User, upload: Upload, model: ChatModel) -> None:
    file, again, chat = upload(person, picture(), "photo.png"), uuid.uuid4(), uuid.uuid4()
    first = send(person, model, file, text="", client_id=again, chat=chat)
    assert not send(person, model, file, text="", client_id=again, chat=chat).is_new
    with pytest.raises(MismatchError):
        send(person, model, text="More", client_id=again, chat=chat)
    prompt = Message.objects.get(pk=first.message.pk)
    assert [(part.name, part.media_type, part.width) for part in prompt.files] == [
        ("photo.png", "image/png", 40)
    ]
    assert Conversation.objects.get().title == "photo.png"
    assert list(prompt.attachments.all()) == [file]


def test_a_sent_file_can_be_sent_once_more(
    person: User, upload: Upload, model: ChatModel, storage: Path
) -> None:
    file = upload(person, b"Notes")
    first, second = send(person, model, file), send(person, model, file)
    copy = second.message.attachments.get()
    assert copy != file and copy.stored == file.stored
    assert [part.id for part in second.message.files] == [str(copy.pk)]
    assert first.message.attachments.get() == file


def test_an_edited_prompt_and_a_branch_keep_the_files(
    person: User, upload: Upload, model: ChatModel, administrator: User, client: Client
) -> None:
    sent = send(person, model, upload(person, b"Notes"))
    Generation.objects.update(status=Status.COMPLETE)
    chat = sent.message.conversation_id
    edited = send(person, model, text="Look again", edits=sent.message.pk, chat=chat)
    Generation.objects.update(status=Status.COMPLETE)
    branch = branch_conversation(person, edited.message.pk)
    erase_conversations([chat], by=administrator)
    client.force_login(person)
    [part] = branch.messages.get().files
    assert client.get(f"/files/{part.id}/").content == b"Notes"
    assert len(edited.message.files) == 1


def test_an_edited_prompt_goes_without_the_files_that_are_removed(
    person: User, upload: Upload, model: ChatModel
) -> None:
    one, two, three = (upload(person, name.encode(), name) for name in ("one.txt", "two.txt", "three.txt"))
    first = send(person, model, one, two, three).message
    Generation.objects.update(status=Status.COMPLETE)
    edit = {"chat": first.conversation_id, "edits": first.pk}
    other = upload(person, b"Unsent", "unsent.txt")
    for unknown in (uuid.uuid4(), other.pk):
        with pytest.raises(NotFoundError):
            send(person, model, removed_attachments=[unknown], **edit)
    with pytest.raises(InvalidInputError):
        send(person, model, text="", removed_attachments=[one.pk, two.pk, three.pk], **edit)
    with pytest.raises(InvalidInputError):
        send(person, model, removed_attachments=[two.pk], chat=first.conversation_id)
    again = {"client_id": uuid.uuid4(), "removed_attachments": [two.pk], **edit}
    edited = send(person, model, other, **again)
    assert not send(person, model, other, **again).is_new
    assert [part.name for part in edited.message.files] == ["one.txt", "three.txt", "unsent.txt"]
    before = Message.objects.get(pk=first.pk)
    assert [part.name for part in before.files] == ["one.txt", "two.txt", "three.txt"]
    assert set(before.attachments.all()) == {one, two, three}


def test_a_form_without_scripts_removes_files_of_an_edited_prompt(
    person: User, upload: Upload, model: ChatModel, client: Client
) -> None:
    one, two = (upload(person, name.encode(), name) for name in ("one.txt", "<b>two.txt"))
    first = send(person, model, one, two).message
    Generation.objects.update(status=Status.COMPLETE)
    client.force_login(person)
    at = f"/conversations/{first.conversation_id}/"
    page = client.get(f"{at}?edit={first.pk}").content.decode()
    assert f'name="removed_attachment" value="{one.pk}"' in page
    assert "Remove <bdi>&lt;b&gt;two.txt</bdi>" in page
    form = {"text": "Look again", "model": model.pk, "edits": first.pk, "removed_attachment": one.pk}
    assert client.post(f"{at}messages/", form).status_code == 302
    [part] = Message.objects.get(text="Look again").files
    assert part.name == "<b>two.txt"


def test_files_are_deleted_with_the_last_chat_that_has_them(
    person: User, administrator: User, upload: Upload, model: ChatModel, storage: Path, client: Client
) -> None:
    file = upload(person, b"Notes")
    first, second = send(person, model, file), send(person, model, file)
    erase_conversations([first.message.conversation_id], by=administrator)
    client.force_login(person)
    assert client.get(f"/files/{file.pk}/").status_code == 404
    assert names(storage)
    delete_conversation(person, second.message.conversation_id)
    copy = second.message.attachments.get()
    assert client.get(f"/files/{copy.pk}/").status_code == 404
    assert clear_files() == 0
    Conversation.objects.update(
        deleted_at=timezone.now() - timedelta(days=settings.CHAT_KEEP_DELETED_DAYS + 1)
    )
    while clear_some():
        pass
    assert clear_files() == 1
    assert (names(storage), StoredFile.objects.count(), Attachment.objects.count()) == ([], 0, 0)


def test_unsent_files_are_deleted_after_a_day(person: User, upload: Upload, storage: Path) -> None:
    upload(person, b"Notes")
    begun = uuid.uuid4()
    receive_piece(person, begun, name="b", size=10, offset=0, data=b"12345")
    assert clear_files() == 0
    Attachment.objects.update(created_at=timezone.now() - timedelta(hours=25))
    while clear_files():
        pass
    assert (names(storage), Attachment.objects.count()) == ([], 0)
    assert names(settings.CHAT_UPLOADS_DIR) == []


def test_a_deleted_user_leaves_no_file(
    person: User, administrator: User, upload: Upload, model: ChatModel, storage: Path, client: Client
) -> None:
    send(person, model, upload(person, picture(), "photo.png"))
    upload(person, b"Never sent")
    client.force_login(administrator)
    response = client.post(
        f"/admin/chat/user/{person.pk}/delete/", {"post": "yes"}, headers={"Sec-Fetch-Dest": "document"}
    )
    assert response.status_code == 302 and not User.objects.filter(pk=person.pk).exists()
    assert (names(storage), StoredFile.objects.count()) == ([], 0)


def test_a_storage_failure_is_reported_and_loses_nothing(
    person: User, client: Client, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(person)

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_save", full)
    at = f"/files/{uuid.uuid4()}/"
    answer = patch(client, at, b"Notes", 0, 5)
    assert (answer["status"], answer["error"]["code"]) == (507, "storage")
    monkeypatch.undo()
    assert patch(client, at, b"Notes", 0, 5)["file"]["size"] == 5


def test_the_page_shows_pictures_and_other_files(
    person: User, upload: Upload, model: ChatModel, client: Client
) -> None:
    image, notes = upload(person, picture(), "photo.png"), upload(person, b"Notes", "<b>.txt")
    sent = send(person, model, image, notes)
    client.force_login(person)
    html = client.get(f"/conversations/{sent.message.conversation_id}/").content.decode()
    assert f'src="/files/{image.pk}/?thumbnail"' in html and 'alt="photo.png"' in html
    assert f'href="/files/{notes.pk}/" download' in html and "&lt;b&gt;.txt" in html
    thumbnail = client.get(f"/files/{image.pk}/?thumbnail")
    assert (thumbnail["Content-Type"], thumbnail["Content-Disposition"]) == (
        "image/jpeg",
        'inline; filename="photo.png"',
    )


def test_a_form_without_a_script_sends_its_files(person: User, model: ChatModel, client: Client) -> None:
    client.force_login(person)
    chat = uuid.uuid4()
    form = {
        "text": "",
        "model": model.pk,
        "client_id": "",
        "files": [io.BytesIO(b"Notes"), io.BytesIO(b"More")],
    }
    assert client.post(f"/conversations/{chat}/messages/", form).status_code == 302
    assert len(Message.objects.get(conversation=chat, role="user").files) == 2
