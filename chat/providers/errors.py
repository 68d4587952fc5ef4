"""The errors of providers, with their messages for people.

    ProviderError
    ├── ConfigurationError      configuration     no key, unknown kind, unusable address
    ├── AuthenticationError     authentication    the key was refused
    ├── PermissionDeniedError   permission        the key may not use this model
    ├── BillingError            billing           no credit, or a spend limit was reached
    ├── ModelNotFoundError      model_not_found   no such model
    ├── InvalidRequestError     invalid_request   the provider rejected the request
    │   ├── ContextLengthError  context_length    the conversation is longer than the model takes
    │   └── UnsupportedOptionError  unsupported_option  the provider does not have an option of the request
    ├── RateLimitError          rate_limited      too many requests          retryable
    ├── OverloadedError         overloaded        the provider is busy       retryable
    ├── UnavailableError        unavailable       the provider's server failed
    ├── ConnectionFailedError   connection        no connection, or lost     retryable if never connected
    ├── TimeoutExceededError    timeout           a time limit passed        retryable if never connected
    └── MalformedStreamError    malformed         an unreadable response

`retryable` means that the provider did not accept the request: it said so, or the request was never sent.
Only then may the pipeline repeat the request; any other request may be billed even if it failed.
`str(error)` is a message for people: what happened and what to do, without keys, addresses or provider
internals. `detail` is for administrators and the log: the provider's own message, without keys.
"""

from __future__ import annotations

from chat.translatable import translatable as _


class ProviderError(Exception):
    """The base class. `retry_after` is in seconds, None if the provider named no time."""

    code = "provider_error"
    retryable = False
    words = _("The model provider reported an error. Try again, or choose another model.")

    def __init__(
        self,
        words: str | None = None,
        *,
        detail: str = "",
        retry_after: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(words or self.words)
        self.detail = detail
        self.retry_after = retry_after
        if retryable is not None:
            self.retryable = retryable


class ConfigurationError(ProviderError):
    code = "configuration"
    words = _("This model's provider is not set up. Ask an administrator to set its key.")


class AuthenticationError(ProviderError):
    code = "authentication"
    words = _("The provider refused Steady's key. Ask an administrator to check it.")


class PermissionDeniedError(ProviderError):
    code = "permission"
    words = _("Steady's key may not use this model. Choose another one or ask an administrator.")


class BillingError(ProviderError):
    code = "billing"
    words = _("The provider account has no credit left. Ask an administrator to check its billing.")


class ModelNotFoundError(ProviderError):
    code = "model_not_found"
    words = _("The provider does not know this model any more. Choose another one.")


class InvalidRequestError(ProviderError):
    code = "invalid_request"
    words = _("The provider did not accept this request. Try a different prompt or another model.")


class ContextLengthError(InvalidRequestError):
    code = "context_length"
    words = _("This chat is longer than the model can take. Start a new chat or choose a larger model.")


class UnsupportedOptionError(InvalidRequestError):
    """Raised before anything is sent. `option` is the option's name in `ChatRequest`, or a description.
    `remark` says which use of it is not supported."""

    code = "unsupported_option"
    words = _("This model does not support an option of the request. Leave it out, or choose another model.")

    def __init__(self, option: str, remark: str = "") -> None:
        super().__init__(
            detail=f"The provider of this model does not support {option!r} {remark}".strip() + "."
        )
        self.option, self.remark = option, remark


class RateLimitError(ProviderError):
    code = "rate_limited"
    retryable = True
    words = _("The provider is limiting requests right now. Wait a moment, then retry.")


class OverloadedError(ProviderError):
    code = "overloaded"
    retryable = True
    words = _("The provider is overloaded right now. Wait a moment, then retry, or choose another model.")


class UnavailableError(ProviderError):
    code = "unavailable"
    words = _("The provider's server had an error. Wait a moment, then retry.")


class ConnectionFailedError(ProviderError):
    code = "connection"
    words = _("The connection to the provider failed. Retry. If it fails again, ask an administrator.")


class TimeoutExceededError(ProviderError):
    """`phase` is `connect`, `first_token`, `silence` or `total`; empty if the provider timed out."""

    code = "timeout"
    words = _("The provider did not answer in time. Retry, or choose another model.")

    def __init__(
        self,
        words: str | None = None,
        *,
        detail: str = "",
        retry_after: float | None = None,
        retryable: bool | None = None,
        phase: str = "",
    ) -> None:
        super().__init__(words, detail=detail, retry_after=retry_after, retryable=retryable)
        self.phase = phase


class MalformedStreamError(ProviderError):
    code = "malformed"
    words = _("The provider sent a reply that could not be read. Retry, or choose another model.")


def error_codes() -> set[str]:
    """Returns the codes of all errors."""
    kinds: list[type[ProviderError]] = [ProviderError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.code for kind in kinds}
