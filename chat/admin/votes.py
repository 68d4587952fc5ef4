"""Which model people prefer, of replies to the same prompt: from ratings alone, without any text."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import NamedTuple
from uuid import UUID

from chat.models import Feedback, Generation

LATEST = 2_000  # ratings that are counted
MOST_PAIRS = 20


class Pair(NamedTuple):
    """How often the reply of each of two models was rated better than that of the other."""

    first: str
    first_wins: int
    second: str
    second_wins: int


def pairs_of_models() -> list[Pair]:
    """Returns the pairs with the most votes, from the latest ratings; the model that won more often first. A
    kept reply is rated as good, and imported ones do not count. A good rating wins over none, and none over a
    bad one."""
    here = Generation.objects.made_here()
    latest = Feedback.objects.filter(message__generation__in=here).order_by("-pk")[:LATEST]
    ratings = {message: 1 if good else -1 for message, good in latest.values_list("message_id", "is_good")}
    prompts = Feedback.objects.filter(pk__in=latest.values("pk")).values("message__parent")
    rows = here.filter(message__parent__in=prompts).order_by("message__position")
    scores: dict[UUID | None, dict[str, int]] = {}
    for prompt, model, message in rows.values_list("message__parent", "model_label", "message"):
        best = scores.setdefault(prompt, {})
        rating = ratings.get(message, 0)
        best[model] = max(rating, best.get(model, rating))
    wins: Counter[tuple[str, str]] = Counter()
    for models in scores.values():
        for one, other in combinations(sorted(models), 2):
            if models[one] != models[other]:
                wins[(one, other) if models[one] > models[other] else (other, one)] += 1
    found = {tuple(sorted(pair)) for pair in wins}
    pairs = []
    for one, other in found:
        if wins[one, other] < wins[other, one]:
            one, other = other, one
        pairs.append(Pair(one, wins[one, other], other, wins[other, one]))
    pairs.sort(key=lambda pair: (-pair.first_wins - pair.second_wins, pair))
    return pairs[:MOST_PAIRS]
