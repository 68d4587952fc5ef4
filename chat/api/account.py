"""The models that the user may use, and what they have used."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone
from ninja import Router
from ninja.params import functions as parameters

from chat.actions.errors import InvalidInputError
from chat.api import schemas
from chat.api.resources import aware, model_json
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit
from chat.models import ChatModel, Generation, Scope, UsageEntry, User
from chat.translatable import translatable as _

router = Router(tags=["Models and usage"])

DAYS = 30
MOST_DAYS = 400


@router.get(
    "/models",
    auth=Token(Scope.READ),
    response={200: schemas.ModelList, **REFUSALS},
    operation_id="listModels",
    summary="List models",
)
async def list_models(request: ApiRequest) -> dict[str, Any]:
    """Returns the models that you can send prompts to, as the page lists them."""
    return await run_unit(_models, request.auth.user)


@router.get(
    "/usage",
    auth=Token(Scope.READ),
    response={200: schemas.UsageReport, **REFUSALS},
    operation_id="getUsage",
    summary="Get your own usage",
)
async def get_usage(
    request: ApiRequest,
    since: Annotated[datetime | None, parameters.Query(description="30 days ago if missing.")] = None,
    until: Annotated[datetime | None, parameters.Query(description="Now if missing.")] = None,
    by: Annotated[
        Literal["model", "month"], parameters.Query(description="month: by model and calendar month.")
    ] = "model",
) -> dict[str, Any]:
    """Returns tokens and cost of the replies that began, and the gateway's calls that ended, in this time, by
    model. Months are those of the server's time zone."""
    last = aware(until) if until else timezone.now()
    first = aware(since) if since else last - timedelta(days=DAYS)
    if not timedelta() <= last - first <= timedelta(days=MOST_DAYS):
        raise InvalidInputError(_("`since` must be before `until`, by at most {days} days."), days=MOST_DAYS)
    return await run_unit(_usage, request.auth.user, first, last, by == "month")


def _models(user: User) -> dict[str, Any]:
    models = sorted(ChatModel.objects.usable_by(user), key=ChatModel.place_in_list)
    return {"items": [model_json(model) for model in models]}


def _usage(user: User, since: datetime, until: datetime, by_month: bool) -> dict[str, Any]:
    # The reply of a call that was kept as a chat is counted as the call.
    replies = Generation.objects.filter(
        conversation__owner=user, queued_at__gte=since, queued_at__lt=until, usage_entry=None
    )
    calls = UsageEntry.objects.filter(user=user, at__gte=since, at__lt=until)
    items: dict[tuple[str, str, int], dict[str, Any]] = {}
    for counted, rows, at in (("replies", replies, "queued_at"), ("calls", calls, "at")):
        for row in _sums(rows, at if by_month else None):
            month = f"{row['month']:%Y-%m}" if by_month else None
            item = items.setdefault(
                (month or "", row["model_label"], row["model_id"] or 0),
                {
                    "month": month,
                    "model": {"id": row["model_id"], "name": row["model_label"]},
                    **dict.fromkeys(("replies", "calls", "input_tokens", "output_tokens"), 0),
                    "cost": None,
                },
            )
            item[counted] = row["count"]
            item["input_tokens"] += row["inputs"] or 0
            item["output_tokens"] += row["outputs"] or 0
            if row["cost"] is not None:
                item["cost"] = row["cost"] + (item["cost"] or 0)
    for item in items.values():
        item["cost"] = None if item["cost"] is None else f"{item['cost']:.8f}"
    return {"since": since, "until": until, "items": [item for _, item in sorted(items.items())]}


def _sums(rows: QuerySet[Any], at: str | None) -> Iterable[dict[str, Any]]:
    """Returns the sums of each model, and of each month by the moment `at`."""
    months = {"month": TruncMonth(at)} if at else {}
    sums = {"inputs": Sum("input_tokens"), "outputs": Sum("output_tokens"), "cost": Sum("cost")}
    found: Iterable[dict[str, Any]] = (
        rows.order_by()
        .annotate(**months)
        .values(*months, "model_id", "model_label")
        .annotate(count=Count("pk"), **sums)
    )
    return found
