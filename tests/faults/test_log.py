"""The log of a server process, as an operator reads it after an incident."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import orjson
import pytest

from tests.faults.client import Person
from tests.faults.conftest import one
from tests.faults.installation import started
from tests.faults.stack import stack
from tests.servers import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "sk-canary-of-the-fault-tests"
ENDINGS = {
    "tokens=3": "complete",
    "fail=401 leak=1 echo=1": "failed",
    "fail=400 leak=1 echo=1": "failed",
    "fail=500 leak=1 echo=1": "failed",
    "error=2 leak=1 echo=1": "failed",
    "malformed=2 leak=1 echo=1": "failed",
    "cut=2": "interrupted",
}


@pytest.mark.parametrize("backend", one("sqlite"))
async def test_each_reply_ends_with_a_line_and_no_line_holds_what_people_write_or_keep_secret(
    backend: str,
) -> None:
    async with stack(backend, LOG_FORMAT="json", LOG_LEVEL="DEBUG", CHAT_ATTEMPTS="1") as steady:
        async with Person(steady.url) as person:
            secrets = {cookie.key: cookie.value for cookie in person.http.cookie_jar}
            for script, outcome in ENDINGS.items():
                async with person.page() as page:
                    await page.ask(f"canary-prompt-{uuid4().hex} /wire {script}")
                    assert await page.ended() == outcome, script
            async with person.page() as page:
                await started(page, "tokens=9000 pace=50")
                running = page.id
                await person.get(f"/log-in/1/canary-token-{uuid4().hex}/")
                await person.get(f"/welcome/canary-token-{uuid4().hex}/")
                assert (await person.get("/conversations/x/"))[0] == 404
                steady.processes[0].kill()
            await asyncio.to_thread(steady.processes[0].start)
            async with person.page(running) as page:
                assert await page.ended() == "interrupted"
                await person.get("/welcome/canary-token-again/")
        log = steady.logs()
        secrets |= {"prompt": "canary-prompt", "key": KEY, "password": PASSWORD, "link": "canary-token"}
        secrets |= {"reply": "word1"}
        assert [name for name, value in secrets.items() if value in log] == []
        lines = [orjson.loads(line) for line in log.splitlines() if line.startswith("{")]
        ends = [line for line in lines if line["message"].startswith("Reply ended: ")]
        assert [line["outcome"] for line in ends] == [*ENDINGS.values(), "interrupted"]
        for line in ends:
            (reply,) = steady.rows("SELECT * FROM chat_generation WHERE id = ?", UUID(line["generation_id"]))
            told = (line["model"], line["input_tokens"], line["output_tokens"])
            assert told == (reply["model_label"], reply["input_tokens"], reply["output_tokens"])
        assert ends[0]["seconds"] is not None
        failures = [line for line in lines if line["message"].startswith("The provider failed")]
        failed = {line["generation_id"] for line in ends if line["outcome"] == "failed"}
        assert {line["generation_id"] for line in failures} >= failed
        assert [line["request_id"] for line in lines if "/welcome/" in line["message"]]
        (swept,) = [line["message"] for line in lines if "by the end of their process" in line["message"]]
        assert ends[-1]["generation_id"] in swept
        assert ends[-1]["process_name"] in swept
