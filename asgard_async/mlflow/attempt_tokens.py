"""Tokens of attempts for the embedded MLflow; see server/attempt_token.py for their form."""

import os
import secrets
import time
from pathlib import Path
from typing import Self

from asgard_async.core.files.ownership import open_private
from asgard_async.mlflow.server.attempt_token import Caller, sign
from asgard_async.mlflow.server.identities import account_of_owner
from asgard_async.mlflow.server.report import REPORTER

FILE = "attempt.key"
KEY_BYTES = 32
MARGIN_SECONDS = 24 * 3600
"""Additional validity, for scripts that end late and for clocks that are set back."""
REPORT_SECONDS = 60
SERVICE_SECONDS = 10 * 365 * 24 * 3600


class AttemptTokens:
    """Issues tokens that the embedded MLflow accepts."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Read the key in a directory; create it at the first start.

        The key stays the same, since MLflow may outlive the service.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = open_private(directory / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "r+b") as file:
            key = file.read(KEY_BYTES + 1)
            if len(key) != KEY_BYTES:  # new, or cut off by a crash
                key = secrets.token_bytes(KEY_BYTES)
                file.seek(0)
                file.truncate()
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
        return cls(key)

    def of_attempt(self, job_id: str, attempt: int, *, owner: str, timeout_seconds: float) -> str:
        """Return a token for an attempt that starts now."""
        expires_at = int(time.time() + timeout_seconds + MARGIN_SECONDS)
        caller = Caller(job_id=job_id, attempt=attempt, owner=owner, expires_at=expires_at)
        return sign(self.key, caller)

    def of_service(self) -> str:
        """Return the service's own token, which no limit applies to."""
        return sign(self.key, Caller(job_id="", expires_at=int(time.time()) + SERVICE_SECONDS))

    def of_service_for(self, owner: str) -> str:
        """Return a token with which the service has only the rights of an owner."""
        expires_at = int(time.time()) + MARGIN_SECONDS
        account = account_of_owner(owner)
        return sign(self.key, Caller(job_id="", owner=account, expires_at=expires_at))

    def of_reporter(self) -> str:
        """Return a token that reads the report on artifacts, and is of no other use."""
        expires_at = int(time.time()) + REPORT_SECONDS
        return sign(self.key, Caller(job_id=REPORTER, expires_at=expires_at))
