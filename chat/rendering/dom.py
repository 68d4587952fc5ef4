"""The DOM ids that fragments and tests address, and those with the id of an object. Templates use them by
`{% dom_id %}`."""

from __future__ import annotations

from uuid import UUID

MESSAGES = "messages"
REVISION = "revision"
NOTICE = "notice"
RECEIPT = "receipt"
EARLIER = "earlier"
CONVERSATIONS = "conversations"
CONVERSATION_FOLDER = "conversation-folder"
TOASTS = "toasts"
TAG_NAMES = "tag-names"


def message(message_id: UUID) -> str:
    return f"m-{message_id}"


def message_id_of(element_id: str) -> UUID | None:
    """Returns the id of the message whose element has this id; None for any other text."""
    try:
        return UUID(element_id.removeprefix("m-"))
    except ValueError:
        return None


def body(message_id: UUID) -> str:
    """The rendered text of a message."""
    return f"b-{message_id}"


def section(message_id: UUID, number: int) -> str:
    """A text of a message after a tool call, or its reasoning there."""
    return f"b-{message_id}-{number}"


def tool_call(message_id: UUID, number: int) -> str:
    """The card of a tool call."""
    return f"tc-{message_id}-{number}"


def web_search(message_id: UUID, number: int) -> str:
    """The card of a web search."""
    return f"ws-{message_id}-{number}"


def source(message_id: UUID, number: int) -> str:
    """A page that a reply cites, in the list under it."""
    return f"src-{message_id.hex}-{number}"


def reasoning(message_id: UUID) -> str:
    """The folded reasoning of a reply."""
    return f"r-{message_id}"


def reasoning_text(message_id: UUID) -> str:
    return f"rt-{message_id}"


def reasoning_title(message_id: UUID) -> str:
    return f"rs-{message_id}"


def message_menu(message_id: UUID) -> str:
    """The menu of a message."""
    return f"mm-{message_id}"


def footnotes(message_id: UUID) -> str:
    """The prefix for the ids of a message's footnotes, after `fn-`."""
    return message_id.hex


def feedback(message_id: UUID) -> str:
    return f"f-{message_id}"


def variant(parent: UUID, to: str) -> str:
    """The button to the previous or next variant of the message below this one; of the first prompt,
    `parent` is the conversation. The id is the same for each variant, so that the button keeps the focus."""
    return f"{to}-{parent}"


def comparison(prompt_id: UUID) -> str:
    """The replies to this prompt, side by side."""
    return f"sbs-{prompt_id}"


def column(message_id: UUID) -> str:
    """The choice of this reply where only one of those side by side fits."""
    return f"col-{message_id}"


def conversation(conversation_id: UUID) -> str:
    """A conversation's entry in the list."""
    return f"c-{conversation_id}"


def conversation_menu(conversation_id: UUID) -> str:
    """The menu of the conversation on the page."""
    return f"cm-{conversation_id}"


def conversation_tags(conversation_id: UUID) -> str:
    """The tags in the menu of the conversation on the page."""
    return f"tags-{conversation_id}"


def entry_title(conversation_id: UUID) -> str:
    return f"ct-{conversation_id}"
