"""Encrypts secrets for the database: authenticated encryption with keys that rotate.

Fernet (AES-128-CBC and HMAC-SHA256) of the ``cryptography`` package. The ciphertext contains the
name of its secret, so that a copy in another row does not decrypt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchestrator import json_codec
from orchestrator.errors import ConfigurationError, OrchestratorError
from orchestrator.extras import optional_imports

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

Json = Any


class EncryptionKeyMissing(OrchestratorError):
    """No key is set to encrypt secrets (ORCHESTRATOR_SECRETS_KEY)."""


class DecryptionFailed(OrchestratorError):
    """None of the keys decrypts the secret, or it belongs to another name."""


def new_key() -> str:
    """Return a new key: 32 random bytes in URL-safe base64. Raise `PartMissing`."""
    key: bytes = _library().Fernet.generate_key()
    return key.decode()


def _library() -> Any:
    """Import cryptography only where there are keys: it delays a start by some 50 milliseconds."""
    with optional_imports():
        from cryptography import fernet
    return fernet


class SecretCipher:
    """Encrypts with the first of its keys, decrypts with any of them.

    Raises `ConfigurationError` for an invalid key, or for any key without the extra [secrets].
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        # Split the keys at white space: a file may separate them by line ends instead of commas.
        self._keys = [key for part in keys for key in part.split()]
        if self._keys:
            _ = self._fernet  # an invalid key fails at the start, not at the first use

    @property
    def ready(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def encrypt(self, associated_name: Sequence[str], value: Json) -> str:
        """Return the ciphertext of a value for a namespace and name. Raise
        `EncryptionKeyMissing`."""
        return self._fernet.encrypt(json_codec.encode([*associated_name, value])).decode()

    def decrypt(self, associated_name: Sequence[str], ciphertext: str) -> Json:
        """Return the value that was encrypted for this namespace and name. Raise
        `EncryptionKeyMissing`, `DecryptionFailed`."""
        fernet = self._fernet
        try:
            *name, value = json_codec.loads(fernet.decrypt(ciphertext.encode()))
        except _library().InvalidToken:
            raise DecryptionFailed from None
        if name != list(associated_name):
            raise DecryptionFailed
        return value

    def reencrypt(self, ciphertext: str) -> str:
        """Return the ciphertext under the first key. Raise `EncryptionKeyMissing`,
        `DecryptionFailed`."""
        fernet = self._fernet
        try:
            return fernet.rotate(ciphertext.encode()).decode()
        except _library().InvalidToken:
            raise DecryptionFailed from None

    @cached_property
    def _fernet(self) -> MultiFernet:
        if not self._keys:
            raise EncryptionKeyMissing
        library = _library()
        try:
            fernet: MultiFernet = library.MultiFernet([library.Fernet(key) for key in self._keys])
        except ValueError:
            raise ConfigurationError(
                "ORCHESTRATOR_SECRETS_KEY: a key is 32 bytes in URL-safe base64;"
                " 'orchestrator secret new-key' makes one"
            ) from None
        return fernet
