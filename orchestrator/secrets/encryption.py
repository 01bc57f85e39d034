"""Sealing what must not be read in the database: authenticated encryption with keys that rotate.

Fernet (AES-128-CBC and HMAC-SHA256), as the ``cryptography`` package has it. What is sealed
carries its own place, so that one row's secret can't be passed off as another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchestrator import json_codec
from orchestrator.errors import ConfigurationError, OrchestratorError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

Json = Any


class EncryptionKeyMissing(OrchestratorError):
    """No key is set to seal secrets with (ORCHESTRATOR_SECRETS_KEY)."""


class DecryptionFailed(OrchestratorError):
    """The secret was sealed with a key that is not among ours, or is not what it pretends."""


def new_key() -> str:
    """A key to seal with: 32 random bytes in URL-safe base64."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


class SecretCipher:
    """Seals with the first of its keys, opens with any of them.

    Raises `ConfigurationError` where a key is none.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        # A file with one key a line is as good as keys separated by commas.
        self._keys = [key for part in keys for key in part.split()]
        if self._keys:
            _ = self._fernet  # a wrong key is told at the start, not at the first use

    @property
    def ready(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def encrypt(self, place: Sequence[str], value: Json) -> str:
        """The value, readable only with a key and as the one of this place. Raises
        `EncryptionKeyMissing`."""
        return self._fernet.encrypt(json_codec.encode([*place, value])).decode()

    def decrypt(self, place: Sequence[str], sealed: str) -> Json:
        """The value that was sealed for this place. Raises `EncryptionKeyMissing`,
        `DecryptionFailed`."""
        from cryptography.fernet import InvalidToken

        fernet = self._fernet
        try:
            *found, value = json_codec.loads(fernet.decrypt(sealed.encode()))
        except InvalidToken:
            raise DecryptionFailed from None
        if found != list(place):
            raise DecryptionFailed
        return value

    def reencrypt(self, sealed: str) -> str:
        """The same, sealed with the first key. Raises `EncryptionKeyMissing`,
        `DecryptionFailed`."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.rotate(sealed.encode()).decode()
        except InvalidToken:
            raise DecryptionFailed from None

    @cached_property
    def _fernet(self) -> MultiFernet:
        # Imported by those only who have keys: it costs a start some 50 ms.
        from cryptography.fernet import Fernet, MultiFernet

        if not self._keys:
            raise EncryptionKeyMissing
        try:
            return MultiFernet([Fernet(key) for key in self._keys])
        except ValueError:
            raise ConfigurationError(
                "ORCHESTRATOR_SECRETS_KEY: a key is 32 bytes in URL-safe base64;"
                " 'orchestrator secret new-key' makes one"
            ) from None
