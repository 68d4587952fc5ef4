"""How long a chat takes to open that has many variants, beside one of the same length without any.

    uv run --group dev python -m benchmarks.branches [--depth 1000] [--variants 500]

Both have so many shown messages (`--depth`); one has further variants of them (`--variants`), spread over the
chat. Another one without variants shows how much two equal chats differ in this run. The last one is as long
as a page, with as many variants as the last page of the one with variants has: the difference is the cost of
what is not shown. The times are the CPU time of the server for one page, in turns; the bytes are those of the
page, not compressed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from typing import Any

from benchmarks.streaming import at

ROUNDS = 40
PAGE = 50  # messages
TEXT = "The tide rises twice a day, because the Earth turns under two bulges of water. " * 4


def chat(owner: Any, model: Any, depth: int, variants: int) -> Any:
    """Returns a conversation of `depth` shown messages, prompts and replies in turns."""
    from chat.models import Conversation, Generation, Message, Role

    conversation = Conversation.objects.create(owner=owner, title="Tides", revision=1)
    messages: list[Any] = []
    shown: list[Any] = []
    every = max(2, depth // variants // 2 * 2) if variants else 0

    def add(parent: Any, *, is_shown: bool) -> Any:
        is_reply = parent is not None and parent.role == Role.USER
        message = Message(
            conversation=conversation,
            parent=parent,
            position=len(messages) + 1,
            role=Role.ASSISTANT if is_reply else Role.USER,
            text=TEXT,
            shown=is_shown,
            added_revision=1,
            revision=1,
        )
        messages.append(message)
        return message

    left = variants
    for number in range(depth):
        parent = shown[-1] if shown else None
        if left and number % 2 and number % every == 1:
            add(parent, is_shown=False)
            left -= 1
        shown.append(add(parent, is_shown=True))
    while left:  # as many as fit once; the rest are further variants of the last reply
        add(shown[-1].parent, is_shown=False)
        left -= 1
    Message.objects.bulk_create(messages, batch_size=500)
    Generation.objects.bulk_create(
        (
            Generation(
                conversation=conversation, message=each, model=model, model_label="Demo", status="complete"
            )
            for each in messages
            if each.role == Role.ASSISTANT
        ),
        batch_size=500,
    )
    conversation.head, conversation.last_position = shown[-1], len(messages)
    conversation.save()
    return conversation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=1_000)
    parser.add_argument("--variants", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steady-bench-") as folder:
        os.environ["STEADY_DATA_DIR"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection
        from django.test import Client
        from django.test.utils import setup_test_environment
        from django.urls import reverse

        from chat.backends import patience
        from chat.models import ChatModel, Endpoint, User

        patience.lift(True)
        setup_test_environment()
        call_command("migrate", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        owner = User.objects.create_user("person@example.org", None)
        endpoint = Endpoint.objects.get_or_create(slug="demo", defaults={"name": "Demo"})[0]
        model = ChatModel.objects.get_or_create(endpoint=endpoint, name="demo")[0]
        client = Client()
        client.force_login(owner)
        depth, variants = options.depth, options.variants
        chats = {
            f"{depth:,} messages": chat(owner, model, depth, 0),
            f"{depth:,} messages, again": chat(owner, model, depth, 0),
            f"{depth:,} messages, {variants} variants": chat(owner, model, depth, variants),
            "its last page alone": chat(owner, model, PAGE, PAGE * variants // depth),
        }
        addresses = {name: reverse("conversation", args=[each.pk]) for name, each in chats.items()}
        seconds: dict[str, list[float]] = {name: [] for name in chats}
        size = {}
        for number in range(ROUNDS + 3):
            for name, address in addresses.items():
                began = time.process_time()
                answer = client.get(address)
                if number >= 3:  # the first ones load templates
                    seconds[name].append(time.process_time() - began)
                assert answer.status_code == 200
                size[name] = len(answer.content)
        print(
            "| chat | p50 (ms of CPU) | p95 | to the first, round by round | bytes |\n|---|--:|--:|--:|--:|"
        )
        first = next(iter(seconds.values())).copy()
        for name, found in seconds.items():
            ratios = sorted(one / other for one, other in zip(found, first, strict=True))
            found.sort()
            times = f"{at(found, 0.5) * 1000:.1f} | {at(found, 0.95) * 1000:.1f} | {at(ratios, 0.5):.2f}"
            print(f"| {name} | {times} | {size[name]:,} |")
        connection.close()


if __name__ == "__main__":
    main()
