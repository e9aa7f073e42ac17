"""Where MLflow is and how to be let in; credentials are kept apart from what may be shown."""

import base64
from dataclasses import dataclass, field
from typing import Self

from yarl import URL

from asgard_async.config import MlflowConfig


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
