"""Parameters and fields that several routes share, and refusals."""

from __future__ import annotations

from typing import Annotated

from ninja import Schema
from ninja.params import functions as parameters
from pydantic import Field

EXAMPLE_ID = "0197a3c2-8a5e-7c11-9d6e-2f4b8c1d0e3a"
Buffer = Annotated[
    str,
    parameters.Query(
        description="How the text is cut: none (as it comes), word, sentence, line, size:N characters or "
        "time:MS milliseconds."
    ),
]
After = Annotated[
    str,
    parameters.Query(
        description="The id of the last event that you have: for each reply a number, with dots between them."
    ),
]
KEY_LENGTH = 200
Key = Annotated[
    str,
    parameters.Header(
        alias="Idempotency-Key",
        max_length=KEY_LENGTH,
        description="A name of yours for this request, such as a UUID. Sent again, it starts nothing again.",
    ),
]
Text = Annotated[str, Field(description="Unicode text, Markdown where a model wrote it.")]


class Problem(Schema):
    """Why a request was refused (RFC 9457). `code` is stable; `detail` is for people."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such chat."])
    code: str = Field(examples=["not_found"])
