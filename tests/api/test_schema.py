"""Requests made from the OpenAPI document: no 500, and each response is what the document says."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import schemathesis
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.wsgi import get_wsgi_application
from django.test import Client
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance

from chat.actions.api_token import make_token
from chat.actions.folder import make_folder
from chat.actions.preset import PresetContent, make_preset
from chat.actions.saved_prompt import make_saved_prompt
from chat.actions.send import send_message
from chat.actor import Actor
from chat.api import tickets
from chat.api.json_api import api
from chat.models import (
    Attachment,
    ChatImport,
    ChatModel,
    Endpoint,
    Generation,
    Knowledge,
    Message,
    Scope,
    Status,
    StoredFile,
    Summary,
    ToolCallState,
    ToolRun,
    User,
)
from chat.rate_limit import RateLimits
from chat.runtime import Runtime

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators"),
]
EXAMPLES = 200 if os.environ.get("STEADY_LONG_FAULTS") else 4
OPERATIONS = sorted(
    (path, method) for path, methods in api.get_openapi_schema()["paths"].items() for method in methods
)


@cache
def document() -> Any:
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())


@pytest.fixture
def names(make_user: Callable[..., User]) -> dict[str, Any]:
    """Ids of what there is, by the names of path parameters, and a token."""
    administrator = make_user("admin@example.org", is_staff=True, is_superuser=True)
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    model = ChatModel.objects.create(pk=1, endpoint=provider, name="demo")
    sent = send_message(
        administrator, uuid.uuid4(), client_id=uuid.uuid4(), text="Why?", model_ids=[model.pk]
    )
    reply = sent.message.children.get()
    Generation.objects.update(status=Status.FAILED, error_code="overloaded", error_message="Busy.")
    Message.objects.filter(pk=reply.pk).update(text="So", parts=[{"type": "text", "text": "So"}])
    path = default_storage.save("ab/words", ContentFile(b"Words"))
    stored = StoredFile.objects.create(sha256="ab", size=5, media_type="text/plain", path=path)
    file = Attachment.objects.create(owner=administrator, stored=stored, name="a.txt", size=5)
    other = Attachment.objects.create(owner=administrator, stored=stored, name="b.txt", size=5)
    folder = make_folder(administrator, "Tides")
    knowledge = Knowledge.objects.create(attachment=other, folder=folder)
    call = ToolRun.objects.create(
        generation=reply.generation, step=1, number=0, name="calculator", state=ToolCallState.ASKED
    )
    summary = Summary.objects.create(
        conversation=sent.message.conversation, covers=sent.message, text="So", model_label="demo"
    )
    job = ChatImport.objects.create(owner=administrator, state="done")
    token, secret = make_token(administrator, name="x", scopes=list(Scope))
    ticket = tickets._made(Actor.by_token(administrator, token), "reply", reply.pk)["stream"]
    return {
        "file_id": str(file.pk),
        "call_id": call.pk,
        "summary_id": str(summary.pk),
        "import_id": str(job.pk),
        "folder_id": str(folder.pk),
        "knowledge_id": str(knowledge.pk),
        "preset_id": str(make_preset(administrator, PresetContent("Tides")).pk),
        "saved_prompt_id": str(make_saved_prompt(administrator, "tides", "Tides?").pk),
        "share_id": str(uuid.uuid4()),
        "model_id": model.pk,
        "ticket": ticket.rpartition("/")[2],
        "conversation_id": str(sent.message.conversation_id),
        "prompt_id": str(sent.message.pk),
        "reply_id": str(reply.pk),
        "message_id": str(reply.pk),
        "secret": secret,
    }


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_each_response_is_as_documented(
    path: str, method: str, names: dict[str, Any], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.token_requests = RateLimits(burst=1_000_000, per_second=10)
    monkeypatch.setattr(settings, "CHAT_RUNNING_PER_PERSON", 1_000_000)
    logging.getLogger("django.request").disabled = True
    operation = document()[path][method.upper()]

    @given(case=operation.as_strategy(), is_known=st.booleans())
    @hypothesis_settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def check(case: Any, is_known: bool) -> None:
        for name in case.path_parameters or {}:
            if is_known or "events" in path:  # an unknown stream is a 404 in any case
                case.path_parameters[name] = names[name]
        headers = {"Authorization": f"Bearer {names['secret']}", "Accept-Encoding": "identity"}
        # A text of spaces fits the document and is refused in words.
        case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
        Generation.objects.exclude(status__in=["failed", "stopped"]).update(status=Status.STOPPED)

    try:
        check()
    finally:
        logging.getLogger("django.request").disabled = False


def test_the_document_says_what_it_is() -> None:
    document = api.get_openapi_schema()
    assert document["openapi"] == "3.1.0"
    assert document["components"]["securitySchemes"]["Token"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            expected: list[Any] = [] if "{ticket}" in path else [{"Token": []}]
            assert operation["security"] == expected, (path, method)
            assert operation["summary"], (path, method)
            for response in operation["responses"].values():
                assert response["description"]


def test_the_reference_page_names_each_operation_and_loads_nothing_from_elsewhere(client: Client) -> None:
    html = client.get("/api/v1/").content.decode()
    for path, method in OPERATIONS:
        assert f"{method.upper()} {path}" in html
    assert "Send a prompt" in html
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)
