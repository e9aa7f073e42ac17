"""MLflow's address and credentials, kept separate so that the address can be shown."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from yarl import URL

from asgard_async.config import MlflowConfig

MIN_SECRET_LENGTH = 4
"""Shorter secrets are not redacted: they would match almost any text."""


@dataclass(frozen=True, kw_only=True)
class MlflowAddress:
    """A tracking server's address and the credentials for it."""

    public_uri: str
    """The address without user name and password, for logs, responses and jobs."""
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    is_service_only: bool = False
    """True if jobs must not receive the credentials, because they have tokens of their own."""
    token_for: Callable[[str], str] | None = field(default=None, repr=False)
    """Returns a token with the rights of an owner; None if the server knows no owners."""

    @classmethod
    def parse(
        cls, tracking_uri: str, *, username: str = "", password: str = "", token: str = ""
    ) -> Self:
        """Parse an address. Credentials in it are used unless others are passed."""
        uri = URL(tracking_uri)
        if not (username or token):
            username, password = uri.user or "", uri.password or ""
        public_uri = str(uri.with_user(None).with_query(None).with_fragment(None)).rstrip("/")
        return cls(public_uri=public_uri, username=username, password=password, token=token)

    @classmethod
    def configured(cls, mlflow: MlflowConfig, *, embedded_uri: str = "") -> Self:
        """The address in [mlflow], or the embedded server's if none is configured."""
        return cls.parse(
            mlflow.tracking_uri or embedded_uri,
            username=mlflow.username,
            password=mlflow.password,
            token=mlflow.token,
        )

    def for_owner(self, owner: str) -> Self:
        """Return the address with credentials that have only the rights of an owner."""
        if self.token_for is None:
            return self
        return replace(self, token=self.token_for(owner))

    @property
    def authorization(self) -> str | None:
        """The value of the Authorization header; None without credentials."""
        if self.token:
            return f"Bearer {self.token}"
        if self.username:
            credentials = f"{self.username}:{self.password}".encode()
            return f"Basic {base64.b64encode(credentials).decode()}"
        return None

    def without_credentials(self, text: bytes) -> bytes:
        """Redact the credentials in a text, since a server may echo what it received."""
        for secret in ((self.authorization or "").partition(" ")[2], self.password, self.token):
            if len(secret) >= MIN_SECRET_LENGTH:
                text = text.replace(secret.encode(), b"(hidden)")
        return text
