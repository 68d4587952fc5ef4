"""The metrics: their share of a core with 200 streams.

    uv run --group dev python -m benchmarks.metrics

Measures the CPU of each thing that the server counts, in a loop in this process, and multiplies it by how
often it happens with 200 streams of 500 tokens at 50 tokens/s. A loop has all code in the cache of the
processor. In a server it may take longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import generate_latest

from chat.metrics import LOOP_SECONDS, MODELS, EndedReply, Metrics, timed

STREAMS, SECONDS = 200, 10.0
FRAME_SECONDS = 0.09  # `chat.transports.feed.MOST_FRAME_SECONDS`: the interval of frames with so many replies
UNITS_OF_A_TURN, UNITS_A_SECOND = 8, 6  # the journal and the session monitor
SCRAPE_SECONDS = 15.0
ROUNDS, TIMES = 5, 2_000


def cost(work: Callable[[], object], times: int = TIMES) -> float:
    """Returns the CPU seconds of one call, the least of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(times):
            work()
        rounds.append((time.thread_time() - began) / times)
    return min(rounds)


def main() -> None:
    metrics = Metrics(["openai", "anthropic"], [f"code_{number}" for number in range(20)])
    reply = EndedReply("complete", "openai", "gpt", 0.1, 0.5, 10.0, 100, 10, 500, 0, 0.01)
    for number in range(MODELS):
        metrics.reply_ended(EndedReply("complete", "openai", f"model {number}", 0, 1, 2, 1, 1, 1, 1, 1))

    def page() -> None:
        with metrics.open_page("websocket"):
            pass

    turns = STREAMS / SECONDS
    since = time.monotonic()
    parts = [
        ("frames to pages", STREAMS / FRAME_SECONDS, cost(lambda: metrics.frame_sent(since))),
        ("ends of replies", turns, cost(lambda: metrics.reply_ended(reply))),
        (
            "units of database work",
            turns * UNITS_OF_A_TURN + UNITS_A_SECOND,
            cost(timed("shared", cost, lambda: None)),
        ),
        ("pages that open and close", turns, cost(page)),
        ("measurements of the loop", 1 / LOOP_SECONDS, cost(lambda: metrics._loop_lag.observe(0.001))),
        (
            f"answers with {MODELS} models",
            1 / SCRAPE_SECONDS,
            cost(lambda: generate_latest(metrics.registry), 3),
        ),
    ]
    print("| | a second | CPU each (us) | share of a core |\n|---|--:|--:|--:|")
    for name, rate, seconds in parts:
        print(f"| {name} | {rate:.2f} | {seconds * 1e6:.1f} | {rate * seconds:.2%} |")
    print(f"| all | | | {sum(rate * seconds for _, rate, seconds in parts):.2%} |")


if __name__ == "__main__":
    main()
