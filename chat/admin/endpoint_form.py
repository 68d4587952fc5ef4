"""The form of an endpoint of the administration. A key is typed once and never shown again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import slugify
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.models import Endpoint
from chat.models.endpoint import Secrets, fixed_endpoints
from chatproject.crypto import UnreadableSecretError
from chatproject.env import is_web_address
from chatproject.provider_file import NEED_A_KEY, is_authority, is_header, missing_of

_PAIRS, _LENGTH = 20, 2_000  # extra headers or query parameters, and characters of one
_SECRETS = ("key", "headers", "query", "proxy")


class UnseenText(forms.Textarea):
    """A text that a page never shows again, like a password."""

    def format_value(self, value: Any) -> str:
        return ""


class _UnseenInput(forms.TextInput):
    def format_value(self, value: Any) -> str:
        return ""


class EndpointForm(forms.ModelForm):
    """Fields of secrets are empty when the page is shown: empty means unchanged."""

    key = forms.CharField(
        label=_("Key"),
        required=False,
        max_length=4_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "class": "vTextField"}),
    )
    headers = forms.CharField(
        label=_("Extra headers"),
        required=False,
        widget=UnseenText(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("One on each line, such as: X-Team: research"),
    )
    query = forms.CharField(
        label=_("Query parameters"),
        required=False,
        widget=UnseenText(attrs={"rows": 2, "spellcheck": "false"}),
        help_text=_("One on each line, such as: api-version=v1"),
    )
    proxy = forms.CharField(
        label=_("Proxy"),
        required=False,
        max_length=500,
        widget=_UnseenInput(attrs={"class": "vTextField"}),
        help_text=_("Such as http://proxy.example.org:3128. Empty: the one of this machine, if it has one."),
    )
    forget = forms.BooleanField(
        label=_("Remove the stored key, headers, query parameters and proxy"), required=False
    )

    class Meta:
        model = Endpoint
        fields = (
            *("name", "kind", "address", "enabled", "position", "authority", "at_once"),
            *("region", "project", "connect_seconds", "first_token_seconds", "silence_seconds"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "kind" not in self.fields:  # an endpoint of the environment or of the file
            return
        self.fields["kind"].required = True
        # The page fills the row before it validates it, so the stored secrets are read here.
        self._stored, self._unreadable = Secrets(), False
        try:
            self._stored = self.instance.secrets()
        except UnreadableSecretError:
            self._unreadable = True
        self._before = {name: getattr(self.instance, name) for name in ("kind", "address", "authority")}
        self._describe()

    def _describe(self) -> None:
        """Says what is stored, by names alone."""
        stored = self._stored
        said = {
            "key": gettext("A key is stored. Empty: keep it.") if stored.key else "",
            "headers": ", ".join(name for name, _value in stored.headers),
            "query": ", ".join(name for name, _value in stored.query),
            "proxy": urlsplit(stored.proxy).hostname or "" if stored.proxy else "",
        }
        for name in ("headers", "query", "proxy"):
            if said[name]:
                said[name] = gettext("Stored: {names}. Empty: keep.").format(names=said[name])
        if self._unreadable:
            said["key"] = gettext("The stored key cannot be read with this SECRET_KEY. Type it again.")
        for name, words in said.items():
            field = self.fields[name]
            field.help_text = " ".join(filter(None, [words, str(field.help_text)]))
        if not stored and not self._unreadable:
            del self.fields["forget"]

    def clean_name(self) -> str:
        return str(self.cleaned_data["name"]).strip()

    def clean_address(self) -> str:
        address = str(self.cleaned_data["address"]).strip()
        if not address:
            return ""
        if not is_web_address(address):
            raise ValidationError(_("This is no web address. Write it like https://gpu.example.org/v1."))
        parts = urlsplit(address)
        if "@" in parts.netloc:
            raise ValidationError(_("Leave the name and the password out. Write them as an extra header."))
        if parts.query or parts.fragment:
            raise ValidationError(_("Leave out what follows the question mark. It is a query parameter."))
        return address

    def clean_authority(self) -> str:
        certificates = str(self.cleaned_data["authority"]).strip()
        if certificates and not is_authority(certificates):
            raise ValidationError(_("This is no certificate in the PEM format."))
        return certificates

    def clean_key(self) -> str:
        key = str(self.cleaned_data["key"]).strip()
        if not (key.isascii() and key.isprintable()):
            raise ValidationError(_("The key contains characters that no key has. Copy it again."))
        return key

    def clean_proxy(self) -> str:
        proxy = str(self.cleaned_data["proxy"]).strip()
        if proxy and not is_web_address(proxy):
            raise ValidationError(_("Write the proxy like http://proxy.example.org:3128."))
        return proxy

    def clean_headers(self) -> tuple[tuple[str, str], ...]:
        return pairs_of(str(self.cleaned_data["headers"]), ":", is_header)

    def clean_query(self) -> tuple[tuple[str, str], ...]:
        return pairs_of(str(self.cleaned_data["query"]), "=", lambda *pair: "".join(pair).isprintable())

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if "kind" not in self.fields or self.errors:
            return values
        typed = Secrets(*(values.get(name) or getattr(Secrets(), name) for name in _SECRETS))
        kept = Secrets() if values.get("forget") else self._stored
        if kept and self._goes_elsewhere(values) and not typed.key:
            # A secret that is sent to another server could be read there by someone who may not read it here.
            self.add_error(
                "key",
                _(
                    "The server, the proxy or the certificates have changed. Type the key again: a stored "
                    "key is only sent where it was typed for. Or remove what is stored."
                ),
            )
            return values
        if self._goes_elsewhere(values):
            kept = Secrets()
        self.secrets = Secrets(*(getattr(typed, name) or getattr(kept, name) for name in _SECRETS))
        if values["kind"] in NEED_A_KEY and not self.secrets.key:
            self.add_error("key", _("This kind of provider needs a key."))
        names = ("address", "region")
        for name in missing_of(values["kind"], **{name: values.get(name) or "" for name in names}):
            self.add_error(
                name,
                _("Enter the address of the server.") if name == "address" else _("Enter the region."),
            )
        return values

    def _goes_elsewhere(self, values: dict[str, Any]) -> bool:
        def target(kind: Any, address: str, authority: str) -> tuple[Any, ...]:
            parts = urlsplit(address)
            return kind, parts.scheme, parts.netloc.lower(), authority.replace("\r\n", "\n")

        before, proxy = self._before, values.get("proxy")
        return target(**before) != target(values["kind"], values["address"], values["authority"]) or bool(
            proxy and proxy != self._stored.proxy
        )

    def filled(self) -> Endpoint:
        """Returns the row as the form has it, with its secrets, not saved."""
        row: Endpoint = self.instance
        if "kind" in self.fields:
            row.slug = row.slug or _unused_slug(row.name)
            row.set_secrets(self.secrets)
        return row


def pairs_of(lines: str, between: str, accepts: Callable[[str, str], bool]) -> tuple[tuple[str, str], ...]:
    """Returns the names and values of the lines. Raises `ValidationError`."""
    found = []
    for line in lines.splitlines():
        name, sign, value = (part.strip() for part in line.partition(between))
        if not line.strip():
            continue
        if not (name and sign and len(line) <= _LENGTH and accepts(name, value)):
            # The line may hold a secret, so it is not repeated.
            raise ValidationError(
                _("One line cannot be sent. Write a name, then %(sign)s, then a value."),
                params={"sign": between},
            )
        found.append((name, value))
    if len(found) > _PAIRS:
        raise ValidationError(_("There are too many. Remove some."))
    return tuple(found)


def _unused_slug(name: str) -> str:
    base = slugify(name)[:40] or "provider"
    taken = {*Endpoint.objects.values_list("slug", flat=True), *fixed_endpoints(), "add"}
    return next(slug for slug in (base, *(f"{base}-{n}" for n in range(2, 10_000))) if slug not in taken)
