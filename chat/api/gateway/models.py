"""`GET /v1/models`: the models that the user may use, in the form of OpenAI or Anthropic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from chat.actor import Actor
from chat.models import ChatModel

_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)


def listed(actor: Actor) -> list[tuple[str, ChatModel]]:
    """Returns the models with their ids, in the order of the page. One unit of work."""
    return with_ids(sorted(ChatModel.objects.usable_by(actor.user), key=ChatModel.place_in_list))


def with_ids(models: Iterable[ChatModel]) -> list[tuple[str, ChatModel]]:
    """Returns each model with its id: its name at the provider, or `provider/name` if several providers have
    a model of this name."""
    models = list(models)
    named = Counter(model.name for model in models)
    return [
        (model.name if named[model.name] == 1 else f"{model.endpoint_id}/{model.name}", model)
        for model in models
    ]


def openai_model(model_id: str, model: ChatModel) -> dict[str, Any]:
    since = model.listed_at or _UNKNOWN
    return {
        "id": model_id,
        "object": "model",
        "created": int(since.timestamp()),
        "owned_by": model.endpoint_id,
    }


def openai_list(models: list[tuple[str, ChatModel]]) -> dict[str, Any]:
    return {"object": "list", "data": [openai_model(*it) for it in models]}


def anthropic_model(model_id: str, model: ChatModel) -> dict[str, Any]:
    since = (model.listed_at or _UNKNOWN).replace(microsecond=0)
    return {
        "type": "model",
        "id": model_id,
        "display_name": model.label,
        "created_at": since.isoformat().replace("+00:00", "Z"),
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output_tokens,
    }


def anthropic_list(models: list[tuple[str, ChatModel]]) -> dict[str, Any]:
    data = [anthropic_model(*it) for it in models]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return {"data": data, "has_more": False, "first_id": None, "last_id": None, **ends}
