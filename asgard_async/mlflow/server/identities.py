"""The parties that may call the embedded MLflow while it keeps owners apart.

An attempt and the service call with signed tokens; people and their programs with tokens of
Asgard's API, whose digests the service sends here whenever they change.
"""

import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .attempt_token import PREFIX, Caller, verify
from .report import REPORTER
from .secrets_in_headers import secret_in

SERVICE_ACCOUNT = "(service)"
NOBODY_ACCOUNT = "(no owner)"
"""Owner of what jobs make that were submitted while no token was required."""
READERS_ACCOUNT = "(readers)"
"""Shared by all tokens with scope `read`: it owns nothing and creates nothing."""
RESERVED = frozenset({SERVICE_ACCOUNT, NOBODY_ACCOUNT, READERS_ACCOUNT})
MAX_CACHED = 1000


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A party that calls, and its account in MLflow."""

    account: str
    is_admin: bool = False
    caller: Caller | None = None
    """The attempt or the service; None for a token of Asgard's API."""

    def has_expired(self) -> bool:
        """Return whether the token of an attempt has expired."""
        return self.caller is not None and self.caller.expires_at <= time.time()


SERVICE = Identity(account=SERVICE_ACCOUNT, is_admin=True)


@dataclass(frozen=True, kw_only=True)
class KnownToken:
    """A token of Asgard's API, of which only the digest is known."""

    id: str
    name: str
    scope: str
    digest: str


def account_of_owner(owner: str) -> str:
    """Return the account of the owner of a job."""
    return owner or NOBODY_ACCOUNT


class Identities:
    """Finds the party behind an Authorization header. Methods may be called from any thread."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._tokens: Mapping[str, KnownToken] = {}
        self._cache: dict[str, Identity] = {}

    @property
    def accounts(self) -> list[str]:
        """The accounts of all tokens."""
        return sorted({_of_token(token).account for token in self._tokens.values()} | RESERVED)

    def replace_tokens(self, tokens: Iterable[KnownToken]) -> None:
        """Accept these tokens from now on, and no others."""
        self._tokens = {token.id: token for token in tokens if token.name not in RESERVED}
        self._cache = {}

    def of(self, authorization: str) -> Identity | None:
        """Return the party with this header; None if there is none.

        Raises:
            InvalidToken: the header contains the token of an attempt, which is forged or expired.
        """
        secret = secret_in(authorization)
        if not secret:
            return None
        cache = self._cache  # the one that belongs to the tokens below
        if (identity := cache.get(secret)) is not None and not identity.has_expired():
            return identity
        if secret.startswith(PREFIX):
            return _kept(cache, secret, _of_caller(verify(self._key, secret)))
        token = self._tokens.get(secret.split("_")[1] if secret.count("_") > 1 else "")
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
        if token is None or not hmac.compare_digest(token.digest, digest):
            return None
        return _kept(cache, secret, _of_token(token))


def _kept(cache: dict[str, Identity], secret: str, identity: Identity) -> Identity:
    if len(cache) >= MAX_CACHED:
        cache.clear()
    cache[secret] = identity
    return identity


def token_from(document: Mapping[str, Any]) -> KnownToken:
    """Return the token that the service describes."""
    fields = ("id", "name", "scope", "digest")
    return KnownToken(**{name: str(document[name]) for name in fields})


def _of_caller(caller: Caller) -> Identity:
    if caller.is_service:
        if not caller.owner:
            return Identity(account=SERVICE_ACCOUNT, is_admin=True, caller=caller)
        return Identity(account=caller.owner, caller=caller)
    if caller.job_id == REPORTER:
        return Identity(account=READERS_ACCOUNT, caller=caller)
    return Identity(account=account_of_owner(caller.owner), caller=caller)


def _of_token(token: KnownToken) -> Identity:
    if token.scope == "read":
        return Identity(account=READERS_ACCOUNT)
    return Identity(account=token.name, is_admin=token.scope == "admin")
