"""The form of a tool server. Its secrets are typed once and never shown again."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.admin.endpoint_form import UnseenText, pairs_of
from chat.models import Tool, ToolServer
from chat.models.tool import ServerSecrets
from chat.tools.remote import ClientCredentials
from chatproject.crypto import UnreadableSecretError
from chatproject.env import is_web_address
from chatproject.provider_file import is_header

# The connection sets them itself.
_RESERVED = frozenset(("host", "content-length", "content-type", "accept", "accept-encoding", "connection"))


class ToolServerForm(forms.ModelForm):
    """Fields of secrets are empty when the page is shown: empty means unchanged."""

    headers = forms.CharField(
        label=_("Headers"),
        required=False,
        widget=UnseenText(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("One on each line, such as: Authorization: Bearer …"),
    )
    token_url = forms.URLField(
        label=_("Token URL"),
        required=False,
        max_length=500,
        assume_scheme="https",
        widget=forms.URLInput(attrs={"class": "vURLField"}),
        help_text=_("Of the OAuth server, for the grant “client credentials”. Empty: headers only."),
    )
    client_id = forms.CharField(label=_("Client ID"), required=False, max_length=300)
    client_secret = forms.CharField(
        label=_("Client secret"),
        required=False,
        max_length=2_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "class": "vTextField"}),
    )
    scope = forms.CharField(label=_("Scope"), required=False, max_length=500)
    forget = forms.BooleanField(label=_("Remove the stored headers and the OAuth client"), required=False)

    class Meta:
        model = ToolServer
        fields = ("slug", "url", "enabled", "for_everyone", "groups", "asks", "seconds")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stored, self._before = ServerSecrets(), self.instance.url
        try:
            self._stored = self.instance.secrets()
        except UnreadableSecretError:
            self.fields["headers"].help_text = gettext(
                "The stored headers cannot be read with this SECRET_KEY. Type them again."
            )
        names = ", ".join(name for name, _value in self._stored.headers)
        if names:
            self.fields["headers"].help_text = gettext("Stored: {names}. Empty: keep.").format(names=names)
        client = self._stored.credentials
        for name, value in (("token_url", client.token_url), ("client_id", client.client_id)):
            self.fields[name].initial = value
        self.fields["scope"].initial = client.scope
        if client.secret:
            self.fields["client_secret"].help_text = gettext("A secret is stored. Empty: keep it.")
        if not self._stored:
            del self.fields["forget"]

    def clean_url(self) -> str:
        address = str(self.cleaned_data["url"]).strip()
        parts = urlsplit(address)
        if not is_web_address(address):
            raise ValidationError(_("This is no web address. Write it like https://tools.example.org/mcp."))
        if "@" in parts.netloc:
            raise ValidationError(_("Leave the name and the password out. Write them as a header."))
        return address

    def clean_headers(self) -> tuple[tuple[str, str], ...]:
        def accepts(name: str, value: str) -> bool:
            return is_header(name, value) and name.lower() not in _RESERVED

        return pairs_of(str(self.cleaned_data["headers"]), ":", accepts)

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return values
        kept = ServerSecrets() if values.get("forget") else self._stored
        headers, secret = values["headers"], values["client_secret"]
        if kept and _origin(values["url"]) != _origin(self._before) and not (headers or secret):
            # A secret that is sent to another server could be read there by someone who may not read it here.
            words = _("The server has changed. Type its headers again, or remove what is stored.")
            self.add_error("headers", words)
            return values
        if _origin(values["url"]) != _origin(self._before):
            kept = ServerSecrets()
        if values.get("forget"):
            values["token_url"] = ""
        self.secrets = ServerSecrets(headers or kept.headers, self._client(values, kept.credentials))
        return values

    def _client(self, values: dict[str, Any], kept: ClientCredentials) -> ClientCredentials:
        if not values["token_url"]:
            return ClientCredentials()
        secret = values["client_secret"]
        if not secret and _origin(values["token_url"]) == _origin(kept.token_url):
            secret = kept.secret
        if not (secret and values["client_id"]):
            self.add_error("client_secret", _("Type the client ID and its secret for this address."))
        return ClientCredentials(values["token_url"], values["client_id"], secret, values["scope"])

    def filled(self) -> ToolServer:
        """Returns the row as the form has it, with its secrets, not saved."""
        row: ToolServer = self.instance
        row.set_secrets(self.secrets)
        return row


class ToolOfServerForm(forms.ModelForm):
    """Switches one tool on or off. `seen` is the tool that the administrator looked at, with its title."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = Tool
        fields = ("enabled", "asks")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["seen"].initial = self.instance.seen
        for name in ("enabled", "asks"):
            self.fields[name].widget.attrs["aria-label"] = f"{self.fields[name].label}: {self.instance.name}"

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        is_seen = values.get("seen") == self.instance.seen
        if values.get("enabled") and not (is_seen and self.instance.available):
            words = _("The server changed this tool meanwhile. Check it again.")
            self.add_error("enabled", words)
        return values

    def save(self, commit: bool = True) -> Any:
        if self.instance.enabled:
            self.instance.changed = False
        return super().save(commit)


def _origin(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc.lower()
