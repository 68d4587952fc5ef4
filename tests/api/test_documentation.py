"""The examples of docs/api.md and docs/gateway.md work as they are written, and what the page says of codes
is complete."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.api import problems
from tests.servers import ROOT, ServerProcess

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


GATEWAY_PAGE = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")


def examples(language: str, page: str = PAGE) -> list[str]:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return [example for example in found if "STEADY_TOKEN=sty_" not in example]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("api") / "data").start()
    yield process
    process.stop()


def make_token_on(server: ServerProcess) -> str:
    """Returns the secret of a new token of a new user."""
    email = f"program-{secrets.token_hex(4)}@example.org"  # a server may be shared by tests
    server.add_person(email)
    code = (
        "from chat.models import User; from chat.actions.api_token import make_token;"
        f"person = User.objects.get(email='{email}');"
        "print(make_token(person, name='x', scopes=['chat', 'gateway'])[1])"
    )
    secret = re.search(r"sty_\w{43}", server.manage("shell", "--no-imports", "-c", code))
    assert secret
    return secret[0]


@pytest.fixture(scope="module")
def environment(server: ServerProcess) -> dict[str, str]:
    token = make_token_on(server)
    return {**os.environ, "STEADY_URL": f"http://127.0.0.1:{server.port}", "STEADY_TOKEN": token}


@pytest.mark.parametrize("example", examples("sh", PAGE + GATEWAY_PAGE))
def test_an_example_for_curl(example: str, environment: dict[str, str], tmp_path: Path) -> None:
    script = f"set -euo pipefail\n{example.replace('curl -s', 'curl --fail-with-body -s')}"
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "chat/completions" in example:
        assert done.stdout.endswith("data: [DONE]\n\n") and '"content":"' in done.stdout
    if "text/plain" in example:
        assert done.stdout in ("The moon.", "Read it.Ebb and flow, twice a day.")
    if "api/v1/imports" in example:
        assert '"state":"reading"' in done.stdout


@pytest.mark.parametrize("example", examples("python", PAGE + GATEWAY_PAGE))
def test_an_example_for_python(example: str, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "example.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "The moon pulls at the sea."


def test_the_page_has_each_code() -> None:
    listed = re.findall(r"^    (\d{3})     (\w+)", problems.__doc__ or "", re.MULTILINE)
    assert len(listed) > 5
    assert re.findall(r"^\| (\d{3}) \| `(\w+)` \|", PAGE, re.MULTILINE) == listed
