"""The registry and the built-in tools."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from aiohttp import web
from aiohttp.resolver import ThreadedResolver

from chat.tools import public_web, registry
from chat.tools.base import Caller, ToolError, tool_of
from chat.tools.calculator import calculator
from chat.tools.clock import current_time
from chat.tools.execute import execute
from chat.tools.page_text import text_of
from chat.tools.public_web import PrivateAddressError, PublicResolver, check_url, is_public
from chat.tools.registry import own_tools
from chat.tools.web_page import read_web_page


async def book(
    city: str, nights: int = 1, kind: Literal["single", "double"] = "single", *, who: Caller
) -> str:
    """Books a room."""
    assert isinstance(who, Caller)
    return f"{city} {nights} {kind}"


def test_a_typed_signature_is_a_schema() -> None:
    tool = tool_of(book)
    assert (tool.name, tool.title, tool.description) == ("book", "Book", "Books a room.")
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "nights": {"type": "integer"},
            "kind": {"type": "string", "enum": ["single", "double"]},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    with pytest.raises(TypeError):
        tool_of(lambda it: it)


@pytest.mark.parametrize(
    ("arguments", "state", "text"),
    [
        ('{"city": "Bern", "nights": 2}', "done", "Bern 2 single"),
        ('{"city": "Bern", "nights": "2"}', "failed", "wrong type"),
        ('{"city": "Bern", "nights": true}', "failed", "wrong type"),
        ('{"city": "Bern", "kind": "suite"}', "failed", "wrong type"),
        ('{"city": "Bern", "who": "me"}', "failed", "no parameter"),
        ("{}", "failed", "missing"),
        ('{"city": "Be', "failed", "not valid JSON"),
        ("[1]", "failed", "not a JSON object"),
    ],
)
async def test_arguments_are_checked_before_a_tool_runs(arguments: str, state: str, text: str) -> None:
    ended = await execute(tool_of(book), "book", arguments, Caller())
    assert ended.state == state
    assert text in ended.text


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("(17 * 23 + 4) / 5", "79.0"),
        ("2 ** 200", str(2**200)),
        ("round(sqrt(2), 3)", "1.414"),
        ("-7 // 2", "-4"),
    ],
)
def test_it_calculates(expression: str, result: str) -> None:
    assert calculator(expression) == result


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "__import__('os')",
            "(1).__class__",
            "'a' * 9",
            "9 ** 9 ** 9",
            "lambda: 1",
            "x",
            "1 / 0",
            "[1] * 9",
        ),
        *(
            "9" * 501,
            "(" * 200 + ")" * 200,
            "log(0)",
            "10.0 ** 400",
            "(-1) ** 0.5",
            "True + 1",
            "max()",
            "1 << 99",
            "round(1, -1000000000)",
        ),
        "*".join(["9" * 90] * 5) + "**999",
    ],
)
def test_it_refuses_all_but_bounded_arithmetic(expression: str) -> None:
    began = time.thread_time()
    with pytest.raises(ToolError):
        calculator(expression)
    assert time.thread_time() - began < 5


def test_the_time_is_that_of_the_zone() -> None:
    assert "UTC" in current_time()
    assert "+0900" in current_time("Asia/Tokyo")
    for zone in ("Nowhere/City", "../../etc/passwd", "\0"):
        with pytest.raises(ToolError):
            current_time(zone)


def test_an_installed_package_adds_tools_and_cannot_replace_or_break_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def calculator(expression: str) -> str:
        """Not ours."""
        return expression

    def weather(place: str) -> str:
        """Tells the weather."""
        return place

    def untyped(place):  # type: ignore[no-untyped-def]
        return place

    class Entry:
        def __init__(self, name: str, value: object) -> None:
            self.name, self.value = name, value

        def load(self) -> object:
            return self.value

    entries = [Entry(function.__name__, function) for function in (calculator, weather, untyped)]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries if group == "steady.tools" else [])
    found = registry.own_tools.__wrapped__()
    assert found["weather"].asks and not found["weather"].enabled
    assert found["calculator"].description != "Not ours." and "untyped" not in found


def test_no_tool_with_network_access_is_enabled_by_default() -> None:
    tool = own_tools()["read_web_page"]
    assert (tool.enabled, tool.asks) == (False, True)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"),
        *("224.0.0.1", "255.255.255.255", "2002:7f00:1::", "ff02::1", "::"),
        *("fec0::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "2001::1", "168.63.129.16"),
        *("192.0.0.192", "fd00:ec2::254", "100.100.100.200"),
    ],
)
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)
    host = f"[{address.partition('%')[0]}]" if ":" in address else address
    with pytest.raises(PrivateAddressError):
        check_url(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "ftp://example.org/",
            "http://",
            "http://user:pw@example.org/",
            "javascript:1",
        ),
        *(
            "http://localhost/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://127.1/",
            "http://x.org:22/",
            "http://127\u30020.0.1/",  # ideographic full stops and wide digits, which an HTTP client converts
            "http://169.254.169\uff61254/",
            "http://127.0.0\uff0e1/",
            "http://\uff11\u3002\uff11/",
            "http://10.0.0.1\\.example.org/",
            "http://a.example\\@10.0.0.1/",
            "http://[::1]/",
            "http://10.0.0.1:x/",
            "http://example.org:99999/",
        ),
    ],
)
def test_what_is_no_public_web_address_is_refused(url: str) -> None:
    with pytest.raises(ToolError):
        check_url(url)


@pytest.mark.parametrize("host", ["a" * 70 + ".org", ".org", "a." * 40_000 + "org", "a..org"])
async def test_a_name_that_no_resolver_accepts_is_reported(host: str) -> None:
    with pytest.raises(ToolError, match="could not be opened"):
        await read_web_page(f"http://{host}/")


async def test_a_name_with_a_private_address_is_refused() -> None:
    with pytest.raises(PrivateAddressError):
        await PublicResolver().resolve("localhost", 80)


class _ToThisMachine(ThreadedResolver):
    """Resolves every name to this machine, as a hostile name server does."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        found = await super().resolve("127.0.0.1", port)
        return [{**one, "hostname": host} for one in found]


@asynccontextmanager
async def site(monkeypatch: pytest.MonkeyPatch, handler: Any) -> AsyncIterator[str]:
    """Serves pages under a public name."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    port = server._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    monkeypatch.setattr(public_web, "PublicResolver", _ToThisMachine)
    monkeypatch.setattr(public_web, "PORTS", (None, port))
    try:
        yield f"http://public.example:{port}"
    finally:
        await runner.cleanup()


async def test_a_page_is_read_as_text_and_redirects_to_private_addresses_are_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    private: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/page":
                html = "<title>x</title><script>evil()</script><h1>Hello</h1><p>a  &amp;\n b</p>"
                return web.Response(text=html, content_type="text/html")
            case "/away":
                raise web.HTTPFound(f"http://127.0.0.1:{request.url.port}/secret")
            case "/wide":
                away = f"http://127\u30020.0.1:{request.url.port}/secret"
                return web.Response(status=302, headers={"Location": away})
            case "/nowhere":
                return web.Response(status=302, headers={"Location": "http://[::1"})
            case "/round":
                raise web.HTTPFound("/round")
            case "/image":
                return web.Response(body=b"GIF89a", content_type="image/gif")
            case "/secret":
                private.append(request.path)
            case "/unfinished":
                return web.Response(text="<a " * 200_000, content_type="text/html")
            case "/charset":
                return web.Response(
                    body=b"<p>x</p>" * 50_000, headers={"Content-Type": "text/html; charset=punycode"}
                )
            case "/large":
                return web.Response(text="y" * 3_000_000, content_type="text/plain")
        return web.Response(status=404)

    async with site(monkeypatch, handler) as origin:
        assert (await read_web_page(f"{origin}/page")).endswith("Hello\na & b")
        assert "Cut after" in await read_web_page(f"{origin}/large")
        assert "x\nx" in await read_web_page(f"{origin}/charset")
        for path, words in [
            ("/away", "not on the public web"),
            ("/wide", "not on the public web"),
            ("/nowhere", "an invalid web address"),
            ("/round", "redirects too often"),
            ("/image", "not text"),
            ("/none", "404"),
            ("/unfinished", "too complex"),
        ]:
            with pytest.raises(ToolError, match=words):
                await read_web_page(f"{origin}{path}")
    assert private == []


def test_hidden_and_broken_html_yields_no_code() -> None:
    assert text_of("<style>a{}</style><p>One<br>two<svg><svg></svg>x</svg></p>three") == "One\ntwo\nthree"


async def test_a_thread_that_hangs_is_abandoned() -> None:
    def sleeper() -> str:
        """Sleeps."""
        time.sleep(0.5)
        return ""

    ended = await asyncio.wait_for(execute(tool_of(sleeper, seconds=0.01), "sleeper", "{}", Caller()), 60)
    assert "0.01 seconds" in ended.text
