"""The project's nginx configurations, in a real nginx: sockets are forwarded and replies stream."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from websockets.sync.client import connect

from tests.conftest import NGINX
from tests.integration.test_first_run import FINISHED, Visitor
from tests.servers import ADMIN, PASSWORD, ROOT, ServerProcess

pytestmark = pytest.mark.needs_nginx


def _main(folder: Path, ours: str) -> Path:
    """Returns a whole configuration around one of the files, for a user without rights. Like those of the
    distributions it writes an access log of everything, unless the file says otherwise."""
    included = folder / "steady.conf"
    included.write_text(ours.replace("/var/log/nginx", str(folder)))
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; pid {folder}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log {folder}/access.log; {temporary}\ninclude {included}; }}\n"
    )
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait_until_it_listens(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise AssertionError("nginx does not listen.")


def test_the_configuration_with_a_certificate_is_valid(tmp_path: Path) -> None:
    assert shutil.which("openssl"), "openssl makes the certificate"
    key, certificate = tmp_path / "privkey.pem", tmp_path / "fullchain.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=chat.example.org"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    ours = (ROOT / "deploy" / "nginx.conf").read_text().replace("/etc/ssl/steady", str(tmp_path))
    tested = subprocess.run(
        [str(NGINX), "-t", "-c", _main(tmp_path, ours)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stderr
    assert "warn" not in tested.stderr


@pytest.mark.parametrize("file", ["nginx.conf", "nginx.compose.conf"])
def test_links_that_log_in_are_not_written_into_the_access_log(file: str, tmp_path: Path) -> None:
    """Neither as the requested address nor as the referring page."""
    ours = re.sub(r"\n *ssl_.*;", "", (ROOT / "deploy" / file).read_text())
    ours = re.sub(r"(app|127\.0\.0\.1):8000", "127.0.0.1:1", ours)  # nothing answers there
    ports = {listen: _free_port() for listen in re.findall(r"listen .*;", ours)}
    for listen, port in ports.items():
        ours = ours.replace(listen, f"listen 127.0.0.1:{port};")
    nginx = subprocess.Popen([str(NGINX), "-c", _main(tmp_path, ours)], stderr=subprocess.DEVNULL)
    paths = ("/welcome/%s/", "/log-in/7/%s/", "/accounts/password/reset/key/1-%s/?a=b", "/conversations/")
    paths += ("/api/v1/streams/%s", "/shared/%s/", "/accounts/login/?next=/shared/%s/")
    try:
        for port in ports.values():
            _wait_until_it_listens(port)
            for path in paths:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                headers = {"Referer": f"http://127.0.0.1:{port}/welcome/SECRET/"}
                connection.request("GET", path.replace("%s", "SECRET"), headers=headers)
                connection.getresponse().read()
                connection.close()
    finally:
        nginx.terminate()
        nginx.wait(120)
    log = (tmp_path / "access.log").read_text()
    assert "SECRET" not in log
    logged = ("/welcome/...", "/log-in/7/...", "/accounts/password/reset/key/...", "/conversations/")
    for path in (*logged, "/api/v1/streams/...", "/shared/...", "/accounts/login/?next=/shared/..."):
        assert log.count(f'"GET {path} HTTP/1.1"') == len(ports)


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[str]:
    """Yields the address of the composed nginx in front of a real server."""
    port, server_port = _free_port(), _free_port()
    url = f"http://127.0.0.1:{port}"
    ours = (ROOT / "deploy" / "nginx.compose.conf").read_text()
    ours = ours.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(
        "app:8000", f"127.0.0.1:{server_port}"
    )
    nginx = subprocess.Popen([str(NGINX), "-c", _main(tmp_path, ours)], stderr=subprocess.DEVNULL)
    server = ServerProcess(tmp_path / "data", {"STEADY_URL": url, "TRUST_PROXY": "1"}, server_port)
    try:
        _wait_until_it_listens(port)
        server.start()
        yield url
    finally:
        server.stop()
        nginx.terminate()
        nginx.wait(120)


def test_a_reply_streams_through_it(proxied: str) -> None:
    ada = Visitor(proxied)
    log_in = ada.get("/accounts/login/")
    conversation = ada.post(log_in, login=ADMIN, password=PASSWORD)
    model = ada.find(r'<option value="(\d+)"')
    with connect(
        proxied.replace("http", "ws") + "/ws" + urllib.parse.urlsplit(conversation).path,
        origin=proxied,
        additional_headers={"Cookie": ada.cookie_header()},
    ) as page:
        prompt = {"type": "send", "client_id": str(uuid4()), "text": "/demo slow", "model": model}
        for frame in ({"type": "hello", "revision": 0}, prompt):
            page.send(orjson.dumps(frame).decode())
        for number in range(1, 8):  # Frame by frame, while the reply still runs.
            frame_html = str(page.recv(timeout=60))
            assert not FINISHED.search(frame_html)
            page.send(orjson.dumps({"type": "ack", "frame": number}).decode())
