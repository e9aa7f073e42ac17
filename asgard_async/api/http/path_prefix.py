"""The path prefix under which a proxy publishes the API, and which it strips from requests."""

import re
from contextvars import ContextVar

_prefix: ContextVar[str] = ContextVar("path prefix", default="")
_FORM = re.compile(r"(/[A-Za-z0-9._~-]{1,100}){1,10}")


def set_prefix(text: str) -> None:
    """Set the prefix of the request that this task handles next; malformed ones count as none."""
    text = text.rstrip("/")
    _prefix.set(text if text and _FORM.fullmatch(text) else "")


def path_prefix() -> str:
    """Return the prefix of the current request, such as `/asgard`; empty if there is none."""
    return _prefix.get()
