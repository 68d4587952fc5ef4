"""The page of the server's settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from chat.models import ChatModel, ServerSettings, TranscriptRead, User

pytestmark = pytest.mark.django_db
PAGE = "/admin/chat/serversettings/1/change/"
FILES = {
    "file_mb": 100,
    "person_files_mb": 2000,
    "sharers": "staff",
    "share_links": "team",
}  # the fields that may not be empty


def test_an_administrator_chooses_a_model_and_the_audit_record_has_it(
    administrator: User, client: Client, model: ChatModel
) -> None:
    client.force_login(administrator)
    assert ServerSettings.current().title_model is None
    assert client.get(reverse("admin:chat_serversettings_changelist")).headers["Location"] == PAGE
    assert "Demo model (Demo)" in client.get(PAGE).content.decode()
    assert client.post(PAGE, {**FILES, "title_model": model.pk, "summary_model": ""}).status_code == 302
    assert ServerSettings.current().title_model == model, "a change is used at once"
    assert client.post(PAGE, {**FILES, "title_model": model.pk, "summary_model": ""}).status_code == 302
    (entry,) = TranscriptRead.objects.filter(how="settings")
    assert (entry.reader, entry.changes) == (administrator, [["title_model", "", "Demo model"]])
    page = client.get(reverse("admin:chat_transcriptread_changelist")).content.decode()
    assert "model for titles: - → Demo model" in page


def test_a_chosen_model_that_cannot_be_used_any_more_can_be_kept(
    administrator: User, client: Client, model: ChatModel
) -> None:
    ServerSettings(title_model=model).save()
    ChatModel.objects.update(enabled=False)
    client.force_login(administrator)
    assert client.post(PAGE, {**FILES, "title_model": model.pk, "summary_model": ""}).status_code == 302
    assert ServerSettings.current().title_model == model


def test_a_deleted_model_is_no_longer_chosen(model: ChatModel) -> None:
    ServerSettings(title_model=model).save()
    assert ServerSettings.current().title_model_id == model.pk
    model.delete()
    ServerSettings.objects.get().save()
    assert ServerSettings.current().title_model is None


@pytest.mark.parametrize("right", ["", "view_serversettings", "change_serversettings", "change_chatmodel"])
def test_only_those_with_the_right_change_it(
    right: str, client: Client, make_user: Callable[..., User], model: ChatModel
) -> None:
    manager = make_user("manager@example.org", is_staff=True)
    manager.user_permissions.set(Permission.objects.filter(codename=right))
    client.force_login(manager)
    may_look = right.endswith("_serversettings")
    assert client.get(PAGE).status_code == (200 if may_look else 403)
    assert client.get(reverse("admin:chat_serversettings_changelist")).status_code == (
        302 if may_look else 403
    )
    client.post(PAGE, {**FILES, "title_model": model.pk})
    changed = ServerSettings.current().title_model == model
    assert changed == (right == "change_serversettings")
    assert client.get("/admin/chat/serversettings/add/").status_code == 403
    assert client.post("/admin/chat/serversettings/1/delete/", {"post": "yes"}).status_code == 403
