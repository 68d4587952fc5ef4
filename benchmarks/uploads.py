"""A large file is uploaded on a slow line while a reply streams: the server's memory, and the reply's pace.

    uv run --group dev python -m benchmarks.uploads [--megabytes 100] [--rate 5]

Starts its own server with the demo. `rate` is in MB per second. Prints the resident memory of the server
before, at most and after, and the time between two pieces of the reply without and with the upload.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import uuid
from http.cookiejar import CookieJar
from itertools import pairwise
from pathlib import Path

from tests.servers import ADMIN, PASSWORD, ServerProcess

PIECE = 1024 * 1024


class Client:
    def __init__(self, url: str) -> None:
        self.url, self._jar = url, CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))
        self.get("/accounts/login/").close()
        self.post("/accounts/login/", login=ADMIN, password=PASSWORD).close()

    def get(self, path: str) -> urllib.request.addinfourl:
        return self._open(urllib.request.Request(self.url + path))

    def post(self, path: str, **form: str) -> urllib.request.addinfourl:
        return self._open(urllib.request.Request(self.url + path, urllib.parse.urlencode(form).encode()))

    def piece(self, path: str, data: bytes, offset: int, size: int) -> None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Upload-Offset": str(offset),
            "Upload-Length": str(size),
            "Upload-Name": "large.bin",
        }
        self._open(urllib.request.Request(self.url + path, data, headers, method="PATCH")).close()

    def _open(self, request: urllib.request.Request) -> urllib.request.addinfourl:
        token = next((it.value for it in self._jar if it.name == "csrftoken"), "") or ""
        request.add_header("X-CSRFToken", token)
        request.add_header("Referer", self.url + "/")
        found: urllib.request.addinfourl = self._opener.open(request, timeout=120)
        return found


def memory(pid: int, name: str = "VmRSS") -> float:
    """Returns megabytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def listen(stream: urllib.request.addinfourl, times: list[float]) -> None:
    for line in stream:
        if line.startswith(b"data:"):
            times.append(time.monotonic())


def gaps(times: list[float], begin: float, end: float) -> str:
    inside = [it for it in times if begin <= it <= end]
    found = [after - before for before, after in pairwise(inside) if after - before > 0.001]
    half, longest = statistics.median(found) * 1000, max(found) * 1000
    return f"p50 {half:.0f} ms, longest {longest:.0f} ms, {len(found)} pieces"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rate", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steady-bench-") as folder:
        server = ServerProcess(Path(folder) / "data").start()
        try:
            measure(server, options.megabytes, options.rate)
        finally:
            server.stop()


def measure(server: ServerProcess, megabytes: int, rate: float) -> None:
    client = Client(server.url)
    page = client.get("/")
    chat = urllib.parse.urlsplit(page.url).path
    model = re.search(rb'<option[^>]*value="(\d+)"', page.read())[1].decode()  # type: ignore[index]
    client.post(
        f"{chat}messages/", text="/demo slow /demo long", model=model, client_id=str(uuid.uuid4())
    ).close()
    times: list[float] = []
    threading.Thread(target=listen, args=(client.get(f"{chat}events/"), times), daemon=True).start()
    time.sleep(15)
    before, quiet = memory(server.pid), time.monotonic()
    size, data, at = megabytes * PIECE, bytes(PIECE), f"/files/{uuid.uuid4()}/"
    slowest, most = 0.0, [before]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most.append(memory(server.pid))

    threading.Thread(target=watch, daemon=True).start()
    for number in range(megabytes):
        began = time.monotonic()
        client.piece(at, data, number * PIECE, size)
        took = time.monotonic() - began
        slowest = max(slowest, took) if number < megabytes - 1 else slowest
        time.sleep(max(0.0, 1 / rate - took))
    done.set()
    ended = time.monotonic()
    print(f"{megabytes} MB in {ended - quiet:.0f} s, the slowest piece {slowest * 1000:.0f} ms")
    print(f"memory: {before:.0f} MB before, at most {max(most):.0f}, {memory(server.pid):.0f} after")
    print(f"the reply before: {gaps(times, quiet - 12, quiet)}")
    print(f"the reply during: {gaps(times, quiet, ended)}")


if __name__ == "__main__":
    main()
