"""The service's address and the client's credentials."""

import os
import re
from base64 import b64encode
from urllib.parse import quote, unquote, urlsplit, urlunsplit

DEFAULT_URL = "http://127.0.0.1:8000"
_TOKEN = re.compile(r"asgard_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")


class Address:
    """The service's URL without credentials, and the header that carries the credentials."""

    def __init__(self, url: str | None, token: str | None, instance: str | None = None) -> None:
        """Fall back to ASGARD_URL, ASGARD_TOKEN and ASGARD_INSTANCE for arguments that are None.

        Raises:
            ValueError: the URL or the token is malformed. The message contains no credentials.
        """
        parts = urlsplit((url or os.environ.get("ASGARD_URL") or DEFAULT_URL).strip())
        token = (token if token is not None else os.environ.get("ASGARD_TOKEN", "")).strip()
        user, _, host = parts.netloc.rpartition("@")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(
                "The URL of Asgard must begin with http:// or https:// and name a host,"
                f" such as {DEFAULT_URL}."
            )
        if user and token:
            raise ValueError("Pass either a token or a URL with a user name and password.")
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise ValueError("The Asgard token contains invalid characters.")
        self.url = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self.instance = instance if instance is not None else os.environ.get("ASGARD_INSTANCE", "")
        self.headers: dict[str, str] = {}
        password = ""
        if user:
            name, _, password = map(unquote, user.partition(":"))
            credentials = f"{name}:{password}".encode()
            self.headers["Authorization"] = f"Basic {b64encode(credentials).decode()}"
        elif token:
            self.headers["Authorization"] = f"Bearer {token}"
        match = _TOKEN.fullmatch(token or password)
        # the certificate proves the identity of an https server
        self.secret: str | None = match[0] if match and parts.scheme == "http" else None
        self.token_id = match[1] if match else ""

    @property
    def needs_handshake(self) -> bool:
        """True if the server must prove its identity before anything is sent to it."""
        return self.secret is not None or bool(self.instance)

    def url_of(self, *path: str) -> str:
        """Return the URL of a resource, with each part of its path quoted."""
        return "/".join([self.url, *(quote(part, safe="") for part in path)])
