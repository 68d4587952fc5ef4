"""How long a search takes in a large installation, beside a plain LIKE (SQLite) or ILIKE (PostgreSQL).

    uv run --group dev python -m benchmarks.search                  SQLite
    uv run --group dev python -m benchmarks.search --postgres URL   PostgreSQL
    uv run --group dev python -m benchmarks.search --messages 50000 so many messages

One user has half of the messages, fifty others share the rest. Words are as frequent as in a language (Zipf).
Both searches return the newest messages, at most 200; ours also groups them by chat and marks the hits. The
times are CPU times of the server, which other processes change little, without the network and the page: of
this process, and of PostgreSQL's if it runs on this machine; otherwise the time that passes.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.streaming import at
from tests.services import fresh_database

MESSAGES = 200_000
IN_A_CHAT = 20
WORDS_IN_A_MESSAGE = 60
VOCABULARY = 30_000
ROUNDS = 20  # of each kind of query, with other words each time
SYLLABLES = [a + b for a in "bdfgklmnprstvw" for b in "aeiou"]


def vocabulary(chance: random.Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < VOCABULARY:
        found["".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) + chance.choice("nrst ").strip()] = (
            None
        )
    return list(found)


def fill(messages: int, words: list[str], chance: random.Random) -> Any:
    """Returns the user with half of the messages."""
    from datetime import timedelta

    from django.utils import timezone

    from chat.models import Conversation, Message, Role, User

    users = [User.objects.create_user(f"person{number}@example.org", None) for number in range(51)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(VOCABULARY)))
    begun = timezone.now() - timedelta(days=700)
    count = 0
    while count < messages:
        chats, rows = [], []
        for _ in range(100):
            owner = users[0] if chance.random() < 0.5 else chance.choice(users[1:])
            at = begun + timedelta(seconds=count * 300)
            chat = Conversation(
                owner=owner,
                title=" ".join(chance.choices(words, k=4)),
                last_position=IN_A_CHAT,
                created_at=at,
            )
            chats.append(chat)
            for position in range(1, IN_A_CHAT + 1):
                count += 1
                text = " ".join(chance.choices(words, cum_weights=weights, k=WORDS_IN_A_MESSAGE))
                at = begun + timedelta(seconds=count * 300)
                row = Message(conversation=chat, position=position, role=Role.USER, text=text, created_at=at)
                row.added_revision = row.revision = position
                rows.append(row)
        Conversation.objects.bulk_create(chats)
        Message.objects.bulk_create(rows, batch_size=500)
    return users[0]


def queries(words: list[str], chance: random.Random) -> dict[str, Callable[[], str]]:
    common, rare = words[:50], words[2000:20000]
    return {
        "a common word": lambda: chance.choice(common),
        "a rare word": lambda: chance.choice(rare),
        "two common words": lambda: " ".join(chance.sample(common, 2)),
        "a common and a rare word": lambda: f"{chance.choice(common)} {chance.choice(rare)}",
        "two letters": lambda: chance.choice(words)[:2],
        "three letters": lambda: chance.choice(words)[:3],
        "four letters": lambda: chance.choice([word for word in rare if len(word) > 4])[:4],
        "a phrase": lambda: f'"{chance.choice(common)} {chance.choice(common)}"',
        "a word that is nowhere": lambda: "xylophone" + chance.choice(words),
    }


def server_clock() -> Callable[[], float]:
    """Returns a clock of the CPU time of this process and of PostgreSQL's, in seconds."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0")
        cursor.execute("SELECT pg_backend_pid()")
        times = Path(f"/proc/{cursor.fetchone()[0]}/schedstat")
    if not times.exists():
        return time.perf_counter
    return lambda: time.process_time() + int(times.read_text().split()[0]) / 1e9


def measure(run: Callable[[str], object], text: Callable[[], str], clock: Callable[[], float]) -> list[float]:
    seconds = []
    for _ in range(ROUNDS):
        query = text()
        began = clock()
        run(query)
        seconds.append(clock() - began)
    return sorted(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--postgres", default="", help="the address of a PostgreSQL database; SQLite otherwise"
    )
    parser.add_argument("--messages", type=int, default=MESSAGES)
    options = parser.parse_args()
    with ExitStack() as stack:
        os.environ["STEADY_DATA_DIR"] = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="steady-bench-")
        )
        if options.postgres:
            os.environ["DATABASE_URL"] = stack.enter_context(fresh_database(options.postgres))
        os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        from chat.backends import patience
        from chat.models import Message
        from chat.search import search
        from chat.search.catch_up import catch_up

        patience.lift(True)
        call_command("migrate", verbosity=0)
        chance = random.Random(1)
        words = vocabulary(chance)
        user = fill(options.messages, words, chance)
        began, rows = time.process_time(), 0
        while done := catch_up():
            rows += done
        print(
            f"{rows} entries, {(time.process_time() - began) / rows * 1e6:.0f} us of CPU in this process each"
        )
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE" if options.postgres else "ANALYZE")

        def like(text: str) -> list[Any]:
            theirs = Message.objects.filter(conversation__owner=user, conversation__deleted_at=None)
            for word in text.strip('"').split() if '"' not in text else [text.strip('"')]:
                theirs = theirs.filter(text__icontains=word)
            return list(theirs.order_by("-created_at").values_list("pk", "text")[:200])

        print("| query | search p50 (ms) | p95 | LIKE p50 (ms) | p95 |\n|---|--:|--:|--:|--:|")
        every: list[float] = []
        gc.collect()
        gc.freeze()  # as the server does after its start
        clock = server_clock() if options.postgres else time.process_time
        for name, text in queries(words, chance).items():
            ours = measure(lambda query: search(user, query), text, clock)
            plain = measure(like, text, clock)
            every += ours
            figures = " | ".join(f"{at(it, part) * 1000:.1f}" for it in (ours, plain) for part in (0.5, 0.95))
            print(f"| {name} | {figures} |", flush=True)
        every.sort()
        print(f"| all | {at(every, 0.5) * 1000:.1f} | {at(every, 0.95) * 1000:.1f} | | |")
        connection.close()


if __name__ == "__main__":
    main()
