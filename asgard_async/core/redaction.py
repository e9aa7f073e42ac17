"""Removal of secrets from URLs.

This module imports only the standard library, because the build program uses it.
"""

import re

_AUTHORITY = re.compile(r"(?<=://)[^\s/?#]*@")
# The query is optional, so that an address without one is consumed as well: a build could print a
# line of addresses, and searching each of them for the end of the line would take seconds.
_QUERY = re.compile(r"((?:https?|file)://[^\s?#]*)(\?[^\s#)'\"]+)?")


def without_secrets(text: str) -> str:
    """Replace the user name, password and query of every URL in `text` with an ellipsis."""
    return _QUERY.sub(
        lambda match: f"{match[1]}?…" if match[2] else match[1], _AUTHORITY.sub("…@", text)
    )


def without_user(address: str) -> str:
    """Remove the user name and password from a URL."""
    return re.sub(r"(?<=://)[^/?#]*@", "", address, count=1)
