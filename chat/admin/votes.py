"""Which model people prefer, of replies to the same prompt: from ratings alone, without any text."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import NamedTuple
from uuid import UUID

from chat.models import ChatModel, Feedback, Generation, Status

LATEST = 2_000  # ratings that are counted
MOST_PAIRS = 20


class Pair(NamedTuple):
    """How often the reply of each of two models was rated better than that of the other."""

    first: str
    first_wins: int
    second: str
    second_wins: int

    @property
    def first_share(self) -> int:
        """Returns the percentage of the votes that the first model won."""
        return round(100 * self.first_wins / (self.first_wins + self.second_wins))

    @property
    def second_share(self) -> int:
        return 100 - self.first_share


def pairs_of_models() -> list[Pair]:
    """Returns the pairs with the most votes, from the latest ratings; the model that won more often first. A
    kept reply is rated as good, and imported ones do not count. A good rating wins over none, and none over a
    bad one. Of the good ratings of a person for replies to one prompt, the newest counts. Replies that are
    not complete had no chance, and do not count."""
    here = Generation.objects.made_here()
    latest = Feedback.objects.filter(message__generation__in=here).order_by("-pk")[:LATEST]
    votes = list(latest.values_list("message__parent", "user", "message", "is_good"))
    prompts = Feedback.objects.filter(pk__in=latest.values("pk")).values("message__parent")
    complete = here.filter(status=Status.COMPLETE, model__isnull=False)
    replies: dict[UUID | None, list[tuple[UUID, int]]] = {}
    rows = complete.filter(message__parent__in=prompts).order_by("message__position")
    for prompt, message, model in rows.values_list("message__parent", "message", "model"):
        replies.setdefault(prompt, []).append((message, model))
    ratings: dict[tuple[UUID | None, int], dict[UUID, int]] = {}
    for prompt, user, message, is_good in votes:  # the newest first
        rated = ratings.setdefault((prompt, user), {})
        has_favourite = 1 in rated.values()
        rated[message] = -1 if not is_good else 0 if has_favourite else 1
    wins: Counter[tuple[int, int]] = Counter()
    for (prompt, _user), rated in ratings.items():
        scores: dict[int, int] = {}
        for message, model in replies.get(prompt, ()):
            rating = rated.get(message, 0)
            scores[model] = max(rating, scores.get(model, rating))
        for one, other in combinations(scores, 2):
            if scores[one] != scores[other]:
                wins[(one, other) if scores[one] > scores[other] else (other, one)] += 1
    return _named(wins)


def _named(wins: Counter[tuple[int, int]]) -> list[Pair]:
    """Returns the pairs with the names of the models; those of the same name with their endpoints."""
    ids = {model for pair in wins for model in pair}
    models = {model.pk: model for model in ChatModel.objects.filter(pk__in=ids).select_related("endpoint")}
    uses = Counter(model.label for model in models.values())
    names = {
        pk: model.label if uses[model.label] == 1 else f"{model.label} ({model.endpoint})"
        for pk, model in models.items()
    }
    pairs = []
    for one, other in {(min(pair), max(pair)) for pair in wins if names.keys() >= set(pair)}:
        first, second = (names[one], wins[one, other]), (names[other], wins[other, one])
        if (-first[1], first[0]) > (-second[1], second[0]):
            first, second = second, first
        pairs.append(Pair(*first, *second))
    pairs.sort(key=lambda pair: (-pair.first_wins - pair.second_wins, pair))
    return pairs[:MOST_PAIRS]
