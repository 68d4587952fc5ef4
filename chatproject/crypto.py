"""Encrypts secrets in the database with a key derived from `SECRET_KEY`. Values written with a key of
`SECRET_KEY_FALLBACKS` can still be read."""

from __future__ import annotations

import base64
from contextlib import suppress
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_MARK = "fernet:"  # distinguishes an encrypted value from a plain one of an earlier release


class UnreadableSecretError(Exception):
    """The value was encrypted with a key that is neither `SECRET_KEY` nor one of its fallbacks."""


def encrypt(text: str) -> str:
    """Returns `text` encrypted and authenticated (Fernet: AES-128-CBC with HMAC-SHA256)."""
    return _MARK + _fernet().encrypt(text.encode()).decode("ascii")


def decrypt(stored: str) -> str:
    """Returns the decrypted text; a value without the mark unchanged. Raises `UnreadableSecretError`."""
    if not stored.startswith(_MARK):
        return stored
    try:
        return _fernet().decrypt(stored.removeprefix(_MARK)).decode()
    except InvalidToken as error:
        raise UnreadableSecretError from error


def with_current_key(stored: str) -> str:
    """Returns the value encrypted with the present `SECRET_KEY`; unchanged if it is already. Raises
    `UnreadableSecretError`."""
    with suppress(InvalidToken):
        _single(settings.SECRET_KEY).decrypt(stored.removeprefix(_MARK))
        return stored
    return encrypt(decrypt(stored))


def _fernet() -> MultiFernet:
    return MultiFernet([_single(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


@lru_cache(8)
def _single(key: str) -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"steady.stored-secrets").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
