"""A user at a page, without a browser: logs in, keeps the page live over WebSocket or SSE as the page's own
scripts do, and shows the same content as a browser."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import aiohttp

from tests.faults.calm import PATIENCE, calm_time
from tests.faults.dom import Node, parse, swap
from tests.servers import ADMIN, PASSWORD

ACK_FRAMES, ACK_SECONDS = 12, 0.25  # as static/js/transport.js
RESEND_SECONDS = 8.0  # as static/js/composer.js
TERMINAL = {"complete", "length", "stopped", "interrupted", "failed", "refused"}
LOST = (aiohttp.ClientError, OSError, TimeoutError)


class RefusedError(Exception):
    """The server refused the request; the text is its message."""


class Person:
    """A logged-in user with one cookie jar."""

    def __init__(self, url: str, email: str = ADMIN, trust: ssl.SSLContext | bool = True) -> None:
        self.url, self.email = url, email
        self._model = ""
        self.http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            connector=aiohttp.TCPConnector(limit=0, ssl=trust),
            timeout=aiohttp.ClientTimeout(total=90),
        )

    async def __aenter__(self) -> Self:
        if not len(self.http.cookie_jar):
            try:
                await self.log_in()
            except BaseException:
                await self.http.close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    async def log_in(self) -> None:
        """Raises AssertionError with the returned page."""
        await self.http.get(f"{self.url}/accounts/login/")
        form = {"login": self.email, "password": PASSWORD}
        async with self.http.post(
            f"{self.url}/accounts/login/", data=form, headers=self.headers(), allow_redirects=False
        ) as answer:
            assert answer.status == 302, await answer.text()

    def headers(self) -> dict[str, str]:
        token = next((c.value for c in self.http.cookie_jar if c.key.endswith("csrftoken")), "")
        return {"X-CSRFToken": token, "Origin": self.url, "Referer": f"{self.url}/"}

    async def get(self, path: str, url: str = "") -> tuple[int, str]:
        async with self.http.get((url or self.url) + path) as answer:
            return answer.status, await answer.text()

    async def send(
        self, method: str, path: str, data: Any = None, *, htmx: bool = True, url: str = ""
    ) -> tuple[int, str]:
        """Sends a changing request, as htmx sends it."""
        headers = {**self.headers(), "Origin": url or self.url, **({"HX-Request": "true"} if htmx else {})}
        async with self.http.request(
            method, (url or self.url) + path, data=data, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, await answer.text()

    async def model(self) -> str:
        """Returns the id of the scripted model as soon as the catalog has it."""
        while not self._model:
            _, html = await self.get(f"/conversations/{uuid4()}/")
            for option in parse(html).select("option"):
                if "wire" in option.text.lower():
                    self._model = option.attributes["value"]
                    return self._model
            await asyncio.sleep(0.1)
        return self._model

    @asynccontextmanager
    async def page(
        self, conversation_id: UUID | None = None, transport: str = "ws", *, url: str = "", dead: bool = False
    ) -> AsyncIterator[Page]:
        """Opens a page, live unless it is `dead`."""
        page = Page(self, conversation_id or uuid4(), transport, url or self.url)
        await page.load()
        if not dead:
            page.open()
        try:
            yield page
        finally:
            await page.close()


class Page:
    """One tab. `dom` is its content; `events` lists the events of its connections."""

    def __init__(self, person: Person, conversation_id: UUID, transport: str, url: str) -> None:
        self.person, self.id, self.transport, self.url = person, conversation_id, transport, url
        self.dom = Node()
        self.events: list[str] = []
        self.frames = self.bytes = 0
        self.connections = 0
        self.connected_at = 0.0
        self.reads = True  # false: reads nothing from its connection any more
        self.error: BaseException | None = None
        self._changed = asyncio.Condition()
        self._living: asyncio.Task[None] | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._stream: aiohttp.ClientResponse | None = None
        self._last_event = ""
        self._numbered = 0

    # --- What the user sees ----------------------------------------------------------------------

    @property
    def replies(self) -> list[Node]:
        return [m for m in self.dom.select("#messages > article") if m.attributes["data-role"] == "assistant"]

    @property
    def status(self) -> str:
        """The state of the last reply; "" if there is none."""
        return self.replies[-1].attributes["data-status"] if self.replies else ""

    @property
    def text(self) -> str:
        """The text of the last reply."""
        return self.replies[-1].get(".message-body").text if self.replies else ""

    @property
    def notice(self) -> str:
        return self.dom.get("#notice").text

    @property
    def buttons(self) -> list[str]:
        return [button.text.strip() for button in self.replies[-1].select(".reply-actions button")]

    def has_receipt(self, client_id: UUID) -> bool:
        return self.dom.get("#receipt").attributes.get("data-client-id") == str(client_id)

    async def until(self, holds: Callable[[], object], seconds: float = 60) -> None:
        """Waits until the condition holds, whether this page changes or something else. Raises TimeoutError
        with the content of the page."""
        until = time.monotonic() + seconds
        async with self._changed:
            while not (self.error or holds()):
                if time.monotonic() > until:
                    raise TimeoutError(f"After {seconds} s: {self!r}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.2)
        if self.error:
            raise self.error

    async def ended(self, seconds: float = 90) -> str:
        """Waits for the end of the last reply and returns its state."""
        await self.until(lambda: self.status in TERMINAL, seconds)
        return self.status

    async def equals_fresh(self, seconds: float = 5) -> None:
        """Waits up to `seconds` until the page equals a fresh page load (N4)."""
        begun, until = calm_time(), time.monotonic() + PATIENCE
        while True:
            fresh = Page(self.person, self.id, "", self.url)
            with suppress(*LOST):
                await fresh.load()
            if self.error:
                raise self.error
            mine, theirs = self.shown(), fresh.shown()
            if mine == theirs:
                return
            if calm_time() - begun > seconds or time.monotonic() > until:
                raise AssertionError(f"The page shows\n{mine}\nand a fresh one\n{theirs}\n{self!r}")
            await asyncio.sleep(0.1)

    def shown(self) -> str:
        """The relevant content of the page, in a form for comparison."""
        names = ("#messages", "#revision", "#conversation-title", "#composer-action", "#live-status")
        return "\n".join(node.canonical() for name in names for node in self.dom.select(name))

    def __repr__(self) -> str:
        return f"<Page {self.transport} {self.status!r} {self.text[-80:]!r} {self.events}>"

    # --- What the user does ------------------------------------------------------------------------

    async def load(self) -> None:
        status, html = await self.person.get(f"/conversations/{self.id}/", self.url)
        if status != 200:
            raise RefusedError(f"{status}")
        self.dom = parse(html)

    async def ask(
        self, text: str, client_id: UUID | None = None, seconds: float = 90, model: str = ""
    ) -> UUID:
        """Sends a prompt as the page does: over the socket, else by POST, repeated with the same id until the
        server has it, and at once on a new connection. Raises `RefusedError`, TimeoutError."""
        client_id = client_id or uuid4()
        model = model or await self.person.model()
        async with asyncio.timeout(seconds):
            while not self.has_receipt(client_id):
                try:
                    await self.offer(text, client_id, model)
                except LOST:
                    await asyncio.sleep(0.05)
                    continue
                with suppress(TimeoutError):
                    await self.until(
                        lambda known=self.connections: (
                            self.has_receipt(client_id) or self.connections > known
                        ),
                        RESEND_SECONDS,
                    )
        return client_id

    async def offer(self, text: str, client_id: UUID, model: str) -> None:
        """Makes one attempt to send a prompt."""
        if self._socket is not None and not self._socket.closed:
            await self.tell({"type": "send", "client_id": str(client_id), "text": text, "model": model})
            return
        form = {"client_id": str(client_id), "text": text, "model": model}
        path = f"/conversations/{self.id}/messages/"
        status, html = await self.person.send("POST", path, form, url=self.url)
        if status >= 500:
            raise aiohttp.ClientError(status)
        if status != 200:
            raise RefusedError(html)
        await self._apply(html)

    async def stop(self) -> int:
        """Stops the last reply and returns the HTTP status."""
        path = f"/messages/{self.replies[-1].id[2:]}/generation/"
        return (await self.person.send("DELETE", path, url=self.url))[0]

    async def again(self, *, goes_on: bool = False) -> int:
        """Sends Retry, or Continue, for the last reply."""
        form = {"continue": "1"} if goes_on else {}
        path = f"/messages/{self.replies[-1].id[2:]}/generations/"
        return (await self.person.send("POST", path, form, url=self.url))[0]

    async def tell(self, frame: dict[str, Any]) -> None:
        """Sends a frame over the socket."""
        if self._socket is None or self._socket.closed:
            raise ConnectionResetError("No socket is open.")
        await self._socket.send_str(json.dumps(frame))

    # --- How it stays live ---------------------------------------------------------------------------

    def open(self) -> None:
        self._living = asyncio.create_task(self._live())

    async def close(self) -> None:
        if self._living is not None:
            self._living.cancel()
            await asyncio.gather(self._living, return_exceptions=True)
        self.cut()

    def cut(self) -> None:
        """Resets the connection, as a lost network does."""
        for response in (self._stream, self._socket and self._socket._response):
            transport = response and response.connection and response.connection.transport
            if transport:
                transport.abort()
        self._socket = self._stream = None
        self._note("cut")

    def switch(self) -> None:
        """Switches to the other transport."""
        self.transport = "sse" if self.transport == "ws" else "ws"
        self._last_event = ""
        self.cut()

    async def _live(self) -> None:
        """Connects, and reconnects until it is disconnected permanently."""
        delay = 0.1
        while True:
            begun = time.monotonic()
            try:
                done = await (self._over_socket() if self.transport == "ws" else self._over_events())
            except LOST as error:
                self._note(f"lost: {type(error).__name__}")
                done = False
            except Exception as error:  # noqa: BLE001  (raised in the waiting test)
                async with self._changed:
                    self.error = error
                    self._changed.notify_all()
                return
            if done:
                return
            delay = 0.1 if time.monotonic() - begun > 2 else min(1.0, delay * 2)
            await asyncio.sleep(random.uniform(0.5, 1) * delay)

    async def _over_socket(self) -> bool:
        """Runs until the socket closes. Returns true if this is permanent."""
        url = f"{self.url.replace('http', 'ws', 1)}/ws/conversations/{self.id}/"
        headers = {"Origin": self.url}
        async with self.person.http.ws_connect(url, headers=headers, max_msg_size=0) as socket:
            self._socket = socket
            received = acked = 0
            await self._connected()
            await self.tell({"type": "hello", "revision": self.dom.get("#revision").attributes["value"]})
            try:
                while True:
                    try:
                        message = await socket.receive(ACK_SECONDS if received > acked else None)
                    except TimeoutError:
                        message = None
                    if message is None or received - acked >= ACK_FRAMES:
                        acked = received
                        await self.tell({"type": "ack", "frame": received})
                    if message is None:
                        continue
                    if message.type != aiohttp.WSMsgType.TEXT:
                        await self._closed(f"closed {socket.close_code}")
                        return socket.close_code in (4401, 4404)
                    received += 1
                    if message.data != "{}":
                        await self._apply(message.data)
            finally:
                self._socket = None

    async def _over_events(self) -> bool:
        """Runs until the stream ends. Returns true if this is permanent."""
        revision = self.dom.get("#revision").attributes["value"]
        headers = {"Last-Event-ID": self._last_event} if self._last_event else {}
        url = f"{self.url}/conversations/{self.id}/events/?revision={revision}"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
        async with self.person.http.get(url, headers=headers, timeout=timeout) as answer:
            if answer.status != 200:
                self._note(f"status {answer.status}")
                return answer.status in (401, 404)
            self._stream = answer
            await self._connected()
            name, identity, data = "", "", []
            try:
                async for raw in answer.content:
                    line = raw.decode().rstrip("\n")
                    field, _, value = line.partition(": ")
                    if line.startswith(":"):
                        continue
                    if field == "event":
                        name = value
                    elif field == "id":
                        identity = value
                    elif line.startswith("data:"):
                        data.append(value)
                    elif not line:
                        if name:
                            await self._closed(name)
                            return name in ("revoked", "gone")
                        if any(data):
                            await self._apply("\n".join(data))
                        self._last_event = identity or self._last_event
                        name, identity, data = "", "", []
            finally:
                self._stream = None
            await self._closed("ended")
            return False

    async def _connected(self) -> None:
        async with self._changed:
            self.connections += 1
            self.connected_at = time.monotonic()
            self.events.append(f"connected by {self.transport}")
            self._changed.notify_all()

    async def _closed(self, how: str) -> None:
        async with self._changed:
            self.events.append(how)
            self._changed.notify_all()

    async def _apply(self, html: str) -> None:
        async with self._changed:
            self.frames += 1
            self.bytes += len(html)
            swap(self.dom, html)
            self._changed.notify_all()

    def _note(self, what: str) -> None:
        self.events.append(what)
