"""The example for browsers of docs/api.md works as it is written."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.api.test_documentation import examples, make_token_on
from tests.servers import ServerProcess


def test_the_example_for_browsers(server: ServerProcess, browser: Browser) -> None:
    (example,) = examples("js")
    page = browser.new_page()
    page.goto(f"{server.url}/accounts/login/")
    call = f"async ([url, token, text]) => {{ {example}; return ask(url, token, text); }}"
    arguments = [server.url, make_token_on(server), "/demo echo The moon."]
    assert page.evaluate(call, arguments) == "The moon."
    page.close()
