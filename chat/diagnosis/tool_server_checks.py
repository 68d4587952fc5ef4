"""Checks one tool server step by step: its name, the connection, and its tools. Nothing is stored."""

from __future__ import annotations

import time

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat.diagnosis.endpoint_checks import check_connection
from chat.diagnosis.findings import Finding
from chat.providers.base import EndpointConfig
from chat.rendering.words import translated
from chat.tools.remote import WORDS, ListedTool, Server, ServerError, list_tools

_SHOWN = 12  # names of tools


async def check_tool_server(server: Server) -> list[Finding]:
    """Returns one finding for each step, up to the first that fails."""
    endpoint = EndpointConfig(server.slug, "openai_compatible", server.slug, server.url, "", 10.0)
    found = await check_connection(endpoint)
    if not found[-1].ok:
        return found
    started = time.monotonic()
    try:
        listed = await list_tools(server)
    except ServerError as error:
        words = f"{translated(WORDS[error.code])} {error.detail}".strip()
        seconds = time.monotonic() - started
        return [*found, Finding(_("Tools"), False, words, _fix(error.code), seconds=seconds)]
    return [*found, Finding(_("Tools"), True, _tools(listed), seconds=time.monotonic() - started)]


def _tools(listed: list[ListedTool]) -> str:
    count = ngettext("{count} tool", "{count} tools", len(listed)).format(count=len(listed))
    names = ", ".join(tool.own_name for tool in listed[:_SHOWN])
    more = ", …" if len(listed) > _SHOWN else ""
    faults = [f"{tool.own_name}: {translated(tool.fault)}" for tool in listed if tool.fault]
    return " ".join([f"{count}: {names}{more}" if listed else count, *faults[:_SHOWN]])


def _fix(code: str) -> str:
    """Returns what to do about a fault."""
    return {
        "unreachable": _("Check the address, and that the server runs."),
        "slow": _("Check whether the server is busy, or allow more seconds."),
        "credentials": _("Check the headers or the OAuth client. A token may have expired."),
        "nothing": _("Check the path of the address. It often ends in /mcp."),
        "redirect": _("Write the address that the server redirects to, if you trust it."),
        "large": _("Let the server list fewer tools, with shorter descriptions."),
        "protocol": _("Check that the address is that of streamable HTTP, and not of a web page or of SSE."),
        "token": _("Check the token URL, the client ID, the client secret and the scope."),
    }[code]
