"""Converts the errors of providers, SDKs and transports to the exceptions of `errors`.

One table covers all providers: their codes do not conflict, and compatible servers mix them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import httpx2

from chat.providers import errors
from chat.providers.errors import ProviderError
from chat.translatable import translatable as _

_DETAIL_LIMIT = 1_000
_SECRET_LENGTH = 8


def from_status(
    status: int, body: object, *, secrets: tuple[str, ...], headers: Mapping[str, str] | None = None
) -> ProviderError:
    """Returns the error for an HTTP response with `status`. `body` is its JSON or text. `secrets` are kept
    out of the error's `detail`."""
    return _error(status, body, f"HTTP {status}", secrets, retry_after(headers or {}))


def from_stream(body: object, *, secrets: tuple[str, ...]) -> ProviderError:
    """Returns the error for an error object in the middle of a stream. The object may contain a status."""
    numbers = [int(code) for code in _codes_in(body) if re.fullmatch(r"[45]\d\d", code)]
    return _error(numbers[0] if numbers else 500, body, "In its answer", secrets, None)


def from_transport(error: BaseException, *, secrets: tuple[str, ...]) -> ProviderError:
    """Returns the error for an exception of an SDK or a transport: a connection failed or was lost. A
    ValueError means that the address or the key cannot be part of a request."""
    # Prefer aiohttp's own exception: OpenAI's transport turns a refused connection into a ConnectTimeout,
    # which the SDK reports as "Request timed out".
    causes = list(_causes(error))
    cause = next((cause for cause in causes if isinstance(cause, aiohttp.ClientError)), causes[-1])
    detail = redact(f"{type(cause).__name__}: {cause}", secrets)
    match cause:
        case aiohttp.ConnectionTimeoutError():
            return errors.TimeoutExceededError(detail=detail, phase="connect", retryable=True)
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError():
            return errors.ConnectionFailedError(detail=detail, retryable=True)
        # After the connector errors, because an untrusted certificate is a ValueError too.
        case aiohttp.InvalidURL() | httpx2.UnsupportedProtocol() | httpx2.InvalidURL() | ValueError():
            return errors.ConfigurationError(_ADDRESS_WORDS, detail=detail)
        case aiohttp.ServerTimeoutError() | httpx2.TimeoutException() | TimeoutError():
            return errors.TimeoutExceededError(detail=detail)
    return errors.ConnectionFailedError(detail=detail)


def web_page_error() -> ProviderError:
    """Returns the error for an HTML page with status 200 instead of an API response."""
    detail = "HTTP 200: a web page, not an API response. Is a path such as /v1 missing in the address?"
    return errors.ConfigurationError(_ADDRESS_WORDS, detail=detail)


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Returns `text` for administrators and the log: shortened, without the secrets and without anything that
    looks like a key. A short secret stays: it is a placeholder for a server without keys, and is part of
    other words."""
    for secret in secrets:
        if len(secret) >= _SECRET_LENGTH:
            text = text.replace(secret, "[key]")
    return _KEY_LIKE.sub("[key]", text)[:_DETAIL_LIMIT]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds from `Retry-After` (a number or a date, RFC 9110 section 10.2.3) or
    `retry-after-ms`."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after")
        if not value:
            return None
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _error(
    status: int, body: object, where: str, secrets: tuple[str, ...], wait: float | None
) -> ProviderError:
    message = _message(body)
    detail = redact(f"{where}: {_message_with_codes(body)}", secrets)
    wait = wait if wait is not None else _retry_info(body)
    for pattern, kind, words in _MESSAGES:
        # Messages about rate limits mention tokens and maxima too.
        if pattern.search(message) and (status != 429 or kind is errors.BillingError):
            return kind(words, detail=detail)
    for code in _codes_in(body):
        if kind_of_code := _CODES.get(code):
            return kind_of_code(detail=detail, retry_after=wait)
    if status < 400 or (status == 404 and "model" not in message.lower()):
        return errors.ConfigurationError(_ADDRESS_WORDS, detail=detail)
    return _kind_of_status(status)(detail=detail, retry_after=wait)


def _kind_of_status(status: int) -> type[ProviderError]:
    if kind := _STATUSES.get(status):
        return kind
    if status >= 500:
        return errors.UnavailableError
    return errors.InvalidRequestError


def _error_object(body: object) -> object:
    if isinstance(body, list) and body:  # Gemini wraps the error in a list when it is not streaming
        body = body[0]
    while isinstance(body, Mapping) and body.get("error"):
        body = body["error"]
    return body


def _message(body: object) -> str:
    error = _error_object(body)
    if isinstance(error, Mapping):
        detail = error.get("detail")
        if isinstance(detail, list):  # FastAPI's format; `input` repeats the request
            detail = "; ".join(f"{it.get('msg')} {it.get('loc')}" for it in detail if isinstance(it, Mapping))
        return str(error.get("message") or detail or "")
    return str(error or "")


def _message_with_codes(body: object) -> str:
    """Returns the provider's own message with its codes and the rejected option. The rest of the body is left
    out: it may repeat the prompt."""
    message = _message(body)
    if "<" in message:  # an HTML page of a proxy
        message = " ".join(_TAG.sub(" ", message).split())
    error = _error_object(body)
    named = [code for code in dict.fromkeys(_codes_in(body)) if code]
    if isinstance(error, Mapping) and error.get("param"):
        named.append(f"'{error['param']}'")
    codes = f" ({', '.join(named)})" if named else ""
    return f"{message or _NO_REASON}{codes}"


def _codes_in(body: object) -> Iterator[str]:
    """Yields the machine-readable codes of an error, the most specific first."""
    error = _error_object(body)
    if isinstance(error, Mapping):
        for detail in _details(error):
            yield str(detail.get("reason", "")).lower()
        for key in ("code", "status", "type"):
            yield str(error.get(key) or "").lower()


def _details(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = error.get("details")
    if isinstance(details, list):
        yield from (detail for detail in details if isinstance(detail, Mapping))


def _retry_info(body: object) -> float | None:
    """Returns the seconds from Gemini's `google.rpc.RetryInfo`, such as `{"retryDelay": "37s"}`."""
    error = _error_object(body)
    if isinstance(error, Mapping):
        for detail in _details(error):
            if delay := re.fullmatch(r"(\d+(?:\.\d+)?)s", str(detail.get("retryDelay", ""))):
                return float(delay[1])
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 8:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


_ADDRESS_WORDS = _("The provider's address does not answer as expected. Ask an administrator to check it.")
_FILTER_WORDS = _("The provider's content filter refused this prompt. Try to word it differently.")
_AUDIO_WORDS = _("This model answers only prompts with audio. Attach an audio file, or choose another model.")

_NO_REASON = "no reason is given."

_TAG = re.compile(r"(?is)<(style|script)\b.*?(?:</\1>|\Z)|<[^<>]*>")

_KEY_LIKE = re.compile(
    r"(?i)\bbearer\s+\S+|\bbasic\s+(?=\S*[\d=])[\w+/]{8,}=*|\b(?:sk|pk|gsk|xai|hf)[-_][\w*.-]{6,}"
    r"|\bAIza[\w*-]{10,}|\bAKIA[\w*]{10,}|\beyJ[\w*-]{8,}\.[\w*.-]+"
    r"|(?<=//)[^/\s?#\"'<>]+(?=@)|(?<=[?&])[\w-]*(?:key|token|secret|password)=[^&\s\"']+"
)

# For errors that some providers report by a message alone, without a code.
_MESSAGES: list[tuple[re.Pattern[str], type[ProviderError], str | None]] = [
    (
        re.compile(
            r"(?i)context[ _](length|window|size)|maximum (context|number of tokens)|prompt is too long"
            r"|(input|token count|tokens?) .{0,200}exceeds? (the )?(maximum|limit|available)"
            r"|too many (input )?tokens"
        ),
        errors.ContextLengthError,
        None,
    ),
    (
        re.compile(
            r"(?i)credit balance|insufficient (balance|credits?|funds)|usage limits"
            r"|spend(ing)? (limit|cap)"
        ),
        errors.BillingError,
        None,
    ),
    (re.compile(r"(?i)api[ _]key (not valid|expired|not found)"), errors.AuthenticationError, None),
    (
        re.compile(r"(?i)content (management|filtering) policy|content[_ ]filter|safety system"),
        errors.InvalidRequestError,
        _FILTER_WORDS,
    ),
    (
        re.compile(r"(?i)either input content or output modality contain audio"),
        errors.InvalidRequestError,
        _AUDIO_WORDS,
    ),
]

_CODES: dict[str, type[ProviderError]] = {
    "context_length_exceeded": errors.ContextLengthError,
    "exceed_context_size_error": errors.ContextLengthError,
    "request_too_large": errors.ContextLengthError,
    "insufficient_quota": errors.BillingError,
    "billing_error": errors.BillingError,
    "billing_not_active": errors.BillingError,
    "billing_hard_limit_reached": errors.BillingError,
    "invalid_api_key": errors.AuthenticationError,
    "api_key_invalid": errors.AuthenticationError,
    "authentication_error": errors.AuthenticationError,
    "unauthenticated": errors.AuthenticationError,
    "permission_error": errors.PermissionDeniedError,
    "permission_denied": errors.PermissionDeniedError,
    "model_not_found": errors.ModelNotFoundError,
    "rate_limit_exceeded": errors.RateLimitError,
    "rate_limit_error": errors.RateLimitError,
    "resource_exhausted": errors.RateLimitError,
    "overloaded_error": errors.OverloadedError,
    "server_is_overloaded": errors.OverloadedError,
    "slow_down": errors.OverloadedError,
    "unavailable": errors.OverloadedError,
    "timeout_error": errors.TimeoutExceededError,
    "deadline_exceeded": errors.TimeoutExceededError,
    "api_error": errors.UnavailableError,
    "server_error": errors.UnavailableError,
    "internal": errors.UnavailableError,
    "not_found_error": errors.ModelNotFoundError,
    "invalid_prompt": errors.InvalidRequestError,
    "invalid_argument": errors.InvalidRequestError,
    # In the event stream of Amazon Bedrock:
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html
    "throttlingexception": errors.RateLimitError,
    "serviceunavailableexception": errors.OverloadedError,
    "modeltimeoutexception": errors.TimeoutExceededError,
    "internalserverexception": errors.UnavailableError,
    "modelstreamerrorexception": errors.UnavailableError,
    "validationexception": errors.InvalidRequestError,
}

_STATUSES: dict[int, type[ProviderError]] = {
    401: errors.AuthenticationError,
    402: errors.BillingError,
    403: errors.PermissionDeniedError,
    404: errors.ModelNotFoundError,
    408: errors.TimeoutExceededError,
    409: errors.UnavailableError,
    413: errors.ContextLengthError,
    425: errors.OverloadedError,
    429: errors.RateLimitError,
    503: errors.OverloadedError,
    504: errors.TimeoutExceededError,
    529: errors.OverloadedError,
}
