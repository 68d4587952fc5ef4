"""Makes the articles of usual messages, and the state of a usual chat, from skeletons. Usual are prompts, and
replies that run or are complete, without files, sources, variants and the like. Templates render the others.

A skeleton is rendered by the same template, once for each shape of a message. A shape has everything on which
the template decides.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from django.template.loader import render_to_string
from django.urls import get_script_prefix
from django.utils.html import escape
from django.utils.translation import get_language, gettext

from chat.models import Conversation, Generation, Message, Role
from chat.models.message import Sibling
from chat.rendering import skeleton
from chat.rendering.reply_facts import reply_facts
from chat.rendering.skeleton import Skeleton
from chat.rendering.words import seconds

_PLAIN = frozenset({"text", "reasoning", "opaque"})  # parts that only the text and the reasoning show
_LINE, _MANY_LINES = 70, 20  # approximate characters in a line of a prompt on a wide screen
_USUAL = frozenset({"running", "complete"})


class _Shape(NamedTuple):
    status: str  # of a reply; "" is a prompt
    has_client_id: bool
    has_text: bool
    is_long: bool
    has_reasoning: bool
    language: str | None
    prefix: str  # of the server's addresses


def title_of_reasoning(generation: Generation, body: str | None) -> str:
    """Returns the title of the folded reasoning of a reply with this body."""
    if generation.status == "running" and not body:
        return gettext("Reasoning…")
    thought = generation.seconds_of_thought
    if thought is not None and thought >= 1:
        return gettext("Reasoned for %(time)s") % {"time": seconds(thought)}
    return gettext("Reasoning")


def is_long(prompt: str) -> bool:
    """Returns whether the page shows only the start of the prompt at first: more than about twenty lines."""
    return sum(1 + len(line) // _LINE for line in prompt.splitlines()) > _MANY_LINES


def article(message: Message, body: str | None, reasoning: str) -> str | None:
    """Returns the HTML of `chat/_message.html`, or None for a message that is not usual."""
    generation = message.reply
    if generation is None:
        return _prompt(message) if body is None else None
    if body is None or generation.status not in _USUAL or not _is_plain(message):
        return None
    values = {"since": "", "now": "", "facts": ""}
    if generation.status == "complete":
        if len(message.siblings) > 1 or message.verdict:
            return None
        values["facts"] = reply_facts(generation)
    else:
        if not isinstance(generation.started_at, datetime):
            return None
        values["since"] = str(int(generation.started_at.timestamp()))
        values["now"] = str(int(time.time()))
    return _article(_shape(message, generation.status, reasoning)).fill(
        **_ids(message),
        **values,
        label=escape(generation.model_label),
        body=body,
        reasoning=escape(reasoning),
        reasoning_title=escape(title_of_reasoning(generation, body)),
    )


def conversation_state(
    conversation: Conversation, running: Message | None, *, is_shortened: bool, needs_approval: bool
) -> str | None:
    """Returns the HTML of `chat/streams/conversation_changed.html`, or None for a chat with a preset."""
    if conversation.preset_name:
        return None
    found = _state(running is not None, is_shortened, needs_approval, get_language(), get_script_prefix())
    return found.fill(title=escape(str(conversation)), message=str(running.pk) if running else "")


def _prompt(message: Message) -> str | None:
    conversation = message.conversation
    if not _is_plain(message) or conversation.head_id == message.pk or len(message.siblings) > 1:
        return None
    return _article(_shape(message, "", "")).fill(**_ids(message), text=escape(message.text))


def _is_plain(message: Message) -> bool:
    """Returns whether nothing of the message is shown besides its text and reasoning."""
    sent_from = message.conversation.sent_from
    return not (sent_from and sent_from == message.position) and all(
        part["type"] in _PLAIN for part in message.parts
    )


def _shape(message: Message, status: str, reasoning: str) -> _Shape:
    return _Shape(
        str(status),
        message.client_id is not None,
        bool(message.text) if not status else True,
        not status and is_long(message.text),
        bool(reasoning),
        get_language(),
        get_script_prefix(),
    )


def _ids(message: Message) -> dict[str, str]:
    return {
        "message": str(message.pk),
        "chat": str(message.conversation_id),
        "client": str(message.client_id),
    }


@lru_cache(500)  # Daphne takes the prefix of paths from a header
def _article(shape: _Shape) -> Skeleton:
    message = Message(
        id=skeleton.MESSAGE,
        conversation=Conversation(id=skeleton.CHAT),
        role=Role.ASSISTANT if shape.status else Role.USER,
        client_id=skeleton.CLIENT if shape.has_client_id else None,
        text=(skeleton.LONG_TEXT if shape.is_long else skeleton.TEXT) if shape.has_text else "",
    )
    message.siblings = [Sibling(message.pk, shown=True)]
    message._prefetched_objects_cache = {"feedback": []}  # type: ignore[attr-defined]
    if shape.status:
        started_at = datetime.fromtimestamp(skeleton.SINCE, UTC)
        label, status = skeleton.LABEL, shape.status
        Generation(message=message, status=status, model_label=label, started_at=started_at)
    context = {
        "message": message,
        "body": skeleton.BODY if shape.status else None,
        "reasoning": skeleton.REASONING if shape.has_reasoning else "",
        "reasoning_title": skeleton.REASONING_TITLE,
        "facts": skeleton.FACTS,
        "now": skeleton.NOW,
    }
    return Skeleton(render_to_string("chat/_message.html", context))


@lru_cache(500)
def _state(
    is_running: bool, is_shortened: bool, needs_approval: bool, language: str | None, prefix: str
) -> Skeleton:
    context = {
        "conversation": Conversation(id=skeleton.CHAT, title=skeleton.TITLE),
        "running": Message(id=skeleton.MESSAGE) if is_running else None,
        "is_shortened": is_shortened,
        "needs_approval": needs_approval,
    }
    return Skeleton(render_to_string("chat/streams/conversation_changed.html", context))
