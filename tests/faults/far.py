"""The output that a kill loses with a distant PostgreSQL.

    uv run python -m tests.faults.far --kills 4        prints a table

One server process reaches its database through a relay that delays every byte. It is killed at a random
moment while ten replies run. Then it is started again, and the stored output is compared with the provider's.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
from contextlib import AsyncExitStack

from tests.faults.client import Person
from tests.faults.installation import started
from tests.faults.network import network
from tests.faults.stack import stack

PACE = 50  # words per second
REPLIES = 10


async def lost(round_trip: float, kills: int, chance: random.Random) -> list[float]:
    """Returns the seconds of output that each killed reply lacks. `round_trip` is in seconds."""
    missing = []
    async with stack("postgres", processes=0) as steady, network(steady.database_url, round_trip / 2) as far:
        process = await steady.add_process(DATABASE_URL=far.url, CHAT_FIRST_TOKEN_SECONDS="60")
        for _ in range(kills):
            async with Person(steady.url) as person, AsyncExitStack() as pages:
                opened = [await pages.enter_async_context(person.page()) for _ in range(REPLIES)]
                marks = await asyncio.gather(
                    *(started(page, f"tokens=100000 pace={PACE}", 100) for page in opened)
                )
                await asyncio.sleep(chance.uniform(0, 1))
                process.kill()
                sent = [steady.calls(mark)[-1].words for mark in marks]
                await asyncio.to_thread(process.start)
                for page, words in zip(opened, sent, strict=True):
                    await page.ended(300)
                    (reply,) = await asyncio.to_thread(steady.replies, page.id)
                    missing.append(max(0.0, (words - len(reply["text"].split())) / PACE))
    return missing


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print("| round trip (ms) | replies killed | lost, median (s) | lost, most (s) |\n|--:|--:|--:|--:|")
    for milliseconds in (0, 50, 200):
        missing = await lost(milliseconds / 1000, options.kills, chance)
        median = statistics.median(missing)
        print(f"| {milliseconds} | {len(missing)} | {median:.2f} | {max(missing):.2f} |", flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
