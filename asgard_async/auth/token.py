"""What a token is: a name, a scope, and a secret of which only the digest is kept."""

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
    """What a token allows; each also what those before it do."""

    READ = "read"
    """Look at everything: jobs with their scripts and logs, models, metrics."""
    SUBMIT = "submit"
    """Submit, cancel, retry and delete jobs."""
    ADMIN = "admin"
    """Everything else."""

    def covers(self, needed: "Scope") -> bool:
        """Whether who has this scope has `needed` as well."""
        return self is needed or _ASCENDING.index(self) > _ASCENDING.index(needed)


_ASCENDING = tuple(Scope)


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is kept. It cannot be used to make the secret again."""

    id: str
    name: str
    scope: Scope
    created_at: datetime
    digest: str
    """SHA-256 of the whole secret, in hex. It is random enough to need no salt."""

    def is_of(self, secret: str) -> bool:
        """Whether `secret` is this token's, in a time that tells nothing."""
        return hmac.compare_digest(self.digest, digest_of(secret))


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token with its secret, which is shown this once."""

    token: Token
    secret: str

    @classmethod
    def draw(cls, *, name: str | None, scope: Scope, at: datetime) -> Self:
        """A new token of a new secret; without a name it is called by its id."""
        token_id = secrets.token_hex(4)
        secret = f"{PREFIX}_{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        token = Token(
            id=token_id, name=name or token_id, scope=scope, created_at=at, digest=digest_of(secret)
        )
        return cls(token=token, secret=secret)


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def id_in(secret: str) -> str | None:
    """The id of the token that a secret claims to be of; None when it cannot be one of ours."""
    match = _form.fullmatch(secret)
    return match[1] if match else None
