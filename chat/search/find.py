"""Finds messages and titles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import QuerySet

from chat.access import conversations_of
from chat.models import Conversation, Message, Role, User
from chat.search import postgresql, sqlite
from chat.search.catch_up import is_complete_for
from chat.search.highlight import Pieces, excerpt, highlighted
from chat.search.index import facts_of, first_id, model_facts
from chat.search.newest import newest_ids
from chat.search.query import Query, Term, parse

MOST_HITS = 200  # that are read for one page of results
_FIRST_HITS = 30  # that are read first; they are enough if they are in different chats
HITS_OF_A_CHAT = 3  # that are shown
_MOST_NAMED = 50  # chats in a query of the index


@dataclass(frozen=True, slots=True)
class Hit:
    """A message. `pieces` is the text around the hit. A message that is not `shown` is in another variant."""

    message_id: UUID
    by_user: bool
    at: datetime
    shown: bool
    pieces: Pieces


@dataclass(frozen=True, slots=True)
class FoundChat:
    """A chat with its newest hits, and the number of its further ones."""

    conversation: Conversation
    title: Pieces
    hits: list[Hit]
    further: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """One page of results. `notes` are sentences for the user. `older` is the argument `until` of the next
    page, 0 if there is none. Unless `is_complete`, older chats are still being indexed."""

    chats: list[FoundChat] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    older: int = 0
    is_complete: bool = True


class _Row(NamedTuple):
    entry_id: int
    conversation_id: UUID
    message_id: UUID | None


def search(user: User, text: str, limit: int = 20, *, until: int = 0, zone: ZoneInfo | None = None) -> Found:
    """Returns at most `limit` of the user's chats with hits: first those with hits in the title, then the
    others by their newest hit. Every text is a query (see `chat.search.query`). Dates in it are days in
    `zone`."""
    query = parse(text, zone)
    if not query or not user.is_active:
        return Found(notes=query.notes)
    titles = [row.conversation_id for row in _rows(user, query, limit, titles=True)]
    grouped: dict[UUID, list[_Row]] = {} if until else {pk: [] for pk in titles}
    while True:
        older = _group(grouped, _hits(user, query, until, set(grouped), limit), limit)
        if until:  # Chats of earlier pages are not repeated, although they may have older hits.
            for pk in _newer(user, query, until, list(grouped)).union(titles):
                grouped.pop(pk, None)
        if grouped or not older:
            break
        until = older
    chats = _chats(conversations_of(user), grouped, query.terms)
    return Found(chats, query.notes, older, is_complete_for(user))


def _hits(user: User, query: Query, until: int, chats: set[UUID], limit: int) -> list[_Row]:
    """Returns the newest entries for one page: those in more than `limit` chats, `MOST_HITS`, or all."""
    rows = _rows(user, query, _FIRST_HITS, until=until)
    if len(rows) < _FIRST_HITS or len(chats.union(row.conversation_id for row in rows)) > limit:
        return rows
    return rows + _rows(user, query, MOST_HITS - _FIRST_HITS, until=rows[-1].entry_id)


def _group(grouped: dict[UUID, list[_Row]], rows: list[_Row], limit: int) -> int:
    """Adds the rows to at most `limit` chats. Returns where the next page begins, 0 if there is none."""
    # No row is added if chats with hits in the title fill the page.
    before = rows[0].entry_id + 1 if rows else 0
    for row in rows:
        if row.conversation_id not in grouped and len(grouped) >= limit:
            return before
        grouped.setdefault(row.conversation_id, []).append(row)
        before = row.entry_id
    return before if len(rows) == MOST_HITS else 0


def titled(user: User, text: str, limit: int) -> list[Conversation]:
    """Returns at most `limit` of the user's chats whose titles match the query, the newest first."""
    query = parse(text)
    if not query or not user.is_active:
        return []
    found = [row.conversation_id for row in _rows(user, query, limit, titles=True)]
    theirs = conversations_of(user).in_bulk(found)
    return [theirs[pk] for pk in found if pk in theirs]


def conversations_with(term: Term) -> QuerySet[Any]:
    """Returns the ids of the chats of all users with the term in a text or title, for the administration."""
    # Imported on use, because only the administration needs it.
    from django.db.models.expressions import RawSQL

    backend = _backend()
    sql = f"SELECT e.conversation_id FROM {backend.FROM} WHERE {backend.MATCHES}"  # noqa: S608  (our own)
    return Conversation.objects.filter(pk__in=RawSQL(sql, [backend.expression([term], [])])).values("pk")  # noqa: S611


def _rows(user: User, query: Query, limit: int, *, until: int = 0, titles: bool = False) -> list[_Row]:
    """Returns the newest entries that match, in the order of their times."""
    facts = _facts(user, query, titles=titles)
    if facts is None:
        return []
    backend = _backend()
    if backend is postgresql and not titles:
        return _newest_rows(user, query, facts, limit, until)
    number = backend.ORDER_OF_TITLES if titles else backend.ENTRY_ID
    sql, values = _matching(user, query, facts, below=until, titles=titles)
    return _read(sql, values, number, limit)


def _newest_rows(user: User, query: Query, facts: list[list[Term]], limit: int, until: int) -> list[_Row]:
    """Like `_rows`, for PostgreSQL: queries the index first, then checks the conditions that are not in it,
    because chats in the trash have entries too."""
    match = postgresql.expression(query.terms, facts)
    least = first_id(query.after) if query.after else 0
    ends = [until or postgresql.LAST_ID, first_id(query.before) if query.before else postgresql.LAST_ID]
    sql, values = _matching(user, query, facts, match=postgresql.MATCHES_WITHOUT_INDEX)
    rows: list[_Row] = []
    for found in newest_ids(match, query.terms, limit, least, min(ends)):
        if found:
            rows += _read(
                f"{sql} AND e.id = ANY(%s)", [*values, found], postgresql.ENTRY_ID, limit - len(rows)
            )
        if len(rows) >= limit:
            break
    return rows


def _read(sql: str, values: list[Any], number: str, limit: int) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT e.id, e.conversation_id, e.message_id {sql} ORDER BY {number} DESC LIMIT %s",
            [*values, limit],
        )
        return [_Row(number, _uuid(chat), message and _uuid(message)) for number, chat, message in cursor]


def _newer(user: User, query: Query, since: int, chats: Sequence[UUID]) -> set[UUID]:
    """Returns the chats that have a hit on an earlier page."""
    facts = _facts(user, query) if chats else None
    if facts is None:
        return set()
    facts.append([_fact(facts_of(user.pk, pk)[1]) for pk in chats])
    sql, values = _matching(user, query, facts, since=since)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT e.conversation_id {sql}", values)
        return {_uuid(chat) for (chat,) in cursor}


def _matching(
    user: User,
    query: Query,
    facts: list[list[Term]],
    *,
    below: int = 0,
    since: int = 0,
    titles: bool = False,
    match: str = "",
) -> tuple[str, list[Any]]:
    """Returns the SQL of a query of the matching entries from its FROM clause on, and its values."""
    backend = _backend()
    conditions = [match or backend.MATCHES, "c.owner_id = %s", "c.deleted_at IS NULL", "m.deleted_at IS NULL"]
    values: list[Any] = [backend.expression(query.terms, facts), user.pk]
    conditions += [backend.TITLES] if titles else []
    conditions += [f"c.{state}_at IS NOT NULL" for state in sorted(query.states)]
    for tag in query.tags:
        same = "substr(t.key, 1, %s) = %s" if tag.is_prefix else "t.key = %s"
        conditions.append(f"EXISTS (SELECT 1 FROM chat_tag t WHERE t.conversation_id = c.id AND {same})")  # noqa: S608
        values += [len(tag.key), tag.key] if tag.is_prefix else [tag.key]
    bounds = [
        (below, "<"),
        (query.before and max(1, first_id(query.before)), "<"),  # 0 would be no bound
        (since, ">="),
        (query.after and first_id(query.after), ">="),
    ]
    for bound, sign in bounds:
        if bound:
            conditions.append(f"{backend.ENTRY_ID} {sign} %s")
            values.append(bound)
    sql = (
        f"FROM {backend.FROM} JOIN chat_conversation c ON c.id = e.conversation_id"
        f" LEFT JOIN chat_message m ON m.id = e.message_id WHERE {' AND '.join(conditions)}"
    )
    return sql, values


def _facts(user: User, query: Query, *, titles: bool = False) -> list[list[Term]] | None:
    """Returns groups of facts. A matching entry has one fact of each group. Returns None if no entry can."""
    owner, _chat = facts_of(user.pk, UUID(int=0))
    groups = [[_fact(owner)]]
    if titles:
        groups.append([_fact("title")])
    if query.role:
        groups.append([_fact(query.role)])
    for model in query.models:
        groups.append([_fact(fact, is_prefix=True) for fact in model_facts(model.words[0])])
    if query.states or query.tags:
        chats = conversations_of(user).filter(**{f"{state}_at__isnull": False for state in query.states})
        for tag in query.tags:
            chats = chats.filter(**{"tags__key__startswith" if tag.is_prefix else "tags__key": tag.key})
        chats = chats.distinct()
        ids = list(chats.order_by().values_list("pk", flat=True)[: _MOST_NAMED + 1])
        if not ids:
            return None
        if len(ids) <= _MOST_NAMED:
            groups.append([_fact(facts_of(user.pk, pk)[1]) for pk in ids])
    return groups


def _fact(fact: str, *, is_prefix: bool = False) -> Term:
    return Term((fact,), is_prefix)


def _chats(
    conversations: QuerySet[Conversation], grouped: dict[UUID, list[_Row]], terms: Sequence[Term]
) -> list[FoundChat]:
    theirs = conversations.prefetch_related("tags").in_bulk(list(grouped))
    shown = {pk: [row.message_id for row in rows if row.message_id] for pk, rows in grouped.items()}
    ids = [message_id for messages in shown.values() for message_id in messages[:HITS_OF_A_CHAT]]
    texts = Message.objects.filter(pk__in=ids, conversation__in=theirs, deleted_at=None).only(
        "role", "text", "created_at", "shown"
    )
    hits = {message.pk: _hit(message, terms) for message in texts}
    return [
        FoundChat(
            theirs[pk],
            highlighted(str(theirs[pk]), terms),
            [hits[message_id] for message_id in messages[:HITS_OF_A_CHAT] if message_id in hits],
            max(0, len(messages) - HITS_OF_A_CHAT),
        )
        for pk, messages in shown.items()
        if pk in theirs
    ]


def _hit(message: Message, terms: Sequence[Term]) -> Hit:
    return Hit(
        message.pk,
        message.role == Role.USER,
        message.created_at,
        message.shown,
        excerpt(message.text, terms),
    )


def _backend() -> Any:
    return postgresql if connection.vendor == "postgresql" else sqlite


def _uuid(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)
