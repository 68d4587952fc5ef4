"""The examples for browsers of docs/api.md work as they are written."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.api.test_documentation import examples, make_token_on
from tests.servers import ServerProcess


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
