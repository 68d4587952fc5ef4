"""A fault of the provider ends the reply with a plain message, keeps the output so far, and hides the key."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tests.faults.calm import calm_time
from tests.faults.client import Person
from tests.faults.conftest import on_one
from tests.faults.installation import Installation
from tests.faults.stack import memory
from tests.providers.wire import Script

pytestmark = [pytest.mark.asyncio(loop_scope="session"), on_one("sqlite")]

KEY = "sk-canary-of-the-fault-tests"


@dataclass
class Fault:
    script: str
    status: str
    words: int = 0  # of the reply that are kept
    says: str = ""  # in the text of the page


FAULTS = {
    "busy once": Fault("fail=429 fails=1 tokens=6", "complete", 6),
    "busy for good": Fault("fail=429", "failed", 0, "limiting"),
    "refuses the key": Fault("fail=401 leak=1", "failed", 0, "key"),
    "fails at once": Fault("fail=500", "failed"),
    "fails in the middle": Fault("error=3 pace=20", "failed", 3),
    "ends in the middle": Fault("cut=3 pace=20", "interrupted", 3),
    "resets in the middle": Fault("drop=3 pace=20", "interrupted", 3),
    "breaks its format": Fault("malformed=3 pace=20 leak=1", "failed", 3),
    "never answers": Fault("hang=-1", "failed"),
    "goes silent": Fault("hang=3 pace=20", "interrupted", 3),
    "drips in bytes": Fault("tokens=8 split=1 pace=8", "complete", 8),
    "says unknown things": Fault("tokens=8 unknown=1 crlf=1", "complete", 8),
    "hits its limit": Fault("tokens=8 length=1", "length", 8),
    "filters": Fault("tokens=2 filter=1", "refused", 2),
    "does not end": Fault("tokens=8 finish=0 done=0", "interrupted", 8),
    "stays open after the end": Fault("tokens=8 linger=1", "complete", 8),
}


async def test_every_fault_has_an_end_in_plain_words(
    steady: Installation, person: Person, transport: str
) -> None:
    await asyncio.gather(*(ends(steady, person, transport, name) for name in FAULTS))
    assert KEY not in steady.logs()


async def ends(steady: Installation, person: Person, transport: str, name: str) -> None:
    fault = FAULTS[name]
    async with person.page(transport=transport) as page:
        text = f"{name} {page.id} /wire {fault.script}"
        await page.ask(text)
        status = await page.ended()
        assert status == fault.status, f"{name}: {page!r}"
        await page.equals_fresh()
        words = "".join(Script.parse(text).words[: fault.words])
        assert page.text == words.strip(), name
        state = page.replies[-1].get(".reply-state").text
        assert fault.says in state.lower(), f"{name}: {state}"
        if status in ("failed", "interrupted"):
            assert len(state.strip()) > 30, f"{name}: {state}"
            assert any("Retry" in button for button in page.buttons)
            assert ("Continue" in page.buttons) == bool(words)
        assert KEY not in page.dom.html(), name
    async with asyncio.timeout(60), steady.wire.changed:
        calls = steady.calls(str(page.id))
        await steady.wire.changed.wait_for(lambda: all(call.end != "open" for call in calls))
    (reply,) = steady.replies(page.id)
    assert (reply["status"], reply["text"]) == (status, words), name


async def test_fifty_megabytes_end_at_the_limit_of_a_reply(steady: Installation, person: Person) -> None:
    before = memory(steady.processes[0].pid)
    chat = uuid4()
    prompt = {"text": f"all of it {chat} /wire tokens=100 wide=500000", "model": await person.model()}
    assert (await person.send("POST", f"/conversations/{chat}/messages/", prompt))[0] == 200
    async with asyncio.timeout(300):
        while (reply := steady.replies(chat)[0])["status"] in ("queued", "running"):
            began = calm_time()
            assert (await person.get("/healthz"))[0] == 200
            assert calm_time() - began < 3
            await asyncio.sleep(0.1)
    assert reply["status"] == "length"
    assert len(reply["text"]) == 2_000_000
    async with asyncio.timeout(60), steady.wire.changed:
        (call,) = steady.calls(str(chat))
        await steady.wire.changed.wait_for(lambda: call.end != "open")
    assert call.words < 40, "the provider was not told to stop"
    assert max(memory(process.pid) for process in steady.processes) - before < 200 * 1024 * 1024
