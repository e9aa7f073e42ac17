"""Addresses without what is secret in them. Standard library alone: the build program runs it."""

import re

_AUTHORITY = re.compile(r"(?<=://)[^\s/?#]*@")
_QUERY = re.compile(r"((?:https?|file)://[^\s?#]*\?)[^\s#)'\"]+")


def without_secrets(text: str) -> str:
    """`text` with … for the user name, password and query of each address in it."""
    return _QUERY.sub(r"\1…", _AUTHORITY.sub("…@", text))


def without_user(address: str) -> str:
    """An address without user name and password, otherwise as it is."""
    return re.sub(r"(?<=://)[^/?#]*@", "", address, count=1)
