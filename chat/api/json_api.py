"""The JSON API under `/api/v1/`: its routes, its errors and its description."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import orjson
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.operation import PathView

from chat.api import (
    account,
    administration,
    branches,
    comparisons,
    conversations,
    files,
    folders,
    knowledge,
    personal,
    prompts,
    replies,
    saved_prompts,
    search,
    selection,
    shares,
    tags,
    tickets,
    tools,
    transfers,
)
from chat.api.problems import KNOWN, MEDIA_TYPE, Problem, problem_of
from chat.api.routing import Renderer, refused, with_limits
from chat.api.schemas import Problem as ProblemSchema

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Everything that you do on the page, for programs. Each request needs a personal API token from the
settings: `Authorization: Bearer sty_...`. Cookies are not accepted. Refusals are `application/problem+json`
with a stable `code`."""


class JsonApi(NinjaAPI):
    def create_response(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return with_limits(request, super().create_response(request, *args, **kwargs))

    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        return with_limits(request, super().create_temporal_response(request))

    def get_openapi_schema(self, **kwargs: Any) -> Any:
        """Adds the schema and the media type of refusals. A ticket is a part of the address: for OpenAPI its
        operation needs no authentication."""
        schema = super().get_openapi_schema(**kwargs)
        schema["components"]["schemas"]["Problem"] = ProblemSchema.json_schema()
        refusal = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        schema["components"]["securitySchemes"].pop("Ticket", None)
        for operations in schema["paths"].values():
            for operation in operations.values():
                if operation["security"] == [{"Ticket": []}]:
                    operation["security"] = []
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        response["content"] = refusal
        return schema


api = JsonApi(
    title="Steady",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    openapi_url="/openapi.json",
    docs_url=None,
    renderer=Renderer(),
)
ROUTES = (
    *(prompts, replies, tickets, comparisons, tools, conversations, branches, search),
    *(selection, tags, folders, knowledge, saved_prompts, shares),
    *(files, transfers, account, personal, administration),
)
for routes in ROUTES:
    api.add_router("", routes.router)


def _refuse(request: HttpRequest, error: Any) -> HttpResponse:
    if isinstance(error, DatabaseError):
        logger.error("A request of a program could not be answered: %s", error)
    return refused(request, problem_of(error))


def _refuse_input(request: HttpRequest, error: Any) -> HttpResponse:
    words = "; ".join(f"{'.'.join(map(str, it['loc'][1:]))}: {it['msg']}" for it in error.errors[:5])
    return refused(request, Problem(400, "invalid_input", words or gettext("The request cannot be read.")))


def _refuse_body(request: HttpRequest, error: Any) -> HttpResponse:
    return refused(request, Problem(400, "invalid_input", gettext("The request cannot be read.")))


def _refuse_size(request: HttpRequest, error: Any) -> HttpResponse:
    return refused(request, Problem(413, "too_long", gettext("The request is too large.")))


def _refuse_rest(request: HttpRequest, error: Any) -> HttpResponse:
    logger.error("A request of a program failed: %s %s", request.method, request.path, exc_info=error)
    return refused(request, Problem(500, "internal", gettext("Something went wrong in Steady.")))


def _refuse_method(operations: PathView) -> HttpResponse:
    """Replaces ninja's answer, which is HTML."""
    allowed = sorted({method for operation in operations.operations for method in operation.methods})
    words = gettext("This method is not allowed here.")
    problem = Problem(405, "method_not_allowed", words, {"Allow": ", ".join(allowed)})
    return HttpResponse(
        orjson.dumps(problem.as_json()), status=405, content_type=MEDIA_TYPE, headers=problem.headers
    )


@csrf_exempt
def unknown(request: HttpRequest, rest: str) -> HttpResponse:
    """Answers the addresses below `/api/v1/` that no route has."""
    return refused(request, Problem(404, "not_found", gettext("The API has no such address.")))


for kind in KNOWN:
    api.add_exception_handler(kind, _refuse)
api.add_exception_handler(ValidationError, _refuse_input)
api.add_exception_handler(HttpError, _refuse_body)  # ninja's for a body that is not JSON
api.add_exception_handler(RequestDataTooBig, _refuse_size)
api.add_exception_handler(Exception, _refuse_rest)
for bound in api._get_bound_routers():
    for view in bound.path_operations.values():
        view._not_allowed = partial(_refuse_method, view)  # type: ignore[method-assign]
