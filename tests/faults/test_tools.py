"""Replies that use tools whose processes are killed: while a tool runs, while a call waits for its approval,
and while the model answers with the result. The tools are those of an MCP server that outlives the kill."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from tests.faults.client import Page, Person
from tests.faults.conftest import on_one
from tests.faults.installation import Installation
from tests.tools.mcp_server import McpServer, forever, running, text, tool

pytestmark = [pytest.mark.asyncio(loop_scope="session"), on_one("postgres")]

SET_UP = """
from asgiref.sync import async_to_sync
from chat.actions.tool_servers import sync_tool_servers
from chat.models import Tool, ToolServer
server = ToolServer.objects.create(slug="our", url={url!r}, seconds=300)
async_to_sync(sync_tool_servers)([server.pk])
Tool.objects.filter(server=server).update(enabled=True, asks=False)
Tool.objects.filter(name="our__asks0").update(asks=True)
"""
NAMES = ("hangs0", "asks0", "quick0")


async def answer(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse | dict[str, Any]:
    if asked["params"]["name"] == "hangs0":
        return await forever(request, asked)
    return text(f"Rain, says {asked['params']['name']}.")


async def begun(person: Person, name: str, script: str) -> UUID:
    """Sends a prompt whose model calls this tool, in a new chat."""
    conversation = uuid4()
    prompt = f"{name} /wire call=our__{name[:-1]} tools=1 {script}"
    form = {"client_id": str(uuid4()), "text": prompt, "model": await person.model(), "tools": f"our__{name}"}
    status, html = await person.send("POST", f"/conversations/{conversation}/messages/", form)
    assert status == 200, html
    return conversation


async def until(holds: Any) -> None:
    async with asyncio.timeout(90):
        while not holds():
            await asyncio.sleep(0.05)


async def test_a_kill_repeats_no_call_and_leaves_no_reply_stuck(steady: Installation, person: Person) -> None:
    async with running(McpServer(tools=[tool(name) for name in NAMES], answer=answer)) as server:
        set_up = SET_UP.format(url=server.url)
        await asyncio.to_thread(steady.processes[0].manage, "shell", "--verbosity=0", stdin=set_up)
        try:
            await killed_and_continued(steady, person, server)
        finally:
            steady.execute("DELETE FROM chat_tool WHERE server_id IS NOT NULL")
            steady.execute("DELETE FROM chat_toolserver")


async def killed_and_continued(steady: Installation, person: Person, server: McpServer) -> None:
    def calls() -> Counter[str]:
        return Counter(call["name"] for call in server.calls)

    def reply(conversation: UUID) -> dict[str, Any]:
        return steady.replies(conversation)[-1]

    def result(conversation: UUID) -> tuple[str, str]:
        parts = reply(conversation)["parts"]
        parts = json.loads(parts) if isinstance(parts, str) else parts
        (found,) = (part for part in parts if part["type"] == "tool_result")
        return found["state"], found["text"]

    chats = {
        "hangs0": await begun(person, "hangs0", "tokens=2"),
        "asks0": await begun(person, "asks0", "tokens=2"),
        "quick0": await begun(person, "quick0", "tokens=200 pace=20"),
    }
    await until(lambda: calls()["hangs0"] == 1)
    await until(lambda: reply(chats["asks0"])["status"] == "waiting")
    await until(lambda: len(steady.calls("quick0")) == 2 and steady.calls("quick0")[1].words > 5)
    for process in steady.processes:
        process.kill()
    await steady.repair()

    await until(lambda: {reply(chats[name])["status"] for name in ("hangs0", "quick0")} == {"interrupted"})
    assert reply(chats["asks0"])["status"] == "waiting"
    assert calls() == {"hangs0": 1, "quick0": 1}
    state, words = result(chats["hangs0"])
    assert state == "unknown" and "was not repeated" in words
    assert result(chats["quick0"]) == ("done", "Rain, says quick0.")

    (row,) = steady.rows("SELECT id FROM chat_toolrun WHERE state = 'asked'")
    for _click in range(2):
        status, _html = await person.send("POST", f"/tool-calls/{row['id']}/", {"decision": "once"})
        assert status < 400
    await until(lambda: reply(chats["asks0"])["status"] == "complete")
    assert result(chats["asks0"]) == ("done", "Rain, says asks0.")
    for name in ("hangs0", "quick0"):
        async with person.page(chats[name], dead=True) as page:
            await continued(page)
        await until(lambda name=name: "complete" in {row["status"] for row in steady.replies(chats[name])})
    assert calls() == dict.fromkeys(NAMES, 1)
    asked = steady.calls("hangs0")[-1]
    assert "was interrupted while it ran" in json.dumps(asked.body)


async def continued(page: Page) -> None:
    assert await page.again(goes_on=True) < 400
