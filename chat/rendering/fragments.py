"""Wraps HTML in htmx's `<hx-partial>` elements, which name its target.

Structural fragments are templates. The wrapper of a token is a prepared string (a template costs 20 us per
frame, a string 2, measured).
"""

from __future__ import annotations

from functools import cache, lru_cache
from html import escape
from typing import Any
from uuid import UUID

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from chat.backends import held_file
from chat.live.reply_log import RetryWait, Segment
from chat.live.subscription import PAGE_LENGTH
from chat.models import Conversation, Message
from chat.rendering import articles, dom
from chat.rendering.tool_cards import reply_body
from chat.rendering.words import seconds
from chat.translatable import translatable as _

NO_DATABASE = _("The server's database does not answer. Nothing was changed. Try again.")
NO_DATABASE_FILE = _(
    "The server's database file was deleted or replaced. Nothing was changed; "
    "an administrator must restart the server."
)


def no_database() -> str:
    """Returns the message for people that the database cannot be used."""
    return NO_DATABASE_FILE if held_file.is_gone() else NO_DATABASE


def partial(target: str, swap: str, html: str) -> str:
    """Returns the partial that swaps `html`, already safe, into the CSS selector `target` with htmx's `swap`
    style."""
    return f"{_start_of_partial(target, swap)}{html}</hx-partial>"


@lru_cache(maxsize=4_096)  # of a growing reply it is the same for many frames
def _start_of_partial(target: str, swap: str) -> str:
    return f'<hx-partial hx-target="{escape(target)}" hx-swap="{swap}">'


def revision(number: int) -> str:
    """Returns the element in which the page keeps the revision that it shows."""
    html = f'<input type="hidden" id="{dom.REVISION}" value="{number}">'
    return partial(f"#{dom.REVISION}", "outerHTML", html)


def message(message: Message, *, body: str | None = None, reasoning: str | None = None) -> str:
    """Returns the whole article. `body` (safe HTML) and `reasoning` (text) replace the stored content of a
    message that is still being written."""
    if body is None and message.reply is not None:
        body = reply_body(message)
    if reasoning is None:
        reasoning = message.reasoning
    usual = articles.article(message, body, reasoning)
    if usual is not None:
        return usual
    context = {"message": message, "body": body, "reasoning": reasoning}
    return render_to_string("chat/_message.html", context)


def comparison(replies: list[Message], articles: str) -> str:
    """Returns the replies to one prompt side by side, with the HTML of their articles."""
    return render_to_string("chat/_comparison.html", {"replies": replies, "articles": articles})


def message_in_place(finished: Message) -> str:
    """Returns a finished message that is morphed over the existing one. Typed text in its form, the focus and
    pending responses to its requests keep their elements."""
    in_place = partial(f"#{dom.message(finished.pk)}", "outerMorph", message(finished, body=""))
    return body_in_place(finished) + in_place


def body_in_place(finished: Message) -> str:
    """Returns the text of a finished message, morphed over the existing one."""
    body = escape(finished.text) if finished.reply is None else reply_body(finished)
    return partial(f"#{dom.body(finished.pk)}", "innerMorph", body)


def conversation_state(
    conversation: Conversation,
    running: Message | None,
    *,
    is_shortened: bool = False,
    needs_approval: bool = False,
) -> str:
    """Returns all that depends on the whole conversation: its revision, its title here and in the list, and
    the Send or Stop button. `is_shortened`: the model is sent fewer messages than before. `needs_approval`: a
    reply began to wait for an approval."""
    html = articles.conversation_state(
        conversation, running, is_shortened=is_shortened, needs_approval=needs_approval
    )
    if html is None:
        context = {
            "conversation": conversation,
            "running": running,
            "is_shortened": is_shortened,
            "needs_approval": needs_approval,
        }
        html = render_to_string("chat/streams/conversation_changed.html", context)
    return revision(conversation.revision) + html


def reasoning_started(message: Message, text: str, *, ended: bool = False) -> str:
    """Returns the reasoning so far; with `ended`, the answer has started too."""
    title = _title_of_reasoning(message) if ended else gettext("Reasoning…")
    context = {"message_id": message.pk, "reasoning": text, "reasoning_title": title}
    html = render_to_string("chat/_reasoning.html", context)
    return partial(f"#{dom.reasoning(message.pk)}", "outerHTML", html)


def reasoning_grew(message_id: UUID, text: str) -> str:
    return partial(f"#{dom.reasoning_text(message_id)}", "append", escape(text))


def reasoning_ended(message: Message) -> str:
    """Returns the title of the reasoning after the answer has started."""
    title = escape(_title_of_reasoning(message))
    return partial(f"#{dom.reasoning_title(message.pk)}", "textContent", title)


def reply_waits(message_id: UUID, waiting: RetryWait | None) -> str:
    context = {"waiting": waiting, "attempts": settings.CHAT_ATTEMPTS}
    html = render_to_string("chat/_reply_waits.html", context)
    return partial(f"#{dom.message(message_id)} .state > :first-child", "textContent", html)


def notice(text: str, *, kind: str = "error", client_id: UUID | None = None) -> str:
    """Returns a notice above the composer. With `client_id` it says why the prompt of that id was refused:
    the composer keeps its text and does not send it again by itself."""
    html = render_to_string("chat/_notice.html", {"text": text, "kind": kind, "client_id": client_id})
    return partial(f"#{dom.NOTICE}", "outerHTML", html)


def receipt(prompt: Message) -> str:
    """Confirms that the server has stored the prompt with this client id. The page may remove its copy of the
    text when it shows the revision of the prompt."""
    data = f'data-client-id="{prompt.client_id}" data-revision="{prompt.added_revision}"'
    html = f'<span id="{dom.RECEIPT}" {data} hidden></span>'
    return partial(f"#{dom.RECEIPT}", "outerHTML", html) + _no_notice()


def earlier_url(conversation: Conversation, shown: list[Message]) -> str:
    """Returns the URL of the messages before those on this page; "" if there are none."""
    if len(shown) < PAGE_LENGTH:
        return ""
    return reverse("earlier", args=[conversation.pk, shown[0].position])


def earlier(conversation: Conversation, shown: list[Message]) -> str:
    """Returns the link to the messages before a page that was sent whole."""
    html = render_to_string("chat/_earlier.html", {"earlier_url": earlier_url(conversation, shown)})
    return partial(f"#{dom.EARLIER}", "outerHTML", html)


def conversation_menu(conversation: Conversation) -> str:
    """Returns the menu of the conversation in its present state: pin if it is not pinned, and so on."""
    html = render_to_string("chat/_conversation_menu.html", {"conversation": conversation})
    return partial(f"#{dom.conversation_menu(conversation.pk)}", "outerHTML", html)


def conversation_folder(conversation: Conversation) -> str:
    """Returns the name of the conversation's folder in the head of the page."""
    html = render_to_string("chat/_head_folder.html", {"conversation": conversation})
    return partial(f"#{dom.CONVERSATION_FOLDER}", "innerHTML", html)


def conversation_list(context: dict[str, Any]) -> str:
    html = render_to_string("chat/_conversation_list.html", context)
    return partial(f"#{dom.CONVERSATIONS}", "outerMorph", html)


def conversation_tags(conversation: Conversation) -> str:
    """Returns the tags in the menu of the conversation."""
    html = render_to_string("chat/_conversation_tags.html", {"conversation": conversation})
    return partial(f"#{dom.conversation_tags(conversation.pk)}", "outerMorph", html)


def tag_names(names: list[str]) -> str:
    """Returns the tags that fields offer for completion."""
    return partial(
        f"#{dom.TAG_NAMES}", "outerHTML", render_to_string("chat/_tag_names.html", {"tag_names": names})
    )


def toast(text: str, *, undo: str = "", chosen: str = "", beside: str = "") -> str:
    """Returns a notice that disappears by itself. `undo` is the URL to POST to for undoing the action, with
    the ids `chosen` if it concerns several chats, and those of the messages `beside` the hidden one."""
    context = {"text": text, "undo": undo, "chosen": chosen, "beside": beside}
    html = render_to_string("chat/_toast.html", context)
    return partial(f"#{dom.TOASTS}", "append", html)


def text_of(segments: list[Segment], kind: str) -> str:
    return "".join(segment.text for segment in segments if segment.kind == kind)


@cache
def _no_notice() -> str:
    return notice("", kind="none")


def _title_of_reasoning(message: Message) -> str:
    started_at = message.reply.started_at if message.reply else None
    if started_at is not None and (passed := (timezone.now() - started_at).total_seconds()) >= 1:
        return gettext("Reasoned for %(time)s") % {"time": seconds(passed)}
    return gettext("Reasoning")
