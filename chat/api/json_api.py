"""The JSON API under `/api/v1/`: its routes, its errors and its description."""

from __future__ import annotations

import logging
from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from chat.api import account, administration, conversations, prompts, replies
from chat.api.problems import KNOWN, MEDIA_TYPE, Problem, problem_of
from chat.api.routing import Renderer, refused, with_limits

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
        """Names the media type of refusals, which ninja takes for JSON."""
        schema = super().get_openapi_schema(**kwargs)
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400 and "application/json" in response.get("content", {}):
                        response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
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
for routes in (prompts, replies, conversations, account, administration):
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


for kind in KNOWN:
    api.add_exception_handler(kind, _refuse)
api.add_exception_handler(ValidationError, _refuse_input)
api.add_exception_handler(HttpError, _refuse_body)  # ninja's for a body that is not JSON
