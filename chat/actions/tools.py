"""The tools of this server in the database, and those that a chat has on."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from chat.access import conversation_for
from chat.models import Conversation, Tool, User
from chat.tools.registry import own_tools


def sync_own_tools() -> None:
    """Adds a row for each tool of this server that has none, and marks the tools of packages that are not
    installed any more. Writes nothing if all is as it was."""
    tools = own_tools()
    rows = {row.name: row for row in Tool.objects.filter(server=None)}
    with transaction.atomic():
        for name, tool in tools.items():
            about = tool.about or tool.description
            told = {"title": tool.title, "description": about, "fingerprint": tool.fingerprint}
            row = rows.pop(name, None)
            if row is None:
                new = Tool(name=name, enabled=tool.enabled, asks=tool.asks, **told)
                Tool.objects.bulk_create([new], ignore_conflicts=True)
            elif not row.available or any(getattr(row, field) != value for field, value in told.items()):
                Tool.objects.filter(pk=row.pk).update(available=True, **told)
        gone = [row.pk for row in rows.values() if row.available]
        Tool.objects.filter(pk__in=gone).update(available=False)


def choose_tools(user: User, conversation: Conversation, names: Iterable[str]) -> None:
    """Switches these tools on in the chat, and all others off. Names that the user may not use are left out.
    The caller saves the conversation."""
    wanted = set(names)
    usable = Tool.objects.usable_by(user).values_list("name", flat=True) if wanted else []
    conversation.tools = [name for name in usable if name in wanted]


def switch_tools(user: User, conversation_id: UUID, names: Iterable[str]) -> None:
    """As `choose_tools`, for a chat without a new prompt. Raises `NotFoundError`."""
    with transaction.atomic():
        conversation = conversation_for(user, conversation_id, write=True)
        choose_tools(user, conversation, names)
        conversation.save(update_fields=["tools"])
