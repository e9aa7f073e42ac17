"""Where MLflow is and how to be let in; credentials are kept apart from what may be shown."""

import base64
from dataclasses import dataclass, field
from typing import Self

from yarl import URL

from asgard_async.config import MlflowConfig

SHORTEST_SECRET = 4
"""A shorter one would be found in any text, and is none."""


@dataclass(frozen=True, kw_only=True)
class MlflowAddress:
    """A tracking server's address and the credentials for it."""

    public_uri: str
    """The address without user name and password: fit for logs, answers and job environments."""
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def parse(
        cls, tracking_uri: str, *, username: str = "", password: str = "", token: str = ""
    ) -> Self:
        """Take an address apart. A user name and password in it count unless others are given."""
        uri = URL(tracking_uri)
        if not (username or token):
            username, password = uri.user or "", uri.password or ""
        public_uri = str(uri.with_user(None).with_query(None).with_fragment(None)).rstrip("/")
        return cls(public_uri=public_uri, username=username, password=password, token=token)

    @classmethod
    def configured(cls, mlflow: MlflowConfig, *, embedded_uri: str = "") -> Self:
        """The address in [mlflow], or that of the embedded server where none is configured."""
        return cls.parse(
            mlflow.tracking_uri or embedded_uri,
            username=mlflow.username,
            password=mlflow.password,
            token=mlflow.token,
        )

    @property
    def authorization(self) -> str | None:
        """The value of the Authorization header, if credentials are known."""
        if self.token:
            return f"Bearer {self.token}"
        if self.username:
            pair = f"{self.username}:{self.password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        return None

    def without_credentials(self, text: bytes) -> bytes:
        """`text` without the credentials, as far as a server repeats what it was sent."""
        for secret in ((self.authorization or "").partition(" ")[2], self.password, self.token):
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret.encode(), b"(hidden)")
        return text
