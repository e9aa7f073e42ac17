"""Tokens: a name, a scope, and a secret of which only the digest is stored."""

import hashlib
import hmac
import re
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Self

import msgspec

PREFIX = "asgard"
SECRET_BYTES = 32

_form = re.compile(rf"{PREFIX}_([0-9a-f]{{8}})_[A-Za-z0-9_-]{{43}}")


class Scope(StrEnum):
    """The permission of a token; each scope includes those before it."""

    READ = "read"
    """Read everything: jobs with their scripts and logs, models, metrics."""
    SUBMIT = "submit"
    """Submit, cancel, retry and delete jobs."""
    ADMIN = "admin"
    """Everything else."""

    def covers(self, needed: "Scope") -> bool:
        """Return whether this scope includes `needed`."""
        return self is needed or _ASCENDING.index(self) > _ASCENDING.index(needed)


_ASCENDING = tuple(Scope)


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A stored token. Its secret cannot be derived from it."""

    id: str
    name: str
    scope: Scope
    created_at: datetime
    digest: str
    """SHA-256 of the whole secret, in hex. The secret is random, so no salt is needed."""

    def is_of(self, secret: str) -> bool:
        """Return whether `secret` is this token's, compared in constant time."""
        return hmac.compare_digest(self.digest, digest_of(secret))


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token with its secret, which is shown only once."""

    token: Token
    secret: str

    @classmethod
    def draw(cls, *, name: str | None, scope: Scope, at: datetime) -> Self:
        """Create a token with a random secret; without a name, its id is its name."""
        secret = f"{PREFIX}_{secrets.token_hex(4)}_{secrets.token_urlsafe(SECRET_BYTES)}"
        return cls.of(secret, name=name, scope=scope, at=at)

    @classmethod
    def of(cls, secret: str, *, name: str | None, scope: Scope, at: datetime) -> Self:
        """Create a token with a well-formed secret."""
        token_id = id_in(secret)
        assert token_id is not None  # noqa: S101
        token = Token(
            id=token_id, name=name or token_id, scope=scope, created_at=at, digest=digest_of(secret)
        )
        return cls(token=token, secret=secret)


def digest_of(secret: str) -> str:
    """Return the digest to store for a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def id_in(secret: str) -> str | None:
    """Return the token id that a secret contains; None if the secret is malformed."""
    match = _form.fullmatch(secret)
    return match[1] if match else None
