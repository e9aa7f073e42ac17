"""Where the service is, and how the client names itself to it."""

import os
from base64 import b64encode
from urllib.parse import quote, unquote, urlsplit, urlunsplit

DEFAULT_URL = "http://127.0.0.1:8000"


class Address:
    """The service's URL without credentials, and the header that carries those."""

    def __init__(self, url: str | None, token: str | None) -> None:
        """Read what is not given from ASGARD_URL and ASGARD_TOKEN.

        Raises:
            ValueError: no address can be like this. The message has no credentials in it.
        """
        parts = urlsplit((url or os.environ.get("ASGARD_URL") or DEFAULT_URL).strip())
        token = (token if token is not None else os.environ.get("ASGARD_TOKEN", "")).strip()
        user, _, host = parts.netloc.rpartition("@")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(
                "The URL of Asgard must begin with http:// or https:// and name a host,"
                f" as {DEFAULT_URL} does."
            )
        if user and token:
            raise ValueError("Give either a token or a URL with user and password.")
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise ValueError("The token of Asgard has characters that no token has.")
        self.url = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self.headers: dict[str, str] = {}
        if user:
            name, _, password = user.partition(":")
            pair = f"{unquote(name)}:{unquote(password)}".encode()
            self.headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
        elif token:
            self.headers["Authorization"] = f"Bearer {token}"

    def of(self, *path: str) -> str:
        """The URL of something of the service; each part of its path is quoted."""
        return "/".join([self.url, *(quote(part, safe="") for part in path)])
