"""Reviewers open the files of a transcript, and each opening is in the audit record."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from chat.models import Attachment, ChatModel, TranscriptRead, User
from tests.files.test_attachments import picture, send

pytestmark = pytest.mark.django_db(transaction=True)

type Upload = Callable[..., Attachment]

NAVIGATION = {"Sec-Fetch-Dest": "document"}
IMAGE = {"Sec-Fetch-Dest": "image"}


def entries() -> list[tuple[str, list[object]]]:
    return [(entry.how, entry.changes) for entry in TranscriptRead.objects.order_by("number")]


def test_files_of_a_transcript_are_opened_and_recorded(
    person: User, make_user: Callable[..., User], upload: Upload, model: ChatModel, client: Client
) -> None:
    photo, notes = upload(person, picture(), "photo.png"), upload(person, b"Notes", "<b>.txt")
    chat = send(person, model, photo, notes).message.conversation_id
    other = send(person, model, upload(person, b"Others")).message.conversation_id
    reviewer = make_user("reviewer@example.org", is_staff=True)
    reviewer.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    client.force_login(reviewer)
    page, at = f"/admin/chat/conversation/{chat}/change/", f"/admin/chat/conversation/{chat}/files/"

    def get(address: str, headers: dict[str, str]) -> int:
        return client.get(address, headers=headers).status_code

    assert get(f"{at}{photo.pk}/?thumbnail", IMAGE) == 403, "the transcript was not read"
    assert get(f"{at}{photo.pk}/", IMAGE) == 403, "another page must not cause an entry"
    assert entries() == []
    html = client.get(page, headers=NAVIGATION).content.decode()
    assert f'src="{at}{photo.pk}/?thumbnail"' in html and "&lt;b&gt;.txt" in html
    small = client.get(f"{at}{photo.pk}/?thumbnail", headers=IMAGE)
    assert (small["Content-Type"], small["X-Content-Type-Options"]) == ("image/jpeg", "nosniff")
    assert get(f"{at}{notes.pk}/?thumbnail", IMAGE) == 404, "it has no small picture"
    assert entries() == [("read", [])]
    opened = client.get(f"{at}{notes.pk}/", headers=NAVIGATION)
    assert (opened.content, opened["Content-Type"]) == (b"Notes", "application/octet-stream")
    assert (
        opened["Content-Disposition"].startswith("attachment")
        and "sandbox" in opened["Content-Security-Policy"]
    )
    assert entries()[1:] == [("read", [["file", "", str(notes.pk)]])]
    assert client.get("/admin/chat/transcriptread/", headers=NAVIGATION).status_code == 403
    for address in (f"/admin/chat/conversation/{other}/files/{notes.pk}/", f"{at}{uuid.uuid4()}/"):
        assert get(address, NAVIGATION) == 404
    assert get(f"/admin/chat/conversation/{uuid.uuid4()}/files/{notes.pk}/", NAVIGATION) == 302


def test_files_of_a_transcript_are_closed_to_others(
    person: User,
    make_user: Callable[..., User],
    upload: Upload,
    model: ChatModel,
    client: Client,
    administrator: User,
) -> None:
    photo = upload(person, picture(), "photo.png")
    chat = send(person, model, photo).message.conversation_id
    at = f"/admin/chat/conversation/{chat}/files/{photo.pk}/"
    client.force_login(administrator)
    client.get(f"/admin/chat/conversation/{chat}/change/", headers=NAVIGATION)
    before = len(entries())
    for user in (person, make_user("staff@example.org", is_staff=True), None):
        client.logout()
        if user:
            client.force_login(user)
        for query in ("", "?thumbnail"):
            assert client.get(at + query, headers=NAVIGATION).status_code in (302, 403)
    assert len(entries()) == before
