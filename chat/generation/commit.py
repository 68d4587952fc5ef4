"""Commits one tick of the journal: the leases and new output of all running replies of this process, in one
transaction.

On PostgreSQL it is one statement, hence one round trip. With a round trip for each query, a kill lost more
output the farther away the database was. SQLite has no CTE that writes. The ORM would take most of the time
of a tick, four times a second.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from chat.live.process import process_name
from chat.live.reply_log import Segment
from chat.models import Generation, Status

LOCK_SECONDS = 3  # shorter than the journal's patience

Entry = tuple[UUID, int, list[Segment]]  # a reply's output from a character on


class Tick(NamedTuple):
    """The generations that this process still holds, those of them that must stop, and those whose output and
    lease were written. The next tick writes the others, whose rows were locked."""

    held: set[UUID]
    to_stop: set[UUID]
    written: set[UUID]


def commit(entries: Sequence[Entry], running: Collection[UUID], *, renew: bool) -> Tick:
    """Writes the new output of the generations that this process still holds. With `renew` it renews their
    leases. An entry may be written again with more output. Raises DatabaseError."""
    if connection.vendor == "postgresql":
        return _in_one_statement(entries, running, renew)
    return _in_one_transaction(entries, running, renew)


# To stop are the generations that a user stopped, those of a deleted conversation, and those of a deactivated
# user. The ids are one parameter, so that the text of the statement is the same at each tick.
_LEASES = """
SELECT g.id, g.stop_requested OR c.deleted_at IS NOT NULL OR NOT u.is_active
FROM chat_generation g
JOIN chat_conversation c ON c.id = g.conversation_id
JOIN chat_user u ON u.id = c.owner_id
WHERE g.id IN (SELECT value FROM json_each(%s)) AND g.owner = %s AND g.status = 'running'
"""
# If the answer to a commit was lost, the entry is written again with at least as much output.
_WRITE = """
INSERT INTO chat_journalentry (generation_id, start, segments) VALUES (%s, %s, %s)
ON CONFLICT (generation_id, start) DO UPDATE SET segments = excluded.segments
"""


def _in_one_transaction(entries: Sequence[Entry], running: Collection[UUID], renew: bool) -> Tick:
    owner = process_name()
    with transaction.atomic(), connection.cursor() as cursor:
        if renew:
            mine = Generation.objects.filter(pk__in=running, owner=owner, status=Status.RUNNING)
            mine.update(heartbeat_at=Now())
        cursor.execute(_LEASES, [json.dumps([generation_id.hex for generation_id in running]), owner])
        leases = {UUID(generation_id): bool(is_to_stop) for generation_id, is_to_stop in cursor.fetchall()}
        cursor.executemany(
            _WRITE,
            [
                (generation_id.hex, start, json.dumps(segments))
                for generation_id, start, segments in entries
                if generation_id in leases
            ],
        )
    held = set(leases)
    return Tick(held, {generation_id for generation_id in held if leases[generation_id]}, held)


# `free` locks the rows that are written, so that no other process ends a generation in between. It skips rows
# that are locked, so that a transaction that hangs delays only its own reply. A delayed statement may arrive
# after its repetition: it does not replace a longer entry by a shorter one.
_STATEMENT = """
WITH mine AS (
    SELECT g.id, g.stop_requested OR c.deleted_at IS NOT NULL OR NOT u.is_active AS is_to_stop
    FROM chat_generation g
    JOIN chat_conversation c ON c.id = g.conversation_id
    JOIN chat_user u ON u.id = c.owner_id
    WHERE g.id = ANY(%(running)s::uuid[]) AND g.owner = %(owner)s AND g.status = 'running'
), free AS (
    SELECT g.id FROM chat_generation g
    WHERE g.id = ANY(%(writing)s::uuid[]) AND g.owner = %(owner)s AND g.status = 'running'
    FOR NO KEY UPDATE SKIP LOCKED
), renewed AS (
    UPDATE chat_generation g SET heartbeat_at = statement_timestamp()
    FROM free WHERE g.id = free.id AND %(renew)s
), written AS (
    INSERT INTO chat_journalentry AS entry (generation_id, start, segments)
    SELECT news.id, news.start, news.segments::jsonb
    FROM unnest(%(ids)s::uuid[], %(starts)s::bigint[], %(segments)s::text[]) AS news (id, start, segments)
    JOIN free ON free.id = news.id
    ON CONFLICT (generation_id, start) DO UPDATE SET segments = excluded.segments
    WHERE length(excluded.segments::text) > length(entry.segments::text)
)
SELECT mine.id, mine.is_to_stop, free.id IS NOT NULL FROM mine LEFT JOIN free ON free.id = mine.id
"""


def _in_one_statement(entries: Sequence[Entry], running: Collection[UUID], renew: bool) -> Tick:
    values: dict[str, Any] = {
        "owner": process_name(),
        "running": list(running),
        "writing": list(running) if renew else [generation_id for generation_id, _, _ in entries],
        "renew": renew,
        "ids": [generation_id for generation_id, _, _ in entries],
        "starts": [start for _, start, _ in entries],
        "segments": [json.dumps(segments) for _, _, segments in entries],
    }
    is_new = connection.connection is None
    with connection.cursor() as cursor:
        if is_new:  # the server gives up before the client, so that no statement without a client waits there
            cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        cursor.execute(_STATEMENT, values)
        rows = cursor.fetchall()
    return Tick(
        {generation_id for generation_id, _, _ in rows},
        {generation_id for generation_id, is_to_stop, _ in rows if is_to_stop},
        {generation_id for generation_id, _, is_written in rows if is_written},
    )
