"""Checks the connection that browsers use, through all proxies in front of Steady."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from chat.diagnosis.connection_token import SILENCE_SECONDS, TICK_SECONDS, TICKS, new_token
from chat.diagnosis.findings import Finding, proxy_fault

_LOST = (aiohttp.ClientError, OSError, TimeoutError)


async def check_network(url: str, *, silence: float = SILENCE_SECONDS) -> list[Finding]:
    """Checks the server at `url` as browsers reach it."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=silence + 30)) as http:
        reached = await _reached(http, url)
        if not reached.ok:
            return [reached]
        socket, events = await asyncio.gather(_socket(http, url, silence), _events(http, url))
        return [reached, *socket, events]


async def _reached(http: aiohttp.ClientSession, url: str) -> Finding:
    try:
        async with http.get(f"{url}/healthz", timeout=aiohttp.ClientTimeout(total=10)) as answer:
            alive = answer.status == 200 and await answer.text() == "alive\n"
            words = f"{url} answers with {answer.status}."
    except _LOST as error:
        alive, words = False, f"{url} cannot be reached from here ({type(error).__name__})."
    return Finding("Address", True, words) if alive else proxy_fault("Address", words, "unreachable")


async def _socket(http: aiohttp.ClientSession, url: str, silence: float) -> list[Finding]:
    """Checks that a socket opens, echoes, and stays open during silence."""
    address = f"{url.replace('http', 'ws', 1)}/ws/connection-check/?token={new_token()}"
    try:
        socket = await http.ws_connect(address, headers={"Origin": url}, autoping=False)
    except _LOST as error:
        words = f"A WebSocket cannot be opened ({error}). Steady uses the slower fallback."
        return [proxy_fault("WebSocket", words, "websocket")]
    async with socket:
        try:
            await socket.send_str("echo")
            if await socket.receive_str(timeout=5) != "echo":
                raise TimeoutError
        except (*_LOST, TypeError):
            words = "A WebSocket opens, but no message passes through it."
            return [proxy_fault("WebSocket", words, "websocket")]
        opens = Finding("WebSocket", True, "Opens, and passes messages both ways.")
        started = time.monotonic()
        try:
            async with asyncio.timeout(silence):
                while (await socket.receive()).type in (aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG):
                    pass
        except TimeoutError:
            return [opens, Finding("Idle time", True, f"A silent connection stays open for {silence:g} s.")]
    words = f"A silent connection is closed after {time.monotonic() - started:.0f} s."
    return [opens, proxy_fault("Idle time", words, "idle")]


async def _events(http: aiohttp.ClientSession, url: str) -> Finding:
    """Checks that events arrive one by one, not all at the end."""
    arrived: list[float] = []
    try:
        async with http.get(f"{url}/connection-check/events/?token={new_token()}") as answer:
            async for line in answer.content:
                if line.startswith(b"data:"):
                    arrived.append(time.monotonic())
    except _LOST as error:
        words = f"A stream of events ends early ({type(error).__name__})."
        return proxy_fault("Fallback (SSE)", words, "buffering")
    if len(arrived) < TICKS or arrived[-1] - arrived[0] < (TICKS - 1) * TICK_SECONDS / 2:
        words = "Events are held back and arrive all at once: replies would not stream."
        return proxy_fault("Fallback (SSE)", words, "buffering")
    return Finding("Fallback (SSE)", True, "Events arrive one by one.")
