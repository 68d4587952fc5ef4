"""The examples for browsers of docs/api.md work as they are written, and a flood of streams of a program does
not reach a person in a browser."""

from __future__ import annotations

import json
import subprocess
import sys

from playwright.sync_api import Browser, expect

from tests.api.test_documentation import examples, make_token_on
from tests.browser.conftest import Person
from tests.browser.test_chat import send
from tests.servers import ServerProcess

# Opens 500 streams of one reply with one token, prints what they were answered, and holds them open.
FLOOD = """
import asyncio, json, sys, aiohttp
url, token = sys.argv[1:]

async def one(http, address):
    answer = await http.get(address)
    if answer.status == 200:  # as many as were accepted at the same moment: the first event says more
        async for line in answer.content:
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                return [200, event["data"].get("code", ""), event["data"].get("message", ""), answer]
    problem = await answer.json(content_type=None)
    return [answer.status, problem["code"], problem["detail"], None]

async def main():
    limits = {"connector": aiohttp.TCPConnector(limit=0), "timeout": aiohttp.ClientTimeout()}
    async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {token}"}, **limits) as http:
        body = {"text": "/demo slow /demo long", "models": [1]}
        begun = await (await http.post("/api/v1/prompts", json=body)).json()
        answers = await asyncio.gather(*(one(http, begun["events"]) for _ in range(500)))
        print(json.dumps([answer[:3] for answer in answers]), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await http.delete(f"/api/v1/replies/{begun['replies'][0]}/generation")

asyncio.run(main())
"""


def test_the_examples_for_browsers(server: ServerProcess, browser: Browser) -> None:
    ask, watch = examples("js")
    page = browser.new_page()
    page.goto(f"{server.url}/accounts/login/")
    token = make_token_on(server)
    call = f"async ([url, token, text]) => {{ {ask}; return ask(url, token, text); }}"
    assert page.evaluate(call, [server.url, token, "/demo echo The moon."]) == "The moon."
    begin = """async ([url, token, text]) => {
        const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
        const body = JSON.stringify({ text, models: [1] });
        return (await fetch(`${url}/api/v1/prompts`, { method: "POST", headers, body })).json();
    }"""
    words = " ".join(f"word{number}" for number in range(60))
    reply = page.evaluate(begin, [server.url, token, f"/demo echo {words}"])["replies"][0]
    call = f"async ([url, token, reply]) => {{ {watch}; return watch(url, token, reply); }}"
    assert page.evaluate(call, [server.url, token, reply]) == words
    page.close()


def test_a_flood_of_streams_is_refused_and_the_user_can_continue(
    server: ServerProcess, person: Person
) -> None:
    command = [sys.executable, "-c", FLOOD, server.url, make_token_on(server)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdout is not None
        reply = send(person.page, "/demo instant /demo echo Still here.")
        expect(reply).to_have_attribute("data-status", "complete")
        answers = json.loads(flood.stdout.readline())
        second = send(person.page, "/demo instant /demo echo And now.")  # while the streams are open
        expect(second.locator(".message-body")).to_contain_text("And now.")
        flood.communicate("")
    refused = [answer for answer in answers if answer[1]]
    assert len(answers) == 500
    assert 0 < len(answers) - len(refused) <= 20  # CHAT_PAGES_PER_PERSON
    assert {status for status, _code, _words in answers} == {200, 429}
    assert {code for _status, code, _words in refused} <= {"limit_reached", "rate_limited"}
    assert all(words for _status, _code, words in refused)
