"""What it costs to prepare the request of a reply in a long chat: the CPU time of the process, and queries.

    uv run --group dev python -m benchmarks.context [--messages 2000] [--words 60] [--postgres URL]

Three models: one whose window takes the whole chat, one whose window takes the newest messages, and the same
with calls of tools in each tenth reply.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import uuid
from contextlib import ExitStack

from tests.services import fresh_database

ROUNDS = 30
CALL = [
    {"type": "text", "text": "Look. "},
    {"type": "tool_call", "id": "1", "name": "current_time", "arguments": "{}"},
    {"type": "tool_result", "call_id": "1", "text": "noon", "state": "done"},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--postgres", default="", help="the address of a database; SQLite otherwise")
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
        from chat.runtime import Runtime, install

        patience.lift(True)
        install(Runtime())
        call_command("migrate", verbosity=0)
        print("| the window takes | least (ms of CPU) | p50 | p95 | queries | messages sent |")
        print("|---|--:|--:|--:|--:|--:|")
        tokens = options.messages * options.words * 2
        for name, window, every in (
            ("all messages", max(tokens * 4, 200_000), 0),
            ("the newest", 32_000, 0),
            ("the newest, with calls of tools", 32_000, 10),
        ):
            _measure(name, window, options.messages, options.words, every)
        connection.close()


def _measure(name: str, window: int, messages: int, words: int, every: int) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from chat.actions.send import send_message
    from chat.generation.context import StepInput, prepare
    from chat.models import ChatModel, Conversation, Endpoint, Generation, Message, User
    from chat.providers.base import Tool

    user = User.objects.create_user(f"{uuid.uuid4()}@example.org", None)
    endpoint, _ = Endpoint.objects.get_or_create(slug="demo", defaults={"name": "Demo"})
    model = ChatModel.objects.create(endpoint=endpoint, name=f"demo {window} {every}", context_window=window)
    chat = Conversation.objects.create(owner=user, title="Long", revision=1, last_position=messages)
    text = " ".join(f"word{number}" for number in range(words))
    parent, rows = None, []
    for position in range(1, messages + 1):
        is_prompt = position % 2 == 1
        has_calls = every and not is_prompt and position % (2 * every) == 0
        said = [*(CALL if has_calls else ()), {"type": "text", "text": text}]
        parent = Message(
            conversation=chat,
            parent=parent,
            position=position,
            role="user" if is_prompt else "assistant",
            text=text,
            parts=said,
            added_revision=1,
            revision=1,
        )
        rows.append(parent)
    Message.objects.bulk_create(rows, batch_size=500)
    Generation.objects.bulk_create(
        Generation(conversation=chat, message=row, model=model, model_label="Demo", status="complete")
        for row in rows[1::2]
    )
    Conversation.objects.filter(pk=chat.pk).update(head=parent)
    sent = send_message(user, chat.pk, client_id=uuid.uuid4(), text="And now?", model_ids=[model.pk])
    found = Generation.objects.select_related("message__parent", "model__endpoint", "conversation")
    pk = found.get(message__parent=sent.message).pk
    step = StepInput([Tool("current_time", "The time", {"type": "object"})]) if every else None
    seconds = []
    for _ in range(ROUNDS):
        generation = found.get(pk=pk)
        began = time.process_time()
        prepared = prepare(generation, step=step)
        seconds.append(time.process_time() - began)
    with CaptureQueriesContext(connection) as queries:
        prepare(found.get(pk=pk), step=step)
    seconds.sort()
    least, p50, p95 = (seconds[int(ROUNDS * share)] * 1000 for share in (0, 0.5, 0.95))
    number = len(prepared.request.turns)
    print(f"| {name} | {least:.1f} | {p50:.1f} | {p95:.1f} | {len(queries) - 1} | {number} |", flush=True)


if __name__ == "__main__":
    main()
