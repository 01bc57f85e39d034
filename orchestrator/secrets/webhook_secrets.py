"""Webhooks' secrets in the database: encrypted where there is a key.

Without ``ORCHESTRATOR_SECRETS_KEY`` they are stored as they are; those that were stored before a
key was set are still read.
"""

from __future__ import annotations

from orchestrator.secrets.encryption import SecretCipher

#: Marks a ciphertext; a secret itself begins with ``whsec_``.
PREFIX = "encrypted:"


def stored(cipher: SecretCipher, namespace: str, subscription: str, secret: str) -> str:
    """Return what is stored of the secret of a namespace's subscription."""
    if not cipher.ready:
        return secret
    return PREFIX + cipher.encrypt((namespace, f"webhook {subscription}"), secret)


def opened(cipher: SecretCipher, namespace: str, subscription: str, text: str) -> str:
    """Return the secret. Raise `EncryptionKeyMissing` or `DecryptionFailed`."""
    if not text.startswith(PREFIX):
        return text
    name = (namespace, f"webhook {subscription}")
    return str(cipher.decrypt(name, text.removeprefix(PREFIX)))


def reencrypted(cipher: SecretCipher, namespace: str, subscription: str, text: str) -> str:
    """Return it encrypted with the first key, also where it was not encrypted before. Raise
    `EncryptionKeyMissing` or `DecryptionFailed`."""
    return stored(cipher, namespace, subscription, opened(cipher, namespace, subscription, text))
