"""Errors of providers, and their effects."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.providers import errors, failures
from chat.providers.connection import TRANSPORT_ERRORS
from tests.providers.conftest import Connect, ask, collect
from tests.providers.wire import FORMATS, Wire

OPENAI_QUOTA = "You exceeded your current quota, please check your plan and billing details."
GEMINI_RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}
GEMINI_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("status", "mark", "message", "code"),
    [
        (429, "insufficient_quota", OPENAI_QUOTA, "billing"),
        (429, "RESOURCE_EXHAUSTED", OPENAI_QUOTA, "rate_limited"),
        (429, "rate_limit_exceeded", "Request too large: tokens per min limit", "rate_limited"),
        (429, "", "The input exceeds the maximum of tokens per minute", "rate_limited"),
        (400, "", "Your credit balance is too low to access the API", "billing"),
        (400, "", "You have reached your specified API usage limits.", "billing"),
        (402, "", "Insufficient Balance", "billing"),
        (400, "context_length_exceeded", "", "context_length"),
        (400, "", "This model's maximum context length is 8192 tokens", "context_length"),
        (400, "", "prompt is too long: 210000 tokens > 200000 maximum", "context_length"),
        (400, "", "The input token count (9) exceeds the maximum number of tokens allowed", "context_length"),
        (400, "exceed_context_size_error", "the request exceeds the available size", "context_length"),
        (413, "request_too_large", "Request exceeds the maximum size", "context_length"),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "authentication"),
        (404, "model_not_found", "The model `x` does not exist", "model_not_found"),
        (404, "not_found_error", "model: claude-x", "model_not_found"),
        (404, "NOT_FOUND", "models/x is not found for API version v1", "model_not_found"),
        (404, "", 'model "llama9" not found, try pulling it first', "model_not_found"),
        (404, "", "404 page not found", "configuration"),
        (302, "", "Moved", "configuration"),
        (529, "overloaded_error", "Overloaded", "overloaded"),
        (503, "", "<html>Bad gateway</html>", "overloaded"),
        (520, "", "", "unavailable"),
        (418, "", "I am a teapot", "invalid_request"),
        (400, "content_filter", "Filtered due to content management policy", "invalid_request"),
    ],
)
def test_a_report_becomes_the_right_error(status: int, mark: str, message: str, code: str) -> None:
    for name in ("code", "type", "status"):
        error = {"message": message, name: mark}
        for body in ({"error": error}, error, [{"error": error}]):
            assert failures.from_status(status, body, secrets=()).code == code
    if not mark:
        assert failures.from_status(status, message, secrets=()).code == code


def test_a_bad_gemini_key_is_known_by_its_reason() -> None:
    body = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [GEMINI_KEY]}}
    assert failures.from_status(400, body, secrets=()).code == "authentication"


def test_a_model_for_audio_says_so_to_people() -> None:
    words = "This model requires that either input content or output modality contain audio."
    error = failures.from_status(400, {"error": {"message": words, "code": "invalid_value"}}, secrets=())
    assert error.code == "invalid_request" and "only prompts with audio" in str(error)


def test_a_content_filter_says_so_to_people() -> None:
    error = failures.from_status(400, {"error": {"message": "blocked by content_filter"}}, secrets=())
    assert "filter" in str(error)


def test_gemini_names_the_wait_in_the_body() -> None:
    body = {
        "error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow", "details": [GEMINI_RETRY]}
    }
    assert failures.from_status(429, body, secrets=()).retry_after == 37


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "20"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert failures.retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=3_600), usegmt=True)
    assert 3_000 < (failures.retry_after({"retry-after": date}) or 0) <= 3_600


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ReadError("x"), errors.ConnectionFailedError),
        (httpx2.ReadTimeout("x"), errors.TimeoutExceededError),
        (httpx2.UnsupportedProtocol("x"), errors.ConfigurationError),
        (aiohttp.ServerDisconnectedError(), errors.ConnectionFailedError),
        (aiohttp.SocketTimeoutError(), errors.TimeoutExceededError),
        (aiohttp.InvalidURL("x"), errors.ConfigurationError),
        (ConnectionResetError(), errors.ConnectionFailedError),
        (TimeoutError(), errors.TimeoutExceededError),
        (ssl.SSLError(), errors.ConnectionFailedError),
        (socket.gaierror(), errors.ConnectionFailedError),
    ],
)
def test_a_broken_transport_becomes_the_right_error(
    error: Exception, kind: type[errors.ProviderError]
) -> None:
    assert type(failures.from_transport(error, secrets=())) is kind
    wrapped = RuntimeError("the SDK's own")
    wrapped.__cause__ = error
    assert type(failures.from_transport(wrapped, secrets=())) is kind


def test_a_refused_connection_that_an_sdk_calls_a_timeout_is_no_timeout() -> None:
    wrapped = httpx2.ConnectTimeout("x")
    wrapped.__cause__ = aiohttp.ClientConnectionError("refused")
    assert type(failures.from_transport(wrapped, secrets=())) is errors.ConnectionFailedError


@given(
    status=st.integers(100, 599),
    body=st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "code", "type", "details", "status"]), inner
            )
        ),
        max_leaves=10,
    ),
)
def test_any_report_becomes_some_error(status: int, body: Any) -> None:
    error = failures.from_status(status, body, secrets=("k",))
    assert error.code and str(error)
    assert failures.from_stream(body, secrets=("k",)).code


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-canary-secret",
        "Bearer sk-canary-secret was refused",
        "Incorrect API key provided: sk-cana***********cret.",
        "key AIzaSyCanaryCanaryCanary is bad",
        "Cannot connect to http://ada:canary@gateway.example/v1",
        "Cannot connect to http://ada:half@canary-secret@gateway.example/v1",
        "refused https://gateway.example/v1?api_key=canary-secret&x=1",
        "Authorization: Basic YWRhOmNhbmFyeS1zZWNyZXQ= is wrong",
        "token eyJhbGciOiJIUzI1NiJ9.canary.secret has expired",
    ],
)
def test_keys_are_taken_out_of_details(text: str) -> None:
    clean = failures.redact(text, ("sk-canary-secret",)).lower()
    assert "cana" not in clean and "cret" not in clean


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (
            {"error": {"message": "No such option.", "code": "unknown_parameter", "param": "include"}},
            "HTTP 400: No such option. (unknown_parameter, 'include')",
        ),
        ({"detail": [{"loc": ["body"], "msg": "Wrong.", "input": "a prompt"}]}, "HTTP 400: Wrong. ['body']"),
        ("<html><style>p {}</style><h1>Bad\n Gateway</h1></html>", "HTTP 400: Bad Gateway"),
        ({"prompt": "a prompt"}, "HTTP 400: no reason is given."),
        ("", "HTTP 400: no reason is given."),
    ],
)
def test_administrators_see_the_message_of_the_provider_and_nothing_of_the_prompt(
    body: object, detail: str
) -> None:
    assert failures.from_status(400, body, secrets=()).detail == detail


def test_a_placeholder_for_a_key_is_not_taken_out_of_every_word() -> None:
    assert failures.redact("HTTP 404: no model x at example", ("x",)) == "HTTP 404: no model x at example"
    assert failures.redact("the key is abcdefgh", ("abcdefgh",)) == "the key is [key]"


def test_every_error_has_words_and_a_code() -> None:
    def tree(kind: type[errors.ProviderError]) -> list[type[errors.ProviderError]]:
        return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]

    kinds = tree(errors.ProviderError)
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(kind.__doc__ is not None or kind.words.endswith(".") for kind in kinds)
    for kind in kinds[1:]:
        assert f"{kind.__name__} " in (errors.__doc__ or "") and kind.code in (errors.__doc__ or "")


def test_cancellation_is_not_a_transport_error() -> None:
    assert not issubclass(asyncio.CancelledError, TRANSPORT_ERRORS)


@pytest.mark.parametrize("name", FORMATS)
async def test_an_error_without_end_is_read_to_a_limit(connect: Connect, wire: Wire, name: str) -> None:
    wire.flood = 401
    for ask_it in (collect(connect(name), ask("hello")), connect(name).list_models()):
        with pytest.raises(errors.AuthenticationError) as raised:
            await ask_it
        assert len(raised.value.detail) <= 1_000
    assert wire.flooded < 64 * 1024 * 1024, "a part of a gigabyte, because of the buffers on the way"
