"""Error messages for operators, for a provider that cannot be asked for its models. Operators have nobody
else to ask. The messages are stored in English and translated where they are shown."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from chat.providers.errors import ProviderError

_LATER = _("The provider cannot answer now. Steady asks again within ten minutes.")
_WORDS = {
    "configuration": _(
        "The server at the provider's address does not offer the provider's API. Check the address."
    ),
    "authentication": _("The provider refuses the key. Check that it is whole, and not revoked."),
    "permission": _("The key may not list the models. Give it that permission, or use another one."),
    "billing": _("The account has no credit left. Check its billing."),
    "connection": _("No connection to the provider. Check its address and this server's network."),
    "timeout": _("The provider did not answer in time. Check its address and this server's network."),
    "rate_limited": _LATER,
    "overloaded": _LATER,
    "unavailable": _LATER,
}
_OTHERWISE = _("The provider did not send its list of models. Its answer has details.")


def words_for_operators(error: ProviderError) -> str:
    """Returns what happened and what to do, in the environment (`docs/settings.md`) or at the provider."""
    return _WORDS.get(error.code, _OTHERWISE)
