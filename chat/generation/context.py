"""Builds the request to the model: the system prompt and the messages up to the prompt, as many as fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, transaction

from chat.files.for_models import FileReader
from chat.generation import knowledge
from chat.generation.earlier_messages import PAGE, EarlierRequests, rows_before, turns_before
from chat.generation.instructions import Instruction, instructions_for, joined
from chat.generation.titles import wants_title
from chat.generation.turns import DATA_NOTE, turns_of
from chat.generation.window import (
    alternating,
    fitted,
    most_output_beside,
    room_for_input,
    summary_turns,
    tokens_of,
)
from chat.live.pubsub import Publish
from chat.models import ChatModel, Conversation, Generation, ServerSettings, Summary
from chat.models.endpoint import Kind
from chat.models.parameters import Parameters
from chat.parts import NoticePart, SourcePart
from chat.pipeline.tokens import tool_tokens, turn_tokens
from chat.providers.base import CONTINUE_PROMPT, ChatRequest, EndpointConfig, Tool, Turn
from chat.translatable import translatable as _

DEFAULT_WINDOW = 32_000  # tokens, for a model without a window in the catalog
# Times the window: the limit for an estimate that no count of the provider has confirmed.
UNCONFIRMED_SHARE = 1.25
SUMMARY_TOKENS = 1_500  # estimated: the room that is kept for a summary
SUMMARY_LEAST = 60  # estimated tokens: in less room a summary says nothing
FILES_SHARE = 0.6  # of the room for the input: the text of the files of one message
PROMPT_TOO_LONG = _(
    "The message is longer than this model can take. Nothing was sent. "
    "Shorten it, or choose a model that reads more, and send it again."
)
REPLY_TOO_LONG = _(
    "The message and the reply so far are together longer than this model can read. "
    "Nothing was sent. Ask for the rest in a new message."
)
NOT_WHOLE = _("The model did not get all of these files:")
CLAMPED = _("This model does not allow the parameters of this chat. It answered with the nearest ones.")
NO_TOOLS = _("This model cannot use tools, so it answered without them.")
NO_SEARCH = _("This model cannot search the web, so it answered without it.")
NO_SEARCH_WITH_TOOLS = _(
    "This model cannot search the web while other tools are on, so it answered without it."
)

logger = logging.getLogger(__name__)


class NotSentError(Exception):
    """The request cannot be made. The text is for people."""

    code = ""


class ModelGoneError(NotSentError):
    """The model of this generation cannot be used any more."""

    code = "model_gone"


class TooLongError(NotSentError):
    """What must be sent does not fit the model."""

    code = "context_length"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The request with its endpoint and model. `prefix` is the text of the reply that is continued.
    `sent_from` is the position of the first message in the request, 0 if it contains all. `estimate` is the
    estimated number of tokens, without the correction. `wants_title` is whether a title of the chat is made
    after the reply. `left_out` is the id of the last message before the request, and `summary` replaces it
    and those before it; `wants_summary` is whether one is to be made. `notices` tell people what the model
    did not get, and what it got of the files of the folder and preset."""

    request: ChatRequest
    endpoint: EndpointConfig
    prefix: str
    model: ChatModel
    sent_from: int
    estimate: int
    wants_title: bool = False
    left_out: UUID | None = None
    summary: Summary | None = None
    wants_summary: bool = False
    notices: list[NoticePart | SourcePart] = field(default_factory=list)
    parameters: Parameters = field(default_factory=Parameters)
    instructions: Sequence[Instruction] = ()


@dataclass(frozen=True, slots=True)
class StepInput:
    """The input of the next step of a reply: the tools that are offered, the turns of the reply so far,
    whether the model may call a tool, and how often the provider may search the web. `instructions` are those
    of the first step: a change of the preset or the folder does not change a running reply."""

    tools: Sequence[Tool] = ()
    turns: Sequence[Turn] = ()
    may_call: bool = True
    instructions: Sequence[Instruction] | None = None
    searches: int = 0


def prepare(
    generation: Generation, *, at_most: float | None = None, step: StepInput | None = None
) -> Prepared:
    """Returns the request for a generation. One unit of work. `at_most` is a limit in estimated tokens in
    addition to the model's own. Raises `ModelGoneError`, `TooLongError`."""
    step = step or StepInput()
    model, endpoint = _model_of(generation)
    tools = step.tools if model.uses_tools is not False else ()
    searches = step.searches if model.searches_web else 0
    if tools and endpoint.kind == Kind.GEMINI:
        searches = 0  # its models before 3 refuse both in one request
    wanted = Parameters.of(generation.parameters)
    parameters = wanted.within(model.allowed)
    effective = parameters.over(model.defaults)
    prompt = generation.message.parent
    first = step.instructions
    if first is None:
        first = instructions_for(generation.conversation, model)
    instructions = [each for each in first if each.source not in ("tools", "files")]
    if tools:
        instructions.append(Instruction("tools", DATA_NOTE))
    system = joined(instructions)
    limits = (settings.CHAT_MAX_OUTPUT_TOKENS, model.max_output_tokens, effective.max_output_tokens)
    most_output = min((limit for limit in limits if limit), default=None)
    window = model.context_window or DEFAULT_WINDOW
    prefix = generation.continues.text if generation.continues is not None else ""
    reader = FileReader(model, endpoint.kind, room_for_input(window, most_output) * FILES_SHARE)
    last = turns_of("user", prompt.text, files=reader.files(prompt.files)) if prompt else []
    if step.turns:
        last += step.turns
    elif prefix.strip():
        last += [Turn("assistant", prefix), Turn("user", CONTINUE_PROMPT)]
    rows = (
        rows_before(prompt, model.pk, with_tool_calls=bool(tools))
        if prompt and prompt.parent_id
        else iter(())
    )
    newest = list(islice(rows, PAGE))
    earlier = EarlierRequests.of(generation, prompt, newest)
    room = room_for_input(window, most_output) / earlier.factor
    limit = room if at_most is None else min(room, at_most)
    fixed = tokens_of(system, last) + sum(map(tool_tokens, tools))
    files_room = min(limit * knowledge.ROOM_SHARE, (limit - fixed) * knowledge.LEFT_SHARE)
    files = knowledge.turns_of_files(generation.conversation, prompt.text if prompt else "", files_room)
    if not files.is_empty:
        instructions.append(Instruction("files", knowledge.FILES_NOTE))
        system = joined(instructions)
        last = [*files.beside, *last]
        fixed = tokens_of(system, [*files.before, *last]) + sum(map(tool_tokens, tools))
    margin = 1 if earlier.is_confirmed else UNCONFIRMED_SHARE
    if model.context_window and fixed * earlier.factor > window * margin:
        raise TooLongError(REPLY_TOO_LONG if prefix or step.turns else PROMPT_TOO_LONG)
    sums_up = ServerSettings.current().summary_model_id is not None
    older = fitted(
        turns_before(prompt, chain(newest, rows), reader, with_tool_calls=bool(tools)) if prompt else (),
        prompt.position if prompt else 0,
        limit,
        fixed=fixed,
        before=earlier.sent_from,
        reserve=min(SUMMARY_TOKENS, room / 8) if sums_up else 0.0,
        parent=prompt.parent_id if prompt else None,
    )
    left_out = UUID(str(older.left_out)) if older.left_out else None
    summary = Summary.objects.filter(covers=left_out).first() if left_out and sums_up else None
    sent = [turn for placed in older.older for turn in placed.turns]
    left = limit - fixed - older.tokens
    digest = summary_turns(summary.text, left) if summary else []
    request = ChatRequest(
        model=model.name,
        turns=alternating([*files.before, *digest, *sent, *last]),
        system=system,
        max_output_tokens=most_output,
        continues=bool(prefix.strip()) and not step.turns,
        tools=tools,
        web_searches=searches,
        tool_choice="none" if tools and not step.may_call else None,
        temperature=effective.temperature,
        reasoning_effort=effective.reasoning_effort or None,  # type: ignore[arg-type]
        extra=model.extra_body or {},
        caches=True,  # The next request of the chat begins with the same text.
    )
    # As `request_tokens(request)`, but for the overhead of turns that were joined.
    estimate = fixed + older.tokens + sum(map(turn_tokens, digest))
    if most_output and model.context_window:
        used = estimate * earlier.factor * margin
        request = replace(request, max_output_tokens=most_output_beside(used, window, most_output))
    notices: list[NoticePart | SourcePart] = [*files.sources, *files.notices]
    if reader.left_out:
        notices.append(NoticePart("\n".join((NOT_WHOLE, *reader.left_out))))
    if parameters != wanted:
        notices.append(NoticePart(CLAMPED))
    if step.tools and not tools:
        notices.append(NoticePart(NO_TOOLS))
    if step.searches and not searches:
        notices.append(NoticePart(NO_SEARCH_WITH_TOOLS if model.searches_web else NO_SEARCH))
    return Prepared(
        request,
        endpoint,
        prefix,
        model,
        older.sent_from,
        estimate,
        wants_title=wants_title(generation.conversation),
        left_out=left_out,
        summary=summary if digest else None,
        wants_summary=sums_up and left_out is not None and summary is None and left >= SUMMARY_LEAST,
        notices=notices,
        instructions=instructions,
        parameters=parameters,
    )


def prepare_to_send(
    generation: Generation, *, publish: Publish, at_most: float | None = None, step: StepInput | None = None
) -> Prepared:
    """As `prepare`, for a request that is sent now. Marks the first message in the request, and notifies the
    viewers if it is not the one of the request before. One unit of work."""
    prepared = prepare(generation, at_most=at_most, step=step)
    conversation = generation.conversation
    summary_id = prepared.summary.pk if prepared.summary else None
    if (prepared.sent_from, summary_id) != (conversation.sent_from, conversation.summary_id):
        try:
            _mark_sent_from(generation.conversation_id, prepared.sent_from, summary_id, publish)
        except DatabaseError as error:  # the mark is not worth the reply; the next request sets it
            logger.warning("The position of the first sent message could not be stored: %s", error)
    return prepared


def _model_of(generation: Generation) -> tuple[ChatModel, EndpointConfig]:
    model = generation.model
    if model is None or not (model.enabled and model.endpoint.enabled):
        raise ModelGoneError(_("This model is no longer available. Choose another one and retry."))
    endpoint = model.endpoint.config()
    if endpoint is None:
        raise ModelGoneError(
            _(
                "The provider of this model is not set up on this server any more. "
                "Choose another one and retry."
            )
        )
    target = model.target
    if not (target.enabled and target.endpoint_id == model.endpoint_id):
        raise ModelGoneError(_("This model is no longer available. Choose another one and retry."))
    return target, endpoint


def _mark_sent_from(conversation_id: UUID, sent_from: int, summary_id: UUID | None, publish: Publish) -> None:
    """Marks the first message of the conversation in the request, and the summary of those before it."""
    with transaction.atomic():
        conversation = Conversation.objects.select_for_update().filter(pk=conversation_id).first()
        if conversation is None:
            return
        if (conversation.sent_from, conversation.summary_id) == (sent_from, summary_id):
            return
        changed = [conversation.sent_from, sent_from]
        conversation.sent_from, conversation.summary_id = sent_from, summary_id
        revision = conversation.next_revision()
        conversation.save(update_fields=["sent_from", "summary", "revision", "updated_at"])
        conversation.messages.filter(position__in=changed).update(revision=revision)
        transaction.on_commit(lambda: publish(conversation_id))
