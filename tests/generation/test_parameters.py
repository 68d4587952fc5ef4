"""The parameters of a chat: what is accepted, stored and allowed."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client

from chat.models import ChatModel, Conversation, Endpoint, Generation, User
from chat.models.parameters import Allowed, InvalidParameterError, Parameters


@pytest.mark.parametrize(
    ("values", "parameters"),
    [
        ({}, Parameters()),
        ("{}", Parameters()),
        ({"temperature": "", "reasoning_effort": None}, Parameters()),
        ({"temperature": 0}, Parameters(0.0)),
        ({"temperature": "0.7", "max_output_tokens": "500"}, Parameters(0.7, 500)),
        ('{"reasoning_effort": "none"}', Parameters(reasoning_effort="none")),
    ],
)
def test_what_pages_and_programs_send_is_read_and_stored(values: object, parameters: Parameters) -> None:
    assert Parameters.checked(values) == parameters
    assert Parameters.of(parameters.as_json()) == parameters


@pytest.mark.parametrize(
    "values",
    [
        *("", "[]", "nonsense", "[" * 100_000, [], 7, {"top_p": 1}, {7: 1}),
        *({"temperature": it} for it in (True, -1, 2.1, "nan", "inf", "1e999", 10**400, "hot", [])),  # type: ignore[var-annotated]
        *({"max_output_tokens": it} for it in (0, -5, 1.5, "1.5", True, 10**30, "many")),
        *({"reasoning_effort": it} for it in ("enormous", 3, [], {})),  # type: ignore[var-annotated]
    ],
)
def test_an_invalid_parameter_is_refused_and_never_used(values: object) -> None:
    with pytest.raises(InvalidParameterError):
        Parameters.checked(values)
    assert Parameters.of(values) == Parameters()


def test_one_invalid_stored_value_affects_no_other() -> None:
    assert Parameters.of({"temperature": "hot", "max_output_tokens": 7, "later": 1}) == Parameters(None, 7)


def test_a_model_gets_the_nearest_allowed_value() -> None:
    wanted = Parameters(1.5, 9_000, "none")
    allowed = Allowed((0.0, 1.0), (1, 4_000), ("medium", "high"))
    assert wanted.within(allowed) == Parameters(1.0, 4_000, "medium")
    assert wanted.within(Allowed(None, None, ())) == Parameters()
    assert Parameters().within(allowed) == Parameters()
    assert Parameters(0.0).over(Parameters(1.0, 5, "low")) == Parameters(0.0, 5, "low")


@pytest.mark.parametrize(
    ("kind", "model", "has_temperature", "efforts"),
    [
        ("openai_compatible", {}, True, 0),
        ("openai_compatible", {"reasons": True}, True, 4),
        ("openai", {"reasons": True}, False, 4),
        ("azure", {"reasons": True, "takes_temperature": True}, True, 4),
        ("anthropic", {}, False, 0),
        ("bedrock", {"temperature": 0.5}, True, 0),
        ("gemini", {"lowest_effort": "low", "highest_effort": "medium"}, True, 2),
        ("gemini", {"reasons": True, "lowest_effort": "low", "highest_effort": "low"}, True, 0),
        ("gemini", {"lowest_temperature": 1, "highest_temperature": 1}, False, 0),
    ],
)
def test_a_model_allows_what_its_provider_accepts_and_its_administrator_permits(
    kind: str, model: dict[str, object], has_temperature: bool, efforts: int
) -> None:
    row = ChatModel(endpoint=Endpoint(slug="e", kind=kind), name="m", max_output_tokens=50, **model)
    assert (row.allowed.temperature is not None, len(row.allowed.efforts)) == (has_temperature, efforts)
    assert row.allowed.output == (1, 50)
    assert ChatModel(alias_of=row).allowed == row.allowed


def test_a_form_without_a_script_sends_them_and_a_script_only_what_was_changed(
    client: Client, person: User
) -> None:
    endpoint = Endpoint.objects.create(slug="demo", name="Demo")
    model = ChatModel.objects.create(endpoint=endpoint, name="demo", takes_temperature=True)
    client.force_login(person)
    chat = uuid4()
    url = f"/conversations/{chat}/messages/"
    fields = {"temperature": "0.5", "max_output_tokens": "", "reasoning_effort": ""}
    assert client.post(url, {"text": "Hi", "model": model.pk, **fields}).status_code == 302
    assert Conversation.objects.get(pk=chat).parameters == {"temperature": 0.5}
    reply = Generation.objects.get()
    assert reply.parameters == {"temperature": 0.5}
    page = client.get(f"/conversations/{chat}/").content.decode()
    assert 'value="0.5"' in page
    assert client.post(url, {"text": "Hi", "model": model.pk, "parameters": "{}"}).status_code == 302
    assert Conversation.objects.get(pk=chat).parameters is None
    assert client.post(url, {"text": "Hi", "model": model.pk}).status_code == 302
    refused = client.post(url, {"text": "Hi", "model": model.pk, "temperature": "9"})
    assert refused.status_code == 400 and Generation.objects.count() == 3
    Generation.objects.update(status="complete")
    last = Generation.objects.order_by("-queued_at")[0]
    again = {"keep": "1", "parameters": '{"max_output_tokens": 7}'}
    assert client.post(f"/messages/{last.message_id}/generations/", again).status_code == 302
    assert Generation.objects.filter(parameters={"max_output_tokens": 7}).count() == 1
