"""Removal of secrets from addresses. Standard library alone: the build program imports it."""

import re

_AUTHORITY = re.compile(r"(?<=://)[^\s/?#]*@")
_QUERY = re.compile(r"((?:https?|file)://[^\s?#]*\?)[^\s#)'\"]+")


def without_secrets(text: str) -> str:
    """Replace user name, password and query of every address in `text` with …."""
    return _QUERY.sub(r"\1…", _AUTHORITY.sub("…@", text))


def without_user(address: str) -> str:
    """Remove user name and password from an address."""
    return re.sub(r"(?<=://)[^/?#]*@", "", address, count=1)
