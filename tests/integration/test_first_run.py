"""The steps of a new operator: a clean clone, the README's command, the printed link, the first reply."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.servers import PASSWORD, ROOT

# The tools' own settings stay; nothing of the tests' environment reaches the server.
_TOOLS = re.compile(r"^(PATH|HOME|LANG|TMPDIR|SSL_.*|PIP_.*|UV_(?!PROJECT).*|PYENV_.*|.*_PROXY|.*_proxy)$")
START_SECONDS = 900.0
FINISHED = re.compile(r'<article[^>]*data-role="assistant"[^>]*data-status="complete"')


class Started:
    """The README's command while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.output = ""

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            if line.startswith("Data: "):
                return
        raise AssertionError(f"The server did not get ready:\n{self.output}")

    def wait_for(self, line: str) -> None:
        """Waits until the server prints it."""
        assert self._process.stdout is not None
        while line not in self.output:
            said = self._process.stdout.readline()
            assert said, f"The server ended:\n{self.output}"
            self.output += said

    def find(self, pattern: str) -> str:
        found = re.search(pattern, self.output)
        assert found, self.output
        return found[1]

    def stop(self) -> int:
        os.killpg(self._process.pid, signal.SIGTERM)
        assert self._process.stdout is not None
        self.output += self._process.stdout.read()
        return self._process.wait(300)


@contextmanager
def started(clone: Path) -> Iterator[Started]:
    command = re.search(r"```sh\n(pip install .*)\n```", (clone / "README.md").read_text(encoding="utf-8"))
    assert command
    process = subprocess.Popen(
        ["bash", "-c", f"{command[1]} 0"],  # Port 0: any free one.
        cwd=clone,
        env={name: value for name, value in os.environ.items() if _TOOLS.match(name)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    end = threading.Timer(START_SECONDS, os.killpg, [process.pid, signal.SIGKILL])
    end.start()
    try:
        yield Started(process)
    finally:
        end.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(300)
        assert process.stdout is not None
        process.stdout.close()


class Visitor:
    """A browser without scripts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self.page = ""

    def get(self, url: str) -> str:
        """Returns the page after all redirects."""
        with self._opener.open(urllib.parse.urljoin(self.url, url), timeout=60) as answer:
            self.page = answer.read().decode()
            return str(answer.geturl())

    def post(self, url: str, **form: str) -> str:
        token = self.find(r'name="csrfmiddlewaretoken" value="([^"]+)"')
        body = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": token}).encode()
        with self._opener.open(urllib.request.Request(url, body), timeout=60) as answer:
            self.page = answer.read().decode()
            return str(answer.geturl())

    def find(self, pattern: str) -> str:
        found = re.search(pattern, self.page)
        assert found, self.page
        return found[1]

    def cookie_header(self) -> str:
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the committed files only."""
    path = tmp_path_factory.mktemp("newcomer") / "steady"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, path], check=True)
    return path


def test_a_new_user_gets_a_finished_reply_and_finds_it_again(clone: Path) -> None:
    with started(clone) as server:
        server.wait_until_ready()
        ada = Visitor(server.find(r"Steady is ready: (\S+)"))
        assert "/accounts/login/" in ada.get("/")
        assert "open the link that the server printed when it started" in ada.page
        server.wait_for("Models: Demo 2.\n")
        link = ada.get(server.find(r"(http\S+/welcome/\S+)"))
        conversation = ada.post(link, email="ada@example.org", password=PASSWORD, repeated=PASSWORD)
        assert "/conversations/" in conversation
        model = ada.find(r'<option value="(\d+)"')
        socket_url = ada.url.replace("http", "ws") + "/ws" + urllib.parse.urlsplit(conversation).path
        with connect(
            socket_url, origin=ada.url, additional_headers={"Cookie": ada.cookie_header()}, open_timeout=60
        ) as socket:
            prompt = {
                "type": "send",
                "client_id": str(uuid4()),
                "text": "/demo instant Hello",
                "model": model,
            }
            for frame in ({"type": "hello", "revision": 0}, prompt):
                socket.send(orjson.dumps(frame).decode())
            received = ""
            number = 0
            while not FINISHED.search(received):
                received += str(socket.recv(timeout=60))
                number += 1
                socket.send(orjson.dumps({"type": "ack", "frame": number}).decode())
            assert "built-in demo" in received
            assert server.stop() == 0, server.output
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    socket.recv(timeout=60)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012

    with started(clone) as server:
        server.wait_until_ready()
        assert "/welcome/" not in server.output, "there is an administrator now"
        ada.url = server.find(r"Steady is ready: (\S+)")
        ada.get(urllib.parse.urlsplit(conversation).path)
        assert FINISHED.search(ada.page)
        assert server.stop() == 0
