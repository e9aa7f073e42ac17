"""Signed tokens that tell the embedded MLflow which attempt calls it.

A token is stateless, so MLflow checks it without the service: job, attempt, owner and expiry, and a
signature by a key that the service and MLflow share.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass

PREFIX = "asgard-attempt."
SERVICE = "service"
"""The kind of the service's own token."""


class InvalidToken(Exception):
    """A token is forged, damaged or expired."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An attempt of a job, or the service itself."""

    job_id: str
    """Empty for the service."""
    attempt: int = 0
    owner: str = ""
    """The owner of the job, or the one for whom the service acts."""
    expires_at: int
    """Seconds since the epoch."""

    @property
    def is_service(self) -> bool:
        return not self.job_id

    @property
    def is_administrator(self) -> bool:
        """True for the service while it acts for nobody else."""
        return self.is_service and not self.owner


def sign(key: bytes, caller: Caller) -> str:
    """Return a token for `caller`."""
    fields = [caller.job_id, caller.attempt, caller.owner, caller.expires_at]
    payload = _encode(json.dumps(fields, separators=(",", ":")).encode())
    return f"{PREFIX}{payload}.{_signature(key, payload)}"


def verify(key: bytes, token: str, *, now: float | None = None) -> Caller:
    """Return the caller whose token this is.

    Raises:
        InvalidToken: the token is invalid or expired.
    """
    payload, _, signature = token.removeprefix(PREFIX).partition(".")
    # as bytes: compare_digest refuses strings that are not ASCII
    if not hmac.compare_digest(signature.encode(), _signature(key, payload).encode()):
        raise InvalidToken("The token is not from this service.")
    try:
        job_id, attempt, owner, expires_at = json.loads(_decode(payload))
    except (ValueError, binascii.Error) as error:
        raise InvalidToken("The token cannot be read.") from error
    if expires_at <= (time.time() if now is None else now):
        raise InvalidToken("The token has expired: its job has ended.")
    return Caller(job_id=job_id, attempt=attempt, owner=owner, expires_at=expires_at)


def _signature(key: bytes, payload: str) -> str:
    return _encode(hmac.new(key, payload.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
