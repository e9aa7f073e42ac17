"""Formatting of configuration values for output, without secrets."""

import re
from typing import Any

from asgard_async.core.redaction import without_secrets

SECRET_KEYS = frozenset({"password", "token", "index_url", "extra_index_urls"})
"""Keys whose values may hold credentials and are never shown."""
ADDRESS_KEYS = frozenset({"tracking_uri", "public_url"})
SHOWN_IN_PART = ADDRESS_KEYS | {"artifacts_destination"}
"""Keys that are shown without user name, password and query."""


def redacted(key: str, value: Any) -> str:
    """Format a value for output, without secrets or the credentials and query of an address."""
    if key in SECRET_KEYS and value:
        return "(set)"
    if key in SHOWN_IN_PART and isinstance(value, str):
        value = re.sub(r"\?.*", "?…", re.sub(r"//.*@", "//…@", value, flags=re.DOTALL))
    return without_secrets(repr(value))
