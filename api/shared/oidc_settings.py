"""The setting `ORCHESTRATOR_OIDC`: which identity provider logs people in, and what they may do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate

from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings

ROLES = ("viewer", "operator", "admin")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?|\*")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """What the members of a group may do. `namespaces` may contain ``*``: all."""

    group: str
    role: str
    namespaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person may do. `namespaces`: None stands for all."""

    role: str
    namespaces: tuple[str, ...] | None


@dataclass(frozen=True)
class OidcSettings:
    """An identity provider and the access of its groups; see docs/operations/oidc.md.

    `groups_claim` is the name of a claim, or a path to a member of a claim with dots. `ca`: a file
    of certificates that are trusted instead of the system's.
    """

    issuer: str
    client_id: str
    access: tuple[Access, ...]
    client_secret: str | None = field(default=None, repr=False)
    label: str = "single sign-on"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    groups_claim: str = "groups"
    name_claim: str | None = None
    ca: str | None = None

    def grant(self, groups: Iterable[str]) -> Grant | None:
        """Return what the members of all these groups may do; None: nothing.

        The highest role decides. It holds in the namespaces of the groups with that role, not in
        those of groups with a lower one: a person has one role in all of their namespaces.
        """
        held = frozenset(groups)
        matching = [each for each in self.access if each.group in held]
        if not matching:
            return None
        role = max((each.role for each in matching), key=ROLES.index)
        names = {name for each in matching if each.role == role for name in each.namespaces}
        return Grant(role, None if "*" in names else tuple(sorted(names)))

    def relevant(self, groups: Iterable[str]) -> list[str]:
        """Return the groups that the access names, without repetition."""
        return sorted({each.group for each in self.access} & frozenset(groups))


def oidc_settings(settings: Settings) -> OidcSettings | None:
    """Return the identity provider of the settings, if there is one. Raises `ConfigurationError`
    which says what is wrong, and shows no secret."""
    if not settings.oidc:
        return None
    if not settings.public_url:
        raise _wrong("needs ORCHESTRATOR_PUBLIC_URL, where the provider sends browsers back to")
    try:
        given = json.loads(_document(settings.oidc))
    except ValueError as error:
        message = error.msg if isinstance(error, json.JSONDecodeError) else "it is not UTF-8"
        raise _wrong(f"is no JSON document: {message}") from None
    try:
        loaded: dict[str, Any] = _OidcSchema().load(given)
    except ValidationError as error:
        raise _wrong("; ".join(_messages(error.messages))) from None
    access = tuple(
        Access(each["group"], each["role"], tuple(each["namespaces"])) for each in loaded["access"]
    )
    secret = _secret_of(loaded)
    return OidcSettings(
        **{**loaded, "access": access, "scopes": tuple(loaded["scopes"]), "client_secret": secret}
    )


def _document(setting: str) -> str:
    """Return the setting itself if it is a document, else the content of the file that it names."""
    if setting.lstrip().startswith("{"):
        return setting
    try:
        return Path(setting).read_text(encoding="utf-8")
    except OSError as error:
        raise _wrong(f"cannot read the file {setting}: {error.strerror}") from error


def _secret_of(loaded: dict[str, Any]) -> str | None:
    file = loaded.pop("client_secret_file")
    if file is None:
        return loaded["client_secret"] or None
    if loaded["client_secret"] is not None:
        raise _wrong("has both client_secret and client_secret_file")
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(f"client_secret_file: cannot read {file}: {error}") from error
    if not secret:
        raise _wrong(f"client_secret_file: {file} is empty")
    return secret


def _wrong(message: str) -> ConfigurationError:
    return ConfigurationError(f"ORCHESTRATOR_OIDC {message}")


def is_trustworthy(url: str) -> bool:
    """Whether what is sent to an address stays secret: https, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _is_issuer(value: str) -> None:
    if not re.fullmatch(r"https?://[^/?#\s@]+(/[^?#\s]*)?", value) or not is_trustworthy(value):
        raise ValidationError("Must be an https address without a query.")


def _is_namespace(value: str) -> None:
    if not _NAMESPACE.fullmatch(value):
        raise ValidationError("Must be the name of a namespace, or *.")


def _has_openid(value: list[str]) -> None:
    if "openid" not in value:
        raise ValidationError("Must contain openid.")


def _text(**options: Any) -> fields.String:
    return fields.String(validate=validate.Length(1, 1000), **options)


class _AccessSchema(Schema):
    group = _text(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    namespaces = fields.List(
        fields.String(validate=_is_namespace), required=True, validate=validate.Length(1, 100)
    )


class _OidcSchema(Schema):
    issuer = fields.String(required=True, validate=_is_issuer)
    client_id = _text(required=True)
    client_secret = _text(load_default=None)
    client_secret_file = _text(load_default=None)
    label = fields.String(load_default=OidcSettings.label, validate=validate.Length(1, 60))
    scopes = fields.List(_text(), load_default=list(OidcSettings.scopes), validate=_has_openid)
    groups_claim = _text(load_default=OidcSettings.groups_claim)
    name_claim = _text(load_default=None)
    ca = _text(load_default=None)
    access = fields.List(
        fields.Nested(_AccessSchema), required=True, validate=validate.Length(1, 1000)
    )


def _messages(found: Any, path: str = "") -> Iterator[str]:
    if isinstance(found, Mapping):
        for name, more in found.items():
            yield from _messages(more, f"{path}.{name}" if path else str(name))
    else:
        yield f"{path}: {' '.join(map(str, found))}" if path != "_schema" else " ".join(found)
