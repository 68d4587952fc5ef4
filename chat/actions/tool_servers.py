"""Asks the tool servers for their tools, and keeps what they say.

A tool of a server is off until an administrator switches it on. If its server changes what a model is told of
it, or what is run, it is off again until an administrator has looked at it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db import DataError, IntegrityError, transaction
from django.utils import timezone

from chat.database import run_unit, run_write
from chat.models import Tool, ToolServer
from chat.tools.remote import WORDS, ListedTool, ServerError, fingerprint_of, list_tools
from chat.translatable import translatable as _
from chatproject.crypto import UnreadableSecretError

logger = logging.getLogger(__name__)

UNREADABLE = _("The stored headers cannot be read with this SECRET_KEY. Type them again.")


@dataclass(frozen=True, slots=True)
class ServerResult:
    """The result for one server: its tools, how many are new, and the names of those that are off because
    they changed. `error` says why it could not be asked."""

    slug: str
    listed: int = 0
    added: int = 0
    changed: tuple[str, ...] = ()
    error: str = ""


async def sync_tool_servers(ids: Collection[int] | None = None) -> list[ServerResult]:
    """Asks these servers, or all that are enabled, at the same time. A failing one does not affect the
    others."""
    rows = await run_unit(_servers, ids)
    return list(await asyncio.gather(*map(_sync, rows)))


def _servers(ids: Collection[int] | None) -> list[ToolServer]:
    chosen = ToolServer.objects.filter(enabled=True) if ids is None else ToolServer.objects.filter(pk__in=ids)
    return list(chosen)


async def _sync(row: ToolServer) -> ServerResult:
    error = ""
    listed: list[ListedTool] = []
    try:
        listed = await list_tools(row.server())
    except UnreadableSecretError:
        error = UNREADABLE
    except ServerError as fault:
        error = WORDS[fault.code]
        logger.warning("The tool server %s could not be asked: %s", row.slug, fault)
    except Exception:  # what a server sends must not keep the others from being asked
        logger.exception("The tools of %s could not be read.", row.slug)
        error = WORDS["protocol"]
    if error:
        await run_write(ToolServer.objects.filter(pk=row.pk).update, sync_error=error)
        return ServerResult(row.slug, error=error)
    try:
        result = await run_write(store_tools, row.pk, row.url, listed)
    except (DataError, IntegrityError, ValueError):
        logger.exception("The tools of %s could not be stored.", row.slug)
        return ServerResult(row.slug, error=WORDS["protocol"])
    if result.changed:
        logger.warning("Tools of %s changed and are off: %s", row.slug, ", ".join(result.changed))
    return result


def store_tools(server_id: int, url: str, listed: Sequence[ListedTool]) -> ServerResult:
    """Stores the tools that a server listed at this address."""
    with transaction.atomic():
        server = ToolServer.objects.select_for_update().filter(pk=server_id, url=url).first()
        if server is None:  # deleted or changed meanwhile
            return ServerResult("")
        rows = {row.name: row for row in Tool.objects.select_for_update().filter(server=server)}
        taken = set(Tool.objects.exclude(server=server).values_list("name", flat=True))
        added, changed = 0, []
        for tool in listed:
            if tool.name in taken:
                continue
            row = rows.pop(tool.name, None) or Tool(name=tool.name, server=server)
            was_allowed = row.enabled
            if _update(row, tool) and was_allowed:
                changed.append(row.name)
            added += row.pk is None
            row.save()
        gone = Tool.objects.filter(pk__in=[row.pk for row in rows.values()])
        # A server could list other tools each time: only those that an administrator switched on stay.
        gone.filter(enabled=False, changed=False).delete()
        gone.update(available=False)
        server.synced_at, server.sync_error = timezone.now(), ""
        server.save(update_fields=["synced_at", "sync_error"])
    return ServerResult(server.slug, len(listed), added, tuple(changed))


def _update(row: Tool, tool: ListedTool) -> bool:
    """Updates the row. Returns whether the definition changed; a changed tool is switched off."""
    fingerprint = fingerprint_of(tool)
    is_other = row.fingerprint != fingerprint or row.title != tool.title  # people approve the title
    row.title, row.description, row.fingerprint = tool.title, tool.description, fingerprint
    row.definition = {
        "own_name": tool.own_name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
        "fault": tool.fault,
    }
    row.available = not tool.fault
    if is_other:
        row.changed = row.changed or row.enabled
        row.enabled = False
    return is_other
