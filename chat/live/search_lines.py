"""The provider's searches of the web, and the pages that a reply cites, in its output.

Segments of the kinds "web_search" and "citation" are lines, each a JSON object with the fields of a
`parts.WebSearch` or a `parts.Citation`. Each line of a search replaces the one before with the same id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from chat.live.reply_log import CITATION, WEB_SEARCH, Segment, joined, lines_of
from chat.parts import Citation, WebSearch, storable_part
from chat.sources import MOST_PLACE, MOST_TITLE, MOST_URL, plain, web_address

MOST_QUERY = 500  # characters
MOST_KEPT = 50  # searches of one reply
ID_CHARS = 150


def search_line(search: WebSearch) -> str:
    """Returns the line of a search."""
    line = replace(search, id=search.id[:ID_CHARS], query=plain(search.query)[:MOST_QUERY])
    return json.dumps(asdict(storable_part(line))) + "\n"


def citation_line(citation: Citation, before: int) -> str:
    """Returns the line of a citation in an answer that begins after `before` characters of the message;
    nothing if its address cannot be linked."""
    if not web_address(citation.url):
        return ""
    at = None if citation.at is None else max(0, min(before + citation.at, MOST_PLACE))
    line = Citation(citation.url[:MOST_URL], plain(citation.title)[:MOST_TITLE], at)
    return json.dumps(asdict(storable_part(line))) + "\n"


def search_of(line: dict[str, Any]) -> WebSearch:
    return WebSearch(line["id"], line["query"], line["state"], line.get("engine", ""))


def citation_of(line: dict[str, Any]) -> Citation:
    return Citation(line["url"], line["title"], line["at"])


def searches_in(segments: Iterable[Segment]) -> int:
    """Returns the number of searches that succeeded."""
    return len({line["id"] for line in _searches(segments) if line["state"] == "done"})


def search_ids(segments: Iterable[Segment]) -> set[str]:
    return {line["id"] for line in _searches(segments)}


def _searches(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    return [line for kind, text in joined(segments) if kind == WEB_SEARCH for line in lines_of(text)]


def citations_in(segments: Iterable[Segment]) -> int:
    return sum(text.count("\n") for kind, text in segments if kind == CITATION)
