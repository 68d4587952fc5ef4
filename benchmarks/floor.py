"""The cost of the provider's SDK alone for the same streams, without storing, rendering or sending.

    python -m benchmarks.floor URL STREAMS SPREAD [KEY]        prints a line of JSON

The other benchmarks start it.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

from openai import AsyncOpenAI, DefaultAioHttpClient


async def main(url: str, streams: int, spread: float, key: str = "none") -> None:
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key, http_client=DefaultAioHttpClient())

    async def one(number: int) -> tuple[float, int]:
        await asyncio.sleep(spread * number / streams)
        began = time.monotonic()
        first, tokens = 0.0, 0
        messages = [{"role": "user", "content": "Go."}]
        async for part in await client.chat.completions.create(
            model="bench",
            messages=messages,  # type: ignore[arg-type]
            stream=True,
        ):
            if part.choices and part.choices[0].delta.content:
                first = first or time.monotonic() - began
                tokens += 1
        return first, tokens

    await one(0)
    before = resource.getrusage(resource.RUSAGE_SELF)
    results = await asyncio.gather(*(one(number) for number in range(streams)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    tokens = sum(count for _, count in results)
    print(
        json.dumps(
            {"firsts": [first for first, _ in results], "cpu": cpu / tokens, "rss": after.ru_maxrss * 1024}
        )
    )
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]))
