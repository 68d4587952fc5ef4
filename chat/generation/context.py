"""What the model is sent: the system prompt and the path of messages up to the prompt, as far as it fits."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from chat.models import ChatModel, Generation, Message, Role, Status
from chat.providers.base import Account, ChatRequest, Turn

CHARS_PER_TOKEN = 3  # cautious: an estimate too high costs a little history, one too low the whole request
DEFAULT_WINDOW = 32_000  # tokens, for a model whose window the catalog does not know
REPLY_SHARE = 4  # a quarter of the window is kept for the reply

CONTINUE_PROMPT = (
    "Your last answer was cut off. Continue it exactly where it stopped, in the middle of a word if need be. "
    "Do not repeat any of it, do not introduce it, and do not comment on the interruption."
)


class ModelGoneError(Exception):
    """The model of this generation cannot be used any more. The text is for people."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a run needs: the request, the account to send it to, what a continued reply already has,
    and the model row for its prices."""

    request: ChatRequest
    account: Account
    prefix: str
    model: ChatModel


def prepare(generation: Generation) -> Prepared:
    """One unit of work. Raises `ModelGoneError`."""
    model = generation.model
    if model is None or not (model.enabled and model.provider.enabled):
        raise ModelGoneError("This model is no longer available. Choose another one and retry.")
    account = settings.CHAT_ACCOUNTS.get(model.provider_id)
    if account is None:
        raise ModelGoneError(
            "The provider of this model is not set up on this server any more. Choose another one and retry."
        )
    turns = _turns(_path_to(generation.message.parent), model)
    prefix = ""
    if generation.continues is not None and generation.continues.text:
        prefix = generation.continues.text
        turns += [Turn("assistant", prefix), Turn("user", CONTINUE_PROMPT)]
    system = settings.CHAT_SYSTEM_PROMPT
    request = ChatRequest(
        model=model.name,
        turns=_fitting(turns, system, model.context_window or DEFAULT_WINDOW),
        system=system,
        max_output_tokens=settings.CHAT_MAX_OUTPUT_TOKENS or None,
    )
    return Prepared(request, account, prefix, model)


def _path_to(message: Message | None) -> list[Message]:
    """The messages from the root to this one. One query for the conversation, then by `parent`."""
    if message is None:
        return []
    rows = Message.objects.filter(conversation_id=message.conversation_id, position__lte=message.position)
    by_id = {row.pk: row for row in rows.select_related("generation")}
    path = []
    current: Message | None = by_id.get(message.pk)
    while current is not None:
        path.append(current)
        current = by_id.get(current.parent_id) if current.parent_id else None
    return path[::-1]


def _turns(path: list[Message], model: ChatModel) -> list[Turn]:
    """Empty replies (stopped before the first word, failed) are left out. Provider metadata goes back only
    to the model that it came from."""
    return [
        Turn(
            "user" if message.role == Role.USER else "assistant",
            message.text,
            opaque=[part["data"] for part in message.part("opaque")] if _is_by(message, model) else [],
        )
        for message in path
        if message.text
    ]


def _is_by(message: Message, model: ChatModel) -> bool:
    generation = getattr(message, "generation", None)
    return generation is not None and generation.model_id == model.pk and generation.status == Status.COMPLETE


def _fitting(turns: list[Turn], system: str, window: int) -> list[Turn]:
    """The newest turns that fit the window, starting with a user's; at least the last one, whatever its
    length: the provider then says so itself."""
    room = (window - window // REPLY_SHARE) * CHARS_PER_TOKEN - len(system)
    kept = 0
    for turn in reversed(turns):
        room -= len(turn.text)
        if room < 0 and kept:
            break
        kept += 1
    fitting = turns[len(turns) - kept :]
    while len(fitting) > 1 and fitting[0].role != "user":
        fitting = fitting[1:]
    return fitting
